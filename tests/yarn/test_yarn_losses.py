"""What a night loses and does not lose: an executor, a node, the whole application, killed while it embeds."""

import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import N_BROKEN, N_PICTURES, ON_CPU, draw_pictures, events, submit
from places import upload
from same_tables import live, table

from devise.store import storage
from devise.warehouse import manifest, outcome, pointer

SLOWLY = (*ON_CPU, "--set", "embed_images.engine.requests_per_second=2")
"""So that there is time to kill somebody: two slots, an image a second each."""
WAIT_SECONDS = 300


def test_an_executor_that_is_killed_costs_the_slices_it_had(yarn, place):
    before = set(events(yarn.events))
    killed = during_embed(yarn, place, "r2", lambda: kill(executor(yarn, 0)), "--step", "catalogue", "--step", "embed")
    assert killed.code == 0, killed.error[-3000:]
    each_image_once(place, "r2", N_PICTURES, N_BROKEN)
    embed = [found for name, found in events(yarn.events).items() if name not in before][-1]
    removed = [event["Removed Reason"] for event in embed if event["Event"] == "SparkListenerExecutorRemoved"]
    added = [event for event in embed if event["Event"] == "SparkListenerExecutorAdded"]
    assert any("137" in reason or "killed" in reason.lower() for reason in removed), removed
    assert len(added) == 3  # and the third has the card of the first
    cards = Counter(event["Executor Info"]["Resources"]["gpu"]["addresses"][0] for event in added)
    assert cards == {"0": 2, "1": 1}


def test_a_node_that_is_lost_costs_the_slices_it_had_and_the_night_is_published(yarn, place, tmp_path):
    """The night after: as many pictures more. Its containers go on for a while, and what they write counts once."""
    draw_pictures(tmp_path / "pictures", range(10, 20))
    upload(tmp_path / "pictures", f"{place}/pictures")
    try:
        # The master too lies on a node; the one without it is killed.
        killed = during_embed(yarn, place, "r3", lambda: yarn.kill(1 - master_node(yarn)))
        assert killed.code == 0, killed.error[-3000:]
    finally:
        for number in range(2):
            if not yarn.runs(number):
                yarn.start(number)
        yarn.wait(2)
    each_image_once(place, "r3", N_PICTURES, 0)
    assert pointer.published(f"{place}/warehouse").run == "r3"
    found = {name: rows.num_rows for name, rows in live(f"{place}/warehouse").items()}
    assert (found["images"], found["embeddings"]) == (2 * N_PICTURES + N_BROKEN, 2 * N_PICTURES)
    assert (found["rejects"], found["labels"]) == (N_BROKEN, 5 * 2 * N_PICTURES)


def test_an_application_that_is_killed_says_so_and_its_run_is_finished_by_another(yarn, place, tmp_path):
    """In cluster mode the driver goes with it: nobody is left to say how it ended, or to release the lease."""
    draw_pictures(tmp_path / "pictures", range(20, 24))
    upload(tmp_path / "pictures", f"{place}/pictures")

    def kill_master():
        kill(*[pid for pid, path in containers(yarn) if path.name.endswith("_000001")])

    asked = ["--deploy-mode", "cluster", "--step", "catalogue", "--step", "embed"]
    killed = during_embed(yarn, place, "r4", kill_master, *asked)
    assert killed.code == 1, killed.error[-3000:]
    uri = outcome.place(f"{place}/warehouse", "r4", "embed")
    assert killed.last.startswith(
        f"devise: step embed: error: found no outcome at {uri}, and spark-submit ended with 1"
    )
    until = time.monotonic() + WAIT_SECONDS
    while containers(yarn):  # executors end with their driver; there is no second attempt of the master
        assert time.monotonic() < until and all(path.name.split("_")[-2] == "01" for _, path in containers(yarn))
        time.sleep(1)
    time.sleep(130)  # the lease of a killed process
    done = submit(yarn, place, "r4", *ON_CPU, "--step", "embed")
    assert done.code == 0 and "slices stand" in done.out, done.error[-3000:]
    each_image_once(place, "r4", 16, 0)


def during_embed(yarn, place, run, act, *more):
    """Submit a night, and do something to it once a first slice of its embed step is committed."""
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(submit, yarn, place, run, *SLOWLY, *more)
        folder, until = f"{place}/warehouse/_staging/embed_images/run={run}", time.monotonic() + WAIT_SECONDS
        while not any("/slice-" in file.uri for file in storage.list_files(folder, missing_ok=True)):
            assert not ending.done(), ending.result()
            assert time.monotonic() < until
            time.sleep(0.5)
        act()
        return ending.result()


def containers(yarn):
    """(process, folder of its container) of all that YARN's nodes run."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            where = Path(os.readlink(entry / "cwd"))
        except OSError:  # no process, or one that has ended
            continue
        if where.is_relative_to(yarn.folder) and where.name.startswith("container_"):
            found.append((int(entry.name), where))
    return found


def executor(yarn, number):
    """The process of the executor on a node; the master's container is the first of an application."""
    inside = [(pid, path) for pid, path in containers(yarn) if f"/node{number}/" in str(path)]
    java = [pid for pid, path in inside if not path.name.endswith("_000001") and command(pid).startswith("java")]
    assert java, inside
    return java[0]


def master_node(yarn):
    """The number of the node that the running application's master is on."""
    masters = [path for _, path in containers(yarn) if path.name.endswith("_000001")]
    (node,) = {path.relative_to(yarn.folder).parts[0] for path in masters}
    return int(node.removeprefix("node"))


def command(pid):
    return Path(f"/proc/{pid}/comm").read_text()


def kill(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def each_image_once(place, run, n_embedded, n_rejected):
    """The night's tables hold each image that it had to embed once, and its manifests say so too."""
    warehouse = f"{place}/warehouse"
    uris = [uri for name in ("embeddings", "rejects") for uri in table(warehouse, name, run)["uri"].to_pylist()]
    assert set(Counter(uris).values()) == {1} and len(uris) == n_embedded + n_rejected
    counts = manifest.read(warehouse, "embeddings", run).details
    assert (counts["embedded"], counts["rejected"]) == (n_embedded, n_rejected)


pytestmark = pytest.mark.slow
