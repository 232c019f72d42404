"""A seeded sample of a corpus by a look at its listing; nothing is read, and a large corpus is not listed whole."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from devise.errors import EmptyCorpus
from devise.store import listing
from devise.store.storage import Stat

MOST_LISTED = 200_000
"""Objects looked at: 200 requests on S3. They are of stretches all over the corpus, some of each."""


@dataclass(frozen=True)
class Sample:
    """Objects drawn, of how many that were listed, and whether those were all there are."""

    drawn: list[Stat]
    n_listed: int
    whole: bool


def draw(
    sources: Sequence[str],
    include: Sequence[str],
    exclude: Sequence[str],
    n: int,
    seed: int = 0,
    most_listed: int = MOST_LISTED,
) -> Sample:
    """`n` objects that the patterns ask for, or all if there are fewer; the same for the same corpus and seed.

    Each stretch of the listing gives its share of `most_listed`, from its beginning.

    Raises:
        EmptyCorpus: nothing matches.
        StorageError: a source is missing or may not be read.
    """
    parts, generator = listing.plan(sources, ()), random.Random(seed)
    each, found, whole = max(1, most_listed // len(parts)), [], True
    for part in parts:
        taken = 0
        for page in listing.read_matching(part, include, exclude):
            found += page[: max(0, each - taken)]
            taken += len(page)
            if taken > each:
                whole = False
                break
    if not found:
        raise EmptyCorpus(f"{', '.join(sources)}: found no image that matches, wanted at least one")
    found.sort(key=lambda stat: stat.uri)
    return Sample(generator.sample(found, min(n, len(found))), len(found), whole)
