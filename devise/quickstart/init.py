"""`devise init`: looks at a corpus and at where its nights would run, and writes a commented config that runs.

What would stop a night is one line, and no config is written. Starts no Spark, and writes nothing else but a probe in
the warehouse, which it removes.
"""

import argparse
import datetime
import json
import re
import shlex
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from devise import settings
from devise.config import CatalogConfig, EmbedConfig, PublishConfig
from devise.errors import AlreadyExists, ConfigError, DeviseError
from devise.facts import shipped
from devise.groups import S3Config, is_published
from devise.quickstart import look, price, reach
from devise.quickstart.look import Corpus
from devise.show import probe
from devise.store import checks, s3, storage
from devise.store.checks import Finding
from devise.words.nouns import readable

STARTER, WEIGHTS = "efficientnet_lite2", "starter"
"""ConSE of the starter network was measured at this one; other weights begin with 1, their classifier's own."""
USUAL = ("dog", "car", "tree", "boat", "flower", "building", "bird", "food")
N_QUERIES = 5
N_MEASURED = 24
"""Images that the estimate is measured with: a few seconds a pass on a laptop; `devise estimate` takes 600."""
WORTH_A_CLUSTER = 100_000
"""Fewer images embed in an hour on a laptop: a table of clusters would tell cents."""
FANS = 62
"""Texts of a fan_out that a person still reads."""


def init(options: argparse.Namespace) -> None:
    """Look at a corpus, and write a commented config for its nights that runs as it stands; never over one."""
    place, images = storage.normalise(options.config), storage.normalise(options.images).rstrip("/")
    if storage.stat(place) is not None:
        raise ConfigError(f"{options.config}: found a file there, which is never overwritten: name another config")
    network = _network(options)
    warehouse = storage.normalise(options.warehouse or _beside(images, place))
    if f"{warehouse}/".startswith(f"{images}/"):
        told = f"--warehouse {warehouse}: found it in the corpus {images}, wanted it outside"
        raise ConfigError(f"{told}: what lies in the corpus is listed every night")
    try:
        store = reach.reached([images, warehouse])
    except DeviseError as error:
        raise type(error)(f"{error}{reach.hint(error)}; no config was written") from None
    s3.configure(store)
    catalog = CatalogConfig(warehouse=warehouse, run="init", sources=[images])
    seen = _corpus(catalog)
    for finding in _findings(seen, warehouse):
        _tell(finding)
    uri = look.place_of(options.vectors, "VECTORS")
    head, size = look.vectors(uri)
    _tell(look.told_of_vectors(head, size, options.vectors))
    nouns = "vectors" if (head.n_words or size // (4 * head.dim)) <= look.MOST_NOUNS else "hierarchy"
    n_words = head.n_words if nouns == "vectors" else look.MOST_NOUNS
    _tell(look.told_of_memory(n_words, head.dim, seen.sample.n_listed, seen.sample.whole))
    text = _filled(options, network, images, warehouse, store, seen, nouns, _queries(seen, uri, size))
    _refuse_wrong(text)
    try:
        storage.create(place, text.encode())
    except AlreadyExists:
        raise ConfigError(f"{options.config}: somebody else has just written it; it was not overwritten") from None
    print(f"written: {options.config}\n\n" + "\n".join(_next(options, seen)))


def _network(options: argparse.Namespace) -> tuple[str, str]:
    """Architecture and weights: what was asked for, else the starter's."""
    if options.weights is not None and options.architecture is None:
        raise ConfigError(f"--weights {options.weights}: wanted --architecture too, which no state dict tells")
    if options.architecture is None or (options.architecture == STARTER and options.weights is None):
        return STARTER, WEIGHTS
    return options.architecture, options.weights or "torchvision:DEFAULT"


def _beside(images: str, config: str) -> str:
    """A warehouse for a corpus: beside the prefix on S3, beside the config where the corpus is a folder."""
    if storage.is_local(images):
        folder = config.rsplit("/", 1)[0] if storage.is_local(config) else images.rsplit("/", 1)[0]
        return f"{folder}/warehouse"
    if not s3.split(images)["Key"]:
        raise ConfigError(f"--images {images}: a whole bucket, in which no warehouse can lie: wanted --warehouse too")
    return f"{images}-devise"


def _corpus(catalog: CatalogConfig) -> Corpus:
    engine = EmbedConfig(warehouse=catalog.warehouse, run="init").engine
    try:
        return look.corpus(catalog, engine)
    except DeviseError as error:
        raise type(error)(f"{error}{reach.hint(error)}; no config was written") from None


def _findings(seen: Corpus, warehouse: str) -> Iterator[Finding]:
    engine = EmbedConfig(warehouse=warehouse, run="init").engine
    limit = PublishConfig(warehouse=warehouse, run="init").max_reject_fraction
    yield from look.told_of_corpus(seen, engine, limit)
    if not seen.sample.whole and not storage.is_local(seen.sample.drawn[0].uri):
        many = "a request tells 1,000 keys, and one worker lists what no folder parts: 10^7 keys are 10^4 requests"
        how = "catalog_images.inventory (an S3 Inventory: no listing at all) or fan_out: the config has both, commented"
        yield Finding("warning", f"listing: {many}; where there are millions, wanted {how}")
    yield from checks.check_all(warehouse, [])


def _tell(finding: Finding) -> None:
    """Print what was found; what would stop a night ends the command."""
    if finding.state == "fault":
        raise ConfigError(f"{finding.text}; no config was written")
    print(finding, flush=True)


def _queries(seen: Corpus, vectors: str, size_bytes: int) -> list[str]:
    """Names of the corpus' own folders that are nouns, then usual ones, where they can be looked up; and a picture."""
    folders = Counter(one.stat.uri.rsplit("/", 2)[-2] for one in seen.well)
    words = [*(readable(name).casefold() for name, _ in folders.most_common(100)), *USUAL]
    words = [word for word in dict.fromkeys(words) if re.fullmatch(r"[^\W\d]+( [^\W\d]+)*", word)]
    known = look.finder(words, vectors, size_bytes)
    tree = look.nouns_of("wordnet") if known is not None else None
    fitting = [word for word in words if known is not None and known.own(word) and tree.synsets(word)][:N_QUERIES]
    both = [f"{fitting[0]} + {fitting[1]}"] if len(fitting) > 1 else []
    return [*fitting, *both, f"image:{seen.well[0].stat.uri.removeprefix('file://')}"]


def _filled(
    options: argparse.Namespace,
    network: tuple[str, str],
    images: str,
    warehouse: str,
    store: S3Config,
    seen: Corpus,
    nouns: str,
    queries: list[str],
) -> str:
    """The template with everything in its place."""
    architecture, weights = network
    starter = network == (STARTER, WEIGHTS)
    picture_alone = "A picture, for pictures like it. Words that the vectors know (not looked up): ship, ship + sail."
    rejected = Counter(one.code for one in seen.rejected)
    largest = max(one.width * one.height for one in seen.well)
    values = {
        "images": quoted(images.removeprefix("file://")),
        "date": datetime.date.today().isoformat(),
        "check": _command("check", options.config),
        "run": _command("run run_nightly", options.config) + " --run " + datetime.date.today().isoformat(),
        "warehouse": quoted(warehouse.removeprefix("file://")),
        "s3": _s3_section(store) if not (storage.is_local(images) and storage.is_local(warehouse)) else "",
        "vectors": quoted(_setting(options.vectors)),
        "nouns": nouns,
        "nouns_why": "Every word of the vectors is a label; `hierarchy` takes its nouns alone."
        if nouns == "vectors"
        else "So many words are names and misspellings too: labels are the hierarchy's nouns with a vector.",
        "network_why": "The starter network (devise[starter]); any of torchvision's with ImageNet's classes will do."
        if starter
        else "Any classifier of torchvision; weights are a state dict's file, or torchvision:DEFAULT.",
        "architecture": quoted(architecture),
        "weights": quoted(_setting(weights)),
        "source": quoted(images.removeprefix("file://")),
        "catalog": _catalog(seen),
        "largest": f"The largest of the sample has {largest / 1e6:,.1f}.",
        "queries_why": "Words that the vectors know, of the corpus' folders first; two at once; a picture."
        if len(queries) > 1
        else picture_alone,
        "queries": ", ".join(map(quoted, queries)),
        "rejects": ", ".join(f"{many} {code}" for code, many in rejected.items()) or f"none of {len(seen.looked)}",
    }
    template = Path(__file__).with_name("template.yaml").read_text(encoding="utf-8")
    return re.sub(r"@(\w+)@", lambda name: values[name[1]], template)


def quoted(text: str) -> str:
    """A YAML scalar that reads back as the text: `$` before a name or brace is none of our variables."""
    return json.dumps(re.sub(r"\$(?=[A-Za-z_{])", "$$", text), ensure_ascii=False)


def _setting(text: str) -> str:
    """A setting that is a file here, as an absolute path: a night may be started in another folder."""
    if shipped.find("vectors", text) is not None or is_published(text):
        return text
    return storage.normalise(text).removeprefix("file://")


def _s3_section(store: S3Config) -> str:
    told = {"endpoint": store.endpoint, "region": store.region}
    lines = [
        "# As S3 was reached from here. Credentials are never settings: environment, profile or role give them.",
        "s3:",
    ]
    lines += [f"  {name}: {quoted(value)}" for name, value in told.items() if value is not None]
    if store.path_style:
        lines.append("  path_style: true   # the bucket in the path, as most servers but AWS want it")
    lines.append("  # requester_pays: true, where the bucket is set up so; kms_key: a key's ARN for what is written.")
    return "\n".join(lines if len(lines) > 3 else [lines[0], "s3: {}", lines[-1]]) + "\n\n"


def _catalog(seen: Corpus) -> str:
    """What else could stand in the section where there is more than a look."""
    if seen.sample.whole or storage.is_local(seen.sample.drawn[0].uri):
        return ""
    texts = ", ".join(map(quoted, seen.sample.texts[:FANS]))
    return (
        f"  # There are {seen.number} images. Where there are millions, either of these saves a night's time:\n"
        "  # inventory: s3://.../manifest.json of an S3 Inventory with Size, LastModifiedDate and ETag: no listing\n"
        f"  # fan_out: [{texts}]\n"
        "  #   lists these stretches of the keys side by side; what starts with none of them is listed too\n"
    )


def _refuse_wrong(text: str) -> None:
    """Every section is as its job wants it, before the file is anybody's."""
    from devise.jobs.run_nightly import JOBS

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(text, encoding="utf-8")
        settings.load_s3(path)
        for name, job in JOBS.items():
            settings.load(path, job.section or name, job.config, "init")


def _next(options: argparse.Namespace, seen: Corpus) -> Iterator[str]:
    yield "next:"
    yield f"  {_command('check', options.config)}"
    yield f"  {_command('run run_nightly', options.config)} --run {datetime.date.today().isoformat()}"
    yield ""
    sample, n_images = replace(seen.sample, drawn=[one.stat for one in seen.well][:N_MEASURED]), seen.sample.n_listed
    try:
        if seen.sample.whole and n_images < WORTH_A_CLUSTER:
            found = probe.probe(options.config, [], sample, n_images)
            yield from probe.lines(found)
            yield f"estimate: {n_images:,} images embed here in {n_images / found.rates.together.median:,.0f} s or so"
            return
        if not seen.sample.whole:
            of_all = f"{_command('estimate', options.config)} --images N"
            yield f"estimate of the {n_images:,} images that were counted alone; of all: {of_all}"
        yield from price.lines(options.config, [], sample, n_images)
    except DeviseError as error:
        yield f"estimate: not measured: {error}; once that is mended: {_command('estimate', options.config)}"


def _command(name: str, config: str) -> str:
    return f"devise {name} --config {shlex.quote(config)}"
