"""How good the model is on labelled images, and recall@k of the index; the figures are `learning.figures`'s."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame

from devise.config import EvaluateConfig, SplitConfig
from devise.errors import TrainingError, VocabularyError
from devise.facts import shipped
from devise.learning.labelled import find_labels
from devise.learning.metrics import interval
from devise.search import shards
from devise.search.vocabularies import read_card, read_class_synsets, read_labels
from devise.spark.frame import schemas, tables
from devise.spark.frame.columns import refuse_other_dims
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import find_live, read_embeddings
from devise.spark.stages import judged, recall
from devise.spark.stages.judged import Confusion
from devise.spark.stages.labelled import input_files, labelled_images
from devise.warehouse.manifest import Manifest

if TYPE_CHECKING:
    import numpy as np

    from devise.learning.figures import Figure, LabelSums
    from devise.learning.relations import Relations
    from devise.words.vocabulary import Vocabulary

RECALL_SETTINGS = ("recall_queries", "seed")
"""Settings that decide which queries recall is measured with."""
SAID = ("hit", "hp", "generalised_harmonic", "recall")
"""Figures that are printed."""
OF_LABELS = (1, 5)
"""List lengths of the table of labels."""
PAIRS, PICTURES = 24, 4
"""Worst confusions of a split that the page shows, and pictures of each."""


@dataclass
class Split:
    """A labelled set among the embedded images: the staged rows, what may be predicted, and what was found."""

    config: SplitConfig
    rows: DataFrame
    own: "np.ndarray"
    """Label ids of its images."""
    candidates: "np.ndarray | None"
    n_candidates: int
    sums: "LabelSums"
    commonest: dict[int, tuple[int, int]]
    worst: list[Confusion]


@dataclass
class Measured:
    """What a run of the job has found."""

    metrics: DataFrame
    labels: DataFrame
    rows: list[tuple]
    label_rows: list[tuple]
    splits: list[Split] = field(default_factory=list)
    known: "Vocabulary | None" = None
    relations: "Relations | None" = None


def outside_files(config: EvaluateConfig) -> list[str | None]:
    """The hierarchy and the labelled images, as a manifest calls them."""
    return [
        shipped.tag("hierarchy", config.hierarchy),
        *(file for split in config.splits for file in input_files(split.labelled)),
    ]


def measure_split(task: Task, live: DataFrame, number: int, known: "Vocabulary", ks: Sequence[int]) -> Split:
    """Judge one labelled set.

    Args:
        live: the rows of `find_live`.
        number: the split's place among those of the settings.
        ks: list lengths, ascending.

    Raises:
        TrainingError: no labelled image is among the embedded ones, or no label is known.
    """
    config: EvaluateConfig = task.config
    split = config.splits[number]
    labelled = labelled_images(task.spark, split.labelled).select("image_id", "uri", "texts")
    chosen = task.stage(live.join(labelled, on=["image_id", "uri"], how="inner"), f"split-{number}-live")
    rows = read_embeddings(task, chosen).join(chosen.select("image_id", "texts"), on="image_id", how="inner")
    rows = task.stage(rows.select(*judged.ASKED), f"split-{number}")
    given = [row.texts for row in rows.select("texts").distinct().collect()]  # a few thousand names at most
    alternatives = split.labelled.kind == "wnids"
    try:
        own = find_labels(given, known.find_one, alternatives)
    except TrainingError:
        raise TrainingError(
            f"split {split.name}: no labelled image is among the embedded ones, or no label is known"
        ) from None
    candidates = None
    if split.candidates == "given":
        candidates = own
    elif split.candidates != "vocabulary":
        candidates = known.find(split.candidates)
    n_candidates = len(known.labels) if candidates is None else len(set(candidates.tolist()))
    found = judged.judge(rows, config, task.input("vocabulary"), task.input("model"), ks, alternatives, candidates)
    found = task.stage(found, f"split-{number}-judged")
    confusions = judged.count_confusions(found)
    return Split(
        split,
        rows,
        own,
        candidates,
        n_candidates,
        judged.sum_labels(found, ks, n_candidates),
        judged.commonest_confusion(confusions),
        judged.worst_confusions(found, confusions, PAIRS, PICTURES),
    )


def measure_pairs(task: Task, splits: Sequence[Split]) -> list[tuple[str, "Figure"]]:
    """Generalised zero-shot accuracy of each pair of splits: both sides ranked among the labels of both."""
    import numpy as np

    from devise.learning import figures

    config: EvaluateConfig = task.config
    flat_config = config.model_copy(update={"hierarchy": None})  # hits alone are asked for
    by_name, ks, found = {split.config.name: split for split in splits}, sorted(config.ks), []
    words_and_model = task.input("vocabulary"), task.input("model")
    for pair in config.generalised:
        sides = [by_name[pair.seen], by_name[pair.zero_shot]]
        candidates = np.union1d(*(side.own for side in sides)).astype(np.int32)
        sums = []
        for side in sides:
            given = (side.config.labelled.kind == "wnids", candidates)
            flat = judged.judge(side.rows, flat_config, *words_and_model, ks, *given)
            sums.append(judged.sum_labels(flat, ks, len(candidates)))
        found += [(pair.name, figure) for figure in figures.generalised(*sums, ks, config.seed)]
    return found


def find_relations(task: Task, known: "Vocabulary") -> "Relations | None":
    """Where labels lie with regard to the classes that the model learned from; None without a hierarchy."""
    from devise.learning.relations import Relations
    from devise.words.ancestry import Ancestry
    from devise.words.synsets import read_hierarchy

    config: EvaluateConfig = task.config
    if config.hierarchy is None:
        return None
    tree = read_hierarchy(judged.hierarchy_file(config.hierarchy))
    card = read_card(config.warehouse, task.input("model"))
    classes = read_class_synsets(config.warehouse, task.input("vocabulary"))
    synset_of = dict(zip(known.labels, known.synsets, strict=True))
    seen = [classes[name][1] if name in classes else synset_of.get(name) for name in card["seen"]]
    return Relations(Ancestry(tree.hypernyms, known.synsets), [synset for synset in seen if synset is not None])


def refuse_unknown_candidates(config: EvaluateConfig, vocabulary: Manifest) -> None:
    """`VocabularyError` if a split lists a candidate that no label is found for: it would be left out unseen."""

    for split in config.splits:
        if isinstance(split.candidates, list):
            known = read_labels(config.warehouse, vocabulary)
            try:
                known.find(split.candidates)
            except VocabularyError as error:
                raise VocabularyError(f"split {split.name}: {error}") from None


def evaluate_index(task: Task, embeddings: DataFrame, vocabulary: DataFrame, chain: Sequence[Manifest]) -> list[tuple]:
    """recall@k by query kind over a chain of runs, as rows of schemas.METRICS; the figures go into the manifest too."""
    config: EvaluateConfig = task.config
    newest, parts = chain[-1], shards.in_warehouse(config.warehouse, chain)
    refuse_other_dims(newest.details["dim"], task.input("vocabulary").details["dim"])
    queries = recall.draw_queries(embeddings, vocabulary, config.recall_queries, config.seed, "measure")
    exact = recall.exact_neighbours(embeddings, queries, 10)
    by_k = recall.measure_recall(task.spark, queries, exact, parts, newest.details["nprobe"], (1, 10))
    task.details |= {"recall": {}, "recall_of": newest.details["base"]}
    rows = []
    for k, found in by_k.items():
        task.details["recall"][str(k)] = {kind: value for kind, (value, _) in found.items()}
        rows += [
            ("recall", kind, k, value, *interval(value, n * k), n, task.model_id, task.vocabulary_id)
            for kind, (value, n) in found.items()
        ]
    return rows


def carry_recall(task: Task, chain: Sequence[Manifest]) -> list[tuple] | None:
    """The recall measured before on the chain's base with the same queries, or None: then it has to be measured.

    To measure it reads every embedding; a delta changes the lists' effort no more than its few rows do.
    """
    config, base = task.config.settings(), chain[0].run
    if len(chain) == 1 or not task.inputs["metrics"]:
        return None
    before = task.input("metrics")
    same = all(before.config.get(key) == config[key] for key in RECALL_SETTINGS)
    of = (before.model_id, before.vocabulary_id, before.details.get("recall_of"))
    if not same or of != (task.model_id, task.vocabulary_id, base):
        return None
    say("evaluate_model", f"recall as run {before.run} has it: tonight's index is a delta on the same base, {base}")
    task.details |= {"recall": before.details["recall"], "recall_of": base}
    rows = tables.read(task.spark, task.config.warehouse, [before], schemas.METRICS).where("name = 'recall'")
    return [tuple(row) for row in rows.orderBy("k", "split").collect()]


def evaluate(task: Task) -> Measured:
    """All figures of a run, printed: rows of schemas.METRICS and of schemas.LABEL_METRICS."""
    from devise.learning import figures

    config: EvaluateConfig = task.config
    refuse_unknown_candidates(config, task.input("vocabulary"))
    chain = shards.chain(task.inputs["index"])
    if chain and chain[-1].run != config.run:
        chain = []  # there was no index built tonight
    carried = carry_recall(task, chain) if chain else None
    live = find_live(task)
    if config.splits or (chain and carried is None):
        live = task.stage(live, "live")
    ids, rows, label_rows = (task.model_id, task.vocabulary_id), [], []
    splits, known, relations = [], None, None
    if config.splits:
        known = read_labels(config.warehouse, task.input("vocabulary"))
        relations = find_relations(task, known)
        ks = sorted({*config.ks, *OF_LABELS})
        asked = [ks.index(k) for k in sorted(config.ks)]
        splits = [measure_split(task, live, number, known, ks) for number in range(len(config.splits))]
        for split in splits:
            of = [relations.of(known.synsets[number]) if relations else None for number in split.sums.label_id_C]
            sums = split.sums.at(asked)
            rows += [
                (one.name, split.config.name, *one[1:], *ids)
                for one in figures.figures(sums, sorted(config.ks), of, config.seed)
            ]
            label_rows += _label_rows(split, known, of, [ks.index(k) for k in OF_LABELS], ids)
            task.details.setdefault("candidates", {})[split.config.name] = split.n_candidates
            task.details.setdefault("correct_sets", {})[split.config.name] = figures.mean_sizes(sums, sorted(config.ks))
        rows += [(one.name, name, *one[1:], *ids) for name, one in measure_pairs(task, splits)]
    if carried is not None:
        rows += carried
    elif chain:
        embeddings = task.stage(read_embeddings(task, live), "embeddings")  # recall reads them several times
        rows += evaluate_index(task, embeddings, task.read("vocabulary"), chain)
    for name, split, k, value, low, high, n, *_ in rows:
        if name in SAID:  # the others are in the table and on the model card
            say("evaluate_model", f"{name:<20} {split:<24} @{k:<3} {value:7.4f}  [{low:.4f}, {high:.4f}]  n = {n:,}")
    return Measured(
        task.spark.createDataFrame(rows, schemas.METRICS),
        task.spark.createDataFrame(label_rows, schemas.LABEL_METRICS),
        *(rows, label_rows, splits, known, relations),
    )


def _label_rows(
    split: Split, known: "Vocabulary", relation_C: Sequence[str | None], at: Sequence[int], ids: tuple
) -> list[tuple]:
    found = []
    for place, number in enumerate(split.sums.label_id_C.tolist()):
        n = int(split.sums.n_C[place])
        hits = [float(split.sums.hits_CR[place, column] / n) for column in at]
        other, n_confused = split.commonest.get(number, (None, 0))
        confused_with = None if other is None else known.labels[other]
        of = (known.labels[number], known.synsets[number], relation_C[place])
        found.append((split.config.name, *of, n, *hits, confused_with, n_confused, *ids))
    return found
