"""A YAML file of settings as one document: parsed, then filled from the environment, then overridden; knows no setting.

Scalars are as in YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema) where JSON has them too: null, true and false,
decimal numbers. All else is text: dates, `no`, `010`, `1:30`. A key stands once in its mapping.

`${NAME}` and `${NAME:-default}` in a scalar are filled once the file is parsed: a value stays one value, whatever is in
it. The default is for a variable that is not set, or empty. What is filled is text, and a setting that wants a number
reads it from the text. Only a scalar that is one `${NAME}` and nothing else, without quotes, may become more than a
text: `[ship, sail]` is a list of texts then, and an empty value is null. `$$` before a name or a brace is a plain `$`.
"""

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from devise.errors import ConfigError

REFERENCE = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}$\n]*))?\}")
UNKNOWN = re.compile(r"(?<!\$)\$(?:\{[^}]*\}?|[A-Za-z_]\w*)")
"""What looks like a variable and is no REFERENCE."""
TEXT = "tag:yaml.org,2002:str"
MERGE = "tag:yaml.org,2002:merge"
DECIMAL = r"[-+]?(?:0|[1-9][0-9]{0,99})"
SCALARS = {
    "tag:yaml.org,2002:null": (r"~|null|Null|NULL|", lambda written: None),
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", lambda written: written.lower() == "true"),
    "tag:yaml.org,2002:int": (DECIMAL, int),
    "tag:yaml.org,2002:float": (
        rf"(?:{DECIMAL}\.[0-9]*|[-+]?\.[0-9]+|{DECIMAL}(?=[eE]))(?:[eE][-+]?[0-9]+)?",
        float,
    ),
}
"""Kind of scalar -> how it is written, and what it means."""


def read(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The whole document.

    Args:
        overrides: `section.key=value` texts, the value read as YAML and filled too; a text is taken to the letter.

    Raises:
        ConfigError: the file cannot be read, it or a value is no YAML, a key stands twice, or a variable is not set.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot read the configuration: {reason}") from None
    document = _parse(text, str(path))
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: found {type(document).__name__}, wanted a mapping with one section per job")
    for override in overrides:
        document = _override(document, override)
    return document


class _Fault(yaml.YAMLError):
    """What is well-formed YAML and is refused all the same."""

    def __init__(self, node: yaml.Node, message: str):
        super().__init__(f"line {node.start_mark.line + 1}: {message}")


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with SCALARS, and texts that are filled.

    References are masked before, each as its number between two marks, so that nothing in them is syntax. The mark is
    made of the text's own hash: no escape in it can stand for one.
    """

    yaml_implicit_resolvers: dict = {}
    yaml_constructors: dict = {
        f"tag:yaml.org,2002:{kind}": yaml.SafeLoader.yaml_constructors[f"tag:yaml.org,2002:{kind}"]
        for kind in ("seq", "map")
    }

    def __init__(self, text: str):
        self.mark = f"\ue000{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}\ue000"
        self.references = list(REFERENCE.finditer(text))
        numbers = count()
        self.masked = REFERENCE.sub(lambda found: f"{self.mark}{next(numbers)}{self.mark}", text)
        super().__init__(self.masked)

    def unmask(self, text: str) -> str:
        """The text with its references as they were written."""
        return self._restore(text, lambda reference: reference.group())

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """Keys are texts, and stand once: looked at before `<<` puts others' keys beside them."""
        node = super().compose_mapping_node(anchor)
        known: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or self.mark in key.value:
                raise _Fault(key, "a key that is no plain text")
            if key.value in known:
                raise _Fault(key, f"{key.value!r} stands twice, wanted once")
            known.add(key.value)
            key.tag = MERGE if key.value == "<<" and key.style is None else TEXT
        return node

    def text(self, node: yaml.ScalarNode) -> str | list[str] | None:
        written = self.construct_scalar(node)
        if unknown := UNKNOWN.search(written):
            raise _Fault(node, f"found {self.unmask(unknown.group())}, wanted ${{NAME}} or ${{NAME:-default}}")
        plain = re.sub(r"\$\$(?=[A-Za-z_{])", "$", written)
        filled = _characters(self._restore(plain, lambda reference: _value(reference, node)), node)
        if node.style is None and re.fullmatch(f"{self.mark}[0-9]+{self.mark}", written):
            return _list(filled, node) if filled else None
        return filled

    def scalar(self, node: yaml.ScalarNode) -> Any:
        written, (pattern, meaning) = self.construct_scalar(node), SCALARS[node.tag]
        if not re.fullmatch(pattern, written):
            raise _Fault(node, f"found {self.unmask(written)!r}, wanted what its tag {node.tag} says")
        return meaning(written)

    def _restore(self, text: str, meant: Callable[[re.Match[str]], str]) -> str:
        return re.sub(f"{self.mark}([0-9]+){self.mark}", lambda found: meant(self.references[int(found[1])]), text)


_Loader.add_constructor(TEXT, _Loader.text)
_Loader.add_constructor(None, yaml.SafeLoader.construct_undefined)
for _tag, (_pattern, _) in SCALARS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), None)
    _Loader.add_constructor(_tag, _Loader.scalar)


def _parse(text: str, where: str, to_the_letter: bool = False) -> Any:
    """What a text of YAML means; `to_the_letter`: one that is a mere text is all of it, ` #` and what follows too."""
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        bare = node is None or (plain and (node.tag == TEXT or not node.value))  # `&x` is an anchor of nothing
        if to_the_letter and bare and text.strip():
            node = yaml.ScalarNode(TEXT, loader.masked.strip(), getattr(node, "start_mark", loader.get_mark()))
        return None if node is None else loader.construct_document(node)
    except _Fault as fault:
        raise ConfigError(f"{where}, {fault}") from None
    except yaml.YAMLError as error:
        said = loader.unmask(str(error)) if loader else str(error)
        raise ConfigError(f"{where}: not YAML: {' '.join(said.split())}") from None
    except RecursionError:
        raise ConfigError(f"{where}: not YAML that can be read: one thing in the other too often") from None


def _value(reference: re.Match[str], node: yaml.Node) -> str:
    name, default = reference.groups()
    found = os.environ.get(name)
    if found is None and default is None:
        raise _Fault(node, f"${{{name}}} is not set in the environment")
    return found or default or ""


def _list(text: str, node: yaml.Node) -> str | list[str]:
    """A flow list of texts, if that is what all of a filled value is; else the value as it is."""
    if not (text.startswith("[") and text.endswith("]")):
        return text
    try:
        found = yaml.compose(text, yaml.BaseLoader)
    except yaml.YAMLError:
        return text
    whole = isinstance(found, yaml.SequenceNode) and found.end_mark.index == len(text)
    if not whole or not all(isinstance(item, yaml.ScalarNode) for item in found.value):
        return text
    return [_characters(item.value, node) for item in found.value]


def _characters(text: str, node: yaml.Node) -> str:
    """The text, its pairs of surrogates (JSON escapes them so) put together; no half of one, and no NUL, is in it."""
    try:
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise _Fault(node, f"found {text!a}, wanted Unicode text") from None
    if "\0" in joined:
        raise _Fault(node, f"found {text!a}, wanted a text without NUL")
    return joined


def _override(document: dict[str, Any], override: str) -> dict[str, Any]:
    """A document with one setting altered; what the old one shares by an alias stays as it is."""
    name, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"--set {override}: wanted section.key=value")
    *parents, key = name.strip().split(".")
    altered = place = dict(document)
    for parent in parents:
        below = place.get(parent)
        if below is not None and not isinstance(below, dict):
            raise ConfigError(f"--set {override}: {parent} is a value, not a section")
        place[parent] = dict(below or {})
        place = place[parent]
    place[key] = _parse(text, f"--set {override}", to_the_letter=True)
    return altered
