"""The steps of a night and the line of spark-submit that does each; the one place that knows them.

`devise emr submit`, EMR's steps, the state machine, the Airflow DAG and deploy/README.md take their lines from here.
Spark 3.5 has no GPU profile for one stage of a job, so a night is three applications that share one run id: only what
needs a card runs where cards are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from devise.emr.instances import Instance, find
from devise.emr.sizes import Device, as_arguments, sizes
from devise.errors import ConfigError
from devise.warehouse import outcome

HOME = "/opt/devise"
"""Where deploy/bootstrap.sh puts this project's Python environment, on every node."""
PYTHON = f"{HOME}/bin/python"
JOB = f"{HOME}/lib/python3.11/site-packages/devise/jobs/run_nightly.py"
DEFAULTS = {
    # The root volume is small, and a container's own folder goes with it; deploy/bootstrap.sh makes this one.
    "spark.executorEnv.TMPDIR": "/mnt/tmp",
    "spark.yarn.appMasterEnv.TMPDIR": "/mnt/tmp",
    # Tells Spark which cards an executor was granted; EMR puts it there.
    "spark.executor.resource.gpu.discoveryScript": "/usr/lib/spark/scripts/gpu/getGpusResources.sh",
}
"""What a cluster on EMR is told once, in its own spark-defaults: places on its machines. The lines come on top."""


@dataclass(frozen=True)
class Step:
    """One application of a night: jobs in order, on nodes with or without cards."""

    name: str
    device: Device
    stages: tuple[str, ...]


SETUP = Step("setup", "cpu", ("build_vocabulary", "train_model"))
"""Before the first night, and whenever the word vectors or the weights change."""
STEPS = (
    Step("catalogue", "cpu", ("catalog_images", "plan_images")),
    Step("embed", "gpu", ("embed_images",)),
    Step("settle", "cpu", (
        *("label_images", "build_index", "find_neighbours", "search_images", "evaluate_model"),
        *("report_run", "publish_run"),
    )),
)  # fmt: skip
"""A night with all that it may have: each step goes on only where the one before it ended with 0."""
BY_CHOICE = ("find_neighbours", "report_run")
"""Jobs that a night has where `run_nightly.stages` of its file names them; the others it always has."""


@dataclass(frozen=True)
class Nodes:
    """Machines of one kind that grant containers."""

    instance: Instance
    count: int

    @classmethod
    def parse(cls, text: str) -> "Nodes":
        """`g6.2xlarge:10`; `ConfigError` unless it is an instance type that is known and a count of one or more."""
        name, _, count = text.partition(":")
        if not (count.isascii() and count.isdigit() and len(count) < 6) or int(count) < 1:
            raise ConfigError(f"found the nodes {text!r}, wanted TYPE:COUNT, such as g6.2xlarge:10")
        return cls(find(name), int(count))


@dataclass(frozen=True)
class Night:
    """What all steps of a night share.

    Attributes:
        config: URI or path of the YAML file.
        warehouse: what that file names; outcomes are left there.
        nodes: device -> machines; without `gpu` the embed step takes the CPU's.
    """

    config: str
    run: str
    warehouse: str
    nodes: Mapping[Device, Nodes]
    sets: Sequence[str] = ()
    master: str = "yarn"
    deploy_mode: str = "client"
    python: str = PYTHON
    job: str = JOB
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the YAML file is filled with. In client mode the driver has the environment of whoever submits; in cluster
    mode it is told these."""

    def outcome(self, step: Step) -> str:
        """URI of the file that tells how a step ended."""
        return outcome.place(self.warehouse, self.run, step.name)


def named(name: str) -> Step:
    """The step of that name, SETUP's too; `ConfigError` if there is none."""
    known = {step.name: step for step in (SETUP, *STEPS)}
    if name not in known:
        raise ConfigError(f"found the step {name!r}, wanted one of {', '.join(known)}")
    return known[name]


def steps_of(document: Mapping[str, Any]) -> tuple[Step, ...]:
    """STEPS of a file of settings: of BY_CHOICE what its `run_nightly.stages` names; a file without them has neither.

    Raises:
        ConfigError: they are no list, or name what is no job of a night, or one twice.
    """
    section = document.get("run_nightly") or {}
    stages = section.get("stages", []) if isinstance(section, dict) else section
    known = [stage for step in (SETUP, *STEPS) for stage in step.stages]
    if unknown := [stage for stage in stages if stage not in known] if isinstance(stages, list) else [stages]:
        raise ConfigError(f"run_nightly.stages: found {unknown[0]!r}, wanted a list of some of {', '.join(known)}")
    if twice := [stage for stage in known if stages.count(stage) > 1]:
        raise ConfigError(f"run_nightly.stages: found {twice[0]} twice, wanted it once")
    left = {*BY_CHOICE} - {*stages}
    return tuple(replace(step, stages=tuple(stage for stage in step.stages if stage not in left)) for step in STEPS)


def settings(step: Step, night: Night) -> dict[str, str]:
    """Spark's settings of a step: sizes that follow its machines, and this project's Python.

    The cluster's own defaults (S3 connector, class path, DEFAULTS) stay: these are laid on top, one by one. A
    properties file would replace them all before Spark 4.
    """
    device = step.device if step.device in night.nodes else "cpu"
    nodes = night.nodes[device]
    found = sizes(nodes.instance, device, nodes.count) | {
        "spark.pyspark.python": night.python,
        "spark.pyspark.driver.python": night.python,
    }
    if night.deploy_mode == "cluster":
        found |= {f"spark.yarn.appMasterEnv.{name}": value for name, value in night.environment.items()}
    return found


def check_arguments(device: Device, night: Night, job: str) -> list[str]:
    """The command line that looks whether a night would run on the nodes of a device: `devise doctor` there.

    Args:
        job: path of jobs/check_cluster.py.
    """
    told = list(night.sets)
    if device == "cpu" and "gpu" in night.nodes:
        told.append("embed_images.engine.device=cpu")  # cards are looked for where they are
    words = [word for text in told for word in ("--set", text)]
    return [*_spark_submit(Step("doctor", device, ()), night), job, "--config", night.config, *words]


def _spark_submit(step: Step, night: Night) -> list[str]:
    start = ("spark-submit", "--master", night.master, "--deploy-mode", night.deploy_mode)
    return [*start, *as_arguments(settings(step, night))]


def submit_arguments(step: Step, night: Night) -> list[str]:
    """The command line that does a step, as words: spark-submit, Spark's settings, the job and its arguments."""
    stages = "run_nightly.stages="  # the step's own, in place of what chose them
    sets = [text for text in night.sets if not text.startswith(stages)]
    told = [word for text in (*sets, f"{stages}[{', '.join(step.stages)}]") for word in ("--set", text)]
    return [
        *_spark_submit(step, night),
        *(night.job, "--config", night.config, "--run", night.run, *told, "--outcome", night.outcome(step)),
    ]
