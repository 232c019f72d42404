"""What nights need in S3 beside the corpus: settings, archive, scripts, and the local files that settings name.

Each lies under the SHA-256 of its content, so that it is staged once, and a night under way keeps what it began with.
The staged settings are the file's, filled from this machine's environment, with local files as the s3:// URIs they
became. Knows no cluster.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import devise
from devise import settings, yamlfile
from devise.config import (
    CatalogConfig,
    EmbedConfig,
    EvaluateConfig,
    IndexConfig,
    JobConfig,
    LabelConfig,
    NeighboursConfig,
    NightlyConfig,
    PublishConfig,
    ReportConfig,
    SearchConfig,
    TrainConfig,
    VocabularyConfig,
)
from devise.emr.account import Account
from devise.emr.night import SETUP, steps_of
from devise.errors import ConfigError
from devise.facts import shipped
from devise.groups import is_published
from devise.store import scratch, storage

MODELS: dict[str, type[JobConfig]] = {
    "build_vocabulary": VocabularyConfig, "train_model": TrainConfig, "catalog_images": CatalogConfig,
    "embed_images": EmbedConfig, "label_images": LabelConfig, "build_index": IndexConfig,
    "find_neighbours": NeighboursConfig, "search_images": SearchConfig, "evaluate_model": EvaluateConfig,
    "report_run": ReportConfig, "publish_run": PublishConfig, "run_nightly": NightlyConfig,
}  # fmt: skip
FILES = (
    *("build_vocabulary.vectors", "build_vocabulary.hierarchy", "build_vocabulary.classes", "train_model.weights"),
    *("train_model.held_out_file", "train_model.labelled.source", "train_model.labelled.names"),
    *("label_images.deny", "search_images.queries_file", "search_images.vectors", "evaluate_model.hierarchy"),
    *("evaluate_model.splits.*.labelled.source", "evaluate_model.splits.*.labelled.names"),
)
"""Settings that name a file: an s3:// URI, or a file here, which is staged."""
SOURCE = "settings-sha256"
"""Metadata of the staged settings: what they were made from."""


class Staged(NamedTuple):
    """A file of ours (or content, where it is none) and the place that it has below the bucket of artefacts."""

    path: Path | None
    content: bytes
    key: str
    sha256: str
    metadata: dict[str, str]


class Plan(NamedTuple):
    """All that is to be staged, and the URIs that the stack is told."""

    files: list[Staged]
    uris: dict[str, str]
    """Config, Archive, Bootstrap and CgroupScript, as the template calls them."""
    readable: list[str]
    """s3:// URIs that jobs read: corpus, inputs, and what the `emr` section adds."""


def deployed(name: str) -> Path:
    """A file of deploy/: beside this package in a wheel, at the top of a checkout."""
    package = Path(devise.__file__).parent
    inside = package / "deploy" / name
    return inside if inside.is_file() else package.parent / "deploy" / name


def bucket(warehouse_bucket: str) -> str:
    """The bucket of artefacts that goes with a warehouse's."""
    return f"{warehouse_bucket}-artefacts"


def check(path: str | Path, stages: Iterable[str], overrides: Sequence[str] = ()) -> None:
    """Return if every section that these stages read is as its job wants it; a job asks so itself, but hours later.

    Raises:
        ConfigError: one is wrong, or is not there and has no default for all.
    """
    for name in dict.fromkeys("embed_images" if stage == "plan_images" else stage for stage in stages):
        settings.load(path, name, MODELS[name], "check", list(overrides))


def read(path: str | Path, overrides: Sequence[str] = (), setup: bool = False) -> dict[str, Any]:
    """The settings as one document, every section checked as its job will.

    Args:
        overrides: `section.key=value` texts.
        setup: the vocabulary's section and the model's must be there too.

    Raises:
        ConfigError: a section is wrong, one of the night's is not there, or sources are no s3:// prefixes.
    """
    document = yamlfile.read(path, overrides)
    steps = (SETUP, *steps_of(document)) if setup else steps_of(document)
    wanted = {"run_nightly", *(stage for step in steps for stage in step.stages)}
    check(path, [name for name in (*MODELS, "plan_images") if name in wanted or name in document], overrides)
    for source in document["catalog_images"]["sources"]:
        if not source.startswith("s3://"):
            raise ConfigError(f"{path}, catalog_images: found the source {source}, wanted s3:// prefixes on EMR")
    return document


def source_sha256(document: dict[str, Any]) -> str:
    """What tells one file of settings, filled, from another."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def plan(path: str | Path, document: dict[str, Any], archive: Path, to: str, reads: Sequence[str]) -> Plan:
    """What is to be staged in the bucket `to`.

    Args:
        archive: what `make dist` made, its .sha256 beside it.
        reads: further s3:// URIs that jobs read.

    Raises:
        ConfigError: a file that the settings name, or the archive, is not there.
    """
    files: list[Staged] = []

    def stage(local: Path) -> str:
        files.append(_file(local, scratch.hash_file(local)))
        return f"s3://{to}/{files[-1].key}"

    def place(setting: str, value: str) -> str:
        name, mark, group = value.partition("#") if setting.endswith("held_out_file") else (value, "", "")
        published = setting == "train_model.weights" and is_published(name)
        nothing = setting == "label_images.deny" and name == "none"
        if published or nothing or shipped.find(setting, value) is not None:
            return value
        uri = storage.normalise(name)
        if not storage.is_local(uri):
            return uri + mark + group
        if not storage.local_path(uri).is_file():
            raise ConfigError(f"{path}, {setting}: found no file {name}, wanted one here or an s3:// URI")
        return stage(storage.local_path(uri)) + mark + group

    digest = Path(f"{archive}.sha256")
    for wanted in (archive, digest):
        if not wanted.is_file():
            raise ConfigError(f"found no file {wanted}, wanted the archive of `make dist` and its .sha256 beside it")
    uris = {"Archive": stage(archive)}
    files.append(files[-1]._replace(path=digest, key=f"{files[-1].key}.sha256", sha256=scratch.hash_file(digest)))
    uris |= {"Bootstrap": stage(deployed("bootstrap.sh")), "CgroupScript": stage(deployed("gpu-cgroup.sh"))}
    staged = json.loads(json.dumps(document))
    for setting in FILES:
        _replace(staged, setting.split("."), lambda value, setting=setting: place(setting, value))
    # JSON is YAML whose texts are told from numbers; what was filled must not be filled once more.
    text = json.dumps(staged, indent=1, ensure_ascii=False)
    content = re.sub(r"\$(?=[A-Za-z_{])", "$$", text).encode()
    key = f"{hashlib.sha256(content).hexdigest()[:16]}/night.yaml"
    told = {SOURCE: source_sha256(document)}
    files.append(Staged(None, content, key, hashlib.sha256(content).hexdigest(), told))
    uris["Config"] = f"s3://{to}/{key}"
    readable = {uri for uri in places(staged) if uri.startswith("s3://") and not uri.startswith(f"s3://{to}/")}
    return Plan(files, uris, sorted(readable | set(reads)))


def places(document: dict[str, Any]) -> list[str]:
    """What the settings name that jobs read: sources, an inventory's folder, and FILES."""
    found = list(document["catalog_images"]["sources"])
    if inventory := document["catalog_images"].get("inventory"):
        found.append(inventory.rsplit("/", 2)[0])  # its manifest lies in a folder of its day, beside the data's
    for setting in FILES:
        _replace(document, setting.split("."), lambda value: (found.append(value.partition("#")[0]), value)[1])
    return found


def _replace(document: Any, names: list[str], by: Callable[[str], str]) -> None:
    """Replace the text that a path of names leads to, where there is one; `*` is each of a list."""
    name, *rest = names
    if name == "*":
        for each in document if isinstance(document, list) else []:
            _replace(each, rest, by)
    elif isinstance(document, dict) and document.get(name) is not None:
        if rest:
            _replace(document[name], rest, by)
        else:
            document[name] = by(document[name])


def _file(path: Path, sha256: str) -> Staged:
    return Staged(path, b"", f"{sha256[:16]}/{path.name}", sha256, {})


def stage(account: Account, files: Sequence[Staged], to: str) -> int:
    """Put into the bucket what is not there yet; how many files were put."""
    put = 0
    for file in files:
        if account.ask("s3", "head_object", ("404", "NoSuchKey", "NoSuchBucket"), Bucket=to, Key=file.key):
            continue
        put += 1
        if file.path:
            account.say(f"staging {file.path} ({file.path.stat().st_size / 1e6:.1f} MB)")
            account.upload(file.path, to, file.key, file.sha256, file.metadata)
        else:
            more = {"ChecksumAlgorithm": "SHA256", "Metadata": {"sha256": file.sha256} | file.metadata}
            account.change("s3", "put_object", Bucket=to, Key=file.key, Body=file.content.decode(), **more)
    return put
