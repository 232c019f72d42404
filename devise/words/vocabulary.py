"""Labels with vectors: how they are stored and asked; it does not know pictures, models or Spark.

Shape letters: V vocabulary, D dims, K neighbours.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from devise.errors import SchemaError, VectorError, VocabularyError
from devise.words import wordvectors
from devise.words.nouns import Finder, fold, plurals, singulars, unit, words_of

LISTED = 50
SAME = 1e-6
"""A unit vector is one number repeated if it lies so near to its mean."""
Lookup = Callable[[str], np.ndarray | None]
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
            for key in map(fold, names):
                if key:
                    rows.setdefault(key, row)
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


def to_arrow(vocabulary: Vocabulary) -> pa.Table:
    """The label table (SCHEMA), a row a label in order of label_id."""
    n_labels, dim = vocabulary.vectors.shape
    starts = pa.array(np.arange(n_labels + 1, dtype=np.int32) * dim)
    columns = [
        vocabulary.label_id,
        vocabulary.labels,
        vocabulary.synsets,
        vocabulary.synonyms,
        pa.ListArray.from_arrays(starts, pa.array(vocabulary.vectors.reshape(-1))),
        vocabulary.seen,
        vocabulary.how,
    ]
    return pa.table(columns, schema=SCHEMA)


def from_arrow(table: pa.Table) -> Vocabulary:
    """The vocabulary of a label table.

    Raises:
        SchemaError: other columns, no rows, vectors of several lengths, or label ids that are not 0 to V - 1.
    """
    if table.column_names != SCHEMA.names or table.num_rows == 0:
        raise SchemaError(
            f"vocabulary: found columns {table.column_names}, {table.num_rows} rows; wanted {SCHEMA.names}"
        )
    columns = {name: table.column(name).combine_chunks() for name in SCHEMA.names}
    label_id = columns["label_id"].to_numpy()
    lengths = np.unique(columns["vector"].value_lengths().to_numpy())
    if len(lengths) != 1 or not np.array_equal(label_id, np.arange(table.num_rows)):
        raise SchemaError(f"vocabulary: vectors of lengths {lengths.tolist()}, or label ids that are not 0 to V - 1")
    return Vocabulary(
        label_id,
        columns["label"].to_pylist(),
        columns["synset"].to_pylist(),
        columns["synonyms"].to_pylist(),
        columns["vector"].flatten().to_numpy().reshape(table.num_rows, -1),
        columns["seen"].to_numpy(zero_copy_only=False),
        columns["how"].to_pylist(),
    )


@lru_cache(maxsize=2)
def load(path: Path) -> Vocabulary:
    """The vocabulary in a local Parquet file; the same object again in this process.

    Raises:
        SchemaError: the file cannot be read, or is no label table.
    """
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowInvalid, OSError) as error:
        raise SchemaError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    return from_arrow(table)


def vocabulary_id(vocabulary: Vocabulary) -> str:
    """16 hex digits over everything in it."""
    digest = hashlib.sha256(np.ascontiguousarray(vocabulary.vectors, dtype=np.float32).tobytes())
    rest = [vocabulary.labels, vocabulary.synsets, vocabulary.synonyms, vocabulary.seen.tolist(), vocabulary.how]
    digest.update(json.dumps(rest).encode())
    return digest.hexdigest()[:16]


def make_lookup(vocabulary: Vocabulary, vectors_path: str | Path | None = None) -> Lookup:
    """Word -> unit vector (D,), or None: a label or synonym by any spelling, else any word of the file of vectors
    (verbs too), else made of subwords where the file is a fastText .bin that has them.

    The file is read only for a word that is no label, and then only that word's rows are kept.

    Raises (when called):
        VectorError: the file cannot be read, or is of another dimension than the vocabulary.
    """

    @lru_cache(maxsize=1024)
    def lookup(word: str) -> np.ndarray | None:
        row = vocabulary.find_one(word)
        if row is not None:
            return vocabulary.vectors[row]
        if vectors_path is None:
            return None
        keys = {fold(form) for part in (word, *words_of(word)) for form in (part, *singulars(part), *plurals(part))}
        source = wordvectors.read(vectors_path, lambda found: fold(found) in keys)
        if source.dim != vocabulary.vectors.shape[1]:
            raise VectorError(f"{vectors_path}: vectors of {source.dim} dims, wanted {vocabulary.vectors.shape[1]}")
        match = Finder(source.words, source.vectors, source.subword)
        found = match.own(word) or match.compose(word)
        return found.vector if found else None

    return lookup


def correlations(words: Sequence[str], lookup: Lookup) -> list[tuple[str, str, float, float]]:
    """(a, b, Pearson correlation, cosine) of the vectors of every two words, in order; NaN for a vector of one number.

    Raises:
        VocabularyError: fewer than two words, or unknown ones, by name.
    """
    found = {word: lookup(word) for word in words}
    if unknown := [word for word, vector in found.items() if vector is None]:
        raise VocabularyError(f"no vector for {unknown}")
    if len(found) < 2:
        raise VocabularyError(f"found {len(found)} word, wanted at least two to compare")
    centred = {word: _centred(vector) for word, vector in found.items()}
    return [(a, b, float(centred[a] @ centred[b]), float(found[a] @ found[b])) for a, b in combinations(found, 2)]


def _centred(vector_D: np.ndarray) -> np.ndarray:
    """The vector less its mean, as a unit vector; NaN where all its numbers are one, which correlates with nothing."""
    wide_D = vector_D.astype(np.float64)
    wide_D -= wide_D.mean()
    length = float(np.linalg.norm(wide_D))
    return wide_D / length if length > SAME else np.full_like(wide_D, np.nan)


def nearest(vector_D: np.ndarray, vocabulary: Vocabulary, k: int) -> list[tuple[str, float]]:
    """The k labels nearest to a unit vector with their cosines, best first, ties by label id."""
    scores_V = vocabulary.vectors @ unit(np.asarray(vector_D))
    return [(vocabulary.labels[row], float(scores_V[row])) for row in np.argsort(-scores_V, kind="stable")[:k]]


def known(text: str, vocabulary: Vocabulary) -> str:
    """One line: whether a word is a seen label, a zero-shot one, or none, and by which rule."""
    row = vocabulary.find_one(text)
    if row is None:
        return f"{text}: no label"
    match = vocabulary.finder.own(text)
    asked = match.how if match is not None and match.rows[0] == row else "synonym"
    kind = "seen" if vocabulary.seen[row] else "zero-shot"
    synset = f", synset {vocabulary.synsets[row]}" if vocabulary.synsets[row] else ""
    return (
        f"{text}: {kind} label {vocabulary.labels[row]!r} (asked by {asked}, vector by {vocabulary.how[row]}){synset}"
    )
