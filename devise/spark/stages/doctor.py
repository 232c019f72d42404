"""Would a night run here? Java, every executor's Python, versions, cards, rights, clocks, disks: a line for each.

What a machine and a store can do is tried by `devise.store.checks`, here and on each executor; this module starts Spark
as the jobs do, sends the same there, and judges the answers. It changes nothing.
"""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from devise.config import CatalogConfig, EmbedConfig
from devise.errors import ConfigError
from devise.spark.frame import memory, yarn
from devise.spark.frame.session import start_session
from devise.spark.stages import executors
from devise.spark.stages.executors import Answer, versions
from devise.store import checks, storage
from devise.store.checks import Finding

WAIT_SECONDS = 90
"""How long executors may take to come, on a cluster that is there."""
ALIKE = ("devise", "pyspark")
"""What must be the same everywhere; another version of anything else is a warning."""


def examine(catalog: CatalogConfig, embed: EmbedConfig) -> Iterator[Finding]:
    """Every check, as it is done; Spark is started for some of them, and stopped.

    Args:
        catalog: the section that names the corpus.
        embed: the section that names the device.
    """
    warehouse = storage.normalise(catalog.warehouse)
    sources = [] if catalog.inventory else [storage.normalise(source) for source in catalog.sources]
    yield from checks.check_all(warehouse, sources)
    if catalog.inventory:
        yield checks.check_file("inventory", catalog.inventory)
    try:
        spark = start_session("doctor", warehouse.startswith("s3://"))
    except ConfigError as error:
        yield Finding("fault", f"Spark: {error}")
        return
    try:
        yield from examine_spark(spark, warehouse, sources, embed.engine.device)
    finally:
        spark.stop()


def examine_spark(spark: SparkSession, warehouse: str, sources: Sequence[str], device: str) -> Iterator[Finding]:
    """What only a session that runs can tell."""
    context = spark.sparkContext
    conf = dict(context.getConf().getAll())
    yield Finding("ok", f"Java {context._jvm.System.getProperty('java.version')}, Spark {spark.version}")
    if context.master == "yarn":
        yield Finding("ok", yarn.describe(spark))
    wanted = executors.wait(spark, WAIT_SECONDS)
    try:
        answers = executors.ask(spark, WAIT_SECONDS, warehouse, sources, device != "cpu")
    except (PySparkException, Py4JJavaError) as error:
        yield Finding("fault", f"executors: {_root(str(error))}: wanted tasks that run (spark.pyspark.python)")
        return
    yield judge_number(len(answers), wanted)
    yield from judge_versions(versions(), answers)
    yield from judge_stores(answers)
    yield from judge_containers(answers, conf, memory.is_one_machine(context.master))
    yield from judge_cards(answers, conf, device)
    yield _arrow(spark)


def judge_number(answered: int, wanted: int) -> Finding:
    told = f"executors: {answered} of {wanted} answered"
    if answered < wanted:
        return Finding("warning", f"{told} in {WAIT_SECONDS} s, wanted all: is the cluster busy, or smaller than told?")
    return Finding("ok", told)


def judge_versions(here: dict[str, str], answers: Sequence[Answer]) -> Iterator[Finding]:
    """Packages of each executor beside the driver's, which may lack what it has no use for."""
    n_odd = 0
    for name, mine in here.items():
        for theirs in sorted({answer.versions.get(name, "") for answer in answers} - {mine}):
            n_odd += 1
            hosts = _hosts(answer for answer in answers if answer.versions.get(name, "") == theirs)
            told = f"versions: found {name} {theirs or 'nowhere'} on {hosts} and {mine or 'nowhere'} on the driver"
            how = "wanted one environment everywhere (make dist), in spark.pyspark.python"
            state = "fault" if not theirs or name in ALIKE else "warning"
            if theirs or mine:
                yield Finding(state, f"{told}, {how}")
    if not n_odd:
        told = ", ".join(f"{name} {version}" for name, version in here.items() if version)
        yield Finding("ok", f"versions: the same on driver and executors: {told}")


def judge_stores(answers: Sequence[Answer]) -> Iterator[Finding]:
    """What executors found of stores, clocks and disks: a line for what all found well, one for each other."""
    found = [(Finding(*told), answer) for answer in answers for told in answer.findings]
    for odd in dict.fromkeys(finding for finding, _ in found if finding.state != "ok"):
        hosts = _hosts(answer for finding, answer in found if finding == odd)
        yield Finding(odd.state, f"executors on {hosts}: {odd.text}")
    kinds = [(finding.text.partition(":")[0].partition(" ")[0], finding.state == "ok") for finding, _ in found]
    well, odd = ({kind for kind, is_well in kinds if is_well == wanted} for wanted in (True, False))
    if kinds := sorted(well - odd):
        yield Finding("ok", f"executors: {', '.join(kinds)} as on the driver")


def judge_containers(answers: Sequence[Answer], conf: dict[str, str], one_machine: bool) -> Iterator[Finding]:
    """The cgroup that each executor lives in, which the kernel holds it to whatever Spark was told."""
    asked = memory.read_bytes(conf.get("spark.driver.memory", "1g")) if one_machine else memory.executor_bytes(conf)
    cores = 1 if one_machine else int(conf.get("spark.executor.cores", "1"))
    n_odd = 0
    for answer in answers:
        limit, quota = answer.memory_bytes, answer.cpus
        if limit is not None and limit < asked:
            n_odd += 1
            told = f"cgroup: found a limit of {limit / checks.GIB:.1f} GiB on {answer.host}"
            yield Finding("fault", f"{told}, wanted the {asked / checks.GIB:.1f} GiB that Spark counts on")
        if quota is not None and quota < cores:
            n_odd += 1
            told = f"cgroup: found {quota:.1f} cores on {answer.host}"
            yield Finding("warning", f"{told}, wanted the {cores} of spark.executor.cores: tasks share them")
    if not n_odd:
        limits = {answer.memory_bytes for answer in answers}
        least = min((limit for limit in limits if limit is not None), default=None)
        told = "without a limit" if least is None else f"{least / checks.GIB:.1f} GiB or more"
        yield Finding("ok", f"cgroup: {told}, Spark counts on {asked / checks.GIB:.1f} GiB")


def judge_cards(answers: Sequence[Answer], conf: dict[str, str], device: str) -> Iterator[Finding]:
    """Cards that Spark granted beside those that torch sees; `device` is embed_images.engine.device."""
    asked = int(conf.get("spark.executor.resource.gpu.amount", "0"))
    if device == "cpu":
        yield Finding("ok", "cards: none are wanted (embed_images.engine.device: cpu)")
        return
    for answer in answers:
        where = f"cards on {answer.host}: Spark granted {', '.join(answer.granted) or 'none'}, torch sees "
        where += f"{answer.cards or 'none'}{f' ({answer.card})' if answer.card else ''}"
        if device == "cuda" and not answer.cards:
            how = "a driver and a torch with CUDA that fit each other (nvidia-smi), or embed_images.engine.device: cpu"
            yield Finding("fault", f"{where}, wanted {how}")
        elif answer.cards and not asked and len(answers) > 1:
            how = "wanted spark.executor.resource.gpu.amount 1: else tasks of a host share its first card"
            yield Finding("warning", f"{where}, {how}")
        elif answer.cards > len(answer.granted) > 0:
            how = "wanted as many: containers are not kept to their own cards (the cgroup's devices), tasks are"
            yield Finding("warning", f"{where}, {how}")
        else:
            yield Finding("ok", where + ("" if answer.cards else ": embeds on the CPU"))


def _arrow(spark: SparkSession) -> Finding:
    """Rows to a worker and back as the jobs send them."""

    def same(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from batches

    try:
        n = spark.range(100).mapInArrow(same, "id bigint").count()
    except (PySparkException, Py4JJavaError) as error:
        return Finding("fault", f"Arrow: {_root(str(error))}: wanted pyarrow on every executor")
    state = "ok" if n == 100 else "fault"
    return Finding(state, f"Arrow: {n} of 100 rows came back from workers by pyarrow {pa.__version__}")


def _hosts(answers: Iterable[Answer]) -> str:
    return ", ".join(sorted({answer.host for answer in answers}))


def _root(text: str) -> str:
    """The line of an exception of Spark's that says most: the last cause, or a worker's own error."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("at ")]
    causes = [line for line in lines if line.startswith("Caused by:")]
    own = [line for line in lines if "Error:" in line or "MISMATCH" in line]
    return (causes[-1:] or own[-1:] or lines[:1])[0][:300]
