"""The noun hierarchy: synsets, their words and hypernyms, hops, correct sets; it does not know vectors or pictures."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from devise.errors import VocabularyError
from devise.words.nouns import fold, singulars
from devise.words.texttables import Cell, read_table

COLUMNS = ("id", "members", "hypernyms", "definition")
HEADS_OF_WNIDS = ("wnid", "id", "synset")
UNREACHED = np.iinfo(np.int16).max


@dataclass
class Hierarchy:
    """Noun synsets by id, in file order.

    Attributes:
        members: synset -> its words, as they are written.
        hypernyms: synset -> the synsets directly above it (several are possible, roots have none).
        definitions: synset -> its definition; empty where the file has none.
    """

    members: dict[str, list[str]]
    hypernyms: dict[str, list[str]] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rows = {synset: row for row, synset in enumerate(self.members)}
        self._by_word: dict[str, list[str]] = defaultdict(list)
        for synset, words in self.members.items():
            for key in dict.fromkeys(fold(word) for word in words):
                self._by_word[key].append(synset)
        pairs = [
            (self._rows[synset], self._rows[parent])
            for synset, parents in self.hypernyms.items()
            for parent in parents
            if parent in self._rows
        ]
        edges_E2 = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        both = np.concatenate([edges_E2, edges_E2[:, ::-1]])
        both = both[np.argsort(both[:, 0], kind="stable")]
        self._neighbours = both[:, 1]
        self._starts = np.searchsorted(both[:, 0], np.arange(len(self._rows) + 1))
        self._hops_from = lru_cache(maxsize=64)(self._measure_hops)

    def synsets(self, word: str) -> list[str]:
        """Synsets that a word names, in file order; case, `_`, `-` and spaces do not count. Empty if none."""
        return list(self._by_word.get(fold(word), ()))

    def hops(self, a: str, b: str) -> int | None:
        """Edges on the shortest way from `a` to `b`, up or down; None if no way leads there.

        Raises:
            VocabularyError: a synset that the hierarchy does not have.
        """
        distance = int(self._hops_from(self._row(a))[self._row(b)])
        return None if distance == UNREACHED else distance

    def correct_set(self, synset: str, k: int, candidates: Collection[str]) -> set[str]:
        """Candidates within the least radius around `synset` that holds at least `k` of them (DeViSE, section 4).

        The radius grows by whole hops, so all that are equally near come in together and the set may be larger than k;
        it is smaller only if fewer candidates are reachable at all. `synset` is in it if it is a candidate (radius 0).
        Candidates that the hierarchy does not have are left out.

        Raises:
            ValueError: k is below 1.
            VocabularyError: the hierarchy does not have `synset`.
        """
        names = list(candidates)
        correct_C = self.correct_rows(synset, k, self.rows(names))
        return {candidate for candidate, correct in zip(names, correct_C, strict=True) if correct}

    def rows(self, synsets: Sequence[str]) -> np.ndarray:
        """int64 (C,): the row of each synset, -1 for one that the hierarchy does not have."""
        return np.array([self._rows.get(synset, -1) for synset in synsets], dtype=np.int64)

    def correct_rows(self, synset: str, k: int, rows_C: np.ndarray) -> np.ndarray:
        """bool (C,): `correct_set` of candidates given as `rows`; quick for many synsets, one list of rows."""
        if k < 1:
            raise ValueError(f"found k = {k}, wanted 1 or more")
        hops_C = np.where(rows_C >= 0, self._hops_from(self._row(synset))[rows_C], UNREACHED)
        reachable = hops_C[hops_C < UNREACHED]
        if len(reachable) == 0:
            return np.zeros(len(rows_C), dtype=bool)
        nearest = min(k, len(reachable)) - 1
        return hops_C <= np.partition(reachable, nearest)[nearest]

    def _row(self, synset: str) -> int:
        if synset not in self._rows:
            raise VocabularyError(f"found synset {synset!r}, wanted one of the hierarchy's {len(self._rows)}")
        return self._rows[synset]

    def _measure_hops(self, start: int) -> np.ndarray:
        """int16 (S,): hops from a synset to every other, breadth first."""
        hops_S = np.full(len(self._rows), UNREACHED, dtype=np.int16)
        front, radius = np.array([start]), 0
        while len(front):
            hops_S[front] = radius
            degree = self._starts[front + 1] - self._starts[front]
            within = np.arange(degree.sum()) - np.repeat(np.cumsum(degree) - degree, degree)
            near = np.unique(self._neighbours[np.repeat(self._starts[front], degree) + within])
            front, radius = near[hops_S[near] == UNREACHED], radius + 1
        return hops_S


def read_hierarchy(path: str | Path) -> Hierarchy:
    """A hierarchy from a table, plain or .gz: tab-separated, CSV or Parquet, told by its first line or bytes.

    With a header that names id, members and hypernyms (each `a|b`) and definition: the whole hierarchy. Without, lines
    of `wnid<TAB>word, word`: synsets and their words only; a first line that is HEADS_OF_WNIDS is no synset.

    Raises:
        TableError: no such file, none that can be read as a table, or a line without its columns.
        VocabularyError: a column that is not there once, a synset without id or twice, or no synset with a word.
    """
    header, rows = read_table(path)
    if "members" in header:
        if wrong := [column for column in COLUMNS if header.count(column) != 1]:
            raise VocabularyError(f"{path}: found columns {header}, no {wrong} or not once")
        at = [header.index(column) for column in COLUMNS]
        rows = [[row[column] for column in at] for row in rows]
        synsets, members, hypernyms, definitions = ([row[place] for row in rows] for place in range(4))
        _refuse_lists(path, "id", synsets)
        _refuse_lists(path, "definition", definitions)
        tree = Hierarchy(
            dict(zip(synsets, map(_parts, members), strict=True)),
            dict(zip(synsets, map(_parts, hypernyms), strict=True)),
            {synset: text or "" for synset, text in zip(synsets, definitions, strict=True)},
        )
    elif len(header) == 2:
        if header[0].strip().lower() not in HEADS_OF_WNIDS:
            rows = [header, *rows]  # what looks like one is the first line
        synsets = [wnid for wnid, _ in rows]
        _refuse_lists(path, "wnid", synsets)
        tree = Hierarchy({wnid: split_names(words) for wnid, words in rows})
    else:
        raise VocabularyError(f"{path}, line 1: found {len(header)} columns, wanted a header, or 2: wnid and its words")
    if odd := [synset for synset, times in Counter(synsets).items() if not synset or times > 1]:
        raise VocabularyError(f"{path}: found the synsets {odd[:3]} without id or twice, wanted each once")
    if not any(tree.members.values()):
        raise VocabularyError(f"{path}: none of its {len(synsets)} synsets has a member, wanted words")
    return tree


def _refuse_lists(path: str | Path, column: str, cells: Sequence[Cell]) -> None:
    if lists := [cell for cell in cells if isinstance(cell, list)]:
        raise VocabularyError(f"{path}, column {column}: found the list {lists[0][:3]}, wanted texts")


def _parts(cell: Cell) -> list[str]:
    """The texts of `a|b`, or of a list."""
    return [text for text in (cell if isinstance(cell, list) else (cell or "").split("|")) if text.strip()]


def split_names(cell: Cell) -> list[str]:
    """The names of a comma-separated synonym list, or of a list."""
    return [name for part in (cell if isinstance(cell, list) else (cell or "").split(",")) if (name := part.strip())]


def join(wnids: Mapping[str, Sequence[str]], hierarchy: Hierarchy) -> dict[str, str]:
    """wnid -> synset of the hierarchy, by id where the hierarchy has the wnid, else by words and by order.

    A wnid is a place in a file of synsets, and so is an id of the hierarchy when it begins with 8 digits: both files
    have the same order. Of the synsets that share most of a class's words, the one is taken whose place is nearest to
    where the classes that match one synset fully say that it should be. That holds a bird from a machine of one name.

    Args:
        wnids: each with its names.

    Returns:
        only wnids that found a synset; none for a name of several synsets when there are no places to tell them apart.
    """
    found = {wnid: wnid for wnid in wnids if wnid in hierarchy.members}
    sharing: dict[str, list[str]] = {}
    places: dict[int, int] = {}
    for wnid, names in wnids.items():
        keys = {fold(form) for name in names for form in (name, *singulars(name))}
        shared = Counter(synset for key in sorted(keys) for synset in hierarchy.synsets(key))
        sharing[wnid] = [synset for synset, n_shared in shared.items() if n_shared == max(shared.values())]
        if len(sharing[wnid]) == 1 and keys >= {fold(word) for word in hierarchy.members[sharing[wnid][0]]}:
            at, place = _place(wnid), _place(sharing[wnid][0])
            if at is not None and place is not None:
                places[at] = place
    ordered = sorted(places)
    for wnid, synsets in sharing.items():
        if wnid in found or not synsets:
            continue
        at = _place(wnid)
        if len(synsets) == 1:
            found[wnid] = synsets[0]
        elif at is not None and len(ordered) > 1:
            wanted = np.interp(at, ordered, [places[place] for place in ordered])
            numbered = [synset for synset in synsets if _place(synset) is not None]
            if numbered:
                found[wnid] = min(numbered, key=lambda synset: abs(_place(synset) - wanted))
    return found


def _place(synset: str) -> int | None:
    """The offset in a synset's id: n02012849 and 02012849-n have one, added synsets (9...) and other ids none."""
    digits = synset.removeprefix("n")[:8]
    return int(digits) if len(digits) == 8 and digits.isdigit() and not digits.startswith("9") else None
