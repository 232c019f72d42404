"""Labels with vectors: how they are built, stored and asked; it does not know pictures, models or Spark.

Shape letters: V vocabulary, D dims, K neighbours.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from devise import wordvectors
from devise.classes import ClassMatches, Senses, match_classes, read_classes
from devise.errors import SchemaError, VectorError, VocabularyError
from devise.nouns import OWN_RULES, Finder, Match, Noun, fold, readable, singulars, unit, wanted_keys, words_of
from devise.synsets import Hierarchy, read_hierarchy
from devise.wordvectors import WordVectors

COLUMNS = ("label_id", "label", "synset", "synonyms", "vector", "seen", "how")
LISTED = 50
Lookup = Callable[[str], np.ndarray | None]


@dataclass
class Vocabulary:
    """The label table; row i has label_id i.

    Attributes:
        label_id: int32 (V,), 0 to V - 1.
        labels: distinct but for case, words separated by spaces.
        synsets: of the hierarchy; of a word with several, the one that its vector means. None without one.
        synonyms: other names of the synset, and nouns that were merged into the label.
        vectors: float32 (V, D), unit rows.
        seen: bool (V,), whether a class of the core visual model bears the label's name.
        how: the rule that found the vector.
    """

    label_id: np.ndarray
    labels: list[str]
    synsets: list[str | None]
    synonyms: list[list[str]]
    vectors: np.ndarray
    seen: np.ndarray
    how: list[str]

    @cached_property
    def finder(self) -> Finder:
        """The rules of names over the labels; a match's one row is the label id."""
        return Finder(self.labels, self.vectors)

    @cached_property
    def _by_synonym(self) -> dict[str, int]:
        rows: dict[str, int] = {}
        for row, names in enumerate(self.synonyms):
            for name in names:
                rows.setdefault(fold(name), row)
        return rows

    def find_one(self, text: str) -> int | None:
        """The label id of a text: a label but for case and separators, else a synonym, else a singular or plural."""
        match = self.finder.own(text)
        if match is None or match.how == "plural":
            synonym = self._by_synonym.get(fold(text))
            return synonym if synonym is not None else match.rows[0] if match else None
        return match.rows[0]

    def find(self, texts: Iterable[str]) -> np.ndarray:
        """int32 label ids of texts, in their order, each once; `VocabularyError` naming those that are unknown."""
        found = {text: self.find_one(text) for text in texts}
        if unknown := [text for text, row in found.items() if row is None]:
            raise VocabularyError(f"no label for {unknown[:LISTED]}, wanted names of the {len(self.labels)} labels")
        return np.array(list(dict.fromkeys(found.values())), dtype=np.int32)


@dataclass(frozen=True)
class Coverage:
    """What became of the nouns: labels by rule, merged ones, and misses (nouns without a vector)."""

    by_rule: dict[str, int]
    merged: list[str]
    misses: list[str]
    n_seen: int
    n_duplicates: int
    n_zero_rows: int
    classes: ClassMatches | None = field(default=None, compare=False)

    def lines(self) -> list[str]:
        """For printing; of the misses the first 50."""
        n_labels = sum(self.by_rule.values())
        more = f" and {len(self.misses) - LISTED} more" if len(self.misses) > LISTED else ""
        return [
            f"{n_labels} labels: " + ", ".join(f"{rule} {n_nouns}" for rule, n_nouns in self.by_rule.items()),
            f"{self.n_seen} seen, {n_labels - self.n_seen} zero-shot; {len(self.merged)} nouns merged into others; in "
            f"the file {self.n_duplicates} words twice and {self.n_zero_rows} without direction left out",
            *([f"{len(self.misses)} nouns without a vector: {', '.join(self.misses[:LISTED])}{more}"] * bool(self.misses)),
            *(self.classes.lines() if self.classes else []),
        ]


def make(
    vectors: str | Path,
    hierarchy: str | Path | None = None,
    nouns: Literal["vectors", "hierarchy"] = "vectors",
    classes: str | Path | None = None,
) -> tuple[Vocabulary, Coverage]:
    """The vocabulary of local files; `nouns` says whose words are the labels.

    Raises:
        VectorError: `vectors` cannot be read.
        VocabularyError: another file cannot be read, no noun finds a vector, or `nouns` needs a hierarchy.
    """
    tree = read_hierarchy(hierarchy) if hierarchy else None
    visual = read_classes(classes) if classes else []
    chosen, wanted = None, None
    if nouns == "hierarchy":
        if tree is None:
            raise VocabularyError("found no hierarchy file, wanted one to take the nouns from")
        chosen = hierarchy_nouns(tree)
        keys = wanted_keys({noun.name for noun in chosen} | {name for one in visual for name in one.names})
        keys |= wanted_keys({word for text in tree.definitions.values() for word in words_of(text)})

        def wanted(word: str) -> bool:
            return fold(word) in keys

    source = wordvectors.read(vectors, wanted)
    matches = match_classes(visual, Finder(source.words, source.vectors, source.subword), tree) if visual else None
    return build(chosen, source, tree, [name for one in visual for name in one.names], matches)


def hierarchy_nouns(hierarchy: Hierarchy) -> list[Noun]:
    """Every word of a hierarchy once; with its synonyms if it has one synset, for other senses' names are not its own."""
    words = {fold(word): word for words in reversed(hierarchy.members.values()) for word in reversed(words)}
    nouns = []
    for word in reversed(words.values()):
        synsets = hierarchy.synsets(word)
        others = hierarchy.members[synsets[0]] if len(synsets) == 1 else []
        nouns.append(Noun(word, synonyms=tuple(other for other in others if fold(other) != fold(word))))
    return nouns


def build(
    nouns: Iterable[Noun] | None,
    vectors: WordVectors,
    hierarchy: Hierarchy | None = None,
    seen: Collection[str] = (),
    classes: ClassMatches | None = None,
) -> tuple[Vocabulary, Coverage]:
    """Nouns that find a vector, in their order; None: every word of the vectors.

    A noun whose vector is another label's (by case, separators, number, or as a synonym) is merged into that label and
    becomes one of its synonyms; the noun spelled nearest to the word stays.

    Args:
        seen: names of the core visual model's classes, all synonyms; a label that is one of them, or its plural, is
            seen, whatever its sense.

    Raises:
        VocabularyError: no noun found a vector.
    """
    finder = Finder(vectors.words, vectors.vectors, vectors.subword)
    wanted = [Noun(readable(word)) for word in vectors.words] if nouns is None else list(nouns)
    found = [(noun, finder.find(noun)) for noun in wanted]
    misses = [noun.name for noun, match in found if match is None]
    rules = (*OWN_RULES, "synonym", "subword", "words")
    order = sorted((row for row, (_, match) in enumerate(found) if match), key=lambda row: rules.index(found[row][1].how))
    kept: dict[object, int] = {}
    merged: dict[int, list[str]] = {}
    for row in order:
        noun, match = found[row]
        own = match.rows[0] if match.how in (*OWN_RULES, "synonym") else None
        first = kept.setdefault(fold_case(noun.name), row)
        first = kept.setdefault(own, first) if own is not None else first
        if first != row:
            merged.setdefault(first, []).append(noun.name)
    labels = [row for row in sorted(set(kept.values()))]
    if not labels:
        raise VocabularyError(f"none of {len(wanted)} nouns has a vector, e.g. {misses[:3]}")
    senses = Senses(finder, hierarchy) if hierarchy else None
    synsets = [_synset(*found[row], senses) for row in labels]
    names = [readable(found[row][0].name) for row in labels]
    synonyms = [
        _others(name, (*found[row][0].synonyms, *_members(synset, hierarchy), *merged.get(row, ())))
        for name, synset, row in zip(names, synsets, labels, strict=True)
    ]
    classes_seen = {fold(name) for name in seen}
    seen_V = np.array([not classes_seen.isdisjoint(map(fold, (name, *singulars(name)))) for name in names])
    how = [found[row][1].how for row in labels]
    vocabulary = Vocabulary(
        np.arange(len(labels), dtype=np.int32),
        names,
        synsets,
        synonyms,
        np.stack([found[row][1].vector for row in labels]),
        seen_V,
        how,
    )
    counts = Counter(how)
    return vocabulary, Coverage(
        {rule: counts[rule] for rule in rules if counts[rule]},
        [name for names in merged.values() for name in names],
        misses,
        int(seen_V.sum()),
        vectors.n_duplicates,
        vectors.n_zero_rows,
        classes,
    )


# --- temporary completion, to be replaced ---
def fold_case(name: str) -> str:
    return readable(name).casefold()


def _synset(noun: Noun, match: Match, senses: Senses | None) -> str | None:
    if noun.synset is not None or senses is None:
        return noun.synset
    return senses.best(match.vector, noun.name)


def _members(synset: str | None, hierarchy: Hierarchy | None) -> list[str]:
    return hierarchy.members[synset] if synset is not None and hierarchy is not None else []


def _others(name: str, names: Iterable[str]) -> list[str]:
    return [other for other in dict.fromkeys(map(readable, names)) if other != name]


SCHEMA = pa.schema(
    [
        ("label_id", pa.int32()),
        ("label", pa.string()),
        ("synset", pa.string()),
        ("synonyms", pa.list_(pa.string())),
        ("vector", pa.list_(pa.float32())),
        ("seen", pa.bool_()),
        ("how", pa.string()),
    ]
)


def to_arrow(vocabulary: Vocabulary) -> pa.Table:
    n, dim = vocabulary.vectors.shape
    flat = pa.ListArray.from_arrays(
        pa.array(np.arange(n + 1, dtype=np.int32) * dim), pa.array(vocabulary.vectors.reshape(-1))
    )
    return pa.table(
        [vocabulary.label_id, vocabulary.labels, vocabulary.synsets, vocabulary.synonyms, flat, vocabulary.seen, vocabulary.how],
        schema=SCHEMA,
    )


def from_arrow(table: pa.Table) -> Vocabulary:
    table = table.combine_chunks()
    vector = table.column("vector").combine_chunks()
    vectors = vector.flatten().to_numpy().reshape(len(vector), -1)
    return Vocabulary(
        table.column("label_id").to_numpy(),
        table.column("label").to_pylist(),
        table.column("synset").to_pylist(),
        table.column("synonyms").to_pylist(),
        vectors,
        table.column("seen").to_numpy(),
        table.column("how").to_pylist(),
    )


def vocabulary_id(vocabulary: Vocabulary) -> str:
    digest = hashlib.sha256(vocabulary.vectors.tobytes())
    digest.update(repr((vocabulary.labels, vocabulary.synsets, vocabulary.synonyms, vocabulary.seen.tolist(), vocabulary.how)).encode())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=2)
def _load(path: str) -> Vocabulary:
    return from_arrow(pq.read_table(path))


def load(folder: Path) -> Vocabulary:
    return _load(str(next(folder.glob("part-*.parquet"))))


def make_lookup(vocabulary: Vocabulary, path: str | None) -> Lookup:
    def lookup(word):
        row = vocabulary.find_one(word)
        return vocabulary.vectors[row] if row is not None else None
    return lookup
