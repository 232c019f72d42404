"""Status, rollback, expire and verify of a warehouse of five nights, in a folder and on a real S3 server."""

import hashlib
import json
import shutil

import pytest
from tiny_warehouse import _commit, _folder, add_night, publish

from devise import cli
from devise.errors import ConfigError, LeaseHeld, ManifestError
from devise.store import storage
from devise.warehouse import lease, manifest, pointer, upkeep, verify

NIGHTS = ("r2", "r3", "r4", "r5")
APPEND = ("embeddings", "rejects")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Publication 1 is vocabulary, model and index; 2 to 5 are nights; features are a cache beside the model."""
    warehouse, _ = publish(tmp_path_factory.mktemp("built"))
    for run in NIGHTS:
        add_night(warehouse, run)
    return storage.local_path(storage.normalise(warehouse))


@pytest.fixture(params=["file", "s3"])
def place(request, tmp_path, built):
    """Brings a folder to one of the two stores."""

    def bring(folder=built):
        if request.param == "file":
            return f"file://{shutil.copytree(folder, tmp_path / 'w', dirs_exist_ok=True)}"
        server = request.getfixturevalue("s3_server")
        warehouse = server.make_bucket(f"upkeep-{abs(hash(tmp_path)):x}") + "/a/w"
        server.upload(folder, warehouse)
        return warehouse

    return bring


@pytest.fixture
def local(tmp_path, built):
    """A copy of the warehouse to alter, in a folder."""
    return shutil.copytree(built, tmp_path / "altered")


def everything(warehouse):
    """Path -> content of every file but the lease's."""
    found = {file.uri.removeprefix(f"{warehouse}/"): storage.read_bytes(file.uri) for file in listed(warehouse)}
    return {path: content for path, content in found.items() if not path.startswith("live/lease/")}


def listed(warehouse):
    return list(storage.list_files(warehouse))


def assert_readable(warehouse, publication):
    for table, run in publication.pairs():
        found = manifest.read(warehouse, table, run)
        for file in found.files:
            content = storage.read_bytes(storage.join(manifest.folder(warehouse, table, run), file.path))
            assert hashlib.sha256(content).hexdigest() == file.sha256


def run_folders(warehouse):
    return {path.split("/part-")[0] for path in everything(warehouse) if "/part-" in path}


# --- expire ---------------------------------------------------------------------------------------------------------


def test_expire_removes_what_no_kept_publication_names_and_nothing_else(place):
    warehouse = place()
    before = everything(warehouse)
    told = upkeep.expire(warehouse, keep=2)
    after = everything(warehouse)
    gone = ("images/run=r2/", "images/run=r3/", "labels/run=r2/", "labels/run=r3/", *HISTORY[:3])
    assert after == {path: content for path, content in before.items() if not path.startswith(gone)}
    assert [publication.number for publication in pointer.history(warehouse)] == [4, 5]
    assert pointer.read(warehouse).run == "r5"
    for publication in pointer.history(warehouse):
        assert_readable(warehouse, publication)
    n_bytes = sum(len(content) for path, content in before.items() if path.startswith(gone[:4]))
    assert told[-1] == (
        f"4 runs removed: 12 files, {n_bytes:,} bytes; leftovers: 0 files, 0 bytes, 0 unfinished uploads; "
        "3 publications forgotten (1 to 3)"
    )
    assert lease.read(warehouse).job == "expire" and lease.read(warehouse).released
    assert upkeep.expire(warehouse, keep=2)[-1].startswith("0 runs removed: 0 files, 0 bytes")


HISTORY = tuple(f"live/history/{number:08d}.json" for number in range(1, 6))


def test_a_dry_run_says_the_same_and_touches_nothing(place):
    warehouse = place()
    before = everything(warehouse)
    said = upkeep.expire(warehouse, keep=2, dry_run=True)
    assert everything(warehouse) == before and lease.read(warehouse) is None
    done = upkeep.expire(warehouse, keep=2)
    assert [line.replace("would be ", "") for line in said] == done and len(done) == 5


def test_what_readers_still_open_is_kept_when_a_publisher_died_before_they_were_told(local, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pointer, "_copy", die)
        add_night(str(local), "r6")
    said = upkeep.expire(str(local), keep=1, dry_run=True)
    assert pointer.read(str(local)).number == 5 and said[-1].endswith("4 publications would be forgotten (1 to 4)")
    upkeep.expire(str(local), keep=1)  # finishes that publication first
    assert [found.number for found in pointer.history(str(local))] == [6] == [pointer.read(str(local)).number]


def test_a_base_frees_the_runs_before_it_once_no_kept_publication_names_them(place, local):
    add_night(str(local), "r6", bases=APPEND)
    add_night(str(local), "r7")
    warehouse = place(local)
    upkeep.expire(warehouse, keep=3)  # publication 5 still rests on r2 to r5
    assert {f"embeddings/run={run}" for run in (*NIGHTS, "r6", "r7")} <= run_folders(warehouse)
    upkeep.expire(warehouse, keep=2)
    found = run_folders(warehouse)
    assert {path for path in found if path.startswith(APPEND)} == {
        f"{table}/run={run}" for table in APPEND for run in ("r6", "r7")
    }
    for publication in pointer.history(warehouse):
        assert_readable(warehouse, publication)


def test_a_run_stays_while_another_table_s_kept_run_is_committed_by_it(place, local):
    """The rejects of r2 to r5 are live; without the embeddings' manifests of those runs they would not exist."""
    add_night(str(local), "r6", bases=("embeddings",))
    warehouse = place(local)
    upkeep.expire(warehouse, keep=1)
    assert pointer.read(warehouse).runs("embeddings") == ["r6"]
    assert_readable(warehouse, pointer.read(warehouse))


def test_runs_that_a_rollback_left_stay_as_long_as_a_kept_publication_names_them(place):
    warehouse = place()
    upkeep.rollback(warehouse, 3)
    upkeep.expire(warehouse, keep=2)  # publication 5 is one of them
    left = {f"{table}/run={run}" for table in ("images", "embeddings", "labels") for run in ("r4", "r5")}
    assert left - {"images/run=r4", "labels/run=r4"} <= run_folders(warehouse)
    upkeep.expire(warehouse, keep=1)
    found = run_folders(warehouse)
    assert not left & found and "images/run=r3" in found and "images/run=r2" not in found
    assert_readable(warehouse, pointer.read(warehouse))


def test_runs_newer_than_the_live_one_stay_unless_they_were_discarded(place, local):
    for run in ("r6", "r7"):
        _commit(str(local), "model", {}, run, parent=5)
    warehouse = place(local)
    upkeep.discard(warehouse, "r6")
    upkeep.expire(warehouse, keep=1)
    assert manifest.run_ids(warehouse, "model") == ["r1", "r7"]


def test_a_link_in_a_run_s_folder_leads_nowhere(local, tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "letter.txt").write_text("dear")
    for place in ("labels/run=r5", "labels/run=r9"):
        (local / place).mkdir(exist_ok=True)
        (local / place / "link").symlink_to(tmp_path / "theirs")
    monkeypatch.setattr(upkeep, "LEFTOVER_SECONDS", -60.0)
    upkeep.expire(str(local), keep=14)
    assert (tmp_path / "theirs" / "letter.txt").read_text() == "dear"


def test_features_of_a_discarded_run_go(local):
    for run in ("r1b", "r6"):
        (_folder(str(local), "features", run) / "part-0.parquet").write_bytes(run.encode())
        features = _commit(str(local), "features", {"part-0.parquet": 1}, run)
        _commit(str(local), "model", {}, run, parent=5, secondary={"features": features})
    upkeep.discard(str(local), "r6")
    upkeep.expire(str(local), keep=14)
    assert manifest.run_ids(str(local), "features")[-1] == "r1b" and not (local / "features" / "run=r6").exists()


def test_features_of_a_kept_model_and_the_newest_ones_stay_though_nothing_names_them(place, local):
    for run in ("r0", "r1", "r1b", "r1c"):
        names = {"part-0.parquet": 1}
        (_folder(str(local), "features", run) / "part-0.parquet").write_bytes(run.encode())
        features = _commit(str(local), "features", names, run)
        if run == "r1":
            made = manifest.read(str(local), "model", run)
            (local / "model" / "run=r1" / NAME).unlink()
            manifest.write(str(local), made.model_copy(update={"secondary": {"features": features}}))
        else:
            (_folder(str(local), "model", run) / "part-0.parquet").write_bytes(run.encode())
            _commit(str(local), "model", names, run, secondary={"features": features})
    warehouse = place(local)
    upkeep.expire(warehouse, keep=2)
    found = {path for path in run_folders(warehouse) if path.startswith(("features", "model"))}
    assert found == {"features/run=r1", "features/run=r1c", "model/run=r1c"}
    assert [manifest.find(warehouse, "features", run) is not None for run in ("r1", "r1b", "r1c")] == [1, 0, 1]


def test_a_table_that_no_publication_names_is_kept_as_long_as_its_night(local):
    for run in NIGHTS:
        (_folder(str(local), "neighbours", run) / "part-0.parquet").write_bytes(b"x")
        _commit(str(local), "neighbours", {"part-0.parquet": 1}, run)
    upkeep.expire(str(local), keep=2)
    assert manifest.run_ids(str(local), "neighbours") == ["r4", "r5"]


@pytest.fixture
def littered(place):
    """A warehouse with leftovers of every kind, and the paths that must stay."""
    warehouse = place()
    stay = set(everything(warehouse))
    left = [
        "images/run=r9/part-0-dead.parquet",
        "images/run=r9/_temporary/0/part-1.parquet",
        "rejects/run=r8/part-0.parquet",
        "live/current/.0123abcd.tmp",
        "embeddings/run=r5/part-0-zombie.parquet",
        "embeddings/run=r5/__magic_job-1/tasks/part-0.parquet.pending",
        "_staging/embed_images/run=r8/abc/outcomes/part-0.parquet",
    ]
    ours = ["embeddings/run=r5/.part-0.parquet.crc", "labels/run=r5/._SUCCESS.crc", "elsewhere/run=r1/letter.txt"]
    for path in [*left, *ours]:
        storage.write_bytes(f"{warehouse}/{path}", b"x" * 10)
    return warehouse, stay | set(ours), set(left)


def test_leftovers_go_once_they_are_a_day_old(littered, monkeypatch):
    warehouse, stay, left = littered
    assert upkeep.expire(warehouse, keep=14)[-1].endswith(
        "leftovers: 0 files, 0 bytes, 0 unfinished uploads; 0 publications forgotten"
    )
    assert set(everything(warehouse)) == stay | left
    monkeypatch.setattr(upkeep, "LEFTOVER_SECONDS", -60.0)
    told = upkeep.expire(warehouse, keep=14)
    assert set(everything(warehouse)) == stay
    assert f"{warehouse}/embeddings/run=r5/part-0-zombie.parquet: 10 bytes that no manifest lists removed" in told
    assert told[-1].startswith("0 runs removed: 0 files, 0 bytes; leftovers: 7 files, ")
    assert "run=r9" not in " ".join(storage.list_level(f"{warehouse}/images")[0])
    assert_readable(warehouse, pointer.read(warehouse))


def test_uploads_that_were_never_ended_are_aborted_below_the_warehouse_only(place, s3_server, monkeypatch):
    warehouse = place()
    if not warehouse.startswith("s3://"):
        assert storage.list_uploads(warehouse) == []
        return
    bucket = warehouse.split("/")[2]
    keys = ["a/w/images/run=r5/part-9 ü.parquet", "a/wide/other"]
    for key in keys:
        s3_server.client().create_multipart_upload(Bucket=bucket, Key=key)
    upkeep.expire(warehouse, keep=14)
    assert [upload.uri for upload in storage.list_uploads(warehouse)] == [f"s3://{bucket}/{keys[0]}"]
    monkeypatch.setattr(upkeep, "LEFTOVER_SECONDS", -60.0)
    (begun,) = storage.list_uploads(warehouse)
    told = upkeep.expire(warehouse, keep=14)
    assert f"s3://{bucket}/{keys[0]}: an unfinished upload removed" in told and ", 1 unfinished uploads;" in told[-1]
    assert [upload.uri for upload in storage.list_uploads(f"s3://{bucket}")] == [f"s3://{bucket}/{keys[1]}"]
    storage.abort_upload(begun)  # gone already: no error


def test_an_expire_that_is_killed_leaves_whole_runs_or_none(place, monkeypatch):
    warehouse = place()

    def die(uri):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(storage, "delete_folder", die)
        with pytest.raises(KeyboardInterrupt):
            upkeep.expire(warehouse, keep=2)
    assert lease.read(warehouse).released
    assert "images/run=r2/part-0.parquet" in everything(warehouse)
    assert manifest.find(warehouse, "images", "r2") is None  # its manifest went first
    for publication in pointer.history(warehouse):
        assert_readable(warehouse, publication)
    monkeypatch.setattr(upkeep, "LEFTOVER_SECONDS", -60.0)
    upkeep.expire(warehouse, keep=2)
    assert not {path for path in everything(warehouse) if path.startswith(("images/run=r2", "labels/run=r2"))}


# --- rollback -------------------------------------------------------------------------------------------------------


def test_a_rollback_is_a_new_publication_of_the_old_runs_by_the_old_run(place):
    warehouse = place()
    old = pointer.history(warehouse)[3]
    lines = upkeep.rollback(warehouse)
    assert lines == [
        "publication 5 (run r5) was live; publication 6 (run r4, as publication 4) is",
        "discarded, never to be used again: run r5",
    ]
    live = pointer.read(warehouse)
    assert (live.number, live.run, live.pairs()) == (6, "r4", old.pairs())
    assert (live.parent, live.restores) == (old.parent, 4) == (3, 4)
    assert (
        "publication 7 (run r3, as publication 3) is" in upkeep.rollback(warehouse)[0]
    )  # further back, not to and fro
    with pytest.raises(
        ConfigError, match="publication 5 names run r4, r5, which was discarded and is never used again"
    ):
        upkeep.rollback(warehouse, 5)
    assert [publication.run for publication in pointer.history(warehouse)] == ["r1", *NIGHTS, "r4", "r3"]
    assert pointer.read(warehouse) == pointer.settle(warehouse)


def test_a_rollback_that_cannot_be_is_refused_and_says_what_is_kept(place):
    warehouse = place()
    for number, words in ((9, "wanted publication 9, kept are 1"), (5, "publication 5 is what is live")):
        with pytest.raises(ConfigError, match=words):
            upkeep.rollback(warehouse, number)
    storage.delete(f"{warehouse}/labels/run=r4/_manifest.json")
    with pytest.raises(ManifestError, match="labels/run=r4: publication 4 names this run, and it is gone"):
        upkeep.rollback(warehouse)
    upkeep.rollback(warehouse, 1)
    with pytest.raises(ConfigError, match="wanted one of a run before r1"):
        upkeep.rollback(warehouse)
    assert pointer.read(warehouse).number == 6


def test_rollback_and_expire_wait_for_nobody_and_work_beside_nobody(place):
    warehouse = place()
    before = everything(warehouse)
    with lease.hold(warehouse, "r6", "run_nightly"):
        for work in (upkeep.rollback, lambda it: upkeep.expire(it, 1), lambda it: upkeep.discard(it, "r5")):
            with pytest.raises(LeaseHeld, match="held by run_nightly of run r6"):
                work(warehouse)
    assert everything(warehouse) == before


# --- status and the command line ------------------------------------------------------------------------------------


def ask(capsys, *arguments):
    cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out.splitlines()


def refused(capsys, *arguments):
    """What was printed, and the one line that says why the exit code is 2."""
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert stopped.value.code == 2 and captured.err.count("\n") == 1
    return captured.out.splitlines(), captured.err.strip()


def test_status_sums_a_chain_in_one_line_and_accounts_for_the_night(place, capsys):
    warehouse = place()
    with lease.hold(warehouse, "r6", "run_nightly"):
        first, second, _, *lines = ask(capsys, "status", "--warehouse", warehouse)
    assert second == "built on: publication 4"
    assert first.startswith("live: run r5, publication 5, published 0.0 h ago, in ")
    rows = {line.split()[0]: " ".join(line.split()[1:-1]) for line in lines[:7]}
    assert rows == {
        "vocabulary": "r1 5",
        "model": "r1 0",
        "index": "r1 12",
        "embeddings": "r2 to r5 (4 runs) 4",
        "rejects": "r2 to r5 (4 runs) 4",
        "images": "r5 8",
        "labels": "r5 4",
    }
    chain = [manifest.read(warehouse, "embeddings", run) for run in NIGHTS]
    assert lines[3].split()[-1] == f"{sum(run.files[0].size_bytes for run in chain):,}"
    assert lines[7:10] == [
        "images of run r5: 8 listed = 1 embedded + 1 rejected + 3 unchanged + 3 carried",
        "rejects of run r5: truncated 1; in all 4 runs: truncated 4",
        f"model {'m' * 16}, vocabulary {'v' * 16}",
    ]
    assert lines[10].startswith("lease: held by run_nightly of run r6 (host ") and " since " in lines[10]
    assert lines[11:] == ["kept publications: 1 (run r1), 2 (run r2), 3 (run r3), 4 (run r4), 5 (run r5)"]
    assert ask(capsys, "status", "--warehouse", warehouse)[-2] == "lease: nobody works here"
    lease._take(warehouse, "r6", "run_nightly", -1)  # killed, and some time ago
    line = ask(capsys, "status", "--warehouse", warehouse)[-2]
    assert line.startswith("lease: expired and never released, of run_nightly of run r6 (host ")


def test_a_night_s_upkeep_from_a_terminal(place, capsys):
    warehouse = place()
    assert ask(capsys, "rollback", "--warehouse", warehouse, "--to", 3)[0].endswith("(run r3, as publication 3) is")
    assert "run r4, which was discarded" in refused(capsys, "rollback", "--warehouse", warehouse, "--to", 4)[1]
    assert "run r3 is live" in refused(capsys, "discard", "r3", "--warehouse", warehouse)[1]
    told = ask(capsys, "status", "--warehouse", warehouse)
    assert [line.split(",")[0] for line in told[-2:]] == ["discarded: run r4", "discarded: run r5"]
    assert "would be" in ask(capsys, "expire", "--warehouse", warehouse, "--dry-run")[-1]
    assert "0 runs removed" in ask(capsys, "expire", "--warehouse", warehouse)[-1]  # 14 are kept
    assert "5 publications forgotten" in ask(capsys, "expire", "--warehouse", warehouse, "--keep", 1)[-1]
    header, *lines = ask(capsys, "verify", "r3", "--warehouse", warehouse)
    assert header.split() == ["table", "files", "rows", "bytes", "inputs", "result"]
    assert {line.split()[0]: line.split()[-1] for line in lines} == dict.fromkeys(
        ("embeddings", "images", "labels", "rejects"), "sound"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status"], "nothing is published here yet"),
        (["rollback"], "nothing is published here yet"),
        (["discard", "r1"], "no table has a committed run r1"),
        (["discard", "../r1"], "found the run id '../r1', wanted"),
        (["verify", "../r1"], "no table has a committed run ../r1"),
        (["expire"], "nothing is published here yet"),
        (["verify", "r1"], "no table has a committed run r1"),
    ],
)
def test_an_empty_warehouse_is_one_line(capsys, tmp_path, arguments, words):
    assert words in refused(capsys, *arguments, "--warehouse", tmp_path)[1]


def test_a_number_of_publications_that_is_none_is_refused(capsys, built):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["expire", "--keep", "0", "--warehouse", str(built)])
    assert stopped.value.code == 2 and "argument --keep: found 0" in capsys.readouterr().err
    with pytest.raises(ValueError, match="found keep 0"):
        upkeep.expire(str(built), 0)


# --- verify ---------------------------------------------------------------------------------------------------------


def test_every_run_of_a_sound_warehouse_is_sound_also_after_expire(place):
    warehouse = place()
    for run in ("r1", *NIGHTS):
        checked = verify.verify(warehouse, run)
        assert [found.faults for found in checked] == [[]] * (3 if run == "r1" else 4)
        verify.refuse_faults(checked, run)
    upkeep.expire(warehouse, keep=1)
    assert [found.faults for found in verify.verify(warehouse, "r5")] == [[]] * 4
    # The images that these embeddings were made of are gone by right.
    assert [(found.table, found.faults) for found in verify.verify(warehouse, "r3")] == [
        ("embeddings", []),
        ("rejects", []),
    ]


def altered(path, **changes):
    """A manifest with other values; those of `details` are put into it."""
    document = json.loads(path.read_bytes())
    document["details"] |= changes.pop("details", {})
    path.write_text(json.dumps({**document, **changes}))


def altered_codes(path):
    """Another number of reject codes in what an embeddings' manifest says of its rejects."""
    secondary = json.loads(path.read_bytes())["secondary"]
    altered(path, secondary={"rejects": {**secondary["rejects"], "rejects": {"gone": 3}}})


def corrupt(path):
    """Same size, one bit different."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


PART, NAME = "part-0.parquet", "_manifest.json"
DAMAGE = {
    "missing": (lambda night: (night / "labels" / PART).unlink(), f"labels/run=r5/{PART}: missing"),
    "short": (lambda night: (night / "labels" / PART).write_bytes(b"PAR1"), f"{PART}: found 4 bytes, wanted "),
    "corrupt": (lambda night: corrupt(night / "images" / PART), f"images/run=r5/{PART}: sha256 is "),
    "unlisted": (lambda night: (night / "images" / "part-1.parquet").touch(), "part-1.parquet: no manifest lists it"),
    "parts": (lambda night: altered(night / "embeddings" / NAME, details={"carried": 4}), "8 images are listed, but "),
    "embedded": (
        lambda night: altered(night / "embeddings" / NAME, details={"embedded": 2, "carried": 2}),
        "embedded is 2, but embeddings has 1 rows",
    ),
    "rejected": (
        lambda night: altered(night / "embeddings" / NAME, details={"rejected": 2, "carried": 2}),
        "rejected is 2, but rejects has 1 rows",
    ),
    "listed": (
        lambda night: altered(night / "embeddings" / NAME, details={"listed": 7, "carried": 2}),
        "listed is 7, but images has 8 rows",
    ),
    "codes": (lambda night: altered_codes(night / "embeddings" / NAME), "1 rows, but 3 reject codes"),
    "sum": (lambda night: altered(night / "labels" / NAME, rows=9), "the manifest says 9 rows, its files 4"),
}


class Night:
    """The folders of run r5, by table."""

    def __init__(self, warehouse):
        self.warehouse = warehouse

    def __truediv__(self, table):
        return self.warehouse / table / "run=r5"


@pytest.mark.parametrize("kind", DAMAGE)
def test_verify_finds_damage_and_names_the_first_fault(local, capsys, kind):
    damage, words = DAMAGE[kind]
    damage(Night(local))
    lines, line = refused(capsys, "verify", "r5", "--warehouse", local)
    faults = [fault for found in verify.verify(str(local), "r5") for fault in found.faults]
    assert line == f"devise: error: run r5: {len(faults)} faults, the first: {faults[0]}"
    assert any(words in fault for fault in faults), faults
    assert lines[-len(faults) :] == faults and len(lines) == 5 + len(faults)


def test_verify_counts_the_rows_of_the_files_and_not_of_the_receipts_alone(local, capsys):
    path = local / "labels" / "run=r5" / NAME
    file = json.loads(path.read_bytes())["files"][0]
    altered(path, rows=9, files=[{**file, "rows": 9}])
    assert "found 4 rows, wanted 9" in refused(capsys, "verify", "r5", "--warehouse", local)[1]
    text = b"no Parquet at all"
    (local / "labels" / "run=r5" / PART).write_bytes(text)
    receipt = {**file, "size_bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    altered(path, rows=4, files=[receipt])
    assert f"{PART}: cannot be read: " in refused(capsys, "verify", "r5", "--warehouse", local)[1]


def test_verify_follows_inputs_to_the_runs_they_name(local, capsys):
    altered(local / "vocabulary" / "run=r1" / NAME, config_hash="another")
    lines, line = refused(capsys, "verify", "r5", "--warehouse", local)
    assert "run r5: 3 faults, the first: " in line and "its input vocabulary is r1 " in line
    (local / "vocabulary" / "run=r1" / NAME).unlink()  # a kept publication names it: not gone by right
    assert "its input vocabulary of run r1 is gone" in refused(capsys, "verify", "r5", "--warehouse", local)[1]


def test_a_table_of_the_run_without_a_manifest_is_a_fault(local, capsys):
    (local / "labels" / "run=r5" / NAME).unlink()
    lines, line = refused(capsys, "verify", "r5", "--warehouse", local)
    folder = f"file://{local}/labels/run=r5"
    assert "run r5: 2 faults, the first: " in line
    assert {f"{folder}/{name}: in a run without a manifest" for name in (PART, "_SUCCESS")} == set(lines[-2:])


def test_damage_on_the_server_is_found_too(place):
    warehouse = place()
    content = bytearray(storage.read_bytes(f"{warehouse}/images/run=r5/{PART}"))
    content[10] ^= 1
    storage.write_bytes(f"{warehouse}/images/run=r5/{PART}", bytes(content))
    storage.delete(f"{warehouse}/embeddings/run=r5/{PART}")
    storage.write_bytes(f"{warehouse}/labels/run=r5/part-1.parquet", b"x")
    faults = [fault for found in verify.verify(warehouse, "r5") for fault in found.faults]
    assert len(faults) == 3
    for fault, words in zip(faults, ("missing, the manifest lists it", "sha256 is ", "no manifest lists"), strict=True):
        assert words in fault
    with pytest.raises(ManifestError, match="run r5: 3 faults, the first: .*embeddings/run=r5/part-0.parquet: missing"):
        verify.refuse_faults(verify.verify(warehouse, "r5"), "r5")
