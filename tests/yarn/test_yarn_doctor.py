"""`devise doctor` on a real YARN and on Spark's own cluster: every executor answers; what would stop a night is 2."""

import subprocess
import sys

import pytest
from conftest import Said
from standalone import StandaloneCluster


def look(cluster, place, *more):
    asked = [sys.executable, "-m", "devise", "doctor", "--config", f"{place}/night.yaml", *more]
    environment = cluster.environment() | {"PLACE": place}
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False, timeout=540)
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.mark.slow
def test_a_yarn_of_two_nodes_is_looked_at_with_and_without_cards(yarn, place):
    """No card is one: torch sees none, which stops a night that wants them, on the nodes with cards alone."""
    said = look(yarn, place, "--cpu", "m6i.xlarge:2", "--gpu", "g6.xlarge:2")
    assert said.code == 2, said.error[-3000:]
    without, with_cards = said.out.split("2 x g6.xlarge\n")
    assert without.startswith("2 x m6i.xlarge\n") and "fault" not in without
    for part in (without, with_cards):
        assert "ok       executors: 2 of 2 answered" in part
        assert "ok       versions: the same on driver and executors" in part
        assert "ok       executors: clock, disk, source, warehouse as on the driver" in part
        assert "ok       YARN: its largest container has " in part
    for card in (0, 1):
        assert f"Spark granted {card}, torch sees none, wanted a driver and a torch with CUDA" in with_cards


def test_a_yarn_whose_containers_are_too_small_is_told_so(yarn, place):
    said = look(yarn, place, "--cpu", "m6i.4xlarge:2")
    assert said.code == 2 and "fault    Spark: " in said.out
    assert "ok       warehouse s3://" in said.out


@pytest.mark.slow
def test_a_standalone_cluster_of_two_workers_is_looked_at(tmp_path_factory, s3_server, place):
    with StandaloneCluster(tmp_path_factory.mktemp("standalone")) as cluster:
        cpu = ("--set", "embed_images.engine.device=cpu")
        said = look(cluster, place, "--cpu", "m6i.xlarge:2", "--master", cluster.master, *cpu)
    assert said.code == 0, said.out + said.error[-3000:]
    assert "ok       executors: 2 of 2 answered" in said.out
