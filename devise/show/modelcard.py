"""The model card: what a model is, how it was measured, how good it is and what that does not tell, as Markdown.

It says what manifests, settings and figures tell, and what papers found that it names; knows no tables and no models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

WEAKEST, LEAST_IMAGES = 10, 5
"""Labels that the card names as weakest, and how many images one of them has at least."""
FEW_LABELS = 20
RELATIONS = ("seen", "ancestor", "descendant", "sibling", "unrelated")
SAID = {
    "hit": "hit@k",
    "hit_chance": "blind choice, exactly",
    "hit_shuffled": "the same answers under shuffled names",
    "hit_macro": "hit@k, mean over labels",
    "hp": "hp@k",
    "hp_macro": "hp@k, mean over labels",
    **{f"hit_{relation}": f"hit@k, label is {relation}" for relation in RELATIONS},
    **{f"hp_{relation}": f"hp@k, label is {relation}" for relation in RELATIONS},
    "generalised_seen": "seen images",
    "generalised_zero_shot": "zero-shot images",
    "generalised_harmonic": "harmonic mean",
}
"""What the rows of the metrics are called on the card."""
LIMITS = (
    "- Intervals say what other labels, drawn as these were, would give. They do not hold for labels or pictures of "
    "another kind than the splits': the figures are of these sources alone.",
    "- A figure among a split's own labels is of an easier task than a night's, which has the whole vocabulary.",
    "- A prediction is wrong here unless it is the very label that the source gives, also where it is right of the "
    "picture: a picture shows more than one thing, and a split mostly names one.",
    "- No picture was measured whose label the vocabulary lacks.",
    "- `score` is a cosine, not a probability. `probability`, where there is one, holds for pictures mixed as those it "
    "was calibrated by: of things never seen it says too much, of things seen too little.",
)
OF_IMAGENET = (
    "Shankar et al. (2017, No Classification without Representation) found ImageNet's pictures centred on America and "
    "Europe, and classifiers trained on such sets to differ in accuracy between pictures from different places."
)
FROM_SEEN = "- A zero-shot label is told by the seen classes that it is near to: what these lack, it lacks."
OF_NOUNS = (
    "- Labels and their hierarchy are a dictionary's nouns. Yang et al. (2020, Towards Fairer Datasets) examined "
    "ImageNet's nouns for people, which are WordNet's, and name as sources of harm a vocabulary that stands still, "
    "words that no picture can show, and unequal representation in the pictures."
)
OF_PEOPLE = "What somebody is, does or believes is mostly not to be seen: such a label is no knowledge of that person."


class Split(NamedTuple):
    """What was measured on, and among how many labels."""

    name: str
    source: str
    kind: str
    candidates: str
    n_candidates: int
    n_images: int
    n_labels: int


class Figure(NamedTuple):
    """A row of the metrics."""

    name: str
    split: str
    k: int
    value: float
    low: float
    high: float
    n: int


class Label(NamedTuple):
    """A row of the table of labels."""

    split: str
    label: str
    synset: str | None
    relation: str | None
    n: int
    hit_1: float
    hit_5: float
    confused_with: str | None
    n_confused: int


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the card tells of one run.

    model, vocabulary: the settings of train_model and build_vocabulary, as their manifests have them. n_learned:
    classes and labels that the model learned from. imagenet_classes: of the vocabulary's classes, those of ILSVRC 2012.
    n_people: labels that name a kind of person, None if unknown. correct_sets: split -> k -> mean size.
    """

    run: str
    model_id: str
    vocabulary_id: str
    model_run: str
    vocabulary_run: str
    model: Mapping[str, Any]
    vocabulary: Mapping[str, Any]
    n_labels: int
    n_seen_labels: int
    n_learned: int
    imagenet_classes: int
    n_people: int | None
    splits: Sequence[Split]
    pairs: Sequence[tuple[str, str, str]]
    figures: Sequence[Figure]
    correct_sets: Mapping[str, Mapping[str, float]]
    labels: Sequence[Label]


def write(facts: Facts) -> str:
    """The card, Markdown."""
    parts = [_model(facts), _data(facts), _figures(facts), _weakest(facts), _limits(facts), _biases(facts)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _model(facts: Facts) -> list[str]:
    model, vocabulary = facts.model, facts.vocabulary
    held_out = [f"{len(model['held_out'])} nouns"] if model.get("held_out") else []
    held_out += [f"those of {model['held_out_file']}"] if model.get("held_out_file") else []
    labelled = model.get("labelled")
    rows = [
        ("model", f"{facts.model_id}, of run {facts.model_run}"),
        ("core visual model", model.get("architecture")),
        ("weights", model.get("weights") or "none: trained from scratch on the labelled images"),
        ("projection", f"{model.get('projection')}, loss {model.get('loss')}"),
        ("learned from", f"{facts.n_learned:,} classes or labels"),
        ("labelled images", f"{labelled['source']} ({labelled['kind']})" if labelled else "none"),
        ("kept from training", " and ".join(held_out) or "nothing"),
        ("vocabulary", f"{facts.vocabulary_id}, of run {facts.vocabulary_run}"),
        ("labels", f"{facts.n_labels:,}, of which {facts.n_seen_labels:,} are seen and the others zero-shot"),
        ("word vectors", vocabulary.get("vectors")),
        ("noun hierarchy", vocabulary.get("hierarchy") or "none"),
        ("class table", vocabulary.get("classes") or "none"),
    ]
    return [
        f"# Model card: {facts.model_id}",
        "",
        f"Written by evaluate_model, run {_cell(facts.run)}. docs/quality.md says what each figure is.",
        "",
        "## What it is",
        "",
        "It gives a picture a unit vector in the space of word vectors; the nearest words are its labels.",
        "",
        *_table(("", ""), rows),
    ]


def _data(facts: Facts) -> list[str]:
    heads = ("split", "images", "labels", "ranked among", "from")
    among = {
        "given": "{n:,}: the split's own labels",
        "vocabulary": "{n:,}: the whole vocabulary",
        "listed": "{n:,}: labels listed in the settings",
    }
    rows = [
        (
            *(one.name, f"{one.n_images:,}", f"{one.n_labels:,}", among[one.candidates].format(n=one.n_candidates)),
            f"{one.source} ({one.kind})",
        )
        for one in facts.splits
    ]
    return ["## Data and protocol", "", *_table(heads, rows), *_of_pairs(facts)]


def _of_pairs(facts: Facts) -> list[str]:
    return [
        line
        for name, seen, zero_shot in facts.pairs
        for line in (
            "",
            f"{_cell(name)}: images of {_cell(seen)} (seen) and of {_cell(zero_shot)} (zero-shot), each ranked among "
            "the labels of both.",
        )
    ]


def _figures(facts: Facts) -> list[str]:
    lines = ["## Figures", "", "Percent, with the 95 % interval."]
    for split in [*(one.name for one in facts.splits), *(name for name, _, _ in facts.pairs)]:
        own = [one for one in facts.figures if one.split == split and one.name in SAID]
        ks = sorted({one.k for one in own})
        rows = []
        for name in (name for name in SAID if any(one.name == name for one in own)):
            by_k = {one.k: one for one in own if one.name == name}
            n_images = next(iter(by_k.values())).n
            rows.append((SAID[name], *(_share(by_k[k]) if k in by_k else "" for k in ks), f"{n_images:,}"))
        lines += ["", f"### {_cell(split)}", "", *_table(("", *(f"@{k}" for k in ks), "n"), rows)]
        if sizes := facts.correct_sets.get(split):
            told = ", ".join(f"{size:,.1f} at {k}" for k, size in sizes.items())
            lines += ["", f"Labels in a correct set of hp@k, mean: {told}."]
    recall = [one for one in facts.figures if one.name == "recall"]
    if recall:
        rows = [(one.split, f"@{one.k}", _share(one), f"{one.n:,}") for one in recall]
        lines += ["", "### The index against exact search", "", *_table(("queries", "", "recall", "n"), rows)]
    return lines


def _weakest(facts: Facts) -> list[str]:
    lines = ["## Weakest labels", ""]
    for split in (one.name for one in facts.splits):
        own = [one for one in facts.labels if one.split == split and one.n >= LEAST_IMAGES]
        weakest = sorted(own, key=lambda one: (one.hit_5, one.hit_1, one.label))[:WEAKEST]
        if not weakest:
            continue
        rows = [
            (
                *(one.label, one.relation or "", f"{one.n:,}", f"{one.hit_1:.1%}", f"{one.hit_5:.1%}"),
                f"{one.confused_with} ({one.n_confused:,})" if one.confused_with else "",
            )
            for one in weakest
        ]
        heads = ("label", "relation", "n", "hit@1", "hit@5", "most often taken for")
        lines += [f"### {_cell(split)}", "", *_table(heads, rows), ""]
    if len(lines) == 2:
        lines += [f"No label has {LEAST_IMAGES} images or more.", ""]
    return [
        *lines,
        "Every label is in the table label_metrics; the pages of confusions beside this card show pictures.",
    ]


def _limits(facts: Facts) -> list[str]:
    lines = ["## Limits", "", *LIMITS]
    if few := [one.name for one in facts.splits if one.n_labels < FEW_LABELS]:
        lines.append(
            f"- Fewer than {FEW_LABELS} labels, so that little can be said of others: {', '.join(map(_cell, few))}."
        )
    if not any(one.candidates == "vocabulary" for one in facts.splits):
        lines.append("- No split was ranked among the whole vocabulary.")
    if not facts.pairs:
        lines.append("- Seen and zero-shot labels were not measured against each other (`generalised`).")
    return lines


def _biases(facts: Facts) -> list[str]:
    lines = ["## Known biases", ""]
    if facts.imagenet_classes:
        lines += [f"- {facts.imagenet_classes:,} of its classes are ImageNet's (ILSVRC 2012). {OF_IMAGENET}", FROM_SEEN]
    if facts.vocabulary.get("hierarchy") or facts.vocabulary.get("vectors") == "wordnet":
        lines.append(OF_NOUNS)
    if facts.n_people is not None:
        lines.append(
            f"- {facts.n_people:,} of the {facts.n_labels:,} labels name a person or a kind of person. {OF_PEOPLE}"
        )
    return [*lines, "- No measurement here tells how accuracy differs between groups of people, or between places."]


def _share(one: Figure) -> str:
    if one.low == one.high:
        return f"{100 * one.value:.2f}"
    return f"{100 * one.value:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    return [
        "| " + " | ".join(map(_cell, heads)) + " |",
        "|" + "---|" * len(heads),
        *("| " + " | ".join(map(_cell, row)) + " |" for row in rows),
    ]


def _cell(text: Any) -> str:
    """Text that stays in its cell and means itself: names of splits and files may hold anything."""
    flat = " ".join(str(text).split())
    return "".join(f"\\{letter}" if letter in "\\|`*_[]<>#" else letter for letter in flat)
