"""Reads lists of a network's classes as they are published: Keras, Kaggle, Caffe, PyTorch; it knows no vectors.

Keras: imagenet_class_index.json, `{"0": ["n01440764", "tench"], ..}`. Kaggle's LOC_synset_mapping.txt and Caffe's
synset_words.txt: `n01440764 tench, Tinca tinca` a line, in order of wnid, which is the order of ImageNet's classes.
Names alone, by index: a Python dict (imagenet1000_clsidx_to_labels.txt), JSON (a list, or an object by index), or a
name a line (PyTorch hub's imagenet_classes.txt, torchvision's categories).
"""

import ast
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from devise.errors import VocabularyError
from devise.words.nouns import fold, readable
from devise.words.parcels import Piece
from devise.words.synsets import split_names
from devise.words.vectorfiles import looks_like

WNID = re.compile(r"n\d{8}")
HEADS = frozenset({"index", "id", "wnid", "synset", "class", "label", "name", "names", "synonyms", "category"})
"""First cells of a table's header, which is no class."""
LEAST_NAMED = 0.9
"""Share of a list's names that must be names of the known classes of their places."""


@dataclass(frozen=True)
class ImageClass:
    """A class of the core visual model: its place in the classification layer, wnid, name, and all its names."""

    index: int
    wnid: str | None
    """None where the list has names alone."""
    name: str
    names: tuple[str, ...]


class ClassList(list[ImageClass]):
    """Classes in order of index, and `format`: the layout they were read from, for a line of a log."""

    def __init__(self, classes: Sequence[ImageClass], format: str):
        super().__init__(classes)
        self.format = format

    def line(self) -> str:
        """What was read, for a log."""
        without = sum(one.wnid is None for one in self)
        return f"{self.format}: {len(self):,} classes" + f", {without:,} without a wnid" * bool(without)


def read(piece: Piece) -> ClassList | None:
    """The classes of a file in one of the published layouts, told by its content; None if it is none, but a table.

    Raises:
        TableError: it cannot be read, or is no text.
        VocabularyError: a web page and the like, JSON or a dict of another shape, indices that are not 0 to C - 1, a
            wnid twice, no name.
    """
    if piece.head.startswith(b"PAR1"):
        return None
    text = piece.read_text()
    if text.lstrip().startswith(("{", "[")):
        return _from_document(text, piece.name)
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    first = lines[0] if lines else ""
    if WNID.match(first.split(" ")[0]) and "\t" not in first:
        return _from_wnids(lines, piece.name)
    cells = [cell.strip().strip('"').lower() for cell in re.split(r"[,\t]", first)]
    numbered = len(lines) > 1 and re.match(r'"?0"?[,\t]', lines[1])
    if not lines or "\t" in first or numbered or cells[0] in HEADS:
        return None
    if what := looks_like(first.encode()):
        raise VocabularyError(f"{piece.name}: looks like {what}; wanted a list of classes, as published or as a table")
    return _from_lines(lines, piece.name)


def take_wnids(classes: ClassList, known: Sequence[ImageClass]) -> ClassList:
    """Names alone, with the wnids and the other names of `known` where they are the names of its classes, in its order.

    They are if nine in ten of them name the known class of their place, and none of the others names another one's:
    then a place is a class. Else they are returned as they are.
    """
    if len(classes) != len(known) or any(one.wnid is not None for one in classes):
        return classes
    owners: dict[str, set[int]] = {}
    for one in known:
        for name in one.names:
            owners.setdefault(fold(name), set()).add(one.index)
    places = [set().union(*(owners.get(fold(name), ()) for name in one.names)) for one in classes]
    here = [index in found for index, found in enumerate(places)]
    elsewhere = [found for found, right in zip(places, here, strict=True) if found and not right]
    if elsewhere or sum(here) < LEAST_NAMED * len(known):
        return classes
    named = [
        replace(one, wnid=other.wnid, names=tuple(dict.fromkeys((*one.names, *other.names))))
        for one, other in zip(classes, known, strict=True)
    ]
    return ClassList(named, f"{classes.format}, wnids by the order of the known {len(known):,} classes")


def _from_document(text: str, name: str) -> ClassList:
    """Classes of a JSON list or object, or of a Python dict."""
    is_dict = re.match(r"\s*\{\s*\d", text)
    kind = "a Python dict" if is_dict else "JSON"
    try:
        document = _dict(text) if is_dict else json.loads(text, object_pairs_hook=list)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise VocabularyError(f"{name}: no whole JSON, and no dict of index and names: {error}") from None
    if document and all(isinstance(entry, str) for entry in document):
        return _named([(entry,) for entry in document], f"names alone, {kind}", name)
    entries = _by_index(document, kind, name)
    of_names = isinstance(entries[0], str)
    for index, entry in enumerate(entries):
        is_pair = isinstance(entry, list) and len(entry) == 2 and all(isinstance(text, str) for text in entry)
        if not (isinstance(entry, str) if of_names else is_pair):
            wanted = "names as in index 0" if of_names else "[wnid, name]"
            raise VocabularyError(f"{name}, index {index}: found {str(entry)[:60]!r}, wanted {wanted}")
    if of_names:
        return _named([tuple(split_names(entry)) for entry in entries], f"names alone, {kind}", name)
    rows = [(wnid, (readable(own),)) for wnid, own in entries]
    return _with_wnids(rows, f"Keras' class index, {kind}", name, "index", 0)


def _by_index(document: Sequence[object], kind: str, name: str) -> list[object]:
    """The values of pairs of index and value, in order of index, which is 0 to C - 1."""
    pairs = [entry for entry in document if isinstance(entry, (list, tuple)) and len(entry) == 2]
    keys = [str(key) for key, _ in pairs]
    if not pairs or len(pairs) < len(document) or not all(key.isdecimal() for key in keys):
        raise VocabularyError(f"{name}: found {kind} of another shape, wanted a list of names, or index -> names")
    if twice := [key for key, times in Counter(map(int, keys)).items() if times > 1]:
        raise VocabularyError(f"{name}: found the index {twice[0]} twice, wanted each once")
    if missing := set(range(len(keys))) - set(map(int, keys)):
        raise VocabularyError(f"{name}: found {len(keys)} indices without {min(missing)}, wanted 0 to {len(keys) - 1}")
    return [entry for _, entry in sorted(pairs, key=lambda pair: int(pair[0]))]


def _dict(text: str) -> list[tuple[object, object]]:
    """Keys and values of a Python dict of constants; nothing is run, and a key that stands twice is there twice."""
    tree = ast.parse(text.strip(), mode="eval").body
    if not isinstance(tree, ast.Dict) or None in tree.keys:
        raise ValueError(f"found {type(tree).__name__}")
    return [(ast.literal_eval(key), ast.literal_eval(value)) for key, value in zip(tree.keys, tree.values, strict=True)]


def _from_wnids(lines: Sequence[str], name: str) -> ClassList:
    rows = [line.partition(" ")[::2] for line in lines]
    named = [(wnid, tuple(split_names(names))) for wnid, names in rows]
    return _with_wnids(named, "wnid and names a line (Kaggle, Caffe)", name, "line", 1)


def _from_lines(lines: Sequence[str], name: str) -> ClassList:
    for number, line in enumerate(lines, start=1):
        if "\t" in line or WNID.match(line):
            raise VocabularyError(f"{name}, line {number}: found {line[:40]!r} among names, wanted names alone")
    return _named([tuple(split_names(line)) for line in lines], "names alone, one class a line", name, 1)


def _named(rows: Sequence[tuple[str, ...]], format: str, name: str, first: int = 0) -> ClassList:
    for index, names in enumerate(rows):
        if not any(own.strip() for own in names):
            raise VocabularyError(f"{name}, {'line' if first else 'index'} {index + first}: found no name, wanted one")
    names_C = [tuple(dict.fromkeys(readable(own) for own in names)) for names in rows]
    return ClassList([ImageClass(index, None, names[0], names) for index, names in enumerate(names_C)], format)


def _with_wnids(
    rows: Sequence[tuple[str, tuple[str, ...]]], format: str, name: str, place: str, first: int
) -> ClassList:
    seen: set[str] = set()
    for number, (wnid, names) in enumerate(rows, start=first):
        if not WNID.fullmatch(wnid) or wnid in seen or not any(names):
            raise VocabularyError(
                f"{name}, {place} {number}: found {[wnid, *names][:3]}, wanted a wnid of its own and a name"
            )
        seen.add(wnid)
    return ClassList([ImageClass(index, wnid, own[0], own) for index, (wnid, own) in enumerate(rows)], format)
