"""The first bytes of a file, wherever it lies, and no more."""

import uuid

import pytest

from devise.errors import StorageError
from devise.store import heads, storage


@pytest.fixture(params=["file", "s3"])
def place(request, tmp_path):
    if request.param == "file":
        return storage.normalise(str(tmp_path))
    return request.getfixturevalue("s3_server").make_bucket(f"heads-{uuid.uuid4().hex[:8]}")


@pytest.mark.parametrize(("content", "n", "head"), [(b"abcdef", 3, b"abc"), (b"ab", 3, b"ab"), (b"", 3, b"")])
def test_a_head_is_at_most_so_many_bytes_and_the_whole_size_is_told(place, content, n, head):
    storage.write_bytes(f"{place}/x", content)
    assert heads.read(f"{place}/x", n) == (head, len(content))


def test_what_is_not_there_is_one_line(place):
    with pytest.raises(StorageError, match="no such file"):
        heads.read(f"{place}/gone", 3)


def test_the_server_and_region_that_are_asked_are_told_and_a_server_may_tell_no_region(s3_server):
    place = s3_server.make_bucket(f"heads-{uuid.uuid4().hex[:8]}")
    assert (heads.asked_endpoint(), heads.asked_region()) == (s3_server.endpoint, "us-east-1")
    assert heads.bucket_region(place) in (None, "us-east-1")
