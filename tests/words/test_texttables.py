"""Tables that people write: any encoding, any type, a file or a folder of parts; what is none is one line."""

import datetime
import decimal
import gzip
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devise.errors import TableError, VocabularyError
from devise.words.classes import read_classes
from devise.words.nouns import fold
from devise.words.synsets import read_hierarchy
from devise.words.texttables import decode, read_columns, read_table

TABLE = 'uri,label\na.jpg,"café, bar"\nb.jpg,007\n'
READ = [["a.jpg", "b.jpg"], ["café, bar", "007"]]


@pytest.fixture
def fed(tmp_path):
    def write(content):
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_text_is_read_by_its_byte_order_mark_else_as_utf_8(fed, encoding, pack, end):
    assert read_columns(fed(pack(TABLE.replace("\n", end).encode(encoding))), "uri", "label") == READ


def test_utf_16_of_the_other_order_is_told_by_its_mark():
    assert decode(b"\xfe\xff\x00a\x00b", "x") == "ab" and decode(b"\x00\x00\xfe\xff\x00\x00\x00a", "x") == "a"


def test_tabs_or_commas_are_told_by_the_header_and_between_tabs_a_quote_is_a_letter(fed):
    assert read_table(fed('id\tsaid\nx\t"a, b\n')) == (["id", "said"], [["x", '"a, b']])
    assert read_table(fed('id,said\nx,"a\tb\nc"\n')) == (["id", "said"], [["x", "a\tb\nc"]])


def test_other_columns_do_not_count_whatever_is_in_them(fed):
    assert read_columns(fed("n,query,n\n1,ship,\n1.5,NA,x\n,,2024-02-30\n"), "query") == [["ship", "NA", ""]]


DAY = datetime.date(2024, 1, 1)


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        (pa.array([0, None, 7]), ["0", None, "7"]),
        (pa.array([0.0, float("nan"), 2.5]), ["0", None, "2.5"]),
        (pa.array([decimal.Decimal("1.50"), None]), ["1.50", None]),
        (pa.array([DAY, None]), ["2024-01-01", None]),
        (pa.array([datetime.datetime(2024, 1, 1)], pa.timestamp("s")), ["2024-01-01 00:00:00.000"]),
        (pa.array([True, None]), ["true", None]),
        (pa.array(["café".encode(), None, b""]), ["café", None, ""]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.array([["a", None], None, []]), [["a"], None, []]),
        (pa.array([[1], [2, 3]], pa.large_list(pa.int8())), [["1"], ["2", "3"]]),
        (pa.nulls(2), [None, None]),
        (pa.array([], pa.string()), []),
    ],
)
def test_a_parquet_column_is_text_whatever_its_type_and_null_is_absent(tmp_path, column, cells):
    pq.write_table(pa.table({"x": column, "y": column}), tmp_path / "no-ending")
    assert read_columns(tmp_path / "no-ending", "x") == [cells]


def parquet(**columns):
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def twice():
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["query", "query"]), sink)
    return sink.getvalue()


NO_UTF8 = pa.StringArray.from_buffers(1, pa.array([0, 1], pa.int32()).buffers()[1], pa.py_buffer(b"\xff"))
"""A column of texts of which one is none: Arrow looks at it only when asked."""
SHIP = parquet(query=["ship"])
REFUSED = [
    (b"", "empty, wanted a table"),
    (b" \n\n", "empty, wanted a table"),
    ("id\n1\n", "found columns ['id'], no 'query'; wanted query once"),
    ("Query\n1\n", "found columns ['Query'], no 'query'"),
    (" query,x\n1,2\n", "no 'query'"),
    ("query;x\n1;2\n", "found columns ['query;x'], no 'query'"),
    ("query,id,query\na,b,c\n", "2 times 'query'"),
    (twice(), "2 times 'query'"),
    ("query,id\na\n", "line 2: found 1 columns, wanted 2"),
    ('query,id\n"a,b\nc,d\n', "line 3: unexpected end of data"),
    ("query\n" + "a" * 200_000 + "\n", "line 2: field larger than field limit"),
    ("query\ncafé\n".encode("latin-1"), "the bytes e9 0a at 9 are no UTF-8; wanted Parquet, or text in UTF-8"),
    ("query\nship\n".encode("utf-16-le"), "a NUL at character 1; wanted text, of UTF-16"),
    (b"\xff\xfeq\x00u", "are no UTF-16-LE"),
    (b"PK\x03\x04\xff\xff", "the bytes ff ff at 4 are no UTF-8"),
    (gzip.compress(b"query\nship\n")[:-5], "cannot be read"),
    (SHIP[:-9], "not a readable parquet table"),
    (SHIP[:4] + b"\xff" * 20 + SHIP[24:], "not a readable parquet table"),
    (SHIP.replace(b"query", b"qu\xff\xffy"), "not a readable parquet table"),
    (parquet(query=[{"a": 1}]), "column query: struct<a: int64> that is no text"),
    (parquet(query=[b"\xff"]), "column query: binary that is no text"),
    (parquet(query=NO_UTF8), "column query: string that is no text"),
    (parquet(query=["a\0b"]), "column query: a NUL in a cell"),
    (parquet(query=[["a\0b"]]), "column query: a NUL in a cell"),
]


@pytest.mark.parametrize(("content", "words"), REFUSED)
def test_what_is_no_such_table_is_one_line(fed, content, words):
    path = fed(content)
    with pytest.raises(TableError) as refused:
        read_columns(path, "query")
    assert str(refused.value).startswith(str(path)) and words in str(refused.value) and "\n" not in str(refused.value)


def test_a_folder_of_parts_is_one_table_in_order_of_names(tmp_path):
    (tmp_path / "part-1.csv").write_text("id,query\n1,sail\n")
    (tmp_path / "part-0.csv").write_text("query\nship\n")
    (tmp_path / "part-2").write_bytes(parquet(query=[3]))
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".part-1.csv.crc").write_bytes(b"crc\0")
    assert read_columns(tmp_path, "query") == [["ship", "sail", "3"]]
    with pytest.raises(TableError, match=r"part-1.csv: found columns \['id', 'query'\], wanted \['query'\]"):
        read_table(tmp_path)
    (tmp_path / "day=1").mkdir()
    with pytest.raises(TableError, match=r"found folders \['day=1'\] in the folder"):
        read_columns(tmp_path, "query")


def test_a_folder_without_parts_and_a_file_that_is_absent_are_named(tmp_path):
    with pytest.raises(TableError, match="found no files in the folder"):
        read_columns(tmp_path, "query")
    with pytest.raises(TableError, match="absent: cannot be read: No such file"):
        read_columns(tmp_path / "absent", "query")


def test_a_hierarchy_may_be_parquet_with_lists_and_must_have_members(tmp_path):
    tree = {
        "id": ["n1", "n2"],
        "members": [["dog"], ["pug"]],
        "hypernyms": [None, ["n1"]],
        "definition": ["barks", None],
    }
    (tmp_path / "tree").write_bytes(parquet(**tree))
    found = read_hierarchy(tmp_path / "tree")
    assert found.members == {"n1": ["dog"], "n2": ["pug"]} and found.hypernyms == {"n1": [], "n2": ["n1"]}
    assert found.definitions == {"n1": "barks", "n2": ""}


@pytest.mark.parametrize("words", ["dog, , hound", ["dog", None, " hound "]])
def test_names_alone_may_be_parquet_whose_header_is_no_synset(words, tmp_path):
    (tmp_path / "names").write_bytes(parquet(wnid=["n00000001"], words=[words]))
    assert read_hierarchy(tmp_path / "names").members == {"n00000001": ["dog", "hound"]}
    (tmp_path / "names").write_bytes(parquet(wnid=[["n00000001"]], words=[words]))
    with pytest.raises(VocabularyError, match=r"names, column wnid: found the list \['n00000001'\], wanted texts"):
        read_hierarchy(tmp_path / "names")


def test_a_class_table_may_be_parquet_with_lists_of_synonyms_alone(tmp_path):
    columns = {"index": [0], "wnid": ["n1"], "name": ["dog"], "synonyms": [["dog", "", "hound"]]}
    (tmp_path / "classes").write_bytes(parquet(**columns))
    assert read_classes(tmp_path / "classes")[0].names == ("dog", "hound")
    for column in ("wnid", "name"):
        (tmp_path / "classes").write_bytes(parquet(**columns | {column: [["x"]]}))
        with pytest.raises(VocabularyError, match="classes, row 1: found"):
            read_classes(tmp_path / "classes")


@given(st.binary())
@example(b"\x1f\x8b")
@example(b"PAR1")
@example(b'a,"b')
def test_any_bytes_are_a_table_or_one_line(content):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("devise.words.texttables._parts", lambda path: [path])
        patch.setattr("pathlib.Path.read_bytes", lambda path: content)
        try:
            header, rows = read_table("fed")
        except TableError as refused:
            assert "\n" not in str(refused) and "fed" in str(refused)
        else:
            assert header and all(len(row) == len(header) for row in rows)


CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))


@given(st.lists(CELLS.filter(str.strip), min_size=1), st.sampled_from(["utf-8", "utf-16", "utf-32", "parquet"]))
def test_any_text_comes_through_unchanged(cells, form):
    content = parquet(query=cells) if form == "parquet" else None
    if content is None:
        lines = ['"' + cell.replace('"', '""') + '"' for cell in ("query", *cells)]
        content = "\n".join(lines).encode(form)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pathlib.Path.read_bytes", lambda path: content)
        assert read_columns("fed", "query") == [cells]


@given(CELLS)
def test_a_name_is_the_same_however_its_letters_are_composed(name):
    from unicodedata import normalize

    assert fold(normalize("NFD", name)) == fold(normalize("NFC", name))
