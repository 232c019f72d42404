"""What a corpus, a file of word vectors and a machine are by a short look, told as findings; changes nothing.

A sample is decoded as a night does it, in threads; what cannot be read is counted by reject code, as a night would.
"""

import statistics
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from devise.config import CatalogConfig, EngineConfig
from devise.errors import ImageError
from devise.facts import shipped
from devise.store import heads, sampling, scratch, storage
from devise.store.checks import GIB, Finding
from devise.store.passedover import NO_ENDING, describe
from devise.store.sampling import Sample
from devise.store.storage import Stat
from devise.vision import formats
from devise.vision.images import Preprocessing, decode
from devise.words import vectorheads, wordvectors
from devise.words.nouns import Finder, fold, wanted_keys
from devise.words.synsets import Hierarchy, read_hierarchy
from devise.words.vectorheads import Head

N_DECODED = 48
MOST_LISTED = 20_000
"""Objects that a listing is looked at from its start: on S3 20 requests, and `sampling.MOST_PROBES` more at most."""
MOST_BYTES = 64 * 2**20
"""Of one image of the sample: a larger one is told, and not fetched for a look."""
THREADS = 8
CHEAP_BYTES = 1 << 30
"""A packed file of vectors of so many bytes takes some ten seconds to read."""
MOST_NOUNS = 200_000
"""Vectors of more words hold names, verbs and misspellings by the million: labels are then the hierarchy's nouns."""
NOT_READ = {
    **dict.fromkeys((".heic", ".heif"), "wanted JPEGs, or pillow_heif registered on the workers (docs/images.md)"),
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2"), "wanted developed pictures"),
    **dict.fromkeys((".svg", ".psd", ".xcf", ".ai", ".eps", ".pdf", ".jxl"), "wanted JPEG or PNG exports"),
}
"""Endings of pictures of kinds that are not read, and what to do."""
FLAT, FEW_COLOURS, DRAWN = 0.6, 40, 0.3
"""A picture is flat if more than FLAT of its neighbouring pixels are alike and FEW_COLOURS of 4,096 colours make 90 %
of it; a corpus with more than DRAWN of such pictures is called drawn. Measured: flat are 6 % of 500 photographs of
ImageNet, 11 % of 500 of Caltech-101 (products on white), 50 % of 392 pictures of our drawn book, and 14 % of 69 scanned
cartoons, which so pass for photographs."""


class Looked(NamedTuple):
    """One image of the sample: what it is, or the reject code and message."""

    stat: Stat
    kind: str = ""
    width: int = 0
    height: int = 0
    flat: bool = False
    code: str = ""
    message: str = ""


@dataclass(frozen=True)
class Corpus:
    """A sample of a corpus, decoded."""

    sample: Sample
    looked: list[Looked]

    @property
    def well(self) -> list[Looked]:
        return [one for one in self.looked if not one.code]

    @property
    def rejected(self) -> list[Looked]:
        return [one for one in self.looked if one.code]

    @property
    def number(self) -> str:
        """How many images there are, as far as is known."""
        return f"{'' if self.sample.whole else 'more than '}{self.sample.n_listed:,}"


def corpus(catalog: CatalogConfig, engine: EngineConfig, n: int = N_DECODED) -> Corpus:
    """A seeded sample of the sources, fetched and decoded.

    Raises:
        EmptyCorpus, StorageError: as `sampling.draw`.
    """
    sample = sampling.draw(catalog.sources, catalog.include, catalog.exclude, n, most_listed=MOST_LISTED)

    def look(stat: Stat) -> Looked:
        if stat.size_bytes > min(MOST_BYTES, engine.max_bytes):
            told = f"{stat.size_bytes / 2**20:,.0f} MiB, not fetched for a look"
            return Looked(stat, code="too_large", message=told)
        try:
            content = storage.fetch_image(stat.uri, stat.etag)
            picture = decode(content, Preprocessing(), engine.max_pixels)
            flat = is_flat(picture.pixels.numpy())
            return Looked(stat, formats.recognise(content), picture.width, picture.height, flat)
        except ImageError as error:
            return Looked(stat, code=error.code, message=str(error))

    with ThreadPoolExecutor(THREADS) as pool:
        return Corpus(sample, list(pool.map(look, sample.drawn)))


def is_flat(pixels_3HW: np.ndarray) -> bool:
    """Whether a picture, uint8 RGB, is mostly flat areas of few colours, as drawings are (see FLAT)."""
    wide = pixels_3HW.astype(np.int16)
    alike = (np.abs(np.diff(wide, axis=2)).max(axis=0) <= 2).mean()
    red, green, blue = wide >> 4
    counts = np.sort(np.bincount((red * 256 + green * 16 + blue).ravel()))[::-1]
    few = int(np.searchsorted(np.cumsum(counts), 0.9 * counts.sum())) + 1
    return bool(alike > FLAT and few <= FEW_COLOURS)


def told_of_corpus(seen: Corpus, engine: EngineConfig, max_reject_fraction: float) -> list[Finding]:
    """What there is, and what of it a night would stumble over."""
    sample, well, rejected = seen.sample, seen.well, seen.rejected
    found = [_told_of_listing(seen)]
    passed = f"listing: {describe(sample.passed_over)}" if sample.passed_over else ""
    if not_read := [ending for ending in sample.passed_over if ending in NOT_READ]:
        worst = max(not_read, key=lambda ending: sample.passed_over[ending])
        found.append(Finding("warning", f"{passed}; {worst} is a kind of picture that is not read: {NOT_READ[worst]}"))
    elif NO_ENDING in sample.passed_over:
        found.append(Finding("warning", f"{passed}; if those are pictures: catalog_images.include: ['*'] lists them"))
    elif passed:
        found.append(Finding("ok", passed))
    found += [_told_of_sample(seen)] if well else []
    for code, many in Counter(one.code for one in rejected).most_common():
        first = next(one for one in rejected if one.code == code)
        more = " of the sample" if many == 1 else f" of the sample, {first.stat.uri} first"
        told = f"images: {many} of {len(seen.looked)}{more}: {code}: {first.message}"
        found.append(Finding("warning", f"{told}; {_what_to_do(code, engine)}"))
    share = len(rejected) / len(seen.looked)
    if not well:
        found.append(Finding("fault", f"images: none of {len(seen.looked)} of the sample can be read, wanted pictures"))
    elif share > max_reject_fraction:
        told = f"images: {share:.0%} of the sample is rejected, wanted at most {max_reject_fraction:.0%}"
        how = "leave them out (catalog_images.exclude), or raise publish_run.max_reject_fraction: else no night of 100"
        found.append(Finding("warning", f"{told}: {how} images or more is published"))
    n_flat = sum(one.flat for one in well)
    if n_flat > DRAWN * len(well):
        told = f"images: {n_flat} of {len(well)} of the sample are flat areas of few colours, as drawings are: it works"
        how = "but ImageNet's networks were made for photographs, and labels will be poorer"
        judged = "of photographs 6 to 11 % look so, of products on white more; scanned cartoons pass for photographs"
        found.append(Finding("warning", f"{told}, {how} ({judged})"))
    return found


def _told_of_listing(seen: Corpus) -> Finding:
    sample = seen.sample
    if sample.whole:
        return Finding("ok", f"listing: {seen.number} images, all that there are")
    told = f"listing: {seen.number} images: only the beginning was listed"
    if len(sample.texts) > 1:
        told += f", and a page of each of {len(sample.texts)} stretches of the rest"
    return Finding("ok", told)


def _told_of_sample(seen: Corpus) -> Finding:
    well = seen.well
    kinds = ", ".join(f"{many} {kind}" for kind, many in Counter(one.kind for one in well).most_common())
    sizes = sorted((one.width * one.height, one.width, one.height) for one in well)
    (_, *middle), (largest, *most) = sizes[len(sizes) // 2], sizes[-1]
    mean = statistics.fmean(one.stat.size_bytes for one in well) / 1000
    told = f"images: {len(well)} of a sample of {len(seen.looked)} were decoded: {kinds}; {mean:,.0f} kB on average, "
    told += f"{middle[0]} x {middle[1]} in the middle, {most[0]} x {most[1]} at most"
    if largest > 20_000_000:
        told += f" ({3 * largest / GIB:.1f} GiB of a thread's memory while it is decoded)"
    return Finding("ok", told)


def _what_to_do(code: str, engine: EngineConfig) -> str:
    """What a user can do of a reject code."""
    return {
        "too_many_pixels": f"embed_images.engine.max_pixels is {engine.max_pixels:,}",
        "too_large": f"a night takes up to embed_images.engine.max_bytes, {engine.max_bytes / 2**20:,.0f} MiB",
        "denied": "wanted s3:GetObject, and kms:Decrypt where they are encrypted so; it is tried again each night",
        "unsupported": "a reject each, the night goes on: docs/images.md says what is read",
    }.get(code, "a reject each, with its reason; the night goes on")


def vectors(uri: str) -> tuple[Head, int]:
    """The head of a file of word vectors, and the file's size in bytes.

    Raises:
        StorageError, VectorError: it cannot be read, or is none.
    """
    start, size = heads.read(uri, vectorheads.HEAD_BYTES)
    return vectorheads.read(start, uri), size


def told_of_vectors(head: Head, size_bytes: int, uri: str) -> Finding:
    number = "unknown many" if head.n_words is None else f"{head.n_words:,}"
    told = f"vectors: {uri}: {head.kind}, {number} words of {head.dim} dims, {size_bytes / 2**20:,.0f} MiB"
    return Finding("ok", f"{told}; begins with {', '.join(head.words[:4])}" if head.words else told)


def told_of_memory(n_words: int | None, dim: int, n_images: int, all_counted: bool) -> Finding:
    """Memory of this machine beside what vocabulary and index take, by their sizes alone.

    Args:
        n_words: that are kept, None where nobody knows.
        all_counted: whether `n_images` is all there are.
    """
    from devise.spark.frame.memory import machine_bytes

    here = machine_bytes()
    words, index = 4 * dim * (n_words or 0), 4 * dim * n_images
    told = f"memory: {here / GIB:.1f} GiB here; word vectors take {words / GIB:.2f}, the index {index / GIB:.2f} GiB"
    told += "" if all_counted else " for the images counted so far alone"
    if 2 * (words + index) > here:
        how = "a larger machine, nouns: hierarchy (fewer words), or a cluster"
        return Finding("warning", f"{told}; wanted half of the memory at most, the rest is Spark's: {how}")
    return Finding("ok", told)


def place_of(setting: str, kind: Literal["HIERARCHY", "CLASSES", "VECTORS"]) -> str:
    """The URI of the file that a setting names, or of the shipped one: `wordnet`, `imagenet1k`."""
    path = shipped.find(kind.lower(), setting)
    return storage.normalise(setting if path is None else str(path))


def nouns_of(setting: str) -> Hierarchy:
    """The noun hierarchy that a setting names; raises as `read_hierarchy` and `localise_table`."""
    return read_hierarchy(scratch.localise_table(place_of(setting, "HIERARCHY")))


def finder(texts: Collection[str], uri: str, size_bytes: int) -> Finder | None:
    """The word vectors that these texts may mean, where to read them is cheap: the file is here and not huge.

    Raises:
        VectorError: as `wordvectors.read`.
    """
    if not storage.is_local(uri) or size_bytes > CHEAP_BYTES:
        return None
    keys = wanted_keys(texts)
    found = wordvectors.read(storage.local_path(uri), lambda word: fold(word) in keys)
    return Finder(found.words, found.vectors, found.subword)
