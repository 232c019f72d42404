"""Croissant 1.0 metadata of a publication, JSON-LD; it is handed the facts and knows no warehouse.

The format is MLCommons' (docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html): files with their checksums, and a
record set a table with a field a column. `mlcroissant` reads records by it; a test does.
"""

from typing import Any

from devise.show.published import Published, Table

MOST_FILES = 100
"""Of a table with more each run is a pattern: a large corpus has 10^5 files, whose checksums its manifests have."""
PARQUET = "application/x-parquet"
TYPES = {
    "bigint": "sc:Integer",
    "int": "sc:Integer",
    "float": "sc:Float",
    "double": "sc:Float",
    "string": "sc:Text",
    "boolean": "sc:Boolean",
    "timestamp": "sc:DateTime",
    "binary": "sc:ImageObject",  # thumbnails: bytes of nothing else are in a table
}
PREFIXES = {"cr": "http://mlcommons.org/croissant/", "dct": "http://purl.org/dc/terms/", "sc": "https://schema.org/"}
NAMES = (
    *("citeAs", "column", "extract", "field", "fileObject", "fileProperty", "fileSet", "format", "includes"),
    *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated"),
    *("replace", "samplingRate", "separator", "source", "subField", "transform"),
)
"""Words of the format that are its own, not schema.org's; all of them, for readers compare."""
CONTEXT = {
    "@language": "en",
    "@vocab": PREFIXES["sc"],
    **PREFIXES,
    "rai": "http://mlcommons.org/croissant/RAI/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in NAMES},
}


def describe(facts: Published, about: str, cite_as: str, license: str | None) -> dict[str, Any]:
    """The JSON-LD of a publication. Its paths are relative: it lies where the warehouse's folders do.

    Args:
        about: what the data set is, in a sentence or two.
        cite_as: what to cite.
        license: an SPDX id or a URL; None leaves it out, which readers warn of.
    """
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": facts.name,
        "description": about,
        "url": facts.warehouse,
        "citeAs": cite_as,
        **({"license": license} if license else {}),
        "datePublished": facts.at.isoformat(timespec="seconds"),
        "version": f"{facts.number}.0.0",  # readers want three parts
        "distribution": [part for table in facts.tables for part in _files(table)],
        "recordSet": [_records(table) for table in facts.tables],
    }


def _files(table: Table) -> list[dict[str, Any]]:
    """The set of a table's files, by which records are read, and unless they are very many each by its checksum.

    The set is not said to be contained in the files: mlcroissant 1.1 then reads all of them once for each.
    """
    told = {"@type": "cr:FileSet", "@id": f"{table.name}-files", "encodingFormat": PARQUET, "includes": table.globs}
    if len(table.files) > MOST_FILES:
        return [told]
    objects = [
        {
            "@type": "cr:FileObject",
            "@id": file.path,
            "name": file.path.rpartition("/")[2],
            "contentUrl": file.path,
            "contentSize": f"{file.size_bytes} B",
            "encodingFormat": PARQUET,
            "sha256": file.sha256,
        }
        for file in table.files
    ]
    return [told, *objects]


def _records(table: Table) -> dict[str, Any]:
    about = table.about
    if table.is_chain:
        about += (
            "; also rows of contents that changed or went since: those that are live are in images, by uri and etag"
        )
    run = {
        **_field(table, "run", "string", "id of the run that wrote the row"),
        "source": {
            "fileSet": {"@id": f"{table.name}-files"},
            "extract": {"fileProperty": "fullpath"},
            "transform": {"regex": "^.*run=([^/]+)/.*$"},
        },
    }
    fields = [_field(table, *column) for column in table.columns]
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": about,
        "field": [*fields, run],
    }


def _field(table: Table, name: str, kind: str, meaning: str) -> dict[str, Any]:
    """A column; of an array each record has a list."""
    one = kind.removeprefix("array<").removesuffix(">")
    return {
        "@type": "cr:Field",
        "@id": f"{table.name}/{name}",
        "name": name,
        "description": meaning,
        "dataType": TYPES[one],
        **({"repeated": True} if one != kind else {}),
        "source": {"fileSet": {"@id": f"{table.name}-files"}, "extract": {"column": name}},
    }
