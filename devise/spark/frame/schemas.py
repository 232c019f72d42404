"""The columns of every table, once: Spark schemas with a comment a column, and the data dictionary made from them."""

from collections.abc import Sequence

import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

LONG, INT, FLOAT, DOUBLE = LongType(), IntegerType(), FloatType(), DoubleType()
TEXT, TIME, BOOL, BYTES = StringType(), TimestampType(), BooleanType(), BinaryType()
VECTOR = ArrayType(FLOAT, containsNull=False)
TEXTS = ArrayType(TEXT, containsNull=False)
INTS = ArrayType(INT, containsNull=False)


def _table(*columns: tuple[str, DataType, str]) -> StructType:
    return StructType([StructField(name, kind, True, {"comment": comment}) for name, kind, comment in columns])


_ID = ("image_id", LONG, "xxhash64 of the uri with the sign bit cleared, 0 to 2^63 - 1")
_URI = ("uri", TEXT, "where the image is, file:// or s3://, not percent-encoded")
_ETAG = ("etag", TEXT, "the store's tag of this content; on file:// size and mtime in ns")
_MODEL = ("model_id", TEXT, "content hash of the model, 16 hex digits")
_VOCABULARY = ("vocabulary_id", TEXT, "content hash of the vocabulary, 16 hex digits")

IMAGES = _table(
    _ID,
    _URI,
    _ETAG,
    ("size_bytes", LONG, "size of the encoded image"),
    ("modified_at", TIME, "when the store says it was written"),
)
VOCABULARY = _table(
    ("label_id", INT, "row number of the label, 0 to V - 1"),
    ("label", TEXT, "the noun, words separated by spaces"),
    ("synset", TEXT, "id of its synset in the noun hierarchy, null without one"),
    ("synonyms", TEXTS, "other names of the synset"),
    ("vector", VECTOR, "unit word vector, D floats"),
    ("seen", BOOL, "true if the core visual model was trained on this label, false if zero-shot"),
    ("how", TEXT, "the rule that found the vector"),
)
PLAN = _table(
    _ID,
    _URI,
    _ETAG,
    ("size_bytes", LONG, "size of the encoded image; null of a lost one"),
    (
        "state",
        TEXT,
        "todo: to be embedded; collision: another uri has its image_id; found: live from tonight by an embedding of an "
        "earlier run; lost: live before, no longer",
    ),
    ("attempts", INT, "attempts so far for this content; null of a lost one"),
    ("held_in", TEXT, "of a found one, the name of the file of embeddings that holds it"),
)
EMBEDDINGS = _table(
    _ID,
    _URI,
    _ETAG,
    ("embedding", VECTOR, "unit vector in word-vector space, D floats"),
    ("norm", FLOAT, "length of the projection's output before it was made unit"),
    ("width", INT, "pixels, as displayed"),
    ("height", INT, "pixels, as displayed"),
    ("class_ids", INTS, "its ten most probable classes, best first, as places in the list of the weights' classes"),
    ("class_probabilities", VECTOR, "of those classes, 0 to 1; both are null where the model knows no classes"),
    _MODEL,
)
REJECTS = _table(
    _ID,
    _URI,
    _ETAG,
    ("code", TEXT, "reject code, the short reason"),
    ("message", TEXT, "what was found"),
    ("attempts", INT, "attempts so far for this content"),
    _MODEL,
)
THUMBNAILS = _table(
    _ID,
    _ETAG,
    ("webp", BYTES, "the whole image as displayed, at most 256 pixels wide and high, as WebP of at most 24 KiB"),
    ("width", INT, "pixels of the thumbnail"),
    ("height", INT, "pixels of the thumbnail"),
)
FEATURES = _table(
    _ID,
    _URI,
    _ETAG,
    ("features", VECTOR, "pooled output of the frozen core visual model, F floats"),
    ("probabilities", VECTOR, "softmax of its own classification layer, C floats; null without one"),
    ("network_id", TEXT, "content hash of the frozen network and its preprocessing, 16 hex digits"),
)
LABELS = _table(
    _ID,
    _URI,
    ("rank", INT, "1 is the best label"),
    ("label", TEXT, "the noun, words separated by spaces"),
    ("synset", TEXT, "id of its synset in the noun hierarchy, null without one"),
    ("score", FLOAT, "cosine of embedding and word vector, -1 to 1"),
    ("relevance", FLOAT, "what an image's labels are ranked by, in standard deviations of its cosines over all labels"),
    ("probability", FLOAT, "0 to 1, that the label is true of the image; null where the model is not calibrated"),
    ("answer", TEXT, "of rank 1: the most specific noun that is sure enough, a label or a more general one; else null"),
    ("answer_synset", TEXT, "id of the answer's synset"),
    ("answer_probability", FLOAT, "0 to 1, that the answer is true of the image"),
    _MODEL,
    _VOCABULARY,
)
WORD_IMAGES = _table(
    ("label", TEXT, "the noun, words separated by spaces; the table is sorted by it"),
    ("label_id", INT, "row number of the label in the vocabulary"),
    ("synset", TEXT, "id of its synset in the noun hierarchy, null without one"),
    ("rank", INT, "1 is the best image of all that are live"),
    _ID,
    _URI,
    ("score", FLOAT, "cosine of embedding and word vector, -1 to 1"),
    ("relevance", FLOAT, "what a label's images are ranked by: the relevance of the label for the image, as in labels"),
    _MODEL,
    _VOCABULARY,
)
NEIGHBOURS = _table(
    _ID,
    _URI,
    ("rank", INT, "1 is the nearest image"),
    ("neighbour_id", LONG, "image_id of that image"),
    ("neighbour_uri", TEXT, "where it is"),
    ("score", FLOAT, "cosine of the two embeddings, -1 to 1, as the index tells it"),
    ("duplicate", BOOL, "true if the score is at least find_neighbours.duplicate_score: docs/search.md"),
    ("group_id", LONG, "least image_id of the group of near-duplicates that the image is in; null if it has none"),
    _MODEL,
)
RESULTS = _table(
    ("query", TEXT, "the query as it was asked"),
    ("kind", TEXT, "word, words, image or differences: docs/search.md"),
    ("rank", INT, "1 is the best image"),
    _ID,
    _URI,
    ("score", FLOAT, "cosine of the query's vector and the embedding, -1 to 1"),
    ("nprobe", INT, "lists of the index that the query visited, in each shard; null where it has none"),
    (
        "recall",
        DOUBLE,
        "recall@10 of queries of its kind, as measured when nprobe was settled; 1 if exact, null if unknown",
    ),
)
METRICS = _table(
    ("name", TEXT, "hit, hp or recall; hit_macro and so on: docs/quality.md says what each is"),
    ("split", TEXT, "what was measured on: a split's name, that of a pair of splits, or a query kind"),
    ("k", INT, "length of the list looked at"),
    ("value", DOUBLE, "0 to 1"),
    ("low", DOUBLE, "lower end of the 95 % interval"),
    ("high", DOUBLE, "upper end of the 95 % interval"),
    ("n", LONG, "images or queries measured"),
    _MODEL,
    _VOCABULARY,
)

LABEL_METRICS = _table(
    ("split", TEXT, "the split's name"),
    ("label", TEXT, "a true label of its images"),
    ("synset", TEXT, "id of its synset in the noun hierarchy, null without one"),
    (
        "relation",
        TEXT,
        "to the classes that the model learned from: seen, ancestor, descendant, sibling or unrelated; null without a "
        "hierarchy or a synset",
    ),
    ("n", LONG, "its images"),
    ("hit_1", DOUBLE, "hit@1 of these, 0 to 1"),
    ("hit_5", DOUBLE, "hit@5 of these, 0 to 1"),
    ("confused_with", TEXT, "the wrong label that stands first most often, null if none does"),
    ("n_confused", LONG, "images of which it stands first"),
    _MODEL,
    _VOCABULARY,
)

LABEL_COUNTS = _table(
    ("label", TEXT, "a noun that is the answer or the best label of an image"),
    ("n", LONG, "live images of which it is one or both"),
    ("n_first", LONG, "live images of which it is the best label"),
    ("n_new", LONG, "of the n, those that are live from tonight: new, changed or tried again"),
    _MODEL,
    _VOCABULARY,
)
MAP_IMAGES = _table(
    _ID,
    _URI,
    _ETAG,
    ("label", TEXT, "the noun that it is told to show: its answer, else its best label"),
    ("x", FLOAT, "its place on the map of its model, from left to right, without a unit"),
    ("y", FLOAT, "the same from below to above"),
    ("place", INT, "number of the place of the map that it is nearest to, 0 and so on"),
    _MODEL,
)

OUTCOMES = StructType(
    [*EMBEDDINGS.fields[:9], *(REJECTS[name] for name in ("code", "message", "attempts"))],
)
"""What the embed stage returns: an embedding (code null) or a reject (embedding null), one row an image."""

LIVE = _table(
    ("table", TEXT, "name of a table"),
    ("run", TEXT, "one of its live runs"),
    ("published_by", TEXT, "run id of the publication"),
    ("published_at", DOUBLE, "when it was published, in seconds since 1970"),
    ("publication", LONG, "number of the publication, 1 for the first one"),
    ("parent", LONG, "publication that it was built on, 0 if nothing was live"),
    ("restores", LONG, "publication that it is again, by a rollback; 0 of any other"),
)
"""The live pointer, newline JSON, as SQL engines read it: warehouse.pointer.Entry."""

RECEIPTS = _table(
    ("path", TEXT, "file, relative to the run's folder"),
    ("size_bytes", LONG, "size of the file"),
    ("sha256", TEXT, "of the file, 64 hex digits"),
    ("rows", LONG, "rows in the file; -1 if it holds no rows"),
    ("codes", TEXT, "JSON object, reject code -> rows; empty unless the table has codes"),
)
"""What a task says of a file it wrote; never a table."""

TABLES = {
    "images": IMAGES,
    "plan": PLAN,
    "vocabulary": VOCABULARY,
    "embeddings": EMBEDDINGS,
    "rejects": REJECTS,
    "thumbnails": THUMBNAILS,
    "features": FEATURES,
    "labels": LABELS,
    "word_images": WORD_IMAGES,
    "neighbours": NEIGHBOURS,
    "results": RESULTS,
    "label_metrics": LABEL_METRICS,
    "metrics": METRICS,
    "label_counts": LABEL_COUNTS,
    "map_images": MAP_IMAGES,
}

ABOUT = {
    "images": "every object of the corpus, as it was listed",
    "plan": "what the night changed",
    "vocabulary": "the labels there can be, with their word vectors",
    "embeddings": "the vector of every image that has one",
    "rejects": "every image that has no vector, and why",
    "thumbnails": "a small picture of every image that has an embedding, where the nights make them",
    "features": "what the frozen network gives for each labelled image: a cache of training, which is never published",
    "labels": "the best labels of every live image, best first; its answer on the first row",
    "word_images": "the best images of every label, of all that are live, best first",
    "neighbours": "the nearest images of every image, near-duplicates and their groups",
    "results": "answers to the night's queries",
    "label_metrics": "how good the model is, label by label",
    "label_counts": "how many live images each label is told of, for the night's page",
    "map_images": "the images on the map of the night's page, and their places",
    "metrics": "how good the model and the index are",
}


def bare(schema: StructType) -> StructType:
    """The schema without its comments: Spark compares a pandas UDF's result with them, and they do not travel."""
    return StructType([StructField(field.name, field.dataType, True) for field in schema])


def record_batch(columns: Sequence[pa.Array], schema: StructType) -> pa.RecordBatch:
    """Columns in the schema's order, cast to its types: what a worker gives back to Spark."""
    wanted = to_arrow_schema(schema)
    return pa.RecordBatch.from_arrays(
        [column.cast(field.type) for column, field in zip(columns, wanted, strict=True)], schema=wanted
    )


def described() -> dict[str, tuple[str, list[tuple[str, str, str]]]]:
    """Table -> what is in it; name, type in SQL's words and meaning of each column."""

    def told(field: StructField) -> tuple[str, str, str]:
        return field.name, field.dataType.simpleString(), field.metadata["comment"]

    return {table: (ABOUT[table], [told(field) for field in schema]) for table, schema in TABLES.items()}


def data_dictionary() -> str:
    """Markdown: a section a table, a row a column."""
    lines = []
    for table, (about, rows) in described().items():
        lines += [f"#### {table}", "", f"{about[0].upper()}{about[1:]}.", ""]
        lines += ["| column | type | meaning |", "|---|---|---|"]
        lines += [f"| {name} | {kind} | {comment} |" for name, kind, comment in rows]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
