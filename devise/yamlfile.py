"""A YAML file of settings as one document: the environment filled in, overrides applied; knows no job and no setting.

A file may hold `${NAME}` and `${NAME:-default}`, filled from the environment.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from devise.errors import ConfigError


def read(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The whole document.

    Args:
        overrides: `section.key=value` texts, the value read as YAML.

    Raises:
        ConfigError: the file cannot be read, it or a value is no YAML, or a variable is not set.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot read the configuration: {reason}") from None
    document = _parse(_fill(text, path), str(path))
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: found {type(document).__name__}, wanted a mapping with one section per job")
    for override in overrides:
        _apply(document, override)
    return document


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not YAML: {' '.join(str(error).split())}") from None


def _fill(text: str, path: str | Path) -> str:
    def value(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        found = os.environ.get(name, default)
        if found is None:
            raise ConfigError(f"{path}: ${{{name}}} is not set in the environment")
        return found

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}", value, text)


def _apply(document: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"--set {override}: wanted section.key=value")
    *parents, key = name.strip().split(".")
    place = document
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise ConfigError(f"--set {override}: {parent} is a value, not a section")
    place[key] = _parse(text, f"--set {override}")
