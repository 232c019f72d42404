"""The cluster as EMR is asked for it: taken by botocore's own model of EMR, fit for nodes with and without cards."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import boto3
import pytest
from botocore.validate import ParamValidator

from devise.emr import cluster
from devise.emr.config import EmrConfig
from devise.emr.instances import find

ROOT = Path(__file__).resolve().parents[2]
SUBNETS = ["subnet-0"]
CARDS = EmrConfig(subnets=SUBNETS)
VARIANTS = [CARDS, EmrConfig(subnets=SUBNETS, release="emr-spark-8.0.0"), EmrConfig(subnets=SUBNETS, cards=None)]
VALUES = {name: f"s3://{name.lower()}" for name in cluster.HOLES} | {"Subnets": "subnet-0,subnet-1"}
GPU_NODES = ("resource-plugins", "container-executor", "cgroups")
"""In the name of each property, or classification, that no NodeManager without a card starts with."""


def faults(operation, parameters):
    shape = boto3.client("emr", region_name="us-east-1").meta.service_model.operation_model(operation).input_shape
    return ParamValidator().validate(parameters, shape).generate_report()


def fleet(settings):
    return cluster.cards_fleet(settings, settings.cards)


def merged(classifications):
    """Classification -> its properties."""
    return {each["Classification"]: each["Properties"] for each in classifications}


@pytest.mark.parametrize("settings", VARIANTS)
def test_emr_s_own_model_takes_the_requests(settings):
    filled = cluster.fill(cluster.request(settings, "n"), VALUES)
    assert faults("RunJobFlow", filled) == "" and filled["Instances"]["Ec2SubnetIds"] == ["subnet-0", "subnet-1"]
    assert "${" not in str(filled)
    if settings.cards:
        assert faults("AddInstanceFleet", {"ClusterId": "j-1", "InstanceFleet": fleet(settings)}) == ""


def test_botocore_would_have_seen_a_wrong_one():
    wrong = cluster.request(CARDS, "n") | {"EbsRootVolumeSize": "80"}
    assert "EbsRootVolumeSize" in faults("RunJobFlow", wrong)


@pytest.mark.parametrize("settings", VARIANTS)
def test_nodes_without_cards_are_told_nothing_that_their_nodemanager_dies_of(settings):
    for name, properties in merged(cluster.classifications(settings)).items():
        assert not [key for key in (name, *properties) if any(word in key for word in GPU_NODES)]


def test_nodes_with_cards_have_all_that_the_others_have_of_yarn_and_the_plugin():
    for each in fleet(CARDS)["InstanceTypeConfigs"]:
        found, everywhere = merged(each["Configurations"]), merged(cluster.classifications(CARDS))
        assert found["yarn-site"].items() > everywhere["yarn-site"].items()
        assert found["yarn-site"]["yarn.nodemanager.resource-plugins"] == "yarn.io/gpu"
        below = {
            each["Classification"]: each["Configurations"]
            for each in each["Configurations"]
            if "Configurations" in each
        }
        assert merged(below["container-executor"])["gpu"] == {"module.enabled": "true"}
        assert merged(below["container-executor"])["cgroups"]["root"] == cluster.CGROUPS


def test_cards_are_counted_by_the_scheduler_and_rapids_is_off():
    everywhere = merged(cluster.classifications(CARDS))
    calculator = everywhere["capacity-scheduler"]["yarn.scheduler.capacity.resource-calculator"]
    assert calculator.endswith("DominantResourceCalculator")
    assert everywhere["yarn-site"]["yarn.resource-types"] == "yarn.io/gpu"
    assert "spark.plugins" not in str(cluster.classifications(CARDS)) + str(fleet(CARDS))


def test_without_cards_nothing_of_them_is_asked_for():
    bare = VARIANTS[2]
    told = str(cluster.request(bare, "n"))
    assert "gpu" not in told.replace("spark.executor.resource.gpu.discoveryScript", "").replace("getGpus", "").replace(
        "/scripts/gpu/", ""
    )
    assert set(cluster.night(bare, "r", "s3://b/w", "s3://b/c").nodes) == {"cpu"}


def test_masters_and_drivers_are_on_demand_and_cards_are_spot_with_a_way_out():
    fleets = {each["Name"]: each for each in cluster.request(CARDS, "n")["Instances"]["InstanceFleets"]}
    assert {name: each["TargetSpotCapacity"] for name, each in fleets.items()} == {"primary": 0, "core": 0}
    spot = fleet(CARDS)["LaunchSpecifications"]["SpotSpecification"]
    assert spot["AllocationStrategy"] == "price-capacity-optimized" and spot["TimeoutAction"] == "SWITCH_TO_ON_DEMAND"
    assert len(fleet(CARDS)["InstanceTypeConfigs"]) >= 3
    expected = merged(cluster.classifications(CARDS))["yarn-site"]
    assert expected["yarn.node-labels.am.default-node-label-expression"] == "CORE"
    dear = EmrConfig(subnets=SUBNETS, cards={"spot": False, "count": 4})
    assert fleet(dear)["TargetOnDemandCapacity"] == 4 and "SpotSpecification" not in fleet(dear)["LaunchSpecifications"]


def test_a_step_s_sizes_fit_every_type_of_card_node():
    mixed = EmrConfig(subnets=SUBNETS, cards={"instances": ["g6e.2xlarge", "g6.2xlarge"]})
    assert cluster.night(mixed, "r", "s3://b/w", "s3://b/c").nodes["gpu"].instance == find("g6.2xlarge")


def test_a_cluster_ends_by_itself_and_its_root_volume_holds_torch():
    request = cluster.request(CARDS, "n")
    assert request["AutoTerminationPolicy"]["IdleTimeout"] <= 3600 and request["EbsRootVolumeSize"] >= 30
    assert {"Key": cluster.MANAGED, "Value": "true"} in request["Tags"]


def run_cgroup(root, tmp_path):
    """deploy/gpu-cgroup.sh on a folder instead of `/`, with a sudo that is none."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    sudo = tmp_path / "bin" / "sudo"
    sudo.write_text('#!/bin/sh\nexec "$@"\n')
    sudo.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "DEVISE_ROOT": str(root)}
    subprocess.run(["bash", ROOT / "deploy/gpu-cgroup.sh", cluster.CGROUPS], env=environment, check=True)


def device(root, vendor):
    (root / "sys/bus/pci/devices/0000:00:1e.0").mkdir(parents=True)
    (root / "sys/bus/pci/devices/0000:00:1e.0/vendor").write_text(f"{vendor}\n")


def test_only_a_node_with_a_card_gets_the_unit(tmp_path):
    device(tmp_path / "cpu", "0x1d0f")
    run_cgroup(tmp_path / "cpu", tmp_path)
    assert not (tmp_path / "cpu/etc").exists()
    device(tmp_path / "gpu", "0x10de")
    run_cgroup(tmp_path / "gpu", tmp_path)
    unit = (tmp_path / "gpu/etc/systemd/system/devise-gpu-cgroup.service").read_text()
    told = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)
    assert told["Before"] == told["WantedBy"] == "hadoop-yarn-nodemanager.service"
    assert "RemainAfterExit" not in told, "it must run again each time that the NodeManager starts"
    script = tmp_path / "gpu/usr/local/sbin/devise-gpu-cgroup"
    assert os.access(script, os.X_OK) and told["ExecStart"] == "/usr/local/sbin/devise-gpu-cgroup"
    subprocess.run(["bash", "-n", script], check=True)
    assert re.search(rf"mountpoint -q {cluster.CGROUPS}/devices \|\| mount -t cgroup -o devices", script.read_text())


def test_systemd_takes_the_unit_and_the_nodemanager_brings_it(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("NO SYSTEMD: the unit is not verified")
    root = tmp_path / "gpu"
    device(root, "0x10de")
    run_cgroup(root, tmp_path)
    units = root / "etc/systemd/system"
    for target in ("sysinit", "basic", "shutdown", "multi-user", "local-fs", "local-fs-pre", "swap", "system"):
        (units / f"{target}.target").write_text("[Unit]\n")
    (units / "hadoop-yarn-nodemanager.service").write_text("[Service]\nExecStart=/usr/local/sbin/devise-gpu-cgroup\n")
    words = ["systemd-analyze", "verify", f"--root={root}", "devise-gpu-cgroup.service"]
    assert subprocess.run(words, capture_output=True, text=True).stderr == ""
