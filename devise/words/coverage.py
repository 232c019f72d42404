"""Builds the vocabulary from nouns and word vectors, and says what was found by which rule; no pictures, no Spark.

Shape letters: V vocabulary, D dims.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from devise.errors import VectorError, VocabularyError
from devise.words import wordvectors
from devise.words.ancestry import Ancestry, closed_upward
from devise.words.classes import ClassMatches, ImageClass, Senses, match_classes, read_classes
from devise.words.nouns import OWN_RULES, Finder, Match, Noun, fold, readable, singulars, wanted_keys, words_of
from devise.words.smoothing import smooth
from devise.words.synsets import Hierarchy, read_hierarchy
from devise.words.vocabulary import Vocabulary
from devise.words.wordvectors import WordVectors

LISTED = 50


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
    sources: tuple[str, ...] = field(default=(), compare=False)
    """What was read, a line a file: its layout as it was told by content, and its rows."""
    hypernyms: dict[str, list[str]] = field(default_factory=dict, compare=False, repr=False)
    """Of the synsets of labels and classes, and of all above them; empty without a hierarchy."""
    names: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    """The first name of each of these synsets."""

    def lines(self) -> list[str]:
        """For printing; of the misses the first 50."""
        n_labels = sum(self.by_rule.values())
        more = f" and {len(self.misses) - LISTED} more" if len(self.misses) > LISTED else ""
        return [
            *self.sources,
            f"{n_labels} labels: " + ", ".join(f"{rule} {n_nouns}" for rule, n_nouns in self.by_rule.items()),
            f"{self.n_seen} seen, {n_labels - self.n_seen} zero-shot; {len(self.merged)} nouns merged into others; in "
            f"the file {self.n_duplicates} words twice and {self.n_zero_rows} without direction left out",
            *(
                [f"{len(self.misses)} nouns without a vector: {', '.join(self.misses[:LISTED])}{more}"]
                * bool(self.misses)
            ),
            *(self.classes.lines() if self.classes else []),
        ]


def make(
    vectors: str | Path,
    hierarchy: str | Path | None = None,
    nouns: Literal["vectors", "hierarchy"] = "vectors",
    classes: str | Path | None = None,
    known: Sequence[ImageClass] = (),
    levels: int = 0,
) -> tuple[Vocabulary, Coverage]:
    """The vocabulary of local files; `nouns` says whose words are the labels.

    The vectors of labels and classes take in so many `levels` of the hierarchy above them (`smoothing.smooth`), if
    there is one. Classes whose file has names alone take on the wnids of `known` where they are its classes
    (`take_wnids`).

    Raises:
        VectorError: `vectors` cannot be read, or no row of it has a direction.
        VocabularyError: another file cannot be read, no noun finds a vector, or `nouns` needs a hierarchy.
    """
    tree = read_hierarchy(hierarchy) if hierarchy else None
    visual = read_classes(classes, known) if classes else None
    chosen, wanted = None, None
    if nouns == "hierarchy":
        if tree is None:
            raise VocabularyError("found no hierarchy file, wanted one to take the nouns from")
        chosen = hierarchy_nouns(tree)
        keys = wanted_keys({noun.name for noun in chosen} | {name for one in visual or () for name in one.names})
        keys |= wanted_keys({word for text in tree.definitions.values() for word in words_of(text)})

        def wanted(word: str) -> bool:
            return fold(word) in keys

    source = wordvectors.read(vectors, wanted)
    if not source.words and (source.n_zero_rows or wanted is None):
        raise VectorError(
            f"{vectors}: none of its wanted rows has a direction: all numbers of {source.n_zero_rows} rows are zero"
        )
    matches = match_classes(visual, Finder(source.words, source.vectors, source.subword), tree) if visual else None
    try:
        built, found = build(chosen, source, tree, [name for one in visual or () for name in one.names], matches)
    except VocabularyError as error:
        raise VocabularyError(f"{vectors}: {error}") from None
    read = (("vectors", source), ("hierarchy", tree), ("classes", visual))
    found = replace(found, sources=tuple(f"{kind}: {one.line()}" for kind, one in read if one is not None))
    if tree is None:
        return built, found
    named = [*built.synsets, *(matches.synsets if matches else [])]
    above = closed_upward(tree.hypernyms, (synset for synset in named if synset is not None))
    names = {synset: readable(tree.members[synset][0]) for synset in above if tree.members.get(synset)}
    return _smoothed(built, replace(found, hypernyms=above, names=names), levels)


def _smoothed(built: Vocabulary, found: Coverage, levels: int) -> tuple[Vocabulary, Coverage]:
    """Both with the vectors of labels and classes smoothed over `levels` of the hierarchy."""
    ancestry = Ancestry(found.hypernyms, built.synsets)
    classes = found.classes
    if classes is not None:
        vectors_CD = smooth(classes.vectors_CD, classes.synsets, built.vectors, ancestry, levels)
        classes = replace(classes, vectors_CD=vectors_CD)
    vectors_VD = smooth(built.vectors, built.synsets, built.vectors, ancestry, levels)
    return replace(built, vectors=vectors_VD), replace(found, classes=classes)


def hierarchy_nouns(hierarchy: Hierarchy) -> list[Noun]:
    """Every word of a hierarchy once; with its synonyms if it has one synset: other senses' names are not its own."""
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
    words = (readable(word) for word in vectors.words)
    wanted = [Noun(word) for word in words if word] if nouns is None else list(nouns)
    found = [(noun, finder.find(noun)) for noun in wanted]
    misses = [noun.name for noun, match in found if match is None]
    rules = (*OWN_RULES, "synonym", "subword", "words")
    order = sorted(
        (row for row, (_, match) in enumerate(found) if match), key=lambda row: rules.index(found[row][1].how)
    )
    kept: dict[object, int] = {}
    merged: dict[int, list[str]] = {}
    for row in order:
        noun, match = found[row]
        own = match.rows[0] if match.how in (*OWN_RULES, "synonym") else None
        name = readable(noun.name).casefold()
        first = kept.setdefault(name, kept.get(own, row))
        if own is not None:
            kept.setdefault(own, first)
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


def _synset(noun: Noun, match: Match, senses: Senses | None) -> str | None:
    """The noun's own synset, else the one of its name's that the vector means."""
    if noun.synset is not None or senses is None:
        return noun.synset
    return senses.best(match.vector, noun.name)


def _members(synset: str | None, hierarchy: Hierarchy | None) -> list[str]:
    return hierarchy.members[synset] if synset is not None and hierarchy is not None else []


def _others(name: str, names: Iterable[str]) -> list[str]:
    return [other for other in dict.fromkeys(map(readable, names)) if other != name]
