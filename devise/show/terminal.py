"""Answers for a person at a terminal: a picture embedded by hand, words compared, a contact sheet; no Spark here."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from devise.errors import ConfigError, IndexingError, VocabularyError
from devise.search import grammar, query, vocabularies
from devise.search.answers import Hit
from devise.search.filters import Filter, read_day, uri_prefix
from devise.search.searcher import Searcher
from devise.store import storage
from devise.warehouse import manifest, pointer
from devise.words import vocabulary

SAMPLE_VECTORS = Path(__file__).parents[1] / "sample" / "vectors.vec.gz"


def search(options: argparse.Namespace) -> None:
    """`devise search`: a line an answer: rank, cosine, uri, and where `--labels` asks for it a tab and a noun."""
    if options.image is not None and options.text:
        raise ConfigError(f"found words {options.text} and --image {options.image}, wanted one of them")
    if options.sheet is not None:
        refuse_sheet(options.sheet)
    if options.image is None and not options.text:
        raise ConfigError("nothing asked: give words, or --image FILE")
    asked = query.parse(" ".join(options.text)) if options.image is None else None
    only = Filter(
        None if options.under is None else uri_prefix(options.under),
        options.label,
        None if options.since is None else read_day(options.since),
    )
    told = {"k": options.k, "only": only, "labels": options.labels}
    if options.run is None:
        searcher = Searcher.open(options.warehouse, options.vectors)
    else:
        searcher = Searcher.at(options.warehouse, options.run, options.vectors)
    if asked is None:
        answer = searcher.search(embed_picture(searcher, options.image), "image", **told)
    else:
        answer = searcher.ask(asked.text, picture=lambda uri: embed_picture(searcher, uri), **told)
    for hit in answer.hits:
        noun = f"\t{hit.labels.best if hit.labels else ''}" * options.labels
        print(f"{hit.rank:>3}  {hit.score:6.3f}  {hit.uri}{noun}")
    if options.sheet is not None:
        write_sheet(answer.hits, asked.text if asked else f"{grammar.IMAGE}{options.image}", options.sheet)
        print(f"contact sheet: {options.sheet}")


def embed_picture(searcher: Searcher, path: str) -> np.ndarray:
    """Unit vector (D,) of one picture by the model of a publication.

    Raises:
        VocabularyError: there is no such picture, or it is rejected.
    """
    from devise.vision.engine import Engine, Item
    from devise.vision.model import load

    uri = storage.normalise(path)
    found = storage.stat(uri)
    if found is None:
        raise VocabularyError(f"{path}: no such picture")
    model = searcher.newest("model")
    engine = Engine(
        load(query.model_folder(manifest.localise(searcher.warehouse, model), model)),
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
    path = vocabularies.find_vectors(options.vectors)
    if options.warehouse:
        live = pointer.published(options.warehouse)
        found = query.newest_live(options.warehouse, live, "vocabulary")
        return vocabularies.read_labels(options.warehouse, found), path
    from devise.words import coverage  # a word of a warehouse is answered before its rules of names are loaded

    return coverage.make(path or SAMPLE_VECTORS)[0], path or SAMPLE_VECTORS
