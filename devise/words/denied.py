"""Labels that are never told of a picture: reads a list of words and synsets, and finds its labels; makes no list.

Shape letters: V vocabulary.
"""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devise.errors import VocabularyError
from devise.words.nouns import fold, singulars

HEADER = "entry"
ON_THE_LIST = "on the list"
"""The reason of an entry that says none."""


@dataclass(frozen=True)
class Denied:
    """A list of what is never told.

    Attributes:
        reasons: folded word, or synset id -> why.
        members: folded word -> the denied synsets that it is a member of, each as (reason, its folded members). By them
            a synset is known in a hierarchy of other ids.
    """

    reasons: dict[str, str]
    members: dict[str, list[tuple[str, frozenset[str]]]]

    @classmethod
    def load(cls, path: str | Path) -> "Denied":
        """A list from a text file in UTF-8, plain or .gz, an entry a line: a word, or a synset's id as the hierarchy
        has it; then, if wanted and by tabs, the reason and the synset's members as `a|b`. Lines with # are remarks.

        Raises:
            VocabularyError: the file cannot be read, a line is no entry, or there is none.
        """
        reasons: dict[str, str] = {}
        members: dict[str, list[tuple[str, frozenset[str]]]] = {}
        for number, line in enumerate(_read(path).splitlines(), start=1):
            cells = [cell.strip() for cell in line.split("\t")]
            if not any(cells) or cells[0].startswith("#") or (number == 1 and cells[0] == HEADER):
                continue
            if len(cells) > 3 or not fold(cells[0]) or "," in cells[0]:
                raise VocabularyError(
                    f"{path}, line {number}: found {line[:60]!r}, wanted one word or synset, or by tabs entry, reason "
                    "and members"
                )
            entry, reason, names = [*cells, "", ""][:3]
            reasons.setdefault(fold(entry), reason or ON_THE_LIST)
            reasons.setdefault(entry, reason or ON_THE_LIST)
            own = frozenset(fold(name) for name in names.split("|") if name)
            for name in own:
                members.setdefault(name, []).append((reason or ON_THE_LIST, own))
        if not reasons:
            raise VocabularyError(f"{path}: found no entry, wanted a word or a synset a line")
        return cls(reasons, members)

    def why(self, label: str, synset: str | None, synonyms: Sequence[str] = (), same_ids: bool = True) -> str | None:
        """The reason why a label is denied; None for one that may be told.

        It is denied if its synset is, or its name is a word of the list; a label without a synset also by the singular
        of its name. With `same_ids` false the hierarchy's ids are not the list's: then also if it is named as a denied
        synset, and at least half of both's names are names of both. A word that is a name of harmless things too is on
        the shipped list by its synset only, so that a label `cock` that is a bird stays.
        """
        if synset in self.reasons:
            return self.reasons[synset]
        names = list(map(fold, (label, *(() if synset else singulars(label)))))
        if found := next((self.reasons[name] for name in names if name in self.reasons), None):
            return found
        if synset and same_ids:
            return None
        own = {fold(name) for name in (label, *synonyms)}
        return next(
            (
                reason
                for name in names
                for reason, denied in self.members.get(name, ())
                if len(own & denied) > 1 and 2 * len(own & denied) >= len(own | denied)
            ),
            None,
        )

    def rows(
        self, labels: Sequence[str], synsets: Sequence[str | None], synonyms: Sequence[Sequence[str]]
    ) -> np.ndarray:
        """bool (V,): the labels that are denied (`why`). The ids are the list's if any of them is on it."""
        same_ids = any(synset in self.reasons for synset in synsets)
        rows = zip(labels, synsets, synonyms, strict=True)
        return np.array([self.why(*row, same_ids) is not None for row in rows], dtype=bool)


def _read(path: str | Path) -> str:
    try:
        content = Path(path).read_bytes()
        return (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise VocabularyError(f"{path}: cannot be read as text, wanted a word a line: {error}") from error
