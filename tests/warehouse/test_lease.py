"""One run at a time in a warehouse, on both stores: one taker wins; a lease is renewed, lost, expired, released."""

import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from devise import cli
from devise.config import CatalogConfig, PublishConfig
from devise.errors import LeaseHeld, LeaseLost, StorageError
from devise.jobs import catalog_images
from devise.spark.frame import job
from devise.spark.stages import publish
from devise.store import storage
from devise.warehouse import lease, pointer
from devise.warehouse.lineage import begin


@pytest.fixture
def warehouse(store):
    return f"{store}/w"


def objects(warehouse):
    return [file.uri.rsplit("/", 1)[-1] for file in storage.list_level(f"{warehouse}/live/lease")[1]]


def wait_until(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def abandon(warehouse, run="r0", seconds=120.0):
    """The lease of a process that was killed: never renewed, never released."""
    return lease._take(warehouse, run, "run_nightly", seconds)


def race(takers, take):
    """How many of so many takers, who start together, came through; the others' refusals."""
    won, refused, together = [], [], threading.Barrier(takers)

    def start(number):
        together.wait()
        try:
            won.append(take(number))
        except LeaseHeld as error:
            refused.append(str(error))

    threads = [threading.Thread(target=start, args=(number,)) for number in range(takers)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(won) + len(refused) == takers
    return won, refused


@pytest.mark.parametrize("before", ["nobody", "released", "expired"])
def test_exactly_one_of_many_takers_wins(warehouse, before):
    if before == "released":
        with lease.hold(warehouse, "r0", "run_nightly"):
            pass
    if before == "expired":
        abandon(warehouse, seconds=-1)
    won, refused = race(16, lambda number: lease._take(warehouse, f"r{number}", "run_nightly", 120))
    assert len(won) == 1 and len(refused) == 15
    won[0].check()
    assert all("one run at a time" in line for line in refused)
    assert lease.read(warehouse) == won[0]._claim


def test_takers_who_come_one_after_another_never_overlap(warehouse):
    """Each holder is alone, also while older leases are removed under the feet of slow takers."""
    inside, most, turns = set(), [], []

    def take(number):
        for _ in range(6):
            try:
                with lease.hold(warehouse, f"r{number}", "run_nightly") as held:
                    inside.add(number)
                    most.append(len(inside))
                    held.check()
                    inside.remove(number)
                    turns.append(number)
            except LeaseHeld:
                continue

    won, refused = race(8, take)
    assert len(won) == 8 and not refused and set(most) == {1} and len(turns) >= 1


def test_a_second_run_is_told_who_holds_the_warehouse_since_when_and_until_when(warehouse):
    with lease.hold(warehouse, "2026-11-23", "run_nightly"):
        for run in ("2026-11-23", "2026-11-24"):  # the same run started twice is a second run
            with pytest.raises(LeaseHeld) as refused, lease.hold(warehouse, run, "run_nightly"):
                pytest.fail("held twice")
            line, holder = str(refused.value), lease.read(warehouse)
            assert f"held by run_nightly of run 2026-11-23 (host {holder.host}, process {holder.pid}) since " in line
            assert line.count(" UTC") == 2 and warehouse in line


@pytest.mark.parametrize("fault", [None, ZeroDivisionError, KeyboardInterrupt])
def test_a_lease_is_released_at_the_end_also_of_a_body_that_raises(warehouse, fault):
    try:
        with lease.hold(warehouse, "r1", "run_nightly"):
            assert not lease.read(warehouse).is_free()
            if fault:
                raise fault
    except (ZeroDivisionError, KeyboardInterrupt):
        pass
    assert lease.read(warehouse).released
    with lease.hold(warehouse, "r2", "run_nightly") as held:
        held.check()
        assert objects(warehouse) == ["00000002.json"]


def test_the_lease_of_a_killed_process_stands_until_it_expires(warehouse):
    dead = abandon(warehouse, seconds=0.6)
    with pytest.raises(LeaseHeld), lease.hold(warehouse, "r1", "run_nightly"):
        pytest.fail("taken from one who holds it")
    time.sleep(0.7)
    with lease.hold(warehouse, "r1", "run_nightly") as held:
        held.check()
        assert lease.read(warehouse).run == "r1"
    with pytest.raises(LeaseLost, match="is no longer the newest: somebody else has taken number 2"):
        dead.check()


def test_a_lease_that_was_not_renewed_in_time_and_that_nobody_took_is_taken_again(warehouse, capsys):
    asleep = abandon(warehouse, seconds=0.6)
    time.sleep(0.7)
    asleep._seconds = 60
    asleep.check()
    assert objects(warehouse) == ["00000002.json"] and not lease.read(warehouse).is_free()
    line = capsys.readouterr().err
    assert "the lease expired at " in line and "nobody has taken it, so it is taken again, as number 2" in line
    with pytest.raises(LeaseHeld), lease.hold(warehouse, "r1", "run_nightly"):
        pytest.fail("taken from one who holds it")
    asleep.check()
    asleep._release()
    assert lease.read(warehouse).released and objects(warehouse) == ["00000002.json"]


def test_of_an_owner_that_comes_back_late_and_the_takers_exactly_one_wins(warehouse):
    asleep = abandon(warehouse, seconds=-1)
    asleep._seconds = 60

    def take(number):
        if number:
            lease._take(warehouse, f"r{number}", "run_nightly", 60)
        else:
            try:
                asleep.check()
            except LeaseLost as error:
                raise LeaseHeld(str(error)) from None
        return number

    won, _ = race(6, take)
    assert len(won) == 1
    assert lease.read(warehouse).run == ("r0" if won == [0] else f"r{won[0]}")


def test_a_lease_is_renewed_for_as_long_as_the_work_takes(warehouse):
    with lease.hold(warehouse, "r1", "run_nightly", seconds=1.5) as held:
        first = lease.read(warehouse).expires_at
        wait_until(lambda: time.time() > first)
        held.check()
        assert time.time() < lease.read(warehouse).expires_at < time.time() + 1.5
        with pytest.raises(LeaseHeld), lease.hold(warehouse, "r2", "run_nightly"):
            pytest.fail("taken from one who renews")


def test_an_owner_that_was_overtaken_is_told_and_touches_nothing_of_the_winner(warehouse):
    with lease.hold(warehouse, "r1", "run_nightly") as held:
        held.check()
        # A taker whose clock is far ahead.
        ahead = lease.read(warehouse).model_copy(update={"run": "r2", "owner": "x", "expires_at": time.time() + 60})
        storage.create(lease._uri(warehouse, 2), lease._content(ahead))
        storage.delete(lease._uri(warehouse, 1))
        with pytest.raises(LeaseLost, match="somebody else has taken number 2"):
            held.check()
        with pytest.raises(LeaseLost):
            held._renew()
    assert objects(warehouse) == ["00000002.json"] and lease.read(warehouse) == ahead


def test_a_renewal_that_fails_ends_nothing_until_the_lease_has_expired(warehouse, monkeypatch, capsys):
    write = storage.write_bytes

    def unreachable(uri, content):
        raise StorageError(f"{uri}: the network is down")

    with lease.hold(warehouse, "r1", "run_nightly", seconds=3) as held:
        monkeypatch.setattr(storage, "write_bytes", unreachable)
        wait_until(lambda: held._fault)
        held.check()
        monkeypatch.setattr(storage, "write_bytes", write)
        first = lease.read(warehouse).expires_at
        wait_until(lambda: lease.read(warehouse).expires_at > first)
        held.check()
        monkeypatch.setattr(storage, "write_bytes", unreachable)
        wait_until(lambda: held._fault)
        held._claim = held._claim.model_copy(update={"expires_at": time.time() - 1})  # none came through since
        held.check()
    told = capsys.readouterr().err
    assert "was not renewed (" in told and "the network is down); nobody has taken it" in told
    assert "run_nightly: the lease was not released: " in told


def test_a_slow_taker_does_not_win_a_number_that_was_overtaken(warehouse, monkeypatch):
    """It looked while lease 1 was free; 2 was taken, released and removed, and 3 is held when it comes to create 2."""
    abandon(warehouse, seconds=-1)
    create = storage.create

    def late(uri, content):
        monkeypatch.setattr(storage, "create", create)
        with lease.hold(warehouse, "quick", "run_nightly"):
            pass
        abandon(warehouse, "holder")
        storage.delete(lease._uri(warehouse, 2))
        create(uri, content)

    monkeypatch.setattr(storage, "create", late)
    with pytest.raises(LeaseHeld, match="of run holder"), lease.hold(warehouse, "slow", "run_nightly"):
        pytest.fail("held a number that is not the newest")
    assert "00000002.json" not in objects(warehouse) and lease.read(warehouse).run == "holder"


def test_an_object_that_is_no_lease_is_one_line(tmp_path):
    storage.write_bytes(f"file://{tmp_path}/live/lease/00000004.json", b"{}")
    with pytest.raises(LeaseHeld, match="00000004.json: not a lease of this version"):
        lease.read(str(tmp_path))


@pytest.fixture
def settings(tmp_path):
    """A settings file of a job whose corpus is two files that are no pictures."""
    for number in range(2):
        (tmp_path / "corpus").mkdir(exist_ok=True)
        (tmp_path / "corpus" / f"{number}.jpg").write_bytes(b"x")
    path = tmp_path / "conf.yaml"
    path.write_text(f"warehouse: {tmp_path}/w\ncatalog_images: {{sources: ['{tmp_path}/corpus']}}\n")
    return path


def test_a_second_run_exits_2_with_one_line_before_spark_starts(capsys, monkeypatch, tmp_path, settings):
    monkeypatch.setattr("devise.spark.frame.command.start_session", lambda *_: pytest.fail("Spark started"))
    for run in ("r1", "r2"):
        with lease.hold(str(tmp_path / "w"), "r1", "run_nightly"), pytest.raises(SystemExit) as stopped:
            cli.main(["run", "catalog_images", "--config", str(settings), "--run", run])
        lines = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 2 and len(lines) == 1
        assert lines[0].startswith("catalog_images: error: ") and "held by run_nightly of run r1" in lines[0]
    assert not (tmp_path / "w" / "images").exists()


def lost():
    raise LeaseLost("somebody else has taken it")


def test_a_job_that_lost_its_lease_touches_nothing(tmp_path):
    """The files may be of the process that has taken the warehouse, and works on the same run."""
    theirs = tmp_path / "images" / "run=r1" / "part-0.parquet"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    config = CatalogConfig(warehouse=str(tmp_path), run="r1", sources=["x"])
    with pytest.raises(LeaseLost):
        job.perform(catalog_images.JOB, None, config, lost)
    assert theirs.exists()


def test_a_publisher_that_lost_its_lease_makes_nothing_live(tmp_path):
    config = PublishConfig(warehouse=str(tmp_path), run="r1")
    images = SimpleNamespace(table="images", run="r1")
    line = begin(str(tmp_path), "r1")
    with pytest.raises(LeaseLost):
        publish.publish(job.Task(None, config, line, {"images": [images], "index": []}, "", check=lost), None)
    assert pointer.read(str(tmp_path)) is None
    publish.publish(job.Task(None, config, line, {"images": [images], "index": []}, ""), None)
    assert pointer.read(str(tmp_path)).pairs() == [("images", "r1")]


def test_a_job_that_lost_its_lease_commits_nothing(capsys, monkeypatch, tmp_path, settings):
    """Its lease is taken while it works; another process, because this one may have no second Spark."""
    taken = (
        "import sys; from devise import cli; from devise.spark.stages import catalog\n"
        "from devise.warehouse import lease\n"
        "work = catalog.find_images\n"
        "def overtaken(*arguments):\n"
        "    ours = lease.storage.read_bytes(lease._uri(sys.argv[1], 1))\n"
        '    theirs = ours.replace(b\'"owner":"\', b\'"owner":"not \')\n'
        "    lease.storage.create(lease._uri(sys.argv[1], 2), theirs)\n"
        "    return work(*arguments)\n"
        "import devise.jobs.catalog_images as found; found.find_images = overtaken\n"
        "cli.main(['run', 'catalog_images', '--config', sys.argv[2], '--run', 'r1'])\n"
    )
    command = [sys.executable, "-c", taken, f"file://{tmp_path}/w", str(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("catalog_images: error: ") and "somebody else has taken number 2" in line
    assert list((tmp_path / "w" / "images" / "run=r1").glob("*.parquet"))
    assert not (tmp_path / "w" / "images" / "run=r1" / "_manifest.json").exists()


def test_after_a_look_that_takes_longer_than_a_lease_it_is_held_all_the_same(warehouse, monkeypatch):
    listing = lease._numbers

    def slow(place):
        time.sleep(0.4)
        return listing(place)

    with lease.hold(warehouse, "r1", "a job", seconds=0.3) as held:
        monkeypatch.setattr(lease, "_numbers", slow)
        held.check()
        monkeypatch.setattr(lease, "_numbers", listing)
        assert time.time() < held._claim.expires_at and lease.read(warehouse).owner == held._claim.owner
        wait_until(lambda: not lease.read(warehouse).is_free())  # and it is renewed, as before


def test_an_own_lease_of_which_nobody_told_the_owner_is_no_other_s(warehouse, monkeypatch):
    """It was taken again, but the answer to that was lost."""
    asleep, create = abandon(warehouse, seconds=-1), storage.create
    asleep._seconds = 60

    def unanswered(uri, content):
        create(uri, content)
        raise StorageError(f"{uri}: no answer")

    with monkeypatch.context() as patch, pytest.raises(StorageError):
        patch.setattr(storage, "create", unanswered)
        asleep.check()
    asleep.check()
    assert asleep._number == 2 and not lease.read(warehouse).is_free()
    asleep._release()
    assert lease.read(warehouse).released


def test_a_name_that_is_no_lease_s_is_passed_over(warehouse):
    storage.write_bytes(f"{warehouse}/live/lease/7.json", b"{}")
    with lease.hold(warehouse, "r1", "a job") as held:
        held.check()
    assert lease.read(warehouse).released
