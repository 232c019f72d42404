"""A night on YARN by the command of deploy/README.md: its failures, its codes in both modes, and how it ends."""

from collections import Counter

import pytest
from conftest import N_BROKEN, N_PICTURES, ON_CPU, events, submit
from same_tables import live, table

from devise.warehouse import outcome, pointer

RUN = "r2"  # after r1, whose vocabulary and model it builds on
QUICK = {"spark.task.maxFailures": "1"}
"""A worker that finds no card finds none the fourth time."""


@pytest.fixture(scope="module")
def attempts(yarn, place):
    """A night in cluster mode whose embed step finds no card; the step after it alone; the run again in client mode."""
    failed = submit(yarn, place, RUN, "--deploy-mode", "cluster", **QUICK)
    codes = [outcome.read(outcome.place(f"{place}/warehouse", RUN, step)) for step in ("catalogue", "embed", "settle")]
    refused = {mode: submit(yarn, place, RUN, "--deploy-mode", mode, "--step", "settle") for mode in MODES}
    before = set(events(yarn.events))
    rerun = submit(yarn, place, RUN, *ON_CPU)
    applications = [found for name, found in events(yarn.events).items() if name not in before]
    return failed, codes, refused, rerun, applications


MODES = ("client", "cluster")


def test_a_step_that_breaks_a_promise_in_cluster_mode_ends_the_night_with_its_own_code_and_line(attempts):
    failed, (catalogue, embed, settle), _, _, _ = attempts
    assert failed.code == 2, failed.error[-3000:]
    assert failed.last.startswith("devise: step embed: error: device cuda: torch finds no CUDA device on this machine")
    assert (catalogue.exit_code, catalogue.done) == (0, ["catalog_images", "plan_images"])
    assert (embed.exit_code, embed.stages, embed.done) == (2, ["embed_images"], [])
    assert settle is None  # never begun


@pytest.mark.parametrize("mode", MODES)
def test_a_step_whose_night_is_not_embedded_refuses_it_by_name_in_both_modes(mode, attempts, place):
    refused = attempts[2][mode]
    assert refused.code == 2, refused.error[-3000:]
    assert refused.last == (
        f"devise: step settle: error: {place}/warehouse/embeddings/run={RUN}: label_images needs embeddings and found "
        "no committed run; embed_images makes it"
    )


def test_the_same_run_started_again_goes_on_where_it_was_and_is_published(attempts, place):
    rerun = attempts[3]
    assert rerun.code == 0, rerun.error[-3000:]
    assert f"[catalog_images] run {RUN} is committed already; nothing to do" in rerun.out
    assert pointer.published(f"{place}/warehouse").run == RUN
    found = live(f"{place}/warehouse")
    assert {name: rows.num_rows for name, rows in found.items()} == {
        "images": N_PICTURES + N_BROKEN,
        "embeddings": N_PICTURES,
        "rejects": N_BROKEN,
        "labels": 5 * N_PICTURES,
        "word_images": 5 * N_PICTURES,  # there are five nouns, and fewer pictures than a list may hold
    }
    stored = table(f"{place}/warehouse", "embeddings", RUN)
    assert set(Counter(stored["uri"].to_pylist()).values()) == {1}


def test_each_step_has_the_executors_that_its_nodes_are_for(attempts):
    """Two nodes: an executor on each; embed's have a card each, which is another one, and do one task at a time."""
    catalogue, embed, settle = (Application(found) for found in attempts[4])
    assert [found.cards for found in (catalogue, settle)] == [[None, None]] * 2
    assert sorted(embed.cards) == ["0", "1"] and len(set(embed.nodes)) == len(set(settle.nodes)) == 2
    assert [found.cores for found in (catalogue, embed, settle)] == [[3, 3]] * 3
    assert {found.setting("spark.task.cpus") for found in (catalogue, settle)} == {"1"}
    assert embed.setting("spark.task.cpus") == "3" and embed.setting("spark.task.resource.gpu.amount") == "1"
    assert embed.workers == {"1", "2"}  # both did some of it


class Application:
    """What Spark's event log says of an application's executors."""

    def __init__(self, found):
        added = [event for event in found if event["Event"] == "SparkListenerExecutorAdded"]
        infos = [event["Executor Info"] for event in added]
        self.cores = [info["Total Cores"] for info in infos]
        self.nodes = [info["Attributes"]["NM_PORT"] for info in infos]
        self.cards = [info["Resources"]["gpu"]["addresses"][0] if info["Resources"] else None for info in infos]
        ended = [event for event in found if event["Event"] == "SparkListenerTaskEnd"]
        self.workers = {event["Task Info"]["Executor ID"] for event in ended}
        (told,) = [event for event in found if event["Event"] == "SparkListenerEnvironmentUpdate"]
        self._settings = told["Spark Properties"]

    def setting(self, name):
        return self._settings[name]
