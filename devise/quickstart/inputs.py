"""Whether the files that a night's settings name can be read and fit each other; a line each, and no pictures.

Words are looked up where that is cheap (`look.finder`); where it is not, that is said.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from devise.config import (
    EvaluateConfig,
    IndexConfig,
    JobConfig,
    LabelledConfig,
    SearchConfig,
    TrainConfig,
    VocabularyConfig,
)
from devise.errors import ConfigError, DeviseError, ModelError, VocabularyError
from devise.quickstart import look
from devise.store import scratch, storage
from devise.store.checks import Finding
from devise.store.sampling import Sample
from devise.words.nouns import Finder

N_TOLD = 5


def examine(found: Mapping[str, JobConfig], sample: Sample | None) -> Iterator[Finding]:
    """Checks of vectors, hierarchy, classes, weights, labelled sets and queries, of the sections that are there.

    Args:
        sample: of the corpus, which says how many images there are; None where it could not be listed.
    """
    vocabulary: VocabularyConfig | None = found.get("build_vocabulary")
    train: TrainConfig | None = found.get("train_model")
    search: SearchConfig | None = found.get("search_images")
    evaluate: EvaluateConfig | None = found.get("evaluate_model")
    n_classes = None
    if vocabulary is not None:
        yield from _one("vectors", lambda: _vectors(vocabulary, sample, found.get("build_index")))
        if vocabulary.hierarchy is not None:
            yield from _one("hierarchy", lambda: _hierarchy(vocabulary.hierarchy))
        if vocabulary.classes is not None:
            n_classes = yield from _classes(vocabulary.classes)
    if train is not None:
        yield from _one("weights", lambda: _weights(train, vocabulary, n_classes))
        if train.held_out_file is not None:
            yield from _one("held_out_file", lambda: _held_out(train.held_out_file))
        if train.labelled is not None:
            yield from _labelled("train_model.labelled", train.labelled, vocabulary)
    for split in evaluate.splits if evaluate is not None else ():
        yield from _labelled(f"evaluate_model, split {split.name}", split.labelled, vocabulary)
    if evaluate is not None and evaluate.hierarchy is not None:
        yield from _one("evaluate_model.hierarchy", lambda: _hierarchy(evaluate.hierarchy))
    if (labels := found.get("label_images")) is not None:
        if labels.candidates is not None:
            yield from _one("candidates", lambda: _candidates(labels.candidates, vocabulary))
        yield from _one("deny", lambda: _denied(labels.deny))
    if search is not None:
        yield from _one("queries", lambda: _queries(search, vocabulary))


def _one(what: str, work: Callable[[], list[Finding]]) -> Iterator[Finding]:
    try:
        yield from work()
    except DeviseError as error:
        yield Finding("fault", f"{what}: {error}")


def _vectors(config: VocabularyConfig, sample: Sample | None, index: IndexConfig | None) -> list[Finding]:
    """The head of the vectors, and the memory that so many words and images take."""
    head, size = look.vectors(look.place_of(config.vectors, "VECTORS"))
    found = [look.told_of_vectors(head, size, config.vectors)]
    if config.nouns == "vectors" and (head.n_words or 0) > look.MOST_NOUNS:
        how = "wanted nouns: hierarchy: else names, verbs and misspellings are labels too"
        found.append(Finding("warning", f"vectors: {head.n_words:,} words, each of them a label; {how}"))
    n_words = head.n_words if config.nouns == "vectors" else look.MOST_NOUNS
    n_images, whole = (sample.n_listed, sample.whole) if sample is not None else (0, False)
    found.append(look.told_of_memory(n_words, head.dim, n_images, whole))
    if index is not None and n_images:
        from devise.search import kinds

        kind = kinds.choose_kind(n_images, head.dim, index.memory_bytes, index.kind)
        found.append(Finding("ok", f"index: {kind.factory} for {'' if whole else 'more than '}{n_images:,} images"))
    return found


def _hierarchy(setting: str) -> list[Finding]:
    tree = look.nouns_of(setting)
    linked = sum(bool(above) for above in tree.hypernyms.values())
    return [Finding("ok", f"hierarchy {setting}: {len(tree.members):,} synsets, {linked:,} of them below another")]


def _classes(setting: str) -> Iterator[Finding]:
    """The number of classes, where the table can be read."""
    from devise.words.classes import read_classes

    try:
        classes = read_classes(scratch.localise_table(look.place_of(setting, "CLASSES")))
    except DeviseError as error:
        yield Finding("fault", f"classes: {error}")
        return None
    yield Finding("ok", f"classes {setting}: {len(classes):,}, from {classes[0].name} to {classes[-1].name}")
    return len(classes)


def _weights(train: TrainConfig, vocabulary: VocabularyConfig | None, n_classes: int | None) -> list[Finding]:
    """The weights load into the architecture, and its outputs are as many as the classes."""
    from devise.learning.fitting import open_core

    core = open_core(train)
    convex = train.projection == "convex" and train.weights is not None
    if convex and vocabulary is not None and vocabulary.classes is None:
        raise ModelError("projection convex starts from the weights' classes: found no build_vocabulary.classes")
    if convex and n_classes is not None and core.n_classes != n_classes:
        told = f"{train.architecture} has {core.n_classes} outputs and build_vocabulary.classes {n_classes} rows"
        raise ModelError(f"found {told}, wanted one row an output, in order")
    told = (
        f"{train.weights} fit {train.architecture}" if train.weights else f"none: {train.architecture} is trained anew"
    )
    return [Finding("ok", f"weights: {told}, {core.n_features} features")]


def _denied(setting: str) -> list[Finding]:
    from devise.search.vocabularies import find_denied
    from devise.words.denied import Denied

    path = find_denied(setting)
    told = f"{len(Denied.load(path).reasons):,} words and synsets" if path is not None else "nothing"
    return [Finding("ok", f"deny {setting}: {told} are never told")]


def _held_out(setting: str) -> list[Finding]:
    from devise.learning.labelled import folder_names

    uri, _, group = setting.partition("#")
    nouns = set(folder_names(_json(uri), group or None, uri).values())
    return [Finding("ok", f"held_out_file: {len(nouns)} nouns")]


def _json(uri: str) -> dict:
    import json

    try:
        return json.loads(storage.read_bytes(storage.normalise(uri)))
    except ValueError as error:
        raise ConfigError(f"{uri}: no JSON: {error}") from None


def _labelled(what: str, config: LabelledConfig, vocabulary: VocabularyConfig | None) -> Iterator[Finding]:
    yield from _one(what, lambda: _labelled_set(what, config, vocabulary))


def _labelled_set(what: str, config: LabelledConfig, vocabulary: VocabularyConfig | None) -> list[Finding]:
    """The set is there, and what its labels are called is known."""
    from devise.learning import labelled
    from devise.words.classes import read_classes

    source = storage.normalise(config.source)
    if config.kind == "folders":
        below, _ = storage.list_level(source)
        folders = [uri.rsplit("/", 1)[-1] for uri in below]
        if not folders:
            raise ConfigError(f"{config.source}: found no folders in it, wanted one a label")
        names = labelled.folder_names(_json(config.names), config.only, config.names) if config.names else None
        texts = [text for uri in below for text in labelled.labels_from_folder(f"{uri}/x", source, names)]
        if not texts:
            raise ConfigError(f"{config.names}: names none of the {len(folders)} folders of {config.source}")
        told = f"{len(texts)} of {len(folders)} folders have a label"
    elif config.kind == "wnids":
        classes = read_classes(scratch.localise_table(look.place_of(config.names, "CLASSES")))
        if next(storage.list_files(source), None) is None:
            raise ConfigError(f"{config.source}: found nothing below it, wanted pictures")
        texts, told = [one.name for one in classes], f"{len(classes)} wnids are named"
    elif config.kind == "images":
        if next(storage.list_files(source), None) is None:
            raise ConfigError(f"{config.source}: found nothing below it, wanted pictures")
        return [Finding("ok", f"{what}: pictures without labels, of which ConSE is the teacher")]
    else:
        pairs = labelled.read_pairs(scratch.localise_table(source))
        texts = sorted({text for _, own in pairs for text in own})
        told = f"{len(pairs):,} pictures of {len(texts):,} labels"
    return [_known(what, told, texts, vocabulary)]


def _known(what: str, told: str, texts: list[str], vocabulary: VocabularyConfig | None) -> Finding:
    """Whether labels have a vector of their own, where that is cheap to say."""
    finder = _finder(texts, vocabulary)
    if finder is None:
        return Finding("ok", f"{what}: {told}; not looked up in the vectors: they are far or large")
    unknown = [text for text in dict.fromkeys(texts) if finder.own(text) is None]
    if len(unknown) == len(set(texts)):
        raise VocabularyError(f"{told}; none of them has a vector, {', '.join(unknown[:N_TOLD])} first")
    if unknown:
        more = (
            f"{len(unknown)} have no vector of their own ({', '.join(unknown[:N_TOLD])}): their pictures are left out"
        )
        return Finding("warning", f"{what}: {told}; {more} unless a synonym has one")
    return Finding("ok", f"{what}: {told}, each with a vector")


def _candidates(texts: list[str], vocabulary: VocabularyConfig | None) -> list[Finding]:
    """Each is a label, where that is cheap to say: one that is none ends label_images."""
    found = _known("label_images.candidates", f"{len(texts)} labels", texts, vocabulary)
    if found.state != "ok" and vocabulary.nouns == "vectors":
        return [Finding("fault", f"{found.text}; wanted labels alone")]
    return [found]


def _finder(texts: list[str], vocabulary: VocabularyConfig | None) -> Finder | None:
    if vocabulary is None:
        return None
    uri = look.place_of(vocabulary.vectors, "VECTORS")
    found = storage.stat(uri)
    return look.finder(texts, uri, found.size_bytes) if found is not None else None


def _queries(search: SearchConfig, vocabulary: VocabularyConfig | None) -> list[Finding]:
    """Each can be parsed, its words are known where that is cheap, and its pictures are there."""
    from devise.search import grammar, query
    from devise.words.texttables import read_columns

    texts = list(search.queries)
    if search.queries_file is not None:
        (cells,) = read_columns(scratch.localise_table(storage.normalise(search.queries_file)), "query")
        texts += [cell for cell in cells if isinstance(cell, str) and cell.strip()]
    asked, found = [], []
    for text in texts:
        try:
            asked.append(query.parse(text))
        except VocabularyError as error:
            found.append(Finding("fault", f"queries: {error}"))
    for one in asked:
        gone = [uri for uri in one.uris if storage.stat(uri) is None]
        found += [Finding("fault", f"queries: {grammar.no_picture(one.text, uri)}") for uri in gone]
    terms = [term.text for one in asked for term in one.terms if not term.picture]
    finder = _finder(terms, vocabulary) if terms else None
    if finder is not None:

        def lookup(term: str) -> np.ndarray | None:
            match = finder.own(term) or (finder.compose(term) if search.vectors else None)
            return match.vector if match else None

        for one in asked:
            try:
                if one.uris:  # what its terms add up to is known to the network alone
                    for term in (term for term in one.terms if not term.picture):
                        grammar.find_word(one.text, term, lookup)
                else:
                    grammar.query_vector(one.text, lookup)
            except VocabularyError as error:
                state = "warning" if search.vectors is not None or vocabulary.nouns == "hierarchy" else "fault"
                found.append(Finding(state, f"queries: {error}"))
    rest = "" if finder is not None or not terms else "; words were not looked up: the vectors are far or large"
    pictured = sum(bool(one.uris) for one in asked)
    well = Finding("ok", f"queries: {len(asked) - pictured} of words, {pictured} with pictures{rest}")
    return [*found, *([well] if not found else [])]
