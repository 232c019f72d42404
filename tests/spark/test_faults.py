"""Faults that a night on S3 must survive, each against a real S3 server behind a network that fails as it is told.

After every fault what is live is yesterday's night or today's, whole. The same run id, or the next night, finishes the
work, and its tables equal those of a night that nothing disturbed. `make test-faults` prints what happened as a table.
"""

import os
import signal
import subprocess
import sys
import time
import traceback
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pyspark
import pytest
import yaml
from faultproxy import DROP, FaultProxy, owner
from same_tables import compare_tables, live, table
from tiny_warehouse import commit_vocabulary_and_model

from devise import cli
from devise.errors import StorageError
from devise.groups import S3Config
from devise.sample.book import draw
from devise.sample.broken import write_broken
from devise.spark.frame import faults
from devise.store import s3, storage
from devise.warehouse import lease, manifest, pointer

NOUNS = ("lion", "tulip", "castle", "ferry")
BUCKET = "faults"
CORPUS = f"s3://{BUCKET}/corpus"
YESTERDAY, TODAY, TOMORROW = "r1", "r2", "r3"
NIGHT = ["catalog_images", "embed_images", "label_images", "publish_run"]
WITH_INDEX = [*NIGHT[:-1], "build_index", "publish_run"]
PROCESS_SECONDS = 500


@dataclass
class Ended:
    """How a job ended: its exit code, and what it said."""

    code: int
    told: str
    errors: str

    @property
    def line(self) -> str:
        """The one line of a broken promise."""
        lines = self.errors.splitlines()
        assert self.code == 2 and len(lines) == 1 and ": error: " in lines[0], (self.code, self.errors)
        return lines[0]


class Place:
    """The S3 server, the proxy before it and the Spark that reaches both; and nights on warehouses there."""

    def __init__(self, server, proxy, spark, folder):
        self.server, self.proxy, self.spark, self.folder = server, proxy, spark, folder
        self.client = server.client()

    def settings(self, warehouse, stages):
        """The file of a night's settings."""
        sections = {
            "warehouse": warehouse,
            "s3": {"endpoint": self.proxy.endpoint, "path_style": True, "region": "us-east-1"},
            "run_nightly": {"stages": stages},
            "catalog_images": {"sources": [CORPUS]},
            "embed_images": {"engine": {"precision": "fp32", "device": "cpu", "batch_size": 4}},
            "label_images": {"k": 3},
            "build_index": {"rows_per_shard": 1000},
            "publish_run": {"min_recall": 0},
        }
        path = self.folder / f"{warehouse.removeprefix('s3://').replace('/', '-')}.yaml"
        path.write_text(yaml.safe_dump(sections))
        return path

    def night(self, warehouse, run=TODAY, stages=NIGHT, *more):
        """A night in this process, on the tests' Spark."""
        command = ["run", "run_nightly", "--config", str(self.settings(warehouse, stages)), "--run", run, *more]
        out, err, code = StringIO(), StringIO(), 0
        with redirect_stdout(out), redirect_stderr(err):
            try:
                cli.main(command)
            except SystemExit as stopped:
                code = stopped.code
            except Exception:
                traceback.print_exc()
                code = 1
        return self._ended(code, out.getvalue(), err.getvalue())

    def again(self, warehouse, run=TODAY, stages=NIGHT):
        """The same night once more, started again when a dead owner's lease has expired; it must succeed."""
        self.proxy.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lease.Claim, "is_free", lambda claim: True)  # two minutes later
            ended = self.night(warehouse, run, stages)
        assert ended.code == 0, ended.errors
        return ended

    def process(self, warehouse, master="local[2]", kill_before=None, such=lambda request: True, **environment):
        """A night in a process of its own, on its own Spark, to its end.

        Args:
            kill_before: what is given to the proxy's `before`: the process and all that it started are killed when such
                a request comes by, which is not forwarded.
            such: says of those requests which one it is.
        """
        started = []
        if kill_before:

            def kill(request):
                return _kill_group(started[0].pid) if such(request) else None

            self.proxy.before(call=kill, times=None, **kill_before)
        command = [sys.executable, "-m", "devise.cli", "run", "run_nightly"]
        command += ["--config", str(self.settings(warehouse, WITH_INDEX)), "--run", TODAY]
        log = self.folder / f"{time.monotonic_ns()}.log"
        with open(log, "wb") as file:
            variables = os.environ | {"DEVISE_MASTER": master} | environment
            running = subprocess.Popen(command, env=variables, stdout=file, stderr=file, start_new_session=True)
        started.append(running)
        code = "still running"
        try:
            with suppress(subprocess.TimeoutExpired):
                code = running.wait(timeout=PROCESS_SECONDS)
        finally:
            _kill_group(running.pid)
            running.wait()
        text = log.read_text()
        return self._ended(code, text, text)

    def _ended(self, code, told, errors):
        assert self.server.secret not in told + errors
        return Ended(code, told, errors)

    def put(self, uri, content):
        """Write past the proxy."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def get(self, uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def remove(self, uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.client.delete_object(Bucket=bucket, Key=key)

    def keys(self, uri):
        """URIs of all objects below a folder, seen past the proxy."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
        return [f"s3://{bucket}/{found['Key']}" for page in pages for found in page.get("Contents", [])]


def _kill_group(number):
    with suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)
    return DROP


def picture(noun, seed):
    content = BytesIO()
    draw(noun, np.random.default_rng(seed), 48).save(content, "JPEG")
    return content.getvalue()


@pytest.fixture(scope="module")
def place(started, one_session, tmp_path_factory):
    spark, server = started
    if isinstance(server, str):
        pytest.skip(server)
    with FaultProxy(server.port) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv(s3.VARIABLE, "")
        s3.configure(S3Config(endpoint=proxy.endpoint, path_style=True, region="us-east-1"))
        patch.setitem(spark.sparkContext.environment, s3.VARIABLE, os.environ[s3.VARIABLE])
        hadoop = spark.sparkContext._jsc.hadoopConfiguration()
        before = hadoop.get("fs.s3a.endpoint")
        hadoop.set("fs.s3a.endpoint", proxy.endpoint)
        server.make_bucket(BUCKET)
        yield Place(server, proxy, spark, tmp_path_factory.mktemp("nights"))
        hadoop.set("fs.s3a.endpoint", before)


@pytest.fixture(scope="module")
def base(place, tmp_path_factory):
    """A warehouse with vocabulary and model, where yesterday's night is live, and today's corpus: 30 pictures, 8 broken
    files. Since yesterday 12 pictures are new, two are other ones and two are gone."""
    folder = tmp_path_factory.mktemp("corpus")
    write_broken(folder / "corpus" / "broken")
    place.server.upload(folder / "corpus", CORPUS)
    for noun in NOUNS:
        for number in range(5):
            place.put(f"{CORPUS}/{noun}/{number}.jpg", picture(noun, number))
    commit_vocabulary_and_model(str(folder / "warehouse"))
    warehouse = f"s3://{BUCKET}/base/warehouse"
    place.server.upload(folder / "warehouse", warehouse)
    ended = place.night(warehouse, YESTERDAY)
    assert ended.code == 0, ended.errors
    for noun in NOUNS:
        for number in range(5, 8):
            place.put(f"{CORPUS}/{noun}/{number}.jpg", picture(noun, number))
    for noun in NOUNS[:2]:
        place.put(f"{CORPUS}/{noun}/0.jpg", picture(noun, 100))
        place.remove(f"{CORPUS}/{noun}/1.jpg")
    return warehouse


def copied(place, base, name, bucket=BUCKET):
    """A warehouse of its own for a test, where yesterday's night is live."""
    warehouse = f"s3://{bucket}/{name}/warehouse"
    for uri in place.keys(base):
        place.put(warehouse + uri.removeprefix(base), place.get(uri))
    return warehouse


@pytest.fixture(scope="module")
def undisturbed(place, base):
    """The warehouse of a night without a fault."""
    warehouse = copied(place, base, "undisturbed")
    ended = place.night(warehouse)
    assert ended.code == 0, ended.errors
    return warehouse


@pytest.fixture(scope="module")
def nights(base, undisturbed):
    """What is live after each night, where nothing is disturbed."""
    return {YESTERDAY: live(base), TODAY: live(undisturbed)}


@pytest.fixture
def warehouse(request, place, base, nights):
    """A warehouse where yesterday's night is live, and the log begins."""
    place.proxy.clear()
    name = request.node.name.removeprefix("test_")[:60].strip("[]_").replace("[", "-").lower()
    made = copied(place, base, name)
    place.proxy.forget()
    yield made
    place.proxy.clear()


def today(place, warehouse, nights):
    """Lost images (none) of a warehouse where today's night must be live and as if nothing had happened."""
    found = live(warehouse)
    assert pointer.read(warehouse).run == TODAY
    compare_tables(found, nights[TODAY])
    accounts(warehouse, TODAY)
    return lost(found)


def yesterday(warehouse, nights):
    """Yesterday's night is live, whole: no table of today's."""
    assert pointer.read(warehouse).run == YESTERDAY
    compare_tables(live(warehouse), nights[YESTERDAY])


def lost(found):
    """Images that are listed, and neither embedded nor rejected."""
    listed = found["images"]["uri"].to_pylist()
    told = found["embeddings"]["uri"].to_pylist() + found["rejects"]["uri"].to_pylist()
    assert len(set(told)) == len(told) and set(told) <= set(listed)
    return len(set(listed) - set(told))


def accounts(warehouse, run):
    """A night's own numbers add up, and are those of its files; the numbers."""
    parts = manifest.read(warehouse, "embeddings", run).details
    listed = manifest.read(warehouse, "images", run).rows
    assert parts["listed"] == listed == sum(parts[key] for key in ("embedded", "rejected", "unchanged", "carried"))
    for name, key in (("embeddings", "embedded"), ("rejects", "rejected"), ("images", "listed")):
        assert len(table(warehouse, name, run)) == parts[key]
    return parts


def below(uri, name=""):
    """Bucket and key of a place, as the proxy's rules want their prefixes."""
    return f"{uri}/{name}".rstrip("/" if not name else "").removeprefix("s3://")


def no_orphans(place, warehouse, run=TODAY):
    """Every file in the folders of a run's tables is one that its manifest lists."""
    for name in ("images", "embeddings", "rejects", "labels"):
        root = manifest.folder(warehouse, name, run)
        listed = {storage.join(root, file.path) for file in manifest.read(warehouse, name, run).files}
        assert {uri for uri in place.keys(root) if uri.endswith(".parquet")} == listed


def next_night_if_rejected(place, warehouse, nights, codes):
    """Lost images (none), after one more night if today's rejected images for one of the codes; and how many."""
    rejected = manifest.read(warehouse, "rejects", TODAY).rejects
    assert set(rejected) <= set(codes)
    accounts(warehouse, TODAY)
    if not rejected:
        return today(place, warehouse, nights), 0
    place.again(warehouse, TOMORROW)
    accounts(warehouse, TOMORROW)
    found = live(warehouse)
    compare_tables(found, nights[TODAY])
    return lost(found), sum(rejected.values())


# --- a network that fails ---------------------------------------------------------------------------------------------


def test_undisturbed(place, undisturbed, nights):
    parts = accounts(undisturbed, TODAY)
    assert parts["embedded"] == 14 and parts["listed"] == 38 and lost(nights[TODAY]) == 0
    no_orphans(place, undisturbed)


def test_every_fifth_get_fails_once(place, warehouse, nights, row):
    rule = place.proxy.fail(below(f"s3://{BUCKET}"), every=5)
    ended = place.night(warehouse)
    assert ended.code == 0 and rule.fired >= 10, ended.errors
    row("one in five objects' first GET answered 500", f"{rule.fired} tried again; today live", "not needed",
        today(place, warehouse, nights))  # fmt: skip


@pytest.mark.slow
def test_connections_break(place, warehouse, nights, row):
    """Bodies end early, connections are reset, and answers to what was done are lost."""
    proxy = place.proxy
    torn = [proxy.truncate(below(CORPUS, "lion/5.jpg")), proxy.truncate(below(warehouse, "embeddings/run=r1/part"))]
    reset = [proxy.reset(below(CORPUS, "tulip/5.jpg")), proxy.reset(below(warehouse, "images/"), methods=("HEAD",))]
    reset.append(proxy.reset(below(warehouse, "labels/run=r2/"), methods=("PUT",)))
    records = (f"{name}/run=r2/{manifest.NAME}" for name in ("images", "embeddings"))
    unheard = [proxy.lose_answer(below(warehouse, record)) for record in records]
    unheard += [proxy.lose_answer(below(warehouse, f"live/{name}")) for name in ("history/", "current/live.json")]
    ended = place.night(warehouse)
    assert ended.code == 0, ended.errors
    assert all(rule.fired == 1 for rule in [*torn, *reset, *unheard]), [*torn, *reset, *unheard]
    n_lost = today(place, warehouse, nights)
    row("a body ends early, once", "asked for again; today live", "not needed", n_lost)
    row("connections reset", "asked again; today live", "not needed", n_lost)
    row("answers to create-only writes lost", "recognised as done; today live", "not needed", n_lost)


def test_objects_change_vanish_or_never_come_whole_after_the_listing(place, warehouse, nights, row):
    changed, gone, torn = f"{CORPUS}/castle/5.jpg", f"{CORPUS}/castle/6.jpg", f"{CORPUS}/castle/7.jpg"
    before = {uri: place.get(uri) for uri in (changed, gone)}
    other = f"{CORPUS}/lion/5.jpg"
    place.proxy.before(below(changed), lambda request: place.put(changed, place.get(other)))
    place.proxy.before(below(gone), lambda request: place.remove(gone))
    place.proxy.truncate(below(torn), times=None)
    try:
        ended = place.night(warehouse)
        assert ended.code == 0, ended.errors
        codes = {line["uri"]: line["code"] for line in table(warehouse, "rejects", TODAY).to_pylist()}
        assert codes == {changed: "changed", gone: "gone", torn: "unreadable"}
        assert accounts(warehouse, TODAY)["rejected"] == 3 and lost(live(warehouse)) == 0
        assert "nothing to do" in place.again(warehouse).told
        place.again(warehouse, TOMORROW)
        found, wanted = live(warehouse), nights[TODAY]
        assert accounts(warehouse, TOMORROW)["embedded"] == 2  # the one that is gone is no longer listed
        rows, expected = (
            {line["uri"]: line for line in tables["embeddings"].to_pylist()} for tables in (found, wanted)
        )
        assert set(rows) == set(expected) - {gone}
        expected[changed] = expected[other]  # it was given that one's content
        for uri in rows:
            assert np.allclose(rows[uri]["embedding"], expected[uri]["embedding"], atol=1e-4)
        n_lost = lost(found)
    finally:
        for uri, content in before.items():
            place.put(uri, content)
    row("an object replaced between listing and GET", "reject `changed`", "next night: its new content", n_lost)
    row("an object deleted between listing and GET", "reject `gone`", "next night: not listed", n_lost)
    row("a body that always ends early", "reject `unreadable`", "next night: embedded", n_lost)


@pytest.mark.slow
def test_a_prefix_is_throttled_for_20_seconds(place, warehouse, nights, row):
    slowed = []

    def slow(prefix):
        return lambda request: slowed.append(place.proxy.slow_down(prefix, 20))

    place.proxy.before(below(CORPUS, "lion/"), slow(below(CORPUS)))
    place.proxy.before(below(warehouse, "labels/run=r2/"), slow(below(warehouse, "labels/")), methods=("PUT", "POST"))
    started = time.monotonic()
    ended = place.night(warehouse)
    assert ended.code == 0 and len(slowed) == 2, ended.errors
    seconds, refused = time.monotonic() - started, sum(rule.fired for rule in slowed)
    n_lost, n_rejected = next_night_if_rejected(place, warehouse, nights, ["throttled"])
    row("corpus, then a table, throttled for 20 s", f"{refused} x 503, {n_rejected} rejects, {seconds:.0f} s; live",
        "next night" if n_rejected else "not needed", n_lost)  # fmt: skip


@pytest.mark.slow
def test_the_network_is_gone_for_10_seconds(place, warehouse, nights, row):
    cuts = []

    def cut(request):
        cuts.append(place.proxy.cut(10))

    place.proxy.before(below(CORPUS, "tulip/"), cut)
    place.proxy.before(below(warehouse, "labels/run=r2/"), cut, methods=("PUT",))
    ended = place.night(warehouse)
    assert ended.code == 0 and len(cuts) == 2, ended.errors
    n_lost, n_rejected = next_night_if_rejected(place, warehouse, nights, ["timeout", "unreadable"])
    row("the network gone for 10 s, twice", f"{sum(rule.fired for rule in cuts)} resets, {n_rejected} rejects; live",
        "next night" if n_rejected else "not needed", n_lost)  # fmt: skip


# --- rights, credentials, places --------------------------------------------------------------------------------------


@pytest.fixture
def other_credentials():
    """Ask as somebody else, by boto3, for a while."""

    @contextmanager
    def become(**variables):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.setattr("boto3.DEFAULT_SESSION", None)  # it remembers whose credentials it found
            s3._client.cache_clear()
            yield
        s3._client.cache_clear()

    return become


def test_wrong_credentials_and_missing_buckets_are_one_line(place, warehouse, nights, other_credentials, row):
    for name, words in (
        ("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId"),
    ):
        with other_credentials(**{name: "somebodys-s3cr3t"}):
            ended = place.night(warehouse)
        assert words in ended.line and f"{warehouse}/" in ended.line
        assert "somebodys-s3cr3t" not in ended.told + ended.errors
    ended = place.night("s3://no-such-bucket/warehouse")
    assert "s3://no-such-bucket/" in ended.line and "NoSuchBucket" in ended.line
    missing = ["--set", "catalog_images.sources=['s3://no-such-bucket/pictures']"]
    ended = place.night(warehouse, TODAY, NIGHT, *missing)
    assert "s3://no-such-bucket/pictures: NoSuchBucket" in ended.line
    yesterday(warehouse, nights)
    place.again(warehouse)
    n_lost = today(place, warehouse, nights)
    row("wrong secret key, unknown access key", "one line, exit 2; yesterday live", "today live", n_lost)
    row("bucket of warehouse or corpus missing", "one line, exit 2; yesterday live", "today live", n_lost)


@pytest.mark.slow
def test_wrong_credentials_of_sparks_connector_are_one_line(place, base, nights, row):
    place.proxy.clear()
    place.server.make_bucket("faults-strange")
    warehouse = copied(place, base, "strange", "faults-strange")
    hadoop = place.spark.sparkContext._jsc.hadoopConfiguration()
    simple = "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider"
    for key, value in {"access.key": "nobody", "secret.key": "n0-s3cr3t", "aws.credentials.provider": simple}.items():
        hadoop.set(f"fs.s3a.bucket.faults-strange.{key}", value)
    ended = place.night(warehouse)
    assert "s3://faults-strange/strange/warehouse/images/run=r2" in ended.line, ended.line
    assert "403" in ended.line or "InvalidAccessKeyId" in ended.line
    assert "n0-s3cr3t" not in ended.told + ended.errors
    yesterday(warehouse, nights)
    for key in ("access.key", "secret.key", "aws.credentials.provider"):
        hadoop.unset(f"fs.s3a.bucket.faults-strange.{key}")
    jvm = place.spark.sparkContext._jvm
    root = jvm.java.net.URI("s3://faults-strange/")
    jvm.org.apache.hadoop.fs.FileSystem.get(root, hadoop).close()  # so that the next one is made with other settings
    place.again(warehouse)
    row("wrong credentials of S3A alone", "one line, exit 2; yesterday live", "today live",
        today(place, warehouse, nights))  # fmt: skip


@pytest.mark.slow
def test_no_right_to_write_is_one_line_wherever_it_begins(place, warehouse, nights, row):
    """On the driver, in Spark's tasks, and at the pointer."""
    for prefix in [
        "images/run=r2/part",
        f"images/run=r2/{manifest.NAME}",
        "embeddings/run=r2/",
        f"labels/run=r2/{manifest.NAME}",
        "live/",
    ]:
        place.proxy.clear()
        rule = place.proxy.deny(below(warehouse, prefix))
        ended = place.night(warehouse)
        assert rule.fired and "AccessDenied: Access Denied" in ended.line, ended.errors
        assert storage.join(warehouse, prefix).rstrip("/") in ended.line, ended.line
        yesterday(warehouse, nights)
    place.again(warehouse)
    no_orphans(place, warehouse)
    row(
        "no right to write (5 places)",
        "one line, exit 2; yesterday live",
        "today live",
        today(place, warehouse, nights),
    )


@pytest.mark.slow
def test_a_model_that_never_comes_whole_is_one_line(place, warehouse, nights, tmp_path, monkeypatch, row):
    monkeypatch.setitem(place.spark.sparkContext.environment, "TMPDIR", str(tmp_path))  # nothing was fetched to there
    place.proxy.truncate(below(warehouse, "model/run=r1/attempt/model"), times=None)
    ended = place.night(warehouse)
    assert "model.safetensors: " in ended.line and "Retries" in ended.line, ended.line
    yesterday(warehouse, nights)
    place.again(warehouse)
    row("the model's body always ends early", "one line, exit 2; yesterday live", "today live",
        today(place, warehouse, nights))  # fmt: skip


def test_what_spark_says_of_the_store_is_read_from_its_text():
    """As Hadoop 3.3 (SDK 1) and 3.4 (SDK 2) put it."""
    head = "An error occurred while calling o97.parquet.\n: "
    cases = {
        "java.nio.file.AccessDeniedException: s3://b/t/run=r 1/: PUT 0-byte object  on t/run=r 1/: "
        "com.amazonaws.services.s3.model.AmazonS3Exception: Access Denied (Service: Amazon S3; Status Code: 403; Error "
        "Code: AccessDenied; Request ID: 1; S3 Extended Request ID: null; Proxy: null), S3 Extended Request ID: "
        "null:AccessDenied": "s3://b/t/run=r 1/: AccessDenied: Access Denied",
        "org.apache.hadoop.fs.s3a.UnknownStoreException: `s3://b/x': getFileStatus on s3://b/x: com.amazonaws.services."
        "s3.model.AmazonS3Exception: The specified bucket does not exist (Service: Amazon S3; Status Code: 404; Error "
        "Code: NoSuchBucket; Request ID: 1)": "s3://b/x: NoSuchBucket: The specified bucket does not exist",
        "java.nio.file.AccessDeniedException: s3a://b/k: getFileStatus on s3a://b/k: software.amazon.awssdk.services.s3"
        ".model.S3Exception: The AWS Access Key Id you provided does not exist in our records. (Service: S3, Status "
        "Code: 403, Request ID: 1, Extended Request ID: null) (SDK Attempt Count: 1):InvalidAccessKeyId":
        "s3a://b/k: InvalidAccessKeyId: The AWS Access Key Id you provided does not exist in our records.",
        "java.net.ConnectException: getFileStatus on s3://b/k: com.amazonaws.SdkClientException: Unable to execute "
        "HTTP request: Connect to 127.0.0.1:9 failed": "Unable to execute HTTP request: Connect to 127.0.0.1:9 failed",
        "org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 1.0 failed 1 times: "
        "java.nio.file.AccessDeniedException: t/part-0: initiate MultiPartUpload on t/part-0: com.amazonaws.services."
        "s3.model.AmazonS3Exception: Access Denied (Service: Amazon S3; Status Code: 403; Error Code: AccessDenied; "
        "Request ID: 1)": "s3://b/t/part-0: AccessDenied: Access Denied",
        "org.apache.spark.SparkException: Job aborted.\nCaused by: java.io.IOException: No space left on device":
        "the local disk for scratch is full on a worker: No space left on device",
    }  # fmt: skip
    for text, wanted in cases.items():
        found = faults.find(f"{head}{text}\n\tat org.apache.hadoop.fs.s3a.S3AUtils.x(S3AUtils.java:1)\n", "s3://b/w")
        assert type(found) is StorageError and str(found).endswith(wanted), (str(found), wanted)
    assert faults.find(f"{head}java.lang.NullPointerException\n\tat x.y(Z.java:1)\n") is None


# --- a disk that is full ----------------------------------------------------------------------------------------------


@pytest.fixture
def full_disk(tmp_path):
    """A folder on a file system with room for a few kB: of one with none, Python's tempfile would choose another."""
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system of a test's own: {mounted.stderr.decode().strip()}")
    with suppress(OSError), open(folder / "filler", "wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 2**16)
    os.truncate(folder / "filler", (folder / "filler").stat().st_size - 2**14)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_rerun_goes_on(place, warehouse, nights, full_disk, row):
    """No room on a worker for the model, and none for the first file of a table that it writes."""
    for wanted, filled in [(f"cannot be copied to {full_disk}/", False), ("", True)]:
        if filled:
            with suppress(OSError), open(full_disk / "rest", "wb", buffering=0) as rest:
                while True:
                    rest.write(b"x" * 2**8)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(place.spark.sparkContext.environment, "TMPDIR", str(full_disk))
            ended = place.night(warehouse, TOMORROW if filled else TODAY)
        assert wanted in ended.line and "No space left on device" in ended.line, ended.line
        yesterday(warehouse, nights)
    place.again(warehouse)
    row("scratch disk full (model, a table's file)", "one line, exit 2; yesterday live", "today live",
        today(place, warehouse, nights))  # fmt: skip


# --- processes that are killed ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_python_worker_is_killed_in_the_middle_of_its_batch(place, warehouse, nights, row):
    killed = []

    def kill(request):
        if len(place.proxy.requests("GET", below(CORPUS))) >= 5 and not killed:
            killed.append(owner(request.client_port))
            os.kill(killed[0], signal.SIGKILL)
            return DROP

    place.proxy.before(below(CORPUS), kill, times=None)
    ended = place.night(warehouse)
    assert ended.code == 0 and killed[0] and "a worker died: the slices that it had are done again" in ended.told
    no_orphans(place, warehouse)
    row("a Python worker killed mid-batch (local[2])", "its slice done again; today live", "not needed",
        today(place, warehouse, nights))  # fmt: skip


@pytest.mark.slow
def test_files_of_a_zombie_are_never_read(place, warehouse, nights, row):
    """An attempt that writes on after its twin committed: whole files, half ones, and the committer's leavings."""
    assert place.night(warehouse, TODAY, NIGHT[:2]).code == 0
    zombies = []
    for name in ("images", "embeddings", "rejects"):
        root = manifest.folder(warehouse, name, TODAY)
        whole = next((uri for uri in place.keys(root) if uri.endswith(".parquet")), None)
        content = place.get(whole) if whole else b"PAR1"
        for part in ("part-99999-whole.zstd.parquet", "part-99998-half.parquet", "__magic/job-1/part-1.parquet"):
            zombies.append(f"{root}/{part}")
            place.put(zombies[-1], content[: len(content) // 2] if "half" in part else content)
    place.proxy.forget()
    for run in (TODAY, TOMORROW):
        place.again(warehouse, run)
        compare_tables(live(warehouse), nights[TODAY])
        accounts(warehouse, run)
    for uri in zombies:
        assert place.proxy.count("GET", below(uri)) == 0
    row("a zombie writes into a committed run", "never read; today live", "and next night",
        lost(live(warehouse)))  # fmt: skip


KILLS = {
    "before the plan's manifest": ({"prefix": f"plan/run=r2/{manifest.NAME}"}, YESTERDAY),
    "before the slices are cut": ({"prefix": "_staging/embed_images/run=r2/"}, YESTERDAY),
    "before the first file": ({"prefix": "embeddings/run=r2/", "purposes": ("object", "multipart")}, YESTERDAY),
    "between files and manifest": ({"prefix": f"embeddings/run=r2/{manifest.NAME}"}, YESTERDAY),
    "between manifest and pointer": ({"prefix": "live/history/"}, YESTERDAY),
    "between the pointer and its copy": ({"prefix": "live/current/live.json"}, YESTERDAY),
}


@pytest.mark.slow
@pytest.mark.parametrize("when", KILLS)
def test_the_driver_is_killed(place, warehouse, nights, row, when):
    request, expected = KILLS[when]
    request = request | {"prefix": below(warehouse, request["prefix"]), "methods": ("PUT", "POST")}
    ended = place.process(warehouse, kill_before=request)
    assert ended.code == -signal.SIGKILL, ended.errors[-3000:]
    yesterday(warehouse, nights)
    place.again(warehouse, TODAY, WITH_INDEX)
    no_orphans(place, warehouse)
    row(f"driver killed {when}", "yesterday live", "today live", today(place, warehouse, nights))


@pytest.mark.slow
def test_an_executor_is_killed(place, warehouse, nights, row):
    killed = []

    def kill(request):
        if len(place.proxy.requests("GET", below(CORPUS))) >= 3 and not killed:
            killed.append(_java_above(owner(request.client_port)))
            os.kill(killed[0], signal.SIGKILL)
            return DROP

    place.proxy.before(below(CORPUS), kill, times=None)
    home = place.folder / "spark"  # a local cluster's executors keep their files in SPARK_HOME
    home.mkdir()
    for part in Path(pyspark.__file__).parent.iterdir():
        if part.name != "work":
            (home / part.name).symlink_to(part)
    ended = place.process(warehouse, "local-cluster[2,1,1024]", SPARK_HOME=str(home))
    assert ended.code == 0 and killed, ended.errors[-3000:]
    row("an executor killed (local-cluster)", "tasks tried again; today live", "not needed",
        today(place, warehouse, nights))  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_the_driver_is_killed_at_a_slice_s_boundary(place, warehouse, nights, row, number):
    records = {"prefix": below(warehouse, "_staging/embed_images/run=r2/"), "methods": ("PUT",)}
    seen = []

    def such(request):
        if "/slice-" in request.place:
            seen.append(request.place)
        return len(seen) > number

    ended = place.process(warehouse, kill_before=records, such=such)
    assert ended.code == -signal.SIGKILL, ended.errors[-3000:]
    yesterday(warehouse, nights)
    place.proxy.forget()
    place.again(warehouse, TODAY, WITH_INDEX)
    fetched = place.proxy.count("GET", below(CORPUS))
    attempted = accounts(warehouse, TODAY)["attempted"]
    assert fetched == attempted if number == 0 else 0 < fetched < attempted
    no_orphans(place, warehouse)
    row(f"driver killed before slice record {number + 1}", "yesterday live",
        f"{fetched} of {attempted} images fetched again; today live", today(place, warehouse, nights))  # fmt: skip


@pytest.mark.slow
def test_of_3000_photographs_a_driver_killed_at_half_fetches_a_wave_of_slices_again(place, data, row, monkeypatch):
    """Two tasks run at one time: what was not committed of their slices under way, and no more."""
    photographs = sorted((data / "images" / "caltech101").rglob("*.jpg"))[:3000]
    corpus, warehouse = f"s3://{BUCKET}/photographs", f"s3://{BUCKET}/half/warehouse"
    for number, path in enumerate(photographs):
        place.put(f"{corpus}/{number:04d}.jpg", path.read_bytes())
    commit_vocabulary_and_model(str(place.folder / "half"))
    place.server.upload(place.folder / "half", warehouse)
    monkeypatch.setattr(sys.modules[__name__], "CORPUS", corpus)
    monkeypatch.setattr(sys.modules[__name__], "WITH_INDEX", NIGHT[:2])
    place.proxy.clear()
    place.proxy.forget()
    records = {"prefix": below(warehouse, "_staging/embed_images/run=r2/"), "methods": ("PUT",)}
    seen = []

    def such(request):
        if "/slice-" in request.place:
            seen.append(request.place)
        return len(seen) > 8

    ended = place.process(warehouse, kill_before=records, such=such)
    assert ended.code == -signal.SIGKILL, ended.errors[-3000:]
    first = place.proxy.count("GET", below(corpus))
    place.proxy.forget()
    place.again(warehouse, TODAY, NIGHT[:2])
    again = place.proxy.count("GET", below(corpus))
    parts = manifest.read(warehouse, "embeddings", TODAY).details
    slice_most = -(-3000 // parts["slices"]) * 1.3  # they are cut by a hash
    in_flight = 2 * (16 + 16)  # fetched ahead by two workers
    assert parts["attempted"] == parts["embedded"] + parts["rejected"] == 3000 and parts["slices"] == 16
    assert 0 < first + again - 3000 <= 2 * slice_most + in_flight
    row("driver killed at 8 of 16 slices of 3,000 photographs", f"{first:,} fetched",
        f"{again:,} fetched, {first + again - 3000:,} of them again", 3000 - parts["attempted"])  # fmt: skip


def _java_above(process):
    """The Java that started a Python worker."""
    while process > 1:
        with open(f"/proc/{process}/stat") as file:
            name, _, rest = file.read().partition("(")[2].rpartition(")")
        if name == "java":
            return process
        process = int(rest.split()[1])
    raise AssertionError("no Java above the process")
