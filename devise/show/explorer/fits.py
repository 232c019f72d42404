"""Whether a word's answers show it, as far as their labels tell; knows no queries and no publication.

A network that was trained on a word, or on kinds of it, says so where it sees one: a likely label tells. Of other
words it mostly tells what lies above them, `aircraft` of a helicopter: so much is then enough. Thresholds and what they
are worth are in docs/explorer.md.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from devise.search.answers import Labelled
from devise.words.ancestry import Ancestry

LIKELY = 0.1
"""Probability of a label from which it tells something of a word that the network was trained on."""
FIRST, SHARE, NEAR = 10, 0.5, 2
"""Of so many first answers such a share must have a label at most so many edges above a word."""


def trained_on(ancestry: Ancestry, synsets: Iterable[str | None]) -> frozenset[str]:
    """Synsets that the network was trained on, and all above them: of these it was shown kinds."""
    return frozenset(up for synset in synsets if synset for up in ancestry.above(synset))


def is_met(
    label: str,
    answers: Sequence[Labelled],
    synset_of: Mapping[str, str | None],
    ancestry: Ancestry,
    trained: Collection[str],
) -> bool:
    """Whether some of a word's first answers may show it.

    Args:
        label: the word's. answers: labels of the first answers, best first. synset_of: of all labels.
        trained: `trained_on` of the seen labels.
    """
    synset = synset_of.get(label)
    below = {name for name in _names(answers) if name == label or _is_below(name, synset, synset_of, ancestry)}
    if synset in trained or synset is None:
        return any(_says(each, below, LIKELY) for each in answers)
    if any(_says(each, below, 0.0) for each in answers):
        return True
    near = {up for up, edges in ancestry.above(synset).items() if edges <= NEAR}
    first = answers[:FIRST]
    above = sum(any(synset_of.get(name) in near for name in _names([each])) for each in first)
    return bool(first) and above >= SHARE * len(first)


def _names(answers: Iterable[Labelled]) -> set[str]:
    return {name for each in answers for name in (each.answer, *(label.label for label in each.labels)) if name}


def _is_below(name: str, synset: str | None, synset_of: Mapping[str, str | None], ancestry: Ancestry) -> bool:
    own = synset_of.get(name)
    return synset is not None and own is not None and synset in ancestry.above(own)


def _says(each: Labelled, names: Collection[str], least: float) -> bool:
    """Whether one of the names is told of an image, with that probability where any is known."""
    told = [(each.answer, each.answer_probability), *((label.label, label.probability) for label in each.labels)]
    return any(name in names and (probability is None or probability >= least) for name, probability in told)
