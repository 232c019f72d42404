"""The drawn picture book, its broken and odd files, and the word vectors that ship with it."""

import gzip
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.errors import ConfigError
from devise.sample import broken, demo
from devise.sample.book import FAMILIES, HELD_OUT, NOUNS, draw, draw_book

SAMPLE = Path(broken.__file__).parent
VECTORS, HIERARCHY = SAMPLE / "vectors.vec.gz", SAMPLE / "nouns.tsv.gz"


@pytest.fixture(scope="module")
def vectors() -> dict[str, np.ndarray]:
    header, *rows = gzip.decompress(VECTORS.read_bytes()).decode().splitlines()
    table = {row.split(" ", 1)[0]: np.array(row.split(" ")[1:], np.float32) for row in rows}
    assert header.split() == [str(len(rows)), str(len(rows[0].split()) - 1)]
    return table


@pytest.fixture(scope="module")
def synsets() -> dict[str, dict[str, str]]:
    header, *rows = gzip.decompress(HIERARCHY.read_bytes()).decode().splitlines()
    columns = header.split("\t")
    assert columns == ["id", "lexfile", "members", "hypernyms", "definition"]
    table = [dict(zip(columns, row.split("\t"), strict=True)) for row in rows]
    return {row["id"]: row for row in table}


def pixels(noun: str, seed: int, size: int = 32) -> bytes:
    return draw(noun, np.random.default_rng(seed), size).tobytes()


def ancestors(synsets: dict[str, dict[str, str]], synset: str) -> set[str]:
    found, queue = {synset}, [synset]
    for child in queue:
        parents = [parent for parent in synsets[child]["hypernyms"].split("|") if parent and parent not in found]
        found.update(parents)
        queue += parents
    return found


def test_the_book_is_as_large_as_the_demo_promises():
    assert len(NOUNS) >= 64 and len(FAMILIES) >= 8 and len(set(HELD_OUT)) >= 15
    assert set(HELD_OUT) <= set(NOUNS)


def test_held_out_nouns_lie_in_every_family_beside_seen_ones():
    seen = Counter(family for noun, family in NOUNS.items() if noun not in HELD_OUT)
    held_out = Counter(NOUNS[noun] for noun in HELD_OUT)
    assert set(held_out) == set(FAMILIES)
    assert all(seen[family] >= 2 * held_out[family] for family in FAMILIES)


@pytest.mark.parametrize("noun", NOUNS)
def test_a_noun_is_drawn_alike_from_one_seed_and_differently_from_others(noun):
    assert pixels(noun, 3) == pixels(noun, 3)
    assert len({pixels(noun, seed) for seed in range(5)}) == 5


def test_a_drawing_fills_its_picture_and_is_no_blank():
    for noun in NOUNS:
        picture = draw(noun, np.random.default_rng(0), 48)
        assert (picture.mode, picture.size) == ("RGB", (48, 48))
        assert np.asarray(picture).std() > 8, noun


def test_a_noun_that_is_not_drawn_is_refused():
    with pytest.raises(ValueError, match="unicorn"):
        draw("unicorn", np.random.default_rng(0))


def test_the_book_is_the_same_whatever_the_number_of_processes(tmp_path):
    for name, processes in (("one", 1), ("two", 2)):
        assert draw_book(tmp_path / name, pictures_per_noun=2, size=24, seed=5, processes=processes) == 2 * len(NOUNS)
    one = {path.relative_to(tmp_path / "one"): path.read_bytes() for path in (tmp_path / "one").rglob("*.*")}
    two = {path.relative_to(tmp_path / "two"): path.read_bytes() for path in (tmp_path / "two").rglob("*.*")}
    assert one == two and len(one) == 2 * len(NOUNS)
    assert len(set(one.values())) == len(one)
    assert {path.parts[0] for path in one} == set(NOUNS)


def test_the_book_is_the_same_in_every_python(tmp_path):
    # Python's own hash of a string changes with PYTHONHASHSEED: no seed may come from it.
    books = []
    for seed in ("1", "2"):
        script = (
            f"from devise.sample.book import draw_book; draw_book({str(tmp_path / seed)!r}, 1, size=16, processes=1)"
        )
        subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONHASHSEED": seed}, check=True)
        books.append([path.read_bytes() for path in sorted((tmp_path / seed).rglob("*.jpg"))])
    assert books[0] == books[1] and len(books[0]) == len(NOUNS)


def test_a_longer_book_starts_with_the_shorter_one_and_a_seed_changes_it(tmp_path, monkeypatch):
    monkeypatch.setattr("devise.sample.book.NOUNS", {"ferry": "boat"})
    for name, n_pictures, seed in (("short", 2, 0), ("long", 15, 0), ("other", 2, 1)):
        draw_book(tmp_path / name, n_pictures, size=24, seed=seed, processes=1)
    first = [(tmp_path / name / "ferry" / "000.jpg").read_bytes() for name in ("short", "long", "other")]
    assert first[0] == first[1] != first[2]
    kinds = Counter(path.suffix for path in (tmp_path / "long" / "ferry").iterdir())
    assert kinds == {".jpg": 13, ".png": 1, ".webp": 1}


def test_every_drawn_noun_and_family_has_a_unit_vector(vectors):
    assert len(vectors) >= 2000
    assert set(NOUNS) | set(FAMILIES) <= set(vectors)
    norms = np.linalg.norm(np.stack(list(vectors.values())), axis=1)
    assert np.abs(norms - 1).max() < 0.01
    assert any("_" in noun for noun in vectors)
    assert all(re.fullmatch("[a-z][a-z_-]+", noun) for noun in vectors)


def test_vectors_of_a_family_lie_together_and_every_noun_is_its_own(vectors):
    drawn = np.stack([vectors[noun] for noun in NOUNS])
    cosines = drawn @ drawn.T
    np.fill_diagonal(cosines, -1)
    family = np.array(list(NOUNS.values()))
    assert np.mean(family[cosines.argmax(axis=1)] == family) > 0.9
    assert cosines.max() < 0.98
    for noun in HELD_OUT:
        row = cosines[list(NOUNS).index(noun)]
        near = [list(NOUNS)[at] for at in np.argsort(-row)[:4]]
        assert any(NOUNS[other] == NOUNS[noun] and other not in HELD_OUT for other in near), noun


def test_every_noun_with_a_vector_has_one_synset_and_a_chain_to_the_root(vectors, synsets):
    held = Counter(member for row in synsets.values() for member in row["members"].split("|"))
    assert all(held[noun] == 1 for noun in vectors)
    assert all(re.fullmatch(r"n\d{8}", synset) for synset in synsets)
    assert all(row["members"] and row["definition"] and row["lexfile"] for row in synsets.values())
    for synset in synsets:
        assert "n00001740" in ancestors(synsets, synset)


@pytest.mark.parametrize(
    ("noun", "kind"),
    [
        ("crane", "n01503061"),  # a bird, no machine
        ("lime", "n07705931"),  # a fruit, no tree
        ("fly", "n02159955"),  # an insect, no flap of a tent
        ("mallet", "n03481172"),  # a hammer, no drumstick
        ("van", "n04490091"),  # a truck, no railway car
        ("birch", "n13104059"),  # a tree, no wood
        ("gondola", "n04530566"),  # a vessel, no freight car
    ],
)
def test_a_drawn_noun_has_the_sense_that_is_drawn(synsets, noun, kind):
    own = next(synset for synset, row in synsets.items() if noun in row["members"].split("|"))
    assert kind in ancestors(synsets, own)


def test_what_ships_is_small_and_carries_its_notice():
    assert VECTORS.stat().st_size <= 2_000_000
    assert HIERARCHY.stat().st_size <= 1_000_000
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in (SAMPLE.parent / "facts/WORDNET-LICENSE").read_text()


def test_broken_files_are_broken_as_they_say(tmp_path):
    codes = broken.write_broken(tmp_path)
    assert set(codes) == {path.name for path in tmp_path.iterdir()}
    assert set(codes.values()) == {"empty", "not_an_image", "unsupported", "truncated", "corrupt", "too_many_pixels"}
    for name, code in codes.items():
        with pytest.raises((OSError, SyntaxError, Image.DecompressionBombError)), Image.open(tmp_path / name) as image:
            assert code in ("truncated", "corrupt"), f"{name} opens"
            image.load()
    assert (tmp_path / "empty.jpg").stat().st_size == 0
    assert (tmp_path / "bomb.png").stat().st_size < 1000


def test_odd_files_open_and_are_odd_as_they_say(tmp_path):
    names = broken.write_odd(tmp_path)
    assert set(names) == {path.name for path in tmp_path.iterdir()}
    opened, n_frames = {}, {}
    for name in names:
        with Image.open(tmp_path / name) as image:
            image.load()
            opened[name] = image
            n_frames[name] = getattr(image, "n_frames", 1)
    assert opened["cmyk.jpg"].mode == "CMYK" and opened["grey.jpg"].mode == "L"
    assert opened["sixteen_bit.png"].mode.startswith("I")
    assert opened["palette_transparent.png"].mode == "P" and "transparency" in opened["palette_transparent.png"].info
    assert n_frames["animated.gif"] == n_frames["animated.webp"] == 2
    assert opened["exif_rotated.jpg"].getexif()[0x0112] == 6
    assert opened["one_pixel.png"].size == (1, 1) and opened["wide_20000x20.png"].size == (20_000, 20)
    assert any(" " in name and "=" in name and not name.isascii() for name in names)


def test_a_demo_that_could_not_show_its_tables_says_so_before_it_draws(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"found no duckdb, .* pip install 'devise\[demo\]'"):
        demo.run(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()
