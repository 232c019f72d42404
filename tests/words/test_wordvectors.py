"""Word vectors: every format gives the same rows, and what is torn or odd is refused in one line that says where."""

import bz2
import gzip
import io
import lzma
import pickle
import zipfile
from pathlib import Path

import fasttext
import numpy as np
import pytest

from devise.errors import VectorError
from devise.words import vectorrows
from devise.words.wordvectors import read

WORDS = ["dog", "ice_cream", "Größe", "cat", "x-ray"]
VECTORS_VD = np.array([[0.5, -1, 2], [1e-3, 0, -0.25], [3, 4, 5], [-1, -1, -1], [0, 0, 7]], np.float32)


def text_of(words, vectors_VD, header=True) -> bytes:
    lines = [f"{len(words)} {len(vectors_VD[0])}"] * header
    lines += [
        f"{word} {' '.join(f'{number:g}' for number in row)}" for word, row in zip(words, vectors_VD, strict=True)
    ]
    return ("\n".join(lines) + "\n").encode()


def binary_of(words, vectors_VD, between=b"\n") -> bytes:
    rows = [
        word.encode() + b" " + row.astype("<f4").tobytes() + between
        for word, row in zip(words, np.asarray(vectors_VD), strict=True)
    ]
    return b"%d %d\n" % (len(words), len(vectors_VD[0])) + b"".join(rows)


def zip_of(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


TEXT, BINARY = text_of(WORDS, VECTORS_VD), binary_of(WORDS, VECTORS_VD)
FORMATS = {
    "wiki.vec": TEXT,
    "wiki.vec.gz": gzip.compress(TEXT),
    "windows.vec": TEXT.replace(b"\n", b"\r\n"),
    "trailing_spaces.vec": TEXT.replace(b"\n", b" \n"),
    "no_last_line_end.vec": TEXT.removesuffix(b"\n"),
    "glove.txt": text_of(WORDS, VECTORS_VD, header=False),
    "glove.txt.gz": gzip.compress(text_of(WORDS, VECTORS_VD, header=False)),
    "word2vec.bin": BINARY,
    "word2vec.bin.gz": gzip.compress(BINARY),
    "tabs.vec": TEXT.replace(b" ", b"\t"),
    "tab_behind_the_word.txt": b"".join(line.replace(b" ", b"\t", 1) for line in TEXT.splitlines(True)[1:]),
    "byte_order_mark.vec": b"\xef\xbb\xbf" + TEXT,
    "byte_order_mark.txt": b"\xef\xbb\xbf" + text_of(WORDS, VECTORS_VD, header=False),
    "byte_order_mark.zip": zip_of({"a.vec": b"\xef\xbb\xbf" + TEXT}),
    "gensim.bin": binary_of(WORDS, VECTORS_VD, between=b""),
    "vec.zip": zip_of({"wiki.vec": TEXT}),
    "glove.zip": zip_of({"a/": b"", "a/glove.txt": TEXT, "a/LICENSE": b"free", "__MACOSX/a/._glove.txt": b"junk"}),
    "vec_gz.zip": zip_of({"wiki.vec.gz": gzip.compress(TEXT)}),
    "word2vec.zip": zip_of({"word2vec.bin": BINARY}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_words_and_numbers(name, tmp_path):
    (tmp_path / name).write_bytes(FORMATS[name])
    found = read(tmp_path / name)
    assert found.words == WORDS and found.dim == 3 and found.n_rows == len(WORDS)
    assert found.vectors.dtype == np.float32 and np.array_equal(found.vectors, VECTORS_VD)
    assert (found.n_duplicates, found.n_zero_rows, found.subword) == (0, 0, None)


@pytest.mark.parametrize("name", ["wiki.vec", "glove.txt", "word2vec.bin", "vec.zip"])
@pytest.mark.parametrize("wanted", [{"cat", "Größe", "unicorn"}, ["cat", "Größe"], lambda word: word in "cat Größe"])
def test_only_wanted_rows_are_kept_in_the_order_of_the_file(name, wanted, tmp_path):
    (tmp_path / name).write_bytes(FORMATS[name])
    found = read(tmp_path / name, wanted)
    assert found.words == ["Größe", "cat"]
    assert np.array_equal(found.vectors, VECTORS_VD[[2, 3]])
    assert read(tmp_path / name, []).vectors.shape == (0, 3)


def test_rows_are_the_same_whatever_the_blocks(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    words, vectors_VD = [f"w{row}" for row in range(50)], rng.integers(-9, 10, (50, 4)).astype(np.float32)
    vectors_VD[:, 0] = np.arange(1, 51)
    (tmp_path / "a.vec").write_bytes(text_of(words, vectors_VD))
    (tmp_path / "a.bin").write_bytes(binary_of(words, vectors_VD))
    for n_rows, n_bytes in ((1, 7), (7, 64), (50, 1 << 20)):
        monkeypatch.setattr(vectorrows, "BLOCK_ROWS", n_rows)
        monkeypatch.setattr(vectorrows, "CHUNK_BYTES", n_bytes)
        for name in ("a.vec", "a.bin"):
            found = read(tmp_path / name)
            assert found.words == words and np.array_equal(found.vectors, vectors_VD)


def test_numbers_are_told_from_their_digits_whatever_bytes_they_have(tmp_path):
    # Floats hold line ends and letters too: by line ends alone one file in 200 would be taken for text.
    rng = np.random.default_rng(1)
    for trial in range(100):
        vectors_VD = rng.normal(size=(2, 40)).astype("<f4")
        vectors_VD[0, 0] = np.frombuffer([b"\n123", b" 1 2", b"abcd"][trial % 3], "<f4")[0]
        (tmp_path / "a.bin").write_bytes(binary_of(["the", "of"], vectors_VD))
        assert np.array_equal(read(tmp_path / "a.bin").vectors, vectors_VD)


def test_words_may_hold_spaces_quotes_and_any_script(tmp_path):
    words = ["new york", "nörd yörk", '"a', "b'", "10 000 m", "東京 都", "PK", "a\u00a0b", "nan", "-", "1984"]
    vectors_VD = np.arange(1, 23).reshape(11, 2).astype(np.float32)
    for order in (list(range(11)), list(range(11))[::-1], [1, *range(2, 11), 0]):
        chosen = [words[row] for row in order]
        (tmp_path / "a.vec").write_bytes(text_of(chosen, vectors_VD))
        found = read(tmp_path / "a.vec")
        assert found.words == chosen and np.array_equal(found.vectors, vectors_VD)


def test_a_text_that_begins_with_the_letters_of_zip_is_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"PK 1 2\nUK 3 4\n")
    assert read(tmp_path / "a.txt").words == ["PK", "UK"]


def test_bytes_that_are_no_utf8_are_replaced(tmp_path):
    (tmp_path / "a.vec").write_bytes(b"2 2\ncaf\xe9 1 2\nx 3 4\n")
    (tmp_path / "a.bin").write_bytes(b"1 2\ncaf\xe9 " + np.array([1, 2], "<f4").tobytes())
    assert read(tmp_path / "a.vec").words == ["caf\ufffd", "x"]
    assert read(tmp_path / "a.bin").words == ["caf\ufffd"]


def test_the_first_of_two_equal_words_is_kept_and_the_rest_are_counted(tmp_path):
    words, vectors_VD = ["a", "b", "a", "A", "a"], np.arange(1, 11).reshape(5, 2).astype(np.float32)
    for name, content in (("a.vec", text_of(words, vectors_VD)), ("a.bin", binary_of(words, vectors_VD))):
        (tmp_path / name).write_bytes(content)
        found = read(tmp_path / name)
        assert found.words == ["a", "b", "A"] and found.n_duplicates == 2
        assert np.array_equal(found.vectors, vectors_VD[[0, 1, 3]])
        assert read(tmp_path / name, {"b"}).n_duplicates == 0


def test_rows_without_direction_and_the_sentence_end_are_left_out(tmp_path):
    words = ["</s>", "a", "nothing", "b"]
    vectors_VD = np.array([[9, 9], [1, 0], [0, 0], [0, 2]], np.float32)
    for name, content in (("a.vec", text_of(words, vectors_VD)), ("a.bin", binary_of(words, vectors_VD))):
        (tmp_path / name).write_bytes(content)
        found = read(tmp_path / name)
        assert found.words == ["a", "b"] and found.n_zero_rows == 1
        assert np.array_equal(found.vectors, vectors_VD[[1, 3]])


def fault_of(path: Path, content: bytes | None = None, **settings) -> str:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VectorError) as caught:
        read(path, **settings)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path))


def test_a_file_that_is_none_or_holds_none_is_refused(tmp_path):
    assert "No such file" in fault_of(tmp_path / "nowhere.vec")
    assert "directory" in fault_of(tmp_path)
    for name, content in (("a.vec", b""), ("a.vec.gz", gzip.compress(b"")), ("a.zip", zip_of({"a.vec": b""}))):
        assert fault_of(tmp_path / name, content) == ": empty, wanted word vectors"
    assert "found 0 rows, wanted 5" in fault_of(tmp_path / "a.vec", b"5 3\n")
    assert "found 0 rows, wanted some" in fault_of(tmp_path / "a.vec", b"0 3\n")
    assert "line 1" in fault_of(tmp_path / "a.vec", b"\n\n")
    assert "line 1" in fault_of(tmp_path / "a.vec", b"one_word\n")


@pytest.mark.parametrize(
    ("row", "place"),
    [
        (b"b 3", "line 3: found 1 numbers, wanted 2"),
        (b"b 3 4 5", "line 3: found 3 numbers, wanted 2"),
        (b"b", "line 3: found 0 numbers, wanted 2"),
        (b"b 3  4", "line 3: found 3 numbers, wanted 2"),
        (b"b 3 x", "line 3: 'x' is not a number"),
        (b"b 3 1,5", "line 3: '1,5' is not a number"),
        (b'b "3" 4', "line 3: '\"3\"' is not a number"),
        (b"b 3 \xff", "line 3: '\ufffd' is not a number"),
        (b"b nan 4", "line 3: 'b' has a NaN or infinite number"),
        (b"b 3 -inf", "line 3: 'b' has a NaN or infinite number"),
        (b"b 3 1e60", "line 3: 'b' has a NaN or infinite number"),
    ],
)
def test_a_bad_row_is_named_by_its_line(row, place, tmp_path):
    for name, pack in (("a.vec", bytes), ("a.vec.gz", gzip.compress), ("a.zip", lambda text: zip_of({"a.vec": text}))):
        assert place in fault_of(tmp_path / name, pack(b"3 2\na 1 2\n" + row + b"\nc 5 6\n"))
    assert place.replace("3:", "2:") in fault_of(tmp_path / "glove.txt", b"a 1 2\n" + row + b"\nc 5 6\n")


def test_a_row_of_another_dimension_is_refused_even_if_it_is_not_wanted(tmp_path):
    content = b"3 2\na 1 2\nb 3\nc 5 6\n"
    assert "line 3: found 1 numbers, wanted 2" in fault_of(tmp_path / "a.vec", content, wanted={"a"})


def test_a_bad_row_is_named_past_the_first_block(tmp_path, monkeypatch):
    monkeypatch.setattr(vectorrows, "BLOCK_ROWS", 2)
    content = b"6 1\na 1\nb 1\nc 1\n</s> 1\nd inf\ne 1\n"
    assert "line 6: 'd' has a NaN" in fault_of(tmp_path / "a.vec", content)


def test_a_bad_number_in_a_word2vec_file_is_named_by_its_row(tmp_path):
    for number in (np.nan, np.inf, -np.inf):
        vectors_VD = VECTORS_VD.copy()
        vectors_VD[2, 1] = number
        assert "row 3: 'Größe' has a NaN" in fault_of(tmp_path / "a.bin", binary_of(WORDS, vectors_VD))


@pytest.mark.parametrize("promised", [4, 6, 5_000_000])
def test_a_header_that_promises_other_rows_is_refused(promised, tmp_path):
    header = b"%d 3\n" % promised
    fault = fault_of(tmp_path / "a.vec", header + TEXT.partition(b"\n")[2])
    assert f"found 5 rows, wanted {promised}" in fault
    fault = fault_of(tmp_path / "a.bin", header + BINARY.partition(b"\n")[2])
    assert (f"row 6 of the {promised}" if promised > 5 else "goes on after the 4 rows of 3 numbers") in fault


def test_a_header_that_promises_another_dimension_is_refused(tmp_path):
    assert "line 2: found 3 numbers, wanted 4" in fault_of(tmp_path / "a.vec", b"5 4\n" + TEXT.partition(b"\n")[2])


@pytest.mark.parametrize("content", [b"a" * 3000, b"ship 1 2\n" + b"a" * 3000 + b" 1 2\n", b"2 2\n" + bytes(3000)])
def test_what_has_no_line_or_word_to_its_end_is_not_read_to_it(content, tmp_path, monkeypatch):
    monkeypatch.setattr(vectorrows, "MOST_LINE_BYTES", 1000)
    monkeypatch.setattr(vectorrows, "CHUNK_BYTES", 100)
    assert "1,000 bytes or more" in fault_of(tmp_path / "v.vec", content) or content.startswith(b"aaa")


def test_no_cut_of_a_file_passes_for_a_whole_one(tmp_path):
    whole = {
        "a.vec": TEXT,
        "a.bin": BINARY.removesuffix(b"\n"),
        "a.vec.gz": gzip.compress(TEXT),
        "a.zip": FORMATS["vec.zip"],
    }
    for name, content in whole.items():
        # The last number of a text can lose digits unseen; a row cannot.
        for n_bytes in range(1, len(content) - (2 if name == "a.vec" else 0)):
            fault_of(tmp_path / name, content[:n_bytes])


def test_torn_archives_are_refused(tmp_path):
    packed = gzip.compress(TEXT)
    assert "torn or truncated" in fault_of(tmp_path / "a.vec.gz", packed[:-20])
    assert "torn" in fault_of(tmp_path / "a.vec.gz", packed[:-8] + b"\0" * 8)
    torn = bytearray(packed)
    torn[15:25] = b"\xff" * 10
    assert "torn" in fault_of(tmp_path / "a.vec.gz", bytes(torn))
    whole = zip_of({"wiki.vec": TEXT})
    torn = bytearray(whole)
    torn[50:60] = b"\xff" * 10
    assert "torn" in fault_of(tmp_path / "a.zip", bytes(torn))


def test_an_archive_holds_one_file_of_vectors(tmp_path):
    said = fault_of(tmp_path / "a.zip", zip_of({"a.vec": TEXT, "b.vec": TEXT}))
    assert "holds 2 files of word vectors, a.vec, b.vec; wanted one" in said and "`unzip a.zip b.vec`" in said
    assert "holds ['read.me'], wanted word vectors" in fault_of(tmp_path / "a.zip", zip_of({"read.me": TEXT}))
    assert "holds [], wanted word vectors" in fault_of(tmp_path / "a.zip", zip_of({}))
    # What https://nlp.stanford.edu/projects/glove offers first, with its four files.
    dims = [f"glove.6B.{dim}d.txt" for dim in (50, 100, 200, 300)]
    said = fault_of(tmp_path / "glove.6B.zip", zip_of(dict.fromkeys(dims, TEXT)))
    assert ", ".join(dims) in said and "`unzip glove.6B.zip glove.6B.300d.txt`" in said


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("wiki.vec", "fastText's text: 5 rows x 3"),
        ("wiki.vec.gz", "fastText's text, in gzip: 5 rows x 3"),
        ("glove.txt", "GloVe's text, without a header: 5 rows x 3"),
        ("word2vec.bin", "word2vec's binary: 5 rows x 3"),
        ("word2vec.bin.gz", "word2vec's binary, in gzip: 5 rows x 3"),
        ("vec.zip", "fastText's text, wiki.vec in zip: 5 rows x 3"),
        ("vec_gz.zip", "fastText's text, wiki.vec.gz in zip: 5 rows x 3"),
    ],
)
def test_the_format_that_was_found_is_told_in_a_line(name, line, tmp_path):
    (tmp_path / "some file").write_bytes(FORMATS[name])
    assert read(tmp_path / "some file").line() == line
    assert read(tmp_path / "some file", {"cat"}).line() == line + ", 1 of them kept"


# Rows in the layout of published files, cut to few dimensions: fastText's crawl-300d-2M and wiki.en (with spaces at the
# ends of lines), GloVe's glove.6B.50d, and words of glove.840B that hold spaces.
EXCERPTS = {
    "crawl-300d-2M.vec": (b"2 4\n, -0.0282 -0.0557 -0.0157 0.0204\nthe -0.0653 -0.0930 -0.0176 0.0166\n", [",", "the"]),
    "wiki.en.vec": (b"2 3 \n, -0.023167 -0.0042483 -0.10572 \n</s> 0.1 0.2 0.3 \n", [","]),
    "glove.6B.50d.txt": (b"the 0.418 0.24968 -0.41242 0.1217\n, 0.013441 0.23682 -0.16899 0.40951\n", ["the", ","]),
    "glove.840B.300d.txt": (
        b", -0.082752 0.67204 -0.14987\n. . . -0.1573 -0.29517 0.30453\nat name@domain.com 0.0061 0.2 0.3\n",
        [",", ". . .", "at name@domain.com"],
    ),
}


@pytest.mark.parametrize("name", EXCERPTS)
def test_excerpts_of_published_vectors_are_read(name, tmp_path):
    content, words = EXCERPTS[name]
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path / name).words == words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("ship 1 2 3\n".encode("utf-16"), "text in UTF-16 or UTF-32: save it as UTF-8"),
        ("ship 1 2 3\n".encode("utf-16-le"), "text in UTF-16"),
        ("ship 1 2 3\n".encode("utf-16-be"), "text in UTF-16"),
        ("ship 1 2 3\n".encode("utf-32"), "text in UTF-16 or UTF-32"),
        (b"\n<!DOCTYPE html>\n<html><body>404</body></html>", "a web page"),
        (b"<html>\n", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a pointer of Git LFS"),
        (bz2.compress(TEXT), "a bzip2 archive: unpack it"),
        (lzma.compress(TEXT), "an xz archive: unpack it"),
        (pickle.dumps(VECTORS_VD), "a Python pickle, which is never read"),
        (b"\x93NUMPY\x01\0v\0{'descr': '<f4'}\n", "a NumPy array (.npy)"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b'{"model": {"vocab": ["a"]}}', "JSON"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a picture"),
        (gzip.compress(gzip.compress(TEXT)), "a gzip archive inside another"),
        (zip_of({"a.vec": zip_of({"a.vec": TEXT})}), "a zip archive inside another"),
    ],
)
def test_what_is_no_word_vectors_is_told_by_its_first_bytes(content, words, tmp_path):
    fault = fault_of(tmp_path / "a.vec", content, wanted={"ship"})
    assert fault.startswith(f": looks like {words}") and "wanted word vectors" in fault


@pytest.mark.parametrize("word", [b"PK", b"BZh9", b"Rar!", b"{", b"[", b"<", b"version", b"PAR1", b"%PDF-"])
def test_a_word_that_begins_like_something_else_is_a_word(word, tmp_path):
    (tmp_path / "a.vec").write_bytes(word + b" 1 2 3\n")
    assert read(tmp_path / "a.vec").words == [word.decode()]


def test_a_first_line_that_is_no_row_is_shown_though_nothing_of_it_is_wanted(tmp_path):
    content = b"Column one, column two\nship 1 2\n"
    assert "line 1: b'Column one, column two" in fault_of(tmp_path / "a.txt", content, wanted={"ship"})
    assert "line 3: found 3 numbers, wanted 1" in fault_of(tmp_path / "a.txt", b"9" * 5000 + b" 3\n" + TEXT)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_cannot_be_read_is_one_line(method, tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("a.vec", TEXT)
    whole, entry = packed.getvalue(), packed.getvalue().index(b"PK\x01\x02")
    (tmp_path / "whole.zip").write_bytes(whole)
    assert read(tmp_path / "whole.zip").words == WORDS

    def patched(at, value):  # in the local header and in the directory's entry, which is two bytes longer
        return bytes(value if place in (at, entry + at + 2) else byte for place, byte in enumerate(whole))

    assert "without a password" in fault_of(tmp_path / "locked.zip", patched(6, 1))
    assert "not read here" in fault_of(tmp_path / "method.zip", patched(8, 9))
    for at in range(35, entry):  # every byte of the member's own; of LZMA's some say what made it, and nothing else
        broken = bytearray(whole)
        broken[at] ^= 0xFF
        (tmp_path / "broken.zip").write_bytes(broken)
        try:
            assert read(tmp_path / "broken.zip").words == WORDS
        except VectorError as error:
            assert "\n" not in str(error) and "broken.zip: torn" in str(error)


# fastText. The library leaves part of its matrix unset when it trains with fewer than ten threads, hence 10 and 10.


def trained(folder: Path, text: bytes, **settings):
    (folder / "text.txt").write_bytes(text)
    options = {"dim": 10, "minCount": 1, "bucket": 40, "epoch": 1, "thread": 10, "verbose": 0} | settings
    return fasttext.train_unsupervised(str(folder / "text.txt"), **options)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    model = trained(folder, "the dog sat on the mat\nthe cat ate a größe fish\n".encode() * 20)
    model.save_model(str(folder / "wiki.en.bin"))
    return model, folder / "wiki.en.bin"


def test_a_fasttext_model_gives_what_its_library_gives(model):
    library, path = model
    found = read(path)
    assert found.words == [word for word in library.get_words() if word != "</s>"] and "größe" in found.words
    assert found.dim == 10 and found.vectors.dtype == np.float32
    for word, vector_D in zip(found.words, found.vectors, strict=True):
        assert np.array_equal(vector_D, library.get_word_vector(word))
    found = read(path, {"mat", "cat", "unicorn"})
    assert sorted(found.words) == ["cat", "mat"]
    assert np.array_equal(found.vectors[found.words.index("cat")], library.get_word_vector("cat"))


def test_a_fasttext_model_is_the_same_in_every_wrapping(model, tmp_path):
    _, path = model
    whole = read(path)
    # As wiki.en.zip has it: the model and the text of one name. The text differs here, to tell which was read.
    pair = {"wiki.en.vec": TEXT, "wiki.en.bin": path.read_bytes()}
    for name, content in (
        ("renamed.vec", path.read_bytes()),
        ("wiki.en.bin.gz", gzip.compress(path.read_bytes())),
        ("one.zip", zip_of({"wiki.en.bin": path.read_bytes()})),
        ("pair.zip", zip_of(pair)),
        ("folder.zip", zip_of({f"wiki/{name}": content for name, content in pair.items()})),
    ):
        (tmp_path / name).write_bytes(content)
        found = read(tmp_path / name)
        assert found.words == whole.words and np.array_equal(found.vectors, whole.vectors)
        assert np.array_equal(found.subword("doggy"), whole.subword("doggy"))


def test_subwords_make_vectors_of_unknown_words(model):
    library, path = model
    found = read(path, {"dog"})
    assert np.array_equal(found.subword("doggy"), library.get_word_vector("doggy")) and found.subword("doggy").any()
    assert np.array_equal(found.subword("dog"), found.vectors[0])


def test_a_fasttext_model_without_subwords_has_none(tmp_path):
    trained(tmp_path, b"the dog sat on the mat\n" * 20, minn=0, maxn=0).save_model(str(tmp_path / "a.bin"))
    found = read(tmp_path / "a.bin")
    assert found.subword is None and sorted(found.words) == ["dog", "mat", "on", "sat", "the"]


def test_a_fasttext_word_that_is_no_utf8_keeps_its_own_vector(tmp_path):
    library = trained(tmp_path, b"caf\xe9 dog\ncaf\xe9 cat\n" * 20, minn=0, maxn=0)
    library.save_model(str(tmp_path / "a.bin"))
    found = read(tmp_path / "a.bin")
    assert sorted(found.words) == ["caf\ufffd", "cat", "dog"] and found.n_zero_rows == 0
    rows = library.get_words(on_unicode_error="replace")
    for word, vector_D in zip(found.words, found.vectors, strict=True):
        assert np.array_equal(vector_D, library.get_input_matrix()[rows.index(word)])


def test_no_cut_of_a_fasttext_model_reaches_its_library(model, tmp_path):
    # It reads a torn file as garbage or never ends.
    content = model[1].read_bytes()
    for n_bytes in (4, 8, *range(9, len(content), 11), len(content) - 1):
        fault = fault_of(tmp_path / "torn.bin", content[:n_bytes])
        assert fault == f": torn or truncated fastText model of {n_bytes} bytes"
    fault_of(tmp_path / "long.bin", content + b"\0")
    fault_of(tmp_path / "torn.zip", zip_of({"wiki.bin": content[:-30]}))


@pytest.mark.parametrize("has_norms", [True, False])
def test_a_quantised_fasttext_model_is_read_whole_or_not_at_all(has_norms, tmp_path):
    (tmp_path / "text.txt").write_text("__label__a the dog sat on the mat\n__label__b the cat ate the fish\n" * 20)
    settings = {"dim": 10, "bucket": 400, "minn": 2, "maxn": 4, "epoch": 1, "thread": 10, "verbose": 0}
    library = fasttext.train_supervised(str(tmp_path / "text.txt"), **settings)
    library.quantize(input=str(tmp_path / "text.txt"), retrain=False, qnorm=has_norms)
    library.save_model(str(tmp_path / "a.ftz"))
    found = read(tmp_path / "a.ftz")
    assert found.words == [word for word in library.get_words() if word != "</s>"]
    assert np.array_equal(found.vectors[found.words.index("dog")], library.get_word_vector("dog"))
    content = (tmp_path / "a.ftz").read_bytes()
    for n_bytes in (*range(100, len(content), 501), len(content) - 1):
        assert "truncated fastText model" in fault_of(tmp_path / "torn.ftz", content[:n_bytes])


def test_the_nouns_have_unit_vectors_of_300_numbers(data):
    found = read(data / "vectors/nouns-80k-300d.vec.gz", lambda word: word < "c")
    assert found.dim == 300 and "ant" in found.words and "dog" not in found.words
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=0.02)


def test_the_text_of_glove_is_read(data):
    found = read(data / "vectors/glove-10k-100d.vec.gz")
    assert found.vectors.shape == (10_000, 100) and found.words[0] == "the" and found.n_duplicates == 0
