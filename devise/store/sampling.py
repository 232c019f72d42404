"""A seeded sample of a corpus by a look at its listing; nothing is read, and a large corpus is not listed whole."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from devise.errors import EmptyCorpus, StorageError
from devise.store import listing, storage
from devise.store.passedover import PassedOver, Tell, describe, ending
from devise.store.storage import Stat

MOST_LISTED = 200_000
"""Objects looked at: 200 requests on S3. They are of stretches all over the corpus, some of each."""
STRETCHES, MOST_PROBES = 8, 64
"""Where an S3 listing goes on behind what was looked at: stretches wanted of the whole of it, and requests for them."""
LAST = "\U0010ffff"
"""Sorts behind every letter of a name."""


@dataclass(frozen=True)
class Sample:
    """Objects drawn, of how many that were listed, and whether those were all there are.

    Attributes:
        passed_over: what else was listed, by the names' ending.
        texts: how keys go on below an S3 source that was not listed whole, as `catalog_images.fan_out` takes them.
    """

    drawn: list[Stat]
    n_listed: int
    whole: bool
    passed_over: dict[str, int] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)


def draw(
    sources: Sequence[str],
    include: Sequence[str],
    exclude: Sequence[str],
    n: int,
    seed: int = 0,
    most_listed: int = MOST_LISTED,
) -> Sample:
    """`n` objects that the patterns ask for, or all if there are fewer; the same for the same corpus and seed.

    Each stretch of the listing gives its share of `most_listed`, from its beginning. An S3 listing that is longer is
    looked at from its start, and then by a page of each of several stretches of the sorted keys, found by the letters
    that keys go on with: so a folder of 10^8 objects costs MOST_PROBES requests more, and is seen to its end.

    Raises:
        EmptyCorpus: nothing matches.
        StorageError: a source is missing or may not be read, or nothing is below it.
    """
    told, found, evenly, texts, whole = PassedOver(), {}, {}, [], True
    roots = list(dict.fromkeys(storage.join(storage.normalise(source), "") for source in sources))
    for root in roots:
        look = _look_local if storage.is_local(root) else _look_far
        matches = listing.matcher(root, include, exclude)
        seen, all_of_it, stretches = look(root, max(1, most_listed // len(roots)), told.tell)
        pages = {stat.uri: stat for page in stretches.values() for stat in page}
        for stat in ({stat.uri: stat for stat in seen} | pages).values():
            if matches(stat.uri):
                found[stat.uri] = stat
                if stat.uri in pages or not stretches:  # else the beginning would outweigh all the rest
                    evenly[stat.uri] = stat
            else:
                told.tell(ending(stat.uri))
        whole &= all_of_it
        texts += [stem.removeprefix(root) for stem in stretches]
    if not found:
        rest = f"; {describe(told.counts)}" if told.counts else ""
        raise EmptyCorpus(f"{', '.join(sources)}: found no image that matches, wanted at least one{rest}")
    ordered = sorted((evenly or found).values(), key=lambda stat: stat.uri)
    drawn = random.Random(seed).sample(ordered, min(n, len(ordered)))
    return Sample(drawn, len(found), whole, told.counts, texts)


Look = tuple[list[Stat], bool, dict[str, list[Stat]]]
"""Objects, whether they are all, and of the rest the stretches with a page of each."""


def _look_local(root: str, most: int, tell: Tell) -> Look:
    """Files of each part of a plan."""
    parts = listing.plan([root], ())
    each, found, whole = max(1, most // len(parts)), [], True
    for part in parts:
        taken = 0
        for page in listing.read(part, tell):
            found += page[: max(0, each - taken)]
            taken += len(page)
            if taken > each:
                whole = False
                break
    return found, whole, {}


def _look_far(root: str, most: int, _: Tell) -> Look:
    """Objects of the first pages."""
    found: list[Stat] = []
    n_pages = -(-most // listing.ROWS_PER_BATCH)
    for number, (_, page) in enumerate(storage.list_pages(root)):
        found += page
        if number == n_pages:
            return found, False, _stretches(root)
    if not found:
        raise StorageError(f"{root}: nothing is below this place")
    return found, True, {}


def _stretches(root: str) -> dict[str, list[Stat]]:
    """Beginnings of keys that part all keys below `root` into several stretches, each with its first page."""
    level: dict[str, list[Stat]] = {root: []}
    probes = iter(range(MOST_PROBES))
    while len(level) < STRETCHES:
        below: dict[str, list[Stat]] = {}
        for stem in level:
            below |= dict(_branches(stem, probes))
        if not below or next(probes, None) is None:  # a level that was cut short says nothing of its end
            return level if len(level) > 1 else below
        level = below
    return level


def _branches(stem: str, probes: Iterator[int]) -> Iterator[tuple[str, list[Stat]]]:
    """Each letter that keys go on with behind `stem`, a request each; the page that begins there."""
    after = ""
    while next(probes, None) is not None:
        _, page = next(storage.list_pages(stem, after), ([], []))
        if not page:
            return
        letter = page[0].uri[len(stem) :][:1]
        if letter:
            yield stem + letter, page
        after = stem + letter + (LAST if letter else "")
