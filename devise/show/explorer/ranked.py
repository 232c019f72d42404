"""A question's answers, ranked once and kept, then shown by the page: folded, cut, with what they share; no HTTP."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from threading import Lock
from typing import Any

from cachetools import LRUCache

from devise.errors import VocabularyError
from devise.search import grammar, query
from devise.search.answers import Hit, Label, Labelled
from devise.search.filters import Filter
from devise.search.grammar import Term
from devise.show.explorer import fits
from devise.show.explorer.corpus import Corpus

MOST = 1_000
"""Answers that are ranked: ten pages."""
LISTED = 200
"""Answers of a single word: what its list holds, which is exact."""
PAGE = 100
"""Answers a page, and those whose labels are counted."""
CHIPS, LEAST_SHARED = 24, 2
KEPT = 128
"""Questions whose answers are kept, of one publication: 0.3 MB each."""
NAME_LETTERS = 120


@dataclass(frozen=True)
class Asked:
    """A question: the query, which images may answer, the least cosine, and whether near-duplicates are folded."""

    text: str
    only: Filter = Filter()
    least: float | None = None
    fold: bool = False

    @classmethod
    def of(cls, text: str, under: str | None, label: str | None, since: date | None, least: float | None, fold: bool):
        return cls(text, Filter(under or None, label or None, since), least, fold)


@dataclass(frozen=True)
class Found:
    """Answers, best first, in columns: so many small objects would make the collector's passes long.

    Attributes:
        folded: near-duplicates of each, ranked behind it, that are not among them.
    """

    image_ids: tuple[int, ...]
    uris: tuple[str, ...]
    scores: tuple[float, ...]
    folded: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.image_ids)

    def rows(self, offset: int, limit: int) -> list[tuple[int, str, float, int]]:
        """image_id, uri, score and folded of some of them."""
        part = slice(offset, offset + limit)
        return list(zip(self.image_ids[part], self.uris[part], self.scores[part], self.folded[part], strict=True))


@dataclass(frozen=True)
class Ranking:
    """All answers to a question, best first, and what they rest on."""

    asked: Asked
    kind: str
    terms: tuple[Term, ...]
    exact: bool
    recall: float | None
    nprobe: int | None
    scores: tuple[float, float] | None
    """The largest and the least, before the answers were cut by one."""
    found: Found
    chips: tuple[tuple[str, int], ...]
    unmet: tuple[str, ...]
    """Words of the query that none of the first answers is likely to show (`fits`)."""

    @property
    def fits(self) -> bool:
        """Whether an answer shows something of what was asked, as far as labels tell."""
        wanted = [term for term in self.terms if term.weight > 0]
        words = {term.text for term in wanted if not term.picture}
        return bool(self.found) and (any(term.picture for term in wanted) or not words or words > set(self.unmet))

    @property
    def told(self) -> str | None:
        """What to tell a person of how well they fit; None where there is nothing to tell."""
        if not self.found:
            if self.scores and self.asked.least is not None:
                return f"Nothing fits: the best score is {self.scores[0]:.2f}, below {self.asked.least:.2f}."
            return "Nothing fits: no picture passes the filters." if self.asked.only else "Nothing fits."
        if self.unmet:
            words = " or ".join(f"“{word}”" for word in self.unmet)
            start = "" if self.fits else "Nothing fits for sure: "
            return f"{start}{'n' if start else 'N'}one of these is likely to show {words}; they are the nearest."
        return None


class Rankings:
    """The rankings of one publication, each made once; any number of threads may ask."""

    def __init__(self, corpus: Corpus):
        self.corpus, self._lock = corpus, Lock()
        self._kept = LRUCache[Asked, Ranking](KEPT)

    def rank(self, asked: Asked) -> Ranking:
        """All answers.

        Raises:
            VocabularyError: the text is no query, a word is unknown or denied, or a picture is not live.
        """
        return self._rank(asked)[0]

    def _rank(self, asked: Asked) -> tuple[Ranking, Mapping[int, Labelled]]:
        """All answers, and labels of the first, where they were looked up for them just now."""
        with self._lock:
            if asked in self._kept:
                return self._kept[asked], {}
        made, labels = _rank(self.corpus, asked)
        with self._lock:
            self._kept[asked] = made
        return made, labels

    def page(self, asked: Asked, offset: int, limit: int) -> dict[str, Any]:
        """Answers from `offset` on, with their labels, as the interface tells them."""
        (ranking, labels), live = self._rank(asked), self.corpus.live
        shown = ranking.found.rows(offset, limit)
        if others := [image_id for image_id, *_ in shown if image_id not in labels]:
            labels = {**labels, **self.corpus.labels_of(others)}
        scores = ranking.scores and {"most": ranking.scores[0], "least": ranking.scores[1]}
        return {
            "publication": live.number,
            "run": live.run,
            "query": asked.text,
            "kind": ranking.kind,
            "exact": ranking.exact,
            "recall": ranking.recall,
            "nprobe": ranking.nprobe,
            "total": len(ranking.found),
            "offset": offset,
            "limit": limit,
            "fits": ranking.fits,
            "told": ranking.told,
            "terms": [told_term(term) for term in ranking.terms],
            "chips": [{"label": label, "count": count} for label, count in ranking.chips],
            "scores": scores,
            "hits": [
                {
                    "rank": offset + place,
                    **told_image(image_id, uri),
                    "score": score,
                    **told_labels(labels.get(image_id)),
                    "alt": alt(labels.get(image_id), score),
                    "folded": folded,
                }
                for place, (image_id, uri, score, folded) in enumerate(shown, start=1)
            ],
        }


def told_image(image_id: int, uri: str) -> dict[str, Any]:
    """An image as the interface names it: its id in digits, for 64 bits are no number of JavaScript's."""
    return {"image_id": str(image_id), "uri": uri, "name": uri.rsplit("/", 1)[-1][:NAME_LETTERS]}


def told_labels(labelled: Labelled | None) -> dict[str, Any]:
    """An image's labels and its answer, as the interface tells them."""
    if labelled is None:
        return {"labels": [], "answer": None, "answer_probability": None}
    return {
        "labels": [told_label(label) for label in labelled.labels],
        "answer": labelled.answer,
        "answer_probability": labelled.answer_probability,
    }


def told_term(term: Term) -> dict[str, Any]:
    return {"text": term.text, "weight": term.weight, "picture": term.picture}


def told_label(label: Label) -> dict[str, Any]:
    return {"label": label.label, "score": label.score, "probability": label.probability}


def alt(labelled: Labelled | None, score: float) -> str:
    """The picture in words, for who does not see it."""
    return f"{labelled.best if labelled else 'a picture'}, score {score:.2f}"


def _rank(corpus: Corpus, asked: Asked) -> tuple[Ranking, dict[int, Labelled]]:
    parsed = query.parse(asked.text)
    asks = {"label": asked.only.label is not None, "since": asked.only.since is not None, "fold": asked.fold}
    for name, reason in corpus.lacks.items():
        if asks[name]:
            raise VocabularyError(f"{name}: cannot be asked for: {reason}")
    k = LISTED if parsed.kind == "word" else MOST
    answer = corpus.searcher.ask(parsed.text, k, picture=corpus.picture, only=asked.only or None)
    scores = [hit.score for hit in answer.hits]
    hits = [hit for hit in answer.hits if asked.least is None or hit.score >= asked.least]
    group_of = corpus.groups_of([hit.image_id for hit in hits]) if asked.fold else {}
    found = _folded(hits, group_of)
    first = corpus.labels_of(found.image_ids[:PAGE])
    own = _own_labels(corpus, parsed.terms)
    made = Ranking(
        *(asked, answer.kind, parsed.terms, answer.exact, answer.recall, answer.nprobe),
        (max(scores), min(scores)) if scores else None,
        found,
        _chips(first.values(), set(own.values())),
        _unmet(corpus, own, [first[image_id] for image_id in found.image_ids if image_id in first]) if first else (),
    )
    return made, first


def _folded(hits: Sequence[Hit], group_of: dict[int, int]) -> Found:
    """The best of each group of near-duplicates; what is in none stands for itself."""
    groups = [group_of.get(hit.image_id, hit.image_id) for hit in hits]
    counts = Counter(groups)
    best: dict[int, Hit] = {}
    for hit, group in zip(hits, groups, strict=True):
        best.setdefault(group, hit)
    columns = zip(*((hit.image_id, hit.uri, hit.score, counts[group] - 1) for group, hit in best.items()), strict=True)
    return Found(*(tuple(columns) if best else ((), (), (), ())))


def _own_labels(corpus: Corpus, terms: Sequence[Term]) -> dict[str, str]:
    """The labels that a query's words, those to be near to, name: word -> label."""
    known = corpus.searcher.vocabulary
    rows = {term.text: known.find_one(term.text) for term in terms if term.weight > 0 and not term.picture}
    return {word: known.labels[row] for word, row in rows.items() if row is not None}


def _chips(labelled: Collection[Labelled], own: set[str]) -> tuple[tuple[str, int], ...]:
    counts = Counter(label.label for each in labelled for label in each.labels if label.label not in own)
    shared = [(label, count) for label, count in counts.items() if count >= LEAST_SHARED]
    return tuple(sorted(shared, key=lambda pair: (-pair[1], pair[0]))[:CHIPS])


def _unmet(corpus: Corpus, own: dict[str, str], answers: Sequence[Labelled]) -> tuple[str, ...]:
    facts = corpus.names.synset_of, corpus.names.ancestry, corpus.names.trained
    return tuple(word for word, label in own.items() if not fits.is_met(label, answers, *facts))


def why(corpus: Corpus, text: str, image_id: int) -> list[dict[str, Any]]:
    """What each term adds to an image's score: cosine of term and image, and its share; shares add up to the score.

    Raises:
        NotLive: no live image has the id. VocabularyError: as of `grammar.query_vector`.
    """
    shares = grammar.share(text, corpus.vector_of(image_id), corpus.searcher.lookup, corpus.picture)
    return [{**told_term(term), "cosine": cosine, "share": share} for term, cosine, share in shares]
