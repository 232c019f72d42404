"""Class names and their senses -> word vectors, so that a crane that is a bird is no machine; knows no pictures.

Shape letters: C classes, D dims.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devise.errors import VocabularyError
from devise.words import classfiles, parcels
from devise.words.classfiles import ClassList, ImageClass
from devise.words.hierarchy import Hierarchy
from devise.words.nouns import Finder, Match, readable, unit, words_of
from devise.words.synsets import join, split_names
from devise.words.texttables import read_table

SENSE_MARGIN = 0.05
"""A name's vector is of the right sense unless another sense's reference is nearer by more than this cosine."""


def read_classes(path: str | Path, known: Sequence[ImageClass] = ()) -> ClassList:
    """The classes of a network, in order of index, from any layout of docs/formats.md, told by its content.

    A table, tab-separated, CSV or Parquet, has a header and the columns index, wnid, name and synonyms
    (comma-separated), in this order, whatever the header calls them. The published lists are `classfiles`'s; where one
    has names alone, and they are the names of `known` in its order, it takes on their wnids.

    Raises:
        TableError: no such file, none that can be read as a table, or a line without its columns.
        VocabularyError: other columns, no classes, indices that are not 0 to C - 1, a wnid twice, or no name.
    """
    parcel = parcels.look(path)
    if parcel.is_archive:
        raise VocabularyError(
            f"{path}: found {parcel.wrapping} of {parcel.names()}, wanted a list of classes: unpack it"
        )
    if len(parcel.pieces) == 1 and (found := classfiles.read(parcel.pieces[0])) is not None:
        return classfiles.take_wnids(found, known)
    return _read_table(path)


def _read_table(path: str | Path) -> ClassList:
    header, rows = read_table(path)
    if len(header) != 4:
        raise VocabularyError(f"{path}, line 1: found columns {header}, wanted index, wnid, name and synonyms")
    classes: dict[str, ImageClass] = {}
    for number, row in enumerate(rows):
        index, wnid, name, synonyms = row
        named = isinstance(wnid, str) and isinstance(name, str) and wnid and name.strip()
        if index != str(number) or not named or wnid in classes:
            raise VocabularyError(
                f"{path}, row {number + 1}: found {row[:3]}, wanted {number}, a wnid of its own, name and synonyms"
            )
        names = dict.fromkeys((name, *split_names(synonyms)))
        classes[wnid] = ImageClass(number, wnid, name, tuple(names))
    if not classes:
        raise VocabularyError(f"{path}: found a header and no classes")
    return ClassList(list(classes.values()), "a table of classes")


class Senses:
    """Tells the senses of a word apart by the vectors of what the hierarchy says of each."""

    def __init__(self, finder: Finder, hierarchy: Hierarchy):
        self.finder, self.hierarchy = finder, hierarchy
        self._references: dict[str, np.ndarray | None] = {}
        self._words: dict[str, np.ndarray | None] = {}

    def reference(self, synset: str) -> np.ndarray | None:
        """Where a synset should lie: unit mean of its hypernyms, of its definition's words, and of a name of its own.

        Each part is a unit vector and may be absent; None if all are. A name of its own is the first member that names
        no other synset. Of 594 classes whose one sense had a vector, the first two parts alone came to a cosine of 0.67
        with it, the hypernyms alone to 0.60.
        """
        if synset not in self._references:
            parts = [self._hypernyms(synset), self._definition(synset), self._own(synset)]
            known = [part for part in parts if part is not None]
            self._references[synset] = unit(np.sum(known, axis=0)) if known else None
        return self._references[synset]

    def fits(self, vector_D: np.ndarray, name: str, synset: str) -> bool:
        """Whether the vector of an ambiguous name means `synset` rather than another sense of the name."""
        own = self.reference(synset)
        others = [self.reference(other) for other in self.hierarchy.synsets(name) if other != synset]
        cosines = [float(vector_D @ other) for other in others if other is not None]
        return own is None or not cosines or float(vector_D @ own) >= max(cosines) - SENSE_MARGIN

    def best(self, vector_D: np.ndarray, name: str) -> str | None:
        """The synset that the vector of `name` means; ties go to the first of the file; None for an unknown name."""
        synsets = self.hierarchy.synsets(name)
        if len(synsets) < 2:
            return synsets[0] if synsets else None
        references = [self.reference(synset) for synset in synsets]
        return synsets[int(np.argmax([-2.0 if part is None else float(vector_D @ part) for part in references]))]

    def _hypernyms(self, synset: str) -> np.ndarray | None:
        """Mean over the hypernyms' members; one level further up where none of them has a vector."""
        level = self.hierarchy.hypernyms.get(synset, [])
        for _ in range(2):
            members = [word for parent in level for word in self.hierarchy.members.get(parent, [])]
            if (found := self._mean(members)) is not None:
                return found
            level = [above for parent in level for above in self.hierarchy.hypernyms.get(parent, [])]
        return None

    def _definition(self, synset: str) -> np.ndarray | None:
        return self._mean(words_of(self.hierarchy.definitions.get(synset, "")))

    def _own(self, synset: str) -> np.ndarray | None:
        alone = [word for word in self.hierarchy.members[synset] if len(self.hierarchy.synsets(word)) == 1]
        return next((match.vector for word in alone if (match := self.finder.own(word))), None)

    def _vector(self, word: str) -> np.ndarray | None:
        """The word's own vector, kept: definitions share their words."""
        if word not in self._words:
            match = self.finder.own(word)
            self._words[word] = match.vector if match else None
        return self._words[word]

    def _mean(self, words: Sequence[str]) -> np.ndarray | None:
        vectors = [vector_D for word in words if (vector_D := self._vector(word)) is not None]
        mean_D = unit(np.mean(vectors, axis=0)) if vectors else np.zeros(1, np.float32)
        return mean_D if mean_D.any() else None


@dataclass(frozen=True)
class ClassMatches:
    """The classes of a core visual model in word-vector space.

    Attributes:
        vectors_CD: float32 unit rows; a row of NaN for a class without a vector.
        labels: the name that gave the vector; the class's own name where several words or the hierarchy did.
        synsets: the class's synset in the hierarchy, None without one.
        how: the rule, None without a vector. `, ambiguous`: the word has other senses too, this one fits its vector;
            `, shared`: another class has the very same vector.
    """

    classes: list[ImageClass]
    vectors_CD: np.ndarray
    labels: list[str | None]
    synsets: list[str | None]
    how: list[str | None]

    def lines(self) -> list[str]:
        """Classes by rule, and those without a vector, for printing."""
        rules = Counter(how.split(",")[0] for how in self.how if how)
        found = sum(rules.values())
        misses = [f"{_key(one)} {one.name}" for one, how in zip(self.classes, self.how, strict=True) if how is None]
        return [
            f"{found} of {len(self.classes)} classes have a vector: "
            + ", ".join(f"{rule} {n_classes}" for rule, n_classes in rules.most_common()),
            *([f"without: {', '.join(misses)}"] if misses else []),
        ]


@dataclass(frozen=True)
class ClassVectors:
    """What training needs of the classes, in the order of the classification layer.

    Attributes:
        names: one name a class. texts: everything that names it: all its names, and the label that gave its vector.
        vectors_CD: float32 unit rows; NaN for a class without a vector.
        synsets: of the hierarchy, None without one.
    """

    names: list[str]
    texts: list[list[str]]
    vectors_CD: np.ndarray
    synsets: list[str | None]


def match_classes(classes: Sequence[ImageClass], finder: Finder, hierarchy: Hierarchy | None = None) -> ClassMatches:
    """A vector of the right sense for each class.

    The names of a class are tried in order: the first whose vector fits the class's synset counts (`exact`, `case`,
    `separator`, `plural`; `synonym` if it is not the first name). With a hierarchy, what is left gets
    `sense`: a name whose vector means another sense, or serves two classes, plus the synset's reference; and
    `definition`: no name has a vector, so the reference alone. What is still left is composed: `words`, `subword`.
    """
    joined = join({_key(one): one.names for one in classes}, hierarchy) if hierarchy else {}
    senses = Senses(finder, hierarchy) if hierarchy else None
    chosen = [_choose(one, finder, senses, joined.get(_key(one))) for one in classes]
    uses = Counter(match.rows for _, match in chosen if match)
    dim = finder.vectors_VD.shape[1]
    vectors_CD = np.full((len(classes), dim), np.nan, np.float32)
    labels: list[str | None] = []
    how: list[str | None] = []
    for one, (name, match) in zip(classes, chosen, strict=True):
        synset = joined.get(_key(one))
        reference = senses.reference(synset) if senses and synset else None
        if match is None and reference is not None:
            name, match = one.name, Match((), reference, "definition")
        elif match is None and (match := finder.compose(one.name)):
            name = one.name
        elif match is not None and reference is not None:
            n_senses = len(hierarchy.synsets(name))
            if uses[match.rows] > 1 or not senses.fits(match.vector, name, synset):
                match = Match(match.rows, unit(match.vector + reference), "sense")
            elif n_senses > 1:
                match = Match(match.rows, match.vector, f"{match.how}, ambiguous")
        if match is not None:
            vectors_CD[len(labels)] = match.vector
        labels.append(readable(name) if match else None)
        how.append(match.how if match else None)
    alike = Counter(vector_D.tobytes() for vector_D in vectors_CD)
    how = [
        f"{rule}, shared" if rule and alike[vector_D.tobytes()] > 1 else rule
        for rule, vector_D in zip(how, vectors_CD, strict=True)
    ]
    return ClassMatches(list(classes), vectors_CD, labels, [joined.get(_key(one)) for one in classes], how)


def _key(one: ImageClass) -> str:
    """What a class is known by: its wnid, else its place, which is no synset's id."""
    return one.wnid or f"class {one.index}"


def _choose(one: ImageClass, finder: Finder, senses: Senses | None, synset: str | None) -> tuple[str, Match | None]:
    """The first name with a vector of its own that fits the synset; if none fits, the first with a vector."""
    found = []
    for name in one.names:
        match = finder.own(name)
        if match is None:
            continue
        if name != one.names[0]:
            match = Match(match.rows, match.vector, "synonym")
        if senses is None or synset is None or senses.fits(match.vector, name, synset):
            return name, match
        found.append((name, match))
    return found[0] if found else (one.name, None)
