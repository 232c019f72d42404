"""Answers for a person at a terminal: a picture embedded by hand, words compared, a contact sheet; no Spark here."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from devise.errors import ConfigError, IndexingError, VocabularyError
from devise.facts import shipped
from devise.search import query
from devise.search.query import Hit, LiveIndex
from devise.store import scratch, storage
from devise.warehouse import manifest, pointer
from devise.words import coverage, vocabulary

SAMPLE_VECTORS = Path(__file__).parents[1] / "sample" / "vectors.vec.gz"


def embed_picture(live: LiveIndex, path: str) -> np.ndarray:
    """Unit vector (D,) of one picture by the live model.

    Raises:
        VocabularyError: there is no such picture, or it is rejected.
    """
    from devise.vision.engine import Engine, Item
    from devise.vision.model import load

    uri = storage.normalise(path)
    found = storage.stat(uri)
    if found is None:
        raise VocabularyError(f"{path}: no such picture")
    model = live.newest("model")
    engine = Engine(
        load(query.model_folder(manifest.localise(live.warehouse, model), model)),
        lambda item: storage.fetch_image(item.uri, item.etag),
        threads=1,
    )
    outcome = next(iter(engine.run([Item(0, uri, found.etag, found.size_bytes)])))
    if outcome.codes[0] is not None:
        raise VocabularyError(f"{path}: {outcome.codes[0]}: {outcome.messages[0]}")
    return outcome.embedding_ND[0]


def refuse_sheet(path: str) -> None:
    """`ConfigError` if a sheet's name does not say which kind of picture it is to be; asked before any work."""
    from devise.show.report import KINDS

    if (ending := Path(path).suffix.lower()) not in KINDS:
        raise ConfigError(f"--sheet {path}: ends in {ending!r}, wanted {', '.join(KINDS)}")


def write_sheet(hits: Sequence[Hit], title: str, path: str) -> None:
    """A contact sheet of search results, its kind by the name's ending."""
    from devise.show.report import MOST_TILES, contact_sheet

    if not hits:
        raise IndexingError(f"--sheet {path}: no picture was found to put on it")
    if len(hits) > MOST_TILES:
        raise IndexingError(f"--sheet {path}: found {len(hits):,} answers, wanted at most {MOST_TILES} on one: -k")
    tiles = [(_content(hit.uri), f"{hit.uri.rsplit('/', 2)[-2]}  {hit.score:.2f}") for hit in hits]
    contact_sheet(tiles, f"nearest to: {title}", path)


def _content(uri: str) -> bytes:
    """Nothing for a picture that is gone since the index was built: its tile says so."""
    return storage.read_bytes(uri) if storage.stat(uri) is not None else b""


def words(options: argparse.Namespace) -> None:
    """`devise words`: a table of correlations, a word's neighbours, or how a word is known."""
    asked = {"words": options.text, "--near": options.near, "--known": options.known}
    if len(given := [name for name, value in asked.items() if value]) > 1:
        raise ConfigError(f"found {' and '.join(given)}, wanted one of them")
    known, path = _vocabulary(options)
    if options.near:
        vector = vocabulary.make_lookup(known, path)(options.near)
        if vector is None:
            raise VocabularyError(f"{options.near}: no such word in the vocabulary or its vectors")
        for label, cosine in vocabulary.nearest(vector, known, options.k):
            print(f"{cosine:7.3f}  {label}")
    elif options.known:
        print(vocabulary.known(options.known, known))
    elif options.text:
        lookup = vocabulary.make_lookup(known, path)
        compared = vocabulary.correlations(options.text, lookup)
        print(f"{'':<16} {'':<16} {'pearson':>8} {'cosine':>8}")
        for one, other, pearson, cosine in compared:
            print(f"{one:<16} {other:<16} {pearson:8.3f} {cosine:8.3f}")
    else:
        raise ConfigError("nothing asked: give words to compare, --near WORD or --known WORD")


def _vocabulary(options: argparse.Namespace) -> tuple[vocabulary.Vocabulary, Path | None]:
    """The live vocabulary of a warehouse, else one made of a file of word vectors, else the sample's."""
    path = shipped.find("vectors", options.vectors)
    if options.vectors and path is None:
        path = scratch.localise(storage.normalise(options.vectors))
    if options.warehouse:
        live = pointer.published(options.warehouse)
        found = query.newest_live(options.warehouse, live, "vocabulary")
        return vocabulary.load(manifest.localise_one(options.warehouse, found, end=".parquet")), path
    return coverage.make(path or SAMPLE_VECTORS)[0], path or SAMPLE_VECTORS
