"""Tables that people write, as texts in columns: CSV, tab-separated or Parquet, one file or a folder of parts.

What a file is, its first bytes say, not its name. Text may be gzipped; it is in the encoding of its byte order mark, or
UTF-8 without one. Knows no labels, no queries and no synsets: what a column means is its reader's to say.
"""

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from devise.errors import TableError

Cell = str | list[str] | None
"""A text; several of them (of a Parquet column of lists); or None: absent. An empty text is one."""
ENCODINGS = {  # UTF-32's mark begins with UTF-16's
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
MARKS_OF_WRITERS = ("_", ".")
"""How names begin that are no parts of a folder or archive: `_SUCCESS`, `.part-0.csv.crc`, `__MACOSX`."""


def read_columns(path: str | Path, *names: str) -> list[list[Cell]]:
    """The cells of each of these columns, which the table has once each, beside any others.

    A cell is a text whatever its type in Parquet: dates, numbers and decimals as Arrow prints them, bytes if they are
    UTF-8. Null, and NaN, which pandas writes for it, are absent; a list keeps what is not null.

    Raises:
        TableError: a file that cannot be read as a table, a column that is not there once, a type that is no text.
    """
    columns: list[list[Cell]] = [[] for _ in names]
    for part in _parts(Path(path)):
        for column, cells in zip(columns, _read_part(part, names)[1], strict=True):
            column += cells
    return columns


def read_table(path: str | Path) -> tuple[list[str], list[list[Cell]]]:
    """The header and the rows, all columns as they stand; raises as `read_columns`, and if parts differ in headers."""
    header: list[str] | None = None
    rows: list[list[Cell]] = []
    for part in _parts(Path(path)):
        found, columns = _read_part(part, None)
        if header is not None and found != header:
            raise TableError(f"{part}: found columns {found}, wanted {header} as in the part before")
        header = found
        rows += map(list, zip(*columns, strict=True))
    return header or [], rows


def decode(content: bytes, name: str | Path) -> str:
    """Text by its byte order mark, else as UTF-8; `TableError` if it is neither, or is no text."""
    mark = next((mark for mark in ENCODINGS if content.startswith(mark)), b"")
    encoding = ENCODINGS.get(mark, "utf-8")
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        at = error.start + len(mark)
        raise TableError(
            f"{name}: cannot be read: the bytes {content[at : at + 4].hex(' ')} at {at:,} are no {encoding.upper()}; "
            "wanted Parquet, or text in UTF-8, or in UTF-16 or UTF-32 with a byte order mark"
        ) from None
    if "\0" in text:
        raise TableError(
            f"{name}: cannot be read: a NUL at character {text.index(chr(0)):,}; wanted text, of UTF-16 and UTF-32 "
            "with a byte order mark"
        )
    return text


def _parts(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(entry for entry in path.iterdir() if not entry.name.startswith(MARKS_OF_WRITERS))
    if folders := [entry.name for entry in found if entry.is_dir()]:
        raise TableError(f"{path}: found folders {folders[:3]} in the folder, wanted files alone, the parts of a table")
    if not found:
        raise TableError(f"{path}: found no files in the folder, wanted the parts of a table")
    return found


def _read_part(path: Path, names: Sequence[str] | None) -> tuple[list[str], list[list[Cell]]]:
    """Header and columns of one file: those of `names`, or all."""
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise TableError(f"{path}: cannot be read: {reason}") from None
    if content.startswith(b"PAR1"):
        return _from_parquet(content, path, names)
    return _from_text(decode(content, path), path, names)


def _from_text(text: str, path: Path, names: Sequence[str] | None) -> tuple[list[str], list[list[Cell]]]:
    tabs = "\t" in next((line for line in io.StringIO(text) if line.strip()), "")
    # Between tabs a quote is a letter; between commas it is what may hold a comma.
    form = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {"strict": True}
    reader = csv.reader(io.StringIO(text, newline=""), **form)
    header: list[str] = []
    rows: list[list[str]] = []
    try:
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            if not header:
                header = row
            elif len(row) != len(header):
                raise TableError(f"{path}, line {reader.line_num}: found {len(row)} columns, wanted {len(header)}")
            else:
                rows.append(row)
    except csv.Error as error:
        raise TableError(f"{path}, line {reader.line_num}: {error}") from None
    if not header:
        raise TableError(f"{path}: empty, wanted a table")
    places = range(len(header)) if names is None else _places(header, names, path)
    return header, [[row[place] for row in rows] for place in places]


def _from_parquet(content: bytes, path: Path, names: Sequence[str] | None) -> tuple[list[str], list[list[Cell]]]:
    try:
        table = pq.ParquetFile(pa.BufferReader(content))
        header = table.schema_arrow.names
        wanted = header if names is None else [header[place] for place in _places(header, names, path)]
        _places(header, wanted, path)
        read = table.read(columns=list(wanted))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last for a damaged column's name
        raise TableError(f"{path}: not a readable parquet table: {' '.join(str(error).split())}") from None
    return header, [_texts(read.column(name), f"{path}, column {name}") for name in wanted]


def _places(header: Sequence[str], names: Sequence[str], path: Path) -> list[int]:
    for name in names:
        if (times := list(header).count(name)) != 1:
            found = "no" if times == 0 else f"{times} times"
            raise TableError(f"{path}: found columns {list(header)}, {found} {name!r}; wanted {', '.join(names)} once")
    return [list(header).index(name) for name in names]


def _texts(column: pa.ChunkedArray, where: str) -> list[Cell]:
    kind = column.type
    try:
        if pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), None, column)
        lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        column = column.cast(pa.list_(pa.string()) if lists else pa.string())
        column.validate(full=True)
    except pa.ArrowException as error:
        raise TableError(f"{where}: {kind} that is no text: {' '.join(str(error).split())[:200]}") from None
    cells = column.to_pylist()
    if lists:
        cells = [cell and [text for text in cell if text is not None] for cell in cells]
    if any("\0" in text for cell in cells if cell for text in (cell if lists else [cell])):
        raise TableError(f"{where}: a NUL in a cell, wanted text")
    return cells
