"""A folder of pictures labelled in this process: found, embedded, labelled, and told as a table or a page; no Spark.

Shape letters: N pictures, D dims, K labels.
"""

import csv
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devise import telling
from devise.errors import EmptyCorpus, StorageError
from devise.quickstart.kit import Kit
from devise.search.zeroshot import BLOCK_ROWS
from devise.store import listing, passedover, storage
from devise.store.storage import Stat
from devise.values import ENDINGS_READ
from devise.vision.engine import Engine, Item

COLUMNS = ("uri", "rank", "label", "synset", "score", "probability", "answer", "answer_probability", "code")
"""Of the table, a row a label, as in the table of a night; a picture without labels has one row, with its reject's
code."""

PACE_S = 0.5


@dataclass(frozen=True)
class Labelled:
    """A picture and its labels, best first, as (label, synset, cosine); or the code and message of its reject.

    Attributes:
        probabilities: of the labels; empty where nothing is calibrated.
        answer: the most specific noun that is sure enough, and its probability; None for none.
    """

    uri: str
    labels: tuple[tuple[str, str | None, float], ...] = ()
    code: str | None = None
    message: str | None = None
    probabilities: tuple[float, ...] = ()
    answer: tuple[str, float] | None = None


def find_pictures(folder: str) -> list[Stat]:
    """Every file below a folder or an s3:// prefix that is named like a picture, by URI.

    Raises:
        EmptyCorpus: there is none, but other files. StorageError: nothing is there, or it may not be read.
    """
    others = passedover.PassedOver()
    found = []
    for part in listing.plan([folder], ()):
        for page in listing.read_matching(part, [f"*.{ending}" for ending in ENDINGS_READ], [], others.tell):
            found += page
    if not found:
        told = passedover.describe(others.counts)
        raise EmptyCorpus(f"{folder}: found no picture ({told}), wanted names that end in {', '.join(ENDINGS_READ)}")
    return sorted(found, key=lambda stat: stat.uri)


def label(kit: Kit, pictures: Sequence[Stat], k: int, **engine: object) -> Iterator[Labelled]:
    """The pictures as they are done, which is not their order.

    Args:
        engine: settings of `vision.engine.Engine`, by name.
    """
    items = (Item(number, stat.uri, stat.etag, stat.size_bytes) for number, stat in enumerate(pictures))
    running = Engine(kit.model, lambda item: storage.fetch_image(item.uri, item.etag), **engine)
    uris: list[str] = []
    waiting: list[tuple[np.ndarray, np.ndarray | None, np.ndarray | None]] = []
    for found in running.run(items):
        for row, item in enumerate(found.items):
            if found.codes[row] is not None:
                yield Labelled(item.uri, (), found.codes[row], found.messages[row])
                continue
            uris.append(item.uri)
            parts = (found.embedding_ND, *found.classes)
            waiting.append(tuple(None if part is None else part[row] for part in parts))
        if len(uris) >= BLOCK_ROWS:
            yield from _name(kit, uris, waiting, k)
            uris, waiting = [], []
    if uris:
        yield from _name(kit, uris, waiting, k)


def _name(kit: Kit, uris: Sequence[str], found: Sequence[tuple], k: int) -> Iterator[Labelled]:
    known = kit.known
    ranked = kit.labeller.label(*(None if part[0] is None else np.stack(part) for part in zip(*found, strict=True)), k)
    for row, uri in enumerate(uris):
        named = zip(ranked.label_id_NK[row], ranked.score_NK[row], strict=True)
        answer = ranked.answer_id_N[row]
        yield Labelled(
            uri,
            tuple((known.labels[i], known.synsets[i], float(score)) for i, score in named),
            probabilities=() if ranked.probability_NK is None else tuple(ranked.probability_NK[row].tolist()),
            answer=(known.labels[answer], float(ranked.answer_probability_N[row])) if answer >= 0 else None,
        )


def gather(found: Iterator[Labelled], n: int, say: Callable[[str], None]) -> list[Labelled]:
    """All of them, by URI; a terminal shows meanwhile how far it is, of `n`, and `say` gets a line at the end."""
    done: list[Labelled] = []
    started = last = time.monotonic()
    terminal = sys.stderr.isatty()
    for one in found:
        done.append(one)
        if terminal and (now := time.monotonic()) - last >= PACE_S:
            telling.show(telling.words("label", len(done), n, None, telling.speed(len(done), 0, n, now - started)))
            last = now
    telling.wipe()
    codes = Counter(one.code for one in done if one.code)
    rejected = f", {codes.total():,} rejected ({', '.join(f'{code} {n:,}' for code, n in codes.most_common())})"
    seconds = time.monotonic() - started
    say(
        f"{len(done) - codes.total():,} pictures labelled{rejected if codes else ''} in {seconds:.1f} s, "
        f"{len(done) / max(seconds, 1e-9):,.0f} a second"
    )
    return sorted(done, key=lambda one: one.uri)


def write_table(found: Sequence[Labelled], path: str) -> None:
    """A CSV of COLUMNS.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for one in found:
                for rank, (name, synset, score) in enumerate(one.labels, start=1):
                    sure = f"{one.probabilities[rank - 1]:.6f}" if one.probabilities else None
                    noun, answer_sure = one.answer if rank == 1 and one.answer else (None, None)
                    told = None if answer_sure is None else f"{answer_sure:.6f}"
                    writer.writerow((one.uri, rank, name, synset, f"{score:.6f}", sure, noun, told, None))
                if not one.labels:
                    writer.writerow((one.uri, *[None] * (len(COLUMNS) - 2), one.code))
    except OSError as error:
        raise StorageError(f"--csv {path}: cannot be written: {error.strerror or error}") from None
