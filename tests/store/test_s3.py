"""`devise.store.storage` and `devise.store.s3` against a real S3 server."""

import threading

import botocore.exceptions
import pytest

from devise.errors import ImageError, StorageError
from devise.groups import S3Config
from devise.store import patience, s3, scratch, storage

ODD_KEYS = ["with space.jpg", "ümlaut/日本/😀.jpg", "a=b/c&d;e?f#g.jpg", "100%25/x%20y.jpg", "-", "a//b.jpg"]


@pytest.fixture(scope="module")
def bucket(s3_server):
    return s3_server.make_bucket("storage")


@pytest.mark.parametrize("key", ODD_KEYS[:-1])
def test_a_key_is_what_it_is_written_as(bucket, key):
    uri = f"{bucket}/odd/{key}"
    storage.write_bytes(uri, key.encode())
    assert storage.read_bytes(uri) == key.encode() and storage.stat(uri).size_bytes == len(key.encode())
    assert uri in {file.uri for file in storage.list_files(f"{bucket}/odd")}


def test_listing_pages_and_levels_see_every_object_once(bucket):
    wanted = {f"{bucket}/many/{number % 7}/{number:04d}" for number in range(1100)}
    threads = [
        threading.Thread(target=lambda part: [storage.write_bytes(uri, b"x") for uri in part], args=(part,))
        for part in (sorted(wanted)[start::8] for start in range(8))
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    found = [file.uri for file in storage.list_files(f"{bucket}/many")]
    assert len(found) == 1100 and set(found) == wanted
    assert storage.list_level(f"{bucket}/many") == ([f"{bucket}/many/{number}" for number in range(7)], [])
    assert len(storage.list_level(f"{bucket}/many/3")[1]) == 157
    storage.delete_folder(f"{bucket}/many")
    assert list(storage.list_files(f"{bucket}/many")) == []


def test_a_prefix_is_a_folder_not_the_start_of_a_name(bucket):
    storage.write_bytes(f"{bucket}/pre/a", b"1")
    storage.write_bytes(f"{bucket}/prefix/a", b"2")
    assert [file.uri for file in storage.list_files(f"{bucket}/pre")] == [f"{bucket}/pre/a"]
    storage.delete_folder(f"{bucket}/pre")
    assert storage.stat(f"{bucket}/prefix/a") is not None


def test_an_image_is_fetched_as_it_was_listed_or_rejected_by_code(bucket):
    uri = f"{bucket}/image"
    storage.write_bytes(uri, b"first")
    etag = storage.stat(uri).etag
    assert storage.fetch_image(uri, etag) == b"first"
    storage.write_bytes(uri, b"second")
    with pytest.raises(ImageError) as changed:
        storage.fetch_image(uri, etag)
    storage.delete(uri)
    with pytest.raises(ImageError) as gone:
        storage.fetch_image(uri, etag)
    assert (changed.value.code, gone.value.code) == ("changed", "gone")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "nobody", "InvalidAccessKeyId"),
    ],
)
def test_wrong_credentials_are_one_line_without_the_secret(bucket, monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it remembers whose credentials it found
    s3._client.cache_clear()
    with pytest.raises(StorageError, match=words) as refused:
        storage.read_bytes(f"{bucket}/image")
    s3._client.cache_clear()
    assert "wrong" not in str(refused.value) and "\n" not in str(refused.value)


def test_a_missing_bucket_and_a_missing_object_are_one_line_that_names_them(s3_server):
    with pytest.raises(StorageError, match="s3://no-such-bucket/a: NoSuchBucket"):
        list(storage.list_files("s3://no-such-bucket/a"))
    with pytest.raises(StorageError, match="s3://storage/nothing/here: NoSuchKey"):
        storage.read_bytes("s3://storage/nothing/here")


def test_what_lies_on_s3_is_fetched_once_checked_and_refused_if_torn(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "cache_folder", lambda: tmp_path)
    uri = f"{bucket}/weights.pth"
    storage.write_bytes(uri, b"w" * 1000)
    path = scratch.localise(uri)
    assert path.read_bytes() == b"w" * 1000 and scratch.localise(uri) == path
    with pytest.raises(StorageError, match="sha256 is .*wanted 00"):
        scratch.localise(uri, "00")
    assert [found.name for found in tmp_path.iterdir()] == [path.parent.name]


def test_requester_pays_and_the_kms_key_go_with_the_calls_that_know_them(s3_server, monkeypatch):
    monkeypatch.setenv(s3.VARIABLE, "")
    s3.configure(S3Config(endpoint=s3_server.endpoint, path_style=True, requester_pays=True, kms_key="key-1"))
    sent = {}
    client = s3.client()
    client.meta.events.register("before-call.s3", lambda model, params, **_: sent.update({model.name: params}))
    with pytest.raises(botocore.exceptions.ClientError):
        client.get_object(Bucket="storage", Key="nothing")
    client.meta.events.register("before-send.s3", lambda request, **_: sent.update(headers=dict(request.headers)))
    try:
        client.put_object(Bucket="storage", Key="encrypted", Body=b"x")
    except botocore.exceptions.ClientError:  # a server without KMS may refuse: what is tested is what was asked
        assert "headers" in sent
    assert sent["GetObject"]["headers"]["x-amz-request-payer"] == "requester"
    assert "x-amz-server-side-encryption" not in sent["GetObject"]["headers"]
    put = sent["PutObject"]["headers"]
    assert put["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1" and put["x-amz-request-payer"] == "requester"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (botocore.exceptions.ResponseStreamingError(error="the body broke off"), "unreadable"),
        (botocore.exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2), "unreadable"),
        (botocore.exceptions.ConnectionClosedError(endpoint_url="http://x"), "timeout"),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="http://x"), "timeout"),
    ],
)
def test_a_fault_without_an_answer_is_told_like_any_other(error, code):
    """Of some of these botocore keeps an answer, which is None."""
    assert s3.image_fault(error)[0] == code and type(error).__name__ in s3.reason(error)
    assert (s3.status(error), s3.was_retried(error), s3.no_bucket(error)) == (0, False, False)


def test_no_secret_is_a_setting():
    with pytest.raises(ValueError, match="endpoint"):
        S3Config(endpoint="http://user:password@127.0.0.1:9000")


def test_an_outage_is_told_once_and_not_as_a_fault_of_each_image(monkeypatch):
    class Away:
        def get_object(self, **_):
            raise botocore.exceptions.EndpointConnectionError(endpoint_url="http://x")

    monkeypatch.setattr(s3, "client", Away)
    monkeypatch.setattr(patience, "_now", patience.OF_A_JOB._replace(outage_s=-1))
    monkeypatch.setattr(s3, "_answered_at", s3.time.monotonic())
    with pytest.raises(StorageError, match="s3://bucket/key: the store has answered nothing for .* s: Endpoint"):
        storage.fetch_image("s3://bucket/key", "tag")
    monkeypatch.setattr(s3, "_answered_at", s3.time.monotonic() + 100)  # others are answered: one image's fault
    with pytest.raises(ImageError):
        storage.fetch_image("s3://bucket/key", "tag")
