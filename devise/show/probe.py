"""Measures a sample of the user's own corpus on the machine at hand, and tells what it found; prices nothing."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from devise import settings
from devise.config import CatalogConfig, EmbedConfig, TrainConfig
from devise.errors import ConfigError
from devise.search import query
from devise.store import s3, sampling, scratch, storage
from devise.vision import model as models
from devise.vision import rates
from devise.vision.engine import Item
from devise.vision.model import DeviseModel
from devise.vision.published import preprocessing_of
from devise.vision.rates import Rates
from devise.warehouse import manifest
from devise.warehouse.lineage import begin

AFTER_ALL = "zzzz-probe"
"""A run that comes after every other: what it would build on is the newest there is. It is never begun."""


BUSY = 0.5
"""Of the cores: with so much wanted by others, rates are of what they left."""


@dataclass(frozen=True)
class Probe:
    """What was measured, of which model, and the number of images that it is for and where that is from."""

    rates: Rates
    model: str
    images: int
    source: str
    load: float
    """Of the machine in the minute before: processes that wanted a core."""


def probe(config: str, sets: Sequence[str], sample: int | sampling.Sample, images: int | None) -> Probe:
    """Measure a seeded sample.

    Args:
        config: URI or path of the nights' settings; `sets` override them.
        sample: how many images to draw, or those that were drawn.
        images: in the corpus; None takes what the catalogue or the listing tells.

    Raises:
        ConfigError: nobody tells how many images there are, or none of the sample can be read.
    """
    path, sets = scratch.localise(storage.normalise(config)), list(sets)
    s3.configure(settings.load_s3(path, sets))
    catalog = settings.load(path, "catalog_images", CatalogConfig, AFTER_ALL, sets)
    engine = settings.load(path, "embed_images", EmbedConfig, AFTER_ALL, sets).engine
    if isinstance(sample, int):
        sample = sampling.draw(catalog.sources, catalog.include, catalog.exclude, sample)
    number, source = images, "--images"
    if number is None:
        number, source = _count(catalog.warehouse, sample)
    model, name = _model(path, catalog.warehouse, sets)
    items = [
        Item(number, stat.uri, stat.etag, stat.size_bytes)
        for number, stat in enumerate(sample.drawn)
        if stat.size_bytes <= engine.max_bytes
    ]
    load = os.getloadavg()[0]
    told = engine.model_dump(exclude={"requests_per_second"})
    try:
        found = rates.measure(items, lambda item: storage.fetch_image(item.uri, item.etag), model, **told)
    except ValueError as error:
        raise ConfigError(f"{', '.join(catalog.sources)}: {error}") from None
    return Probe(found, name, number, source, load)


def lines(found: Probe) -> list[str]:
    """What was measured, for people."""
    seen = found.rates
    told = [
        f"sample: {seen.n_images:,} images of {seen.mean_bytes / 1000:,.0f} kB, {seen.rejected:,} rejects, "
        f"of {found.images:,} ({found.source}); {found.model}",
        f"here, {seen.cores} cores, network on {seen.device}; images a second, median (least to most) of passes:",
    ]
    for name in ("fetch", "decode", "model", "together"):
        rate = getattr(seen, name)
        told.append(f"  {name:<9}{rate.median:>9,.0f}  ({rate.least:,.0f} to {rate.most:,.0f})")
    if found.load > BUSY * seen.cores:
        told.append(
            f"found a load of {found.load:.1f} on {seen.cores} cores, wanted a quiet machine: rates are too low"
        )
    return told


def _count(warehouse: str, sample: sampling.Sample) -> tuple[int, str]:
    """How many images the corpus has, and who says so."""
    if sample.whole:
        return sample.n_listed, "listed"
    listed = [manifest.find(warehouse, "images", run) for run in manifest.run_ids(warehouse, "images")]
    if known := [run for run in listed if run is not None]:
        return known[-1].rows, f"images of run {known[-1].run}"
    raise ConfigError(f"found more than {sample.n_listed:,} images and no catalogue of them, wanted --images N")


def _model(path: object, warehouse: str, sets: list[str]) -> tuple[DeviseModel, str]:
    """The newest model, or one as quick of the settings to train it with."""
    made = begin(warehouse, AFTER_ALL).newest("model")
    if made is not None:
        loaded = models.load(query.model_folder(manifest.localise(warehouse, made), made))
        return loaded, f"model of run {made.run} ({loaded.core.architecture})"
    train = settings.load(path, "train_model", TrainConfig, AFTER_ALL, sets)
    weights = train.weights
    if train.weights_file is not None:
        weights = str(scratch.localise(storage.normalise(train.weights_file)))
    found = rates.stand_in(train.architecture, weights, preprocessing_of(train))
    return found, f"{train.architecture}, not trained yet"
