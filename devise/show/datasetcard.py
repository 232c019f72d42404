"""`devise card`: README.md and croissant.json of what is live, beside its tables; reads no row, and knows no Spark."""

import json
from typing import Any

import yaml

from devise.errors import ConfigError
from devise.show import croissant, published
from devise.show.published import Known, Published, Table
from devise.store import storage

CARD, METADATA = "README.md", "croissant.json"
OURS = "<!-- written by `devise card` -->"
"""Stands in every card: a file of that name without it is somebody else's."""
PAPER = (
    "Frome et al., DeViSE: A Deep Visual-Semantic Embedding Model, NIPS 2013 (the method); "
    "the pictures are those of their owners"
)
SIZES = ("K", "M", "B", "T")


def write(warehouse: str, known: Known, out: str | None, license: str | None) -> list[str]:
    """Write both files; a line each of what was written.

    Args:
        known: every table that a publication may have.
        out: folder to write into; default the warehouse, to whose root the paths in both files are relative.
        license: of the tables, an SPDX id or a URL; None says unknown.

    Raises:
        ConfigError: where the card goes lies a README.md that this command did not write.
        ManifestError: nothing is published, or a run that the pointer names is gone.
    """
    facts = published.find(warehouse, known)
    place = storage.normalise(out or warehouse)
    uri = storage.join(place, CARD)
    there = storage.read_tagged(uri)
    if there is not None and OURS.encode() not in there[0]:
        raise ConfigError(f"{uri}: found a file that `devise card` did not write, wanted none, or another --out")
    about = sentence(facts)
    metadata = croissant.describe(facts, about, PAPER, license)
    storage.write_bytes(storage.join(place, METADATA), (json.dumps(metadata, indent=1) + "\n").encode())
    storage.write_bytes(uri, card(facts, license).encode())
    n_files = sum(len(table.files) for table in facts.tables)
    return [
        f"{uri}: card of publication {facts.number}, {len(facts.tables)} tables",
        f"{storage.join(place, METADATA)}: Croissant 1.0, {n_files:,} files"
        + ("" if license else "; no license is said in it: --license"),
    ]


def sentence(facts: Published) -> str:
    """What the data set is."""
    n = f"{facts.counts['listed']:,} images" if facts.counts else "a corpus of images"
    return (
        f"Labels, embeddings and search results of {n}, made by a model: publication {facts.number} of "
        f"{facts.name}, run {facts.run}. The images are named by uri and are not in it."
    )


def card(facts: Published, license: str | None) -> str:
    """The card, Markdown below a YAML head."""
    parts = [_head(facts, license), _what(facts), _tables(facts), _how(facts), _reading(facts), _limits()]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def size_category(n: int) -> str:
    """The hub's name of a number of rows: `n<1K`, `1K<n<10K` and so on to `n>1T`."""
    if n < 1_000:
        return "n<1K"
    steps = [f"{lead}{size}" for size in SIZES for lead in (1, 10, 100)][: 3 * len(SIZES) - 2]
    place = len(str(n)) - 4
    return f"{steps[place]}<n<{steps[place + 1]}" if place + 1 < len(steps) else f"n>{steps[-1]}"


def _head(facts: Published, license: str | None) -> list[str]:
    told: dict[str, Any] = {
        "pretty_name": facts.name,
        "license": license or "unknown",
        "tags": ["zero-shot", "image-labels", "embeddings", "devise"],
        "task_categories": ["zero-shot-image-classification", "image-feature-extraction"],
        "configs": [
            {
                "config_name": table.name,
                "data_files": [{"split": "live", "path": table.globs}],
                **({"default": True} if table.name == "labels" else {}),
            }
            for table in facts.tables
        ],
    }
    if facts.counts:
        told["size_categories"] = [size_category(facts.counts["listed"])]
    return ["---", yaml.safe_dump(told, sort_keys=False, allow_unicode=True).rstrip(), "---", OURS]


def _what(facts: Published) -> list[str]:
    lines = [f"# {facts.name}", "", sentence(facts)]
    if facts.counts:
        listed, embedded, rejected = (facts.counts[name] for name in ("listed", "embedded", "rejected"))
        lines += [
            "",
            f"Of {listed:,} images {embedded:,} have an embedding and labels; {rejected:,} could not be read and are "
            "in `rejects`, each with its reason.",
        ]
    return lines


def _tables(facts: Published) -> list[str]:
    lines = [
        "## Tables",
        "",
        "Parquet, one folder a run; `run` is in the path.",
        "",
        "| table | what is in it | rows | files | bytes | runs |",
        "|---|---|---|---|---|---|",
    ]
    for table in facts.tables:
        size_bytes = sum(file.size_bytes for file in table.files)
        runs = table.runs[-1] if len(table.runs) == 1 else f"{table.runs[0]} to {table.runs[-1]} ({len(table.runs)})"
        cells = (f"`{table.name}`", table.about, f"{table.rows:,}", f"{len(table.files):,}", f"{size_bytes:,}")
        lines.append("| " + " | ".join((*cells, runs)) + " |")
    if chained := [f"`{table.name}`" for table in facts.tables if table.is_chain]:
        lines += [
            "",
            f"{' and '.join(chained)} also hold rows of contents that changed or went since. Those that are live are "
            "in `images`, by uri and etag.",
        ]
    for table in facts.tables:
        lines += ["", f"### {table.name}", "", *_columns(table)]
    return lines


def _columns(table: Table) -> list[str]:
    rows = [f"| `{name}` | {kind} | {meaning} |" for name, kind, meaning in table.columns]
    return ["| column | type | meaning |", "|---|---|---|", *rows]


def _how(facts: Published) -> list[str]:
    known = [
        f"- publication {facts.number}, run {facts.run}, {facts.at:%Y-%m-%d %H:%M} UTC, code {facts.code_version}",
        *([f"- model {facts.model_id}"] if facts.model_id else []),
        *([f"- vocabulary {facts.vocabulary_id}"] if facts.vocabulary_id else []),
    ]
    known.append(
        f"- how good it is, measured: [{facts.model_card.rpartition('/')[2]}]({facts.model_card})"
        if facts.model_card
        else "- how good it is was not measured in this publication"
    )
    return [
        "## How it was made",
        "",
        "Every image went through a CNN and a projection into the space of word vectors (DeViSE, Frome et al. 2013). "
        "Its labels are the nearest nouns of the vocabulary, also such as no picture was ever labelled with. Each "
        "run's `_manifest.json` has its inputs, settings, and the sha256 of every file.",
        "",
        *known,
    ]


def _reading(facts: Published) -> list[str]:
    name = "labels" if facts.table("labels") else facts.tables[0].name
    return [
        "## Reading it",
        "",
        "Here, where this file and `croissant.json` lie beside the tables' folders:",
        "",
        "```sql",
        f"SELECT * FROM read_parquet({facts.table(name).globs}, hive_partitioning = true) LIMIT 10",
        "```",
        "",
        "```python",
        "import mlcroissant",
        f'mlcroissant.Dataset("croissant.json").records("{name}")',
        "```",
    ]


def _limits() -> list[str]:
    return [
        "## Limits",
        "",
        "- Labels are a model's predictions, not the truth, and nobody has looked at them one by one. `score` and "
        "`relevance` order them; `probability` says how often such a label is true, where the model is calibrated.",
        "- The model's own biases are in the labels: it learned from the pictures and nouns that its card names, and "
        "is surer of what is common there.",
        "- Uris name files and folders, and may tell what is private. Embeddings tell what a picture shows: treat them "
        "as you treat the pictures.",
        "- The pictures are not part of it, and their rights are their owners'.",
        "- It is unfit for decisions about people.",
    ]
