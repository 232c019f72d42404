"""Nights with thumbnails: made for what is embedded, kept by a base, bounded in number, gone with their images."""

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tiny_warehouse import commit_vocabulary_and_model
from week import perform

from devise.sample.book import draw
from devise.search.thumbnails import Thumbnails
from devise.spark.frame import ddl
from devise.store import storage
from devise.warehouse import manifest, pointer, verify

NIGHT = ("catalog_images", "embed_images", "label_images", "publish_run")
SIZE = 300


class Place:
    """A corpus of a few pictures and a broken one, and nights over it."""

    def __init__(self, spark, folder):
        self.spark, self.corpus, self.warehouse = spark, folder / "corpus", str(folder / "warehouse")
        commit_vocabulary_and_model(self.warehouse)
        self.corpus.mkdir()
        for number in range(12):
            self.draw(number, number)
        (self.corpus / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")

    def draw(self, number, seed):
        draw("lion", np.random.default_rng(seed), SIZE).save(self.corpus / f"{number:02d}.jpg", quality=90)

    def night(self, run, jobs=NIGHT, **embed):
        sections = {name: {} for name in NIGHT}
        sections["catalog_images"] = {"sources": [str(self.corpus)]}
        sections["embed_images"] = {"engine": {"precision": "fp32"}, **embed}
        sections["publish_run"] = {"max_reject_fraction": 1, "max_removed_fraction": 1}
        return perform(self.spark, self.warehouse, run, sections, jobs)

    def rows(self, table, run):
        made = manifest.read(self.warehouse, table, run)
        folder = storage.local_path(manifest.folder(self.warehouse, table, run))
        return [row for file in made.files for row in pq.read_table(folder / file.path).to_pylist()]

    def live(self):
        """image_id -> etag of tonight's images, and the thumbnails found of them."""
        live = pointer.read(self.warehouse)
        etags = {row["image_id"]: row["etag"] for row in self.rows("images", live.run)}
        return etags, Thumbnails.open(self.warehouse, live).find(etags)


@pytest.fixture(scope="module")
def place(spark, tmp_path_factory):
    return Place(spark, tmp_path_factory.mktemp("thumbnails"))


def test_thumbnails_follow_the_night_s_change_and_a_base_keeps_no_more_than_are_asked_for(place, capsys):
    first = place.night("r2", thumbnails=1_000)
    assert "12 embedded, 1 rejected (rejects by code: truncated 1); 12 thumbnails, 0 that could not be made" in (
        capsys.readouterr().out
    )
    assert first["thumbnails"].rows == first["embeddings"].details["thumbnails"] == 12
    vectors = {row["uri"]: row["embedding"] for row in place.rows("embeddings", "r2")}
    etags, found = place.live()
    assert len(etags) == 13 and len(found) == 12
    for small in found.values():
        assert Image.open(io.BytesIO(small.webp)).size == (small.width, small.height) == (256, 256)

    # One changes, one goes, one comes: two are made, and what is live is found whichever run has it.
    (place.corpus / "03.jpg").unlink(), place.draw(4, 104), place.draw(12, 12)
    gone = next(row["image_id"] for row in place.rows("images", "r2") if row["uri"].endswith("03.jpg"))
    place.night("r3", thumbnails=1_000)
    assert manifest.read(place.warehouse, "thumbnails", "r3").rows == 2
    assert pointer.read(place.warehouse).runs("thumbnails") == ["r2", "r3"]
    changed = {image_id for image_id, etag in place.live()[0].items() if etags.get(image_id) != etag}
    live, later = place.live()
    assert (
        len(later) == 12
        and gone not in later
        and changed == {row["image_id"] for row in place.rows("thumbnails", "r3")}
    )
    assert all(later[image_id] == found[image_id] for image_id in later.keys() - changed)
    view = place.spark.sql  # the views of what is live say the same
    for statement in ddl.statements("spark", place.warehouse):
        view(statement)
    rows = view("SELECT image_id, etag, webp FROM thumbnails_current").collect()
    assert {row.image_id: bytes(row.webp) for row in rows} == {i: small.webp for i, small in later.items()}
    assert {(row.image_id, row.etag) for row in rows} <= live.items() and len(rows) == 12

    # A base of a corpus that has more images than thumbnails are asked for: those of the least ids.
    base = place.night("r4", thumbnails=5, nights_per_base=1)
    limit = 2**63 * 5 // 13
    kept = {image_id for image_id in later if image_id < limit}
    assert 0 < len(kept) < 12 and base["thumbnails"].base
    assert [row["image_id"] for row in place.rows("thumbnails", "r4")] == sorted(kept)
    assert pointer.read(place.warehouse).runs("thumbnails") == ["r4"] and set(place.live()[1]) == kept
    assert all(not checked.faults for checked in verify.verify(place.warehouse, "r4"))

    # Without the setting none are made; the vectors are the same to the bit, and the next base has none.
    for path in place.corpus.iterdir():
        path.touch()
    last = place.night("r5", NIGHT[:2])
    assert (last["thumbnails"].rows, last["embeddings"].rows) == (0, 12)
    again = {row["uri"]: row["embedding"] for row in place.rows("embeddings", "r5")}
    same = again.keys() & vectors.keys() - {uri for uri in again if uri.endswith(("04.jpg", "12.jpg"))}
    assert len(same) == 10 and all(again[uri] == vectors[uri] for uri in same)
