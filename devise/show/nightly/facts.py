"""All that the night's page tells, as it is handed over; knows no tables, no HTML and no way to find any of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

PAGE = "_nightly-page-"
"""How the name of the page's file begins."""
GET_USD, PUT_USD = 0.0004 / 1_000, 0.005 / 1_000
CHEAP = ("GetObject", "HeadObject", "HeadBucket")
FREE = ("DeleteObject", "DeleteObjects", "AbortMultipartUpload")
PRICES = (
    "0.0004 USD for 1,000 GET or HEAD and 0.005 USD for 1,000 of any other request that is not free: S3 Standard, as "
    "c3x.dev (S3 request fees explained) prints AWS's list; your region and your bill may say otherwise"
)


class Phase(NamedTuple):
    """What a job of the night did: seconds from its begin to its commit, rows that it wrote, requests to S3."""

    job: str
    seconds: float
    rows: int
    requests: int
    retries: int


class Figure(NamedTuple):
    """A row of the metrics, and the run that it was live with."""

    run: str
    name: str
    split: str
    k: int
    value: float
    low: float
    high: float
    n: int


class Refused(NamedTuple):
    """A code of rejects, how many of this night have it, and some of them: (uri, message)."""

    code: str
    n: int
    images: Sequence[tuple[str, str]]


class Change(NamedTuple):
    """A label: images with it the night before (None if unknown) and now, and of those how many came tonight.

    factor: its share among what came, by that among what stood. chance: see `learning.drift`. drifts: what was found.
    """

    label: str
    before: int | None
    now: int
    came: int
    factor: float
    chance: float
    drifts: bool


class Tile(NamedTuple):
    """A picture with a line or two below it."""

    uri: str
    name: str
    lines: Sequence[str] = ()


class Sheet(NamedTuple):
    """Pictures for a word or a sum of words, or why there are none."""

    query: str
    tiles: Sequence[Tile]
    told: str


class Dot(NamedTuple):
    """An image on the map; `names` is all that it is told to show, its answer or best label first."""

    uri: str
    names: Sequence[str]
    x: float
    y: float
    place: int


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One night. Pictures are told by uri; `thumbnails` holds those that can be shown.

    counts: listed, new, changed, removed, attempted, embedded, rejected, unchanged, carried. requests: purpose ->
    operation -> requests. figures: hit and recall of kept publications and of this run, oldest first. curve: an SVG of
    how far probabilities hold, or None. hub_labels: labels that stand first for images, the commonest first.
    hub_images: images that stand among the first ten of most of `n_lists` labels' lists. changes: labels that were
    tested, or None where nothing could be compared, which `unchanged_why` says; rate: of those called drift the share
    that may be chance. mapped: images with a place, none if there is no map; map_run: the run that froze it.
    """

    run: str
    model_id: str
    vocabulary_id: str
    n_live: int
    counts: Mapping[str, int]
    phases: Sequence[Phase]
    requests: Mapping[str, Mapping[str, int]]
    usd_an_hour: float | None
    rejects: Sequence[Refused]
    figures: Sequence[Figure]
    curve: str | None
    hub_labels: Sequence[tuple[str, int]]
    hub_images: Sequence[tuple[str, int]]
    n_lists: int
    changes: Sequence[Change] | None
    unchanged_why: str
    rate: float
    sheets: Sequence[Sheet]
    drawn: Sequence[Tile]
    mapped: Sequence[Dot]
    map_run: str
    thumbnails: Mapping[str, bytes]

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)

    @property
    def images_a_second(self) -> float | None:
        """Of the embed job, fetch to commit; None where nothing was attempted."""
        seconds = sum(phase.seconds for phase in self.phases if phase.job == "embed_images")
        return self.counts["attempted"] / seconds if seconds and self.counts["attempted"] else None


def usd_of(requests: Mapping[str, Mapping[str, int]]) -> float:
    """What S3 would ask for these requests, by PRICES."""
    total = 0.0
    for operations in requests.values():
        for operation, n in operations.items():
            total += n * (GET_USD if operation in CHEAP else 0.0 if operation in FREE else PUT_USD)
    return total


def pictured(facts_of: Sequence[Sequence[Tile]], dots: Sequence[Dot], refused: Sequence[Refused]) -> list[str]:
    """The uris that a page of these shows, each once."""
    uris = [tile.uri for tiles in facts_of for tile in tiles]
    uris += [uri for code in refused for uri, _ in code.images] + [dot.uri for dot in dots]
    return list(dict.fromkeys(uris))
