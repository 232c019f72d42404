"""Listing a corpus in parts that many workers list side by side: the plan, the parts, the patterns; no Spark here.

Where a part of an S3 listing is not a whole folder it is a stretch of the sorted keys, behind one key and up to
another. Stretches that meet cover every key there is, whatever it is called, so no object falls between two of them.
"""

import fnmatch
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa

from devise.errors import StorageError
from devise.store import storage
from devise.store.passedover import NOT_UTF8, Tell, ending, ignore
from devise.store.storage import Stat

OBJECTS = pa.schema(
    [
        ("uri", pa.string()),
        ("etag", pa.string()),
        ("size_bytes", pa.int64()),
        ("modified_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""What is known of an object before it is opened; the columns of `images` behind image_id."""
FOLDERS_WANTED = 64
LEVEL_PAGES = 10
"""Pages that a plan looks at of the folders of one level together, and one at least of each: so a plan takes some tens
of requests a level, and the driver holds at most 64,000 names of it."""
ROWS_PER_BATCH = 1000
"""As many as a page of S3's listing holds."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one worker lists at a stretch. `source` and `prefix` are folders and end in `/`.

    Attributes:
        source: what the patterns' keys are relative to.
        prefix: what every URI of the part starts with.
        deep: False takes the files directly in the folder `prefix` alone.
        after, upto: on S3, only URIs that sort behind `after` and not behind `upto`; empty is no bound.
    """

    source: str
    prefix: str
    deep: bool = True
    after: str = ""
    upto: str = ""


def plan(sources: Sequence[str], fan_out: Sequence[str]) -> list[Part]:
    """Parts that cover everything below the sources, once for each source.

    Raises:
        StorageError: a source is missing, may not be read, or has nothing below it: a mistyped prefix, or a disk that
            is not mounted, must not pass for a corpus that was removed.
    """
    roots = dict.fromkeys(storage.join(storage.normalise(source), "") for source in sources)
    for root in roots:
        if not _holds_any(root):
            raise StorageError(f"{root}: nothing is below this place")
    return [part for root in roots for part in (fan(root, fan_out) if fan_out else spread(root))]


def spread(root: str, wanted: int = FOLDERS_WANTED) -> list[Part]:
    """Parts that cover everything below the folder `root` once, found by descending its folders.

    Descends level by level until there are `wanted` folders to hand out, each a part; a folder that was descended into
    is a part for its own files. On S3 a folder's first pages are seen (LEVEL_PAGES), and the rest of it is one part. So
    a folder without folders is one part, were it 10^8 objects, and so is what follows the first thousands of millions
    of folders: one worker lists it, a page of 1,000 after the other. Set `catalog_images.fan_out` there: see `fan`.
    """
    parts: list[Part] = []
    folders = [root]
    while 0 < len(folders) < wanted:
        below: list[str] = []
        pages = max(1, LEVEL_PAGES // len(folders))
        for folder in folders:
            found, rest = _level(root, folder, pages)
            below += found
            parts += rest
        folders = below
    return parts + [Part(root, folder) for folder in folders]


def fan(root: str, texts: Sequence[str]) -> list[Part]:
    """Parts that cover everything below the S3 folder `root` once, cut behind each key `root` + text.

    What starts with none of the texts sorts before the first, between two, or behind the last of them, and is listed
    with the stretch it lies in: nothing is outside. A stretch costs at most one page more than its keys fill.
    """
    bounds = ["", *sorted({root + text for text in texts}), ""]
    return [Part(root, root, after=after, upto=upto) for after, upto in pairwise(bounds)]


def overlap(parts: Sequence[Part]) -> bool:
    """Whether two of the parts' sources hold the same objects."""
    roots = sorted({part.source for part in parts})
    return any(lower.startswith(upper) for upper, lower in pairwise(roots))


def read(part: Part, passed_over: Tell = ignore) -> Iterator[list[Stat]]:
    """The objects of a part, a page at a time; what can be no row of a table (see `passedover`) is only told.

    Raises:
        StorageError: the folder or bucket may not be read, or a part with bounds is not listed in the keys' order.
    """
    if storage.is_local(part.prefix):
        yield from _read_local(part, passed_over)
        return
    last = part.after
    for folders, files in storage.list_pages(part.prefix, part.after, part.deep):
        if part.after or part.upto:
            last = _refuse_disorder(last, files)
        if part.upto and max([last, *folders[-1:]]) > part.upto:
            yield [file for file in files if file.uri <= part.upto]
            return
        yield files


def read_matching(
    part: Part, include: Sequence[str], exclude: Sequence[str], passed_over: Tell = ignore
) -> Iterator[list[Stat]]:
    """The objects of a part that the patterns ask for, a page at a time; of the others the endings are told."""
    matches = matcher(part.source, include, exclude)
    for objects in read(part, passed_over):
        found = []
        for file in objects:
            if matches(file.uri):
                found.append(file)
            else:
                passed_over(ending(file.uri))
        if found:
            yield found


def matcher(source: str, include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    """A test of URIs below `source`: its key below the source, or the key's last part, fits a shell pattern of
    `include` and none of `exclude`; letters' case is ignored."""
    wanted, unwanted = _compile(include), _compile(exclude)
    start = len(source)

    def matches(uri: str) -> bool:
        key = uri[start:].lower() or uri.rsplit("/", 1)[-1].lower()  # a source may be a single local file
        name = key.rsplit("/", 1)[-1]
        return bool((wanted(name) or wanted(key)) and not (unwanted(name) or unwanted(key)))

    return matches


def batch(objects: Sequence[Stat]) -> pa.RecordBatch:
    """Objects as columns (OBJECTS)."""
    columns = [
        pa.array([found.uri for found in objects], pa.string()),
        pa.array([found.etag for found in objects], pa.string()),
        pa.array([found.size_bytes for found in objects], pa.int64()),
        pa.array([round(found.modified_at * 1e6) for found in objects], pa.int64()).cast(OBJECTS[3].type),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=OBJECTS)


def _holds_any(root: str) -> bool:
    if storage.is_local(root):
        return next(storage.list_files(root.rstrip("/")), None) is not None
    return any(any(page) for page in storage.list_pages(root))


def _level(root: str, folder: str, pages: int) -> tuple[list[str], list[Part]]:
    """The folders on the first pages of a folder's level, and the parts for all else in it."""
    if storage.is_local(folder):
        folders = storage.list_level(folder.rstrip("/"))[0]
        return [found + "/" for found in folders if _is_utf8(found)], [Part(root, folder, deep=False)]
    folders, last = [], ""
    for number, (found, files) in enumerate(storage.list_pages(folder, deep=False)):
        if number == pages:
            break
        folders += found
        last = max([last, *found[-1:], *(file.uri for file in files[-1:])])
    else:
        return folders, [Part(root, folder, deep=False)]
    if folders[-1:] == [last]:
        folders.pop()  # what is in it sorts behind its name, and comes with the rest
    return folders, [Part(root, folder, deep=False, upto=last), Part(root, folder, after=last)]


def _read_local(part: Part, passed_over: Tell) -> Iterator[list[Stat]]:
    found: list[Stat] = []
    for file in _local_files(part, passed_over):
        if not _is_utf8(file.uri):
            passed_over(NOT_UTF8)
            continue
        found.append(file)
        if len(found) == ROWS_PER_BATCH:
            yield found
            found = []
    yield found


def _local_files(part: Part, passed_over: Tell) -> Iterator[Stat]:
    place = part.prefix.rstrip("/")
    if part.deep:
        yield from storage.list_files(place, passed_over=passed_over)
        return
    folders, files = storage.list_level(place, passed_over=passed_over)
    yield from files
    for folder in folders:
        if not _is_utf8(folder):  # no part of a plan can name it
            yield from storage.list_files(folder, passed_over=passed_over)


def _is_utf8(uri: str) -> bool:
    """Whether a local name's bytes are UTF-8: Python stands lone surrogates for those that are none."""
    try:
        uri.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_disorder(last: str, files: Sequence[Stat]) -> str:
    """The last URI, after a look at the order: a bound cuts off what is out of it."""
    for file in files:
        if file.uri <= last:
            raise StorageError(
                f"{file.uri}: listed behind {last}, wanted keys in the order of their UTF-8 bytes, as S3's general "
                "purpose buckets list them"
            )
        last = file.uri
    return last


def _compile(patterns: Sequence[str]) -> Callable[[str], object]:
    if not patterns:
        return lambda text: False
    return re.compile("|".join(fnmatch.translate(pattern.lower()) for pattern in patterns)).match
