"""A file of word vectors is known by its first bytes: the same as the reader finds in all of it."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest

from devise.errors import VectorError
from devise.words import vectorheads, wordvectors

WORDS = [f"word{number}" for number in range(300)]
VECTORS = np.random.default_rng(0).normal(size=(300, 20)).astype("<f4")
ROWS = "".join(
    f"{word} {' '.join(f'{number:.4f}' for number in vector)}\n" for word, vector in zip(WORDS, VECTORS, strict=True)
).encode()
BINARY = b"300 20\n" + b"".join(
    word.encode() + b" " + vector.tobytes() + b"\n" for word, vector in zip(WORDS, VECTORS, strict=True)
)
TEXT = b"300 20\n" + ROWS


def zipped(content, method=zipfile.ZIP_DEFLATED):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("vectors.vec", content)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "kind", "n_words"),
    [
        (TEXT, "text with a header", 300),
        (ROWS, "text without a header", None),
        (b"\xef\xbb\xbf" + TEXT, "text with a header", 300),
        (BINARY, "word2vec .bin", 300),
        (gzip.compress(TEXT), "text with a header, gzipped", 300),
        (gzip.compress(BINARY), "word2vec .bin, gzipped", 300),
        (zipped(TEXT), "text with a header, in a zip archive", 300),
        (zipped(TEXT, zipfile.ZIP_STORED), "text with a header, in a zip archive", 300),
    ],
)
def test_the_head_of_a_cut_file_tells_what_the_reader_finds_in_the_whole(content, kind, n_words, tmp_path):
    found = vectorheads.read(content[: len(content) // 2], "x")
    assert (found.kind, found.dim, found.n_words) == (kind, 20, n_words)
    (tmp_path / "whole").write_bytes(content)
    whole = wordvectors.read(tmp_path / "whole")
    assert len(found.words) > 20 and whole.words[: len(found.words)] == found.words and whole.dim == found.dim


def test_a_fasttext_model_is_known_by_its_settings_and_dictionary(tmp_path):
    fasttext = pytest.importorskip("fasttext")
    (tmp_path / "text").write_text("a lion and a castle " * 50)
    # The library leaves part of its matrix unset when it trains with fewer than ten threads.
    model = fasttext.train_unsupervised(str(tmp_path / "text"), dim=7, minCount=1, epoch=1, bucket=40, thread=10)
    model.save_model(str(tmp_path / "model.bin"))
    found = vectorheads.read((tmp_path / "model.bin").read_bytes()[:400], "x")
    assert (found.kind, found.dim, set(found.words)) == ("fastText .bin", 7, {"a", "lion", "and", "castle"})
    assert found.n_words == len(model.get_words(include_freq=False))


@pytest.mark.parametrize(
    "content",
    [b"", b"<html><body>", b"no vectors here", b"PK\x03\x04", struct.pack("<i", 793712314), b"\x1f\x8b\x08\xff" * 9],
)
def test_what_is_no_vectors_is_one_line(content):
    with pytest.raises(VectorError, match="x"):
        vectorheads.read(content, "x")
