"""The sections of a YAML file, checked whole: a frozen model per job (`devise.config`); faults are one line."""

import os
import reprlib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from devise import yamlfile
from devise.config import SECTIONS, JobConfig
from devise.errors import ConfigError
from devise.groups import S3Config
from devise.values import Section

SHARED = ("warehouse", "s3", "emr")
"""What all jobs of a file share, and how `devise emr` runs them."""
FOUND = reprlib.Repr()
FOUND.maxstring = FOUND.maxother = 200
"""How a wrong value is printed: shortened, it may be a book."""
S = TypeVar("S", bound=Section)
J = TypeVar("J", bound=JobConfig)


def load(path: str | Path, section: str, model: type[J], run: str, overrides: list[str] | None = None) -> J:
    """The settings of one job.

    Args:
        path: a YAML file; top-level keys are `warehouse` and one section per job.
        section: the job's name.
        run: the run id.
        overrides: `section.key=value` texts, the value read as YAML; `warehouse=...` is understood too.

    Raises:
        ConfigError: the file is missing or no YAML, a section or key is unknown, missing or has a wrong value.
    """
    document = yamlfile.read(path, overrides or [])
    shared = {"run": run, **({"warehouse": document["warehouse"]} if "warehouse" in document else {})}
    return _section(path, document, section, model, shared)


def load_s3(path: str | Path, overrides: list[str] | None = None) -> S3Config:
    """The `s3` section, which all jobs share; raises as `load` does."""
    return load_group(path, "s3", S3Config, overrides)


def load_group(path: str | Path, section: str, model: type[S], overrides: list[str] | None = None) -> S:
    """A section that is no job's: one of SHARED; raises as `load` does."""
    return _section(path, yamlfile.read(path, overrides or []), section, model, {})


def variables(path: str | Path) -> dict[str, str]:
    """What this environment fills a file with, by name; of names without a value in it, nothing."""
    named = {name for name, _ in yamlfile.REFERENCE.findall(Path(path).read_text(encoding="utf-8-sig"))}
    return {name: os.environ[name] for name in sorted(named & os.environ.keys())}


def load_warehouse(path: str | Path) -> str:
    """The warehouse that all jobs of a file share; `ConfigError` if it names none."""
    if not isinstance(found := yamlfile.read(path).get("warehouse"), str):
        raise ConfigError(f"{path}: found no `warehouse` at the top, wanted a path or URI")
    return found


def _section(path: str | Path, document: dict[str, Any], section: str, model: type[S], shared: dict[str, Any]) -> S:
    if unknown := [key for key in document if key not in (*SHARED, *SECTIONS)]:
        raise ConfigError(f"{path}: unknown sections {unknown}; known are {[*SHARED, *sorted(SECTIONS)]}")
    values = document.get(section)
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{path}, {section}: found {type(values).__name__}, wanted a mapping of settings")
    try:
        if "run" in values:  # it would make every night the same one
            raise ConfigError(f"{path}, {section}: found a run, wanted it by --run alone")
        return model.model_validate({**shared, **values})
    except ValidationError as error:
        raise ConfigError(f"{path}, {section}: {_one_line(error, model)}") from None


def _one_line(error: ValidationError, model: type[BaseModel]) -> str:
    faults = error.errors(include_url=False)
    unknown = [".".join(map(str, fault["loc"])) for fault in faults if fault["type"] == "extra_forbidden"]
    if unknown:
        known = sorted(set(model.model_fields) - {"run"})
        return f"unknown keys {unknown}; known are {known}"
    fault = faults[0]
    if "literal[" in str(fault["loc"][-1:]) and isinstance(fault["input"], list):
        fault = faults[1]  # a word or a list is wanted, and it is a list: what is wrong with that says the next one
    where = ".".join(str(part) for part in fault["loc"] if "[" not in str(part))  # pydantic names the kinds so
    secret = model is S3Config  # whose values may hold what was meant to be one
    found = "" if secret or fault["type"] in ("missing", "value_error") else f", found {FOUND.repr(fault['input'])}"
    return f"{where + ': ' if where else ''}{fault['msg'].removeprefix('Value error, ')}{found}"
