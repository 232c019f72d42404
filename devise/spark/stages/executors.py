"""Asks every executor what it is: host, Python, versions, cgroup, cards; judges nothing.

What is sent is written so that it runs where this project is not installed: that is one of the things to find.
"""

import importlib.metadata
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyspark
from pyspark.sql import SparkSession

import devise

PACKAGES = ("torch", "torchvision", "numpy", "pyarrow", "pandas", "faiss-cpu", "boto3", "pydantic", "simplejpeg")
SPREAD_SECONDS = 0.3
"""A task lasts so long at least, so that each executor's slots are all filled before one is free again."""


@dataclass(frozen=True)
class Answer:
    """What one executor is.

    Attributes:
        process: of its JVM, or of the worker where it has none above it.
        granted: addresses of the cards that Spark gave the task.
        cards, card: how many torch sees, and the name of the first; 0 and empty where it was not asked.
        memory_bytes, cpus: of its cgroup; None without a limit.
        findings: (state, text) of each check of the store and the machine.
    """

    host: str
    process: int
    versions: dict[str, str]
    granted: tuple[str, ...]
    cards: int
    card: str
    memory_bytes: int | None
    cpus: float | None
    findings: tuple[tuple[str, str], ...]


def versions() -> dict[str, str]:
    """Version of Python and of each package here; empty for one that is not there."""
    import platform

    found = {"devise": devise.__version__, "python": platform.python_version(), "pyspark": pyspark.__version__}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = ""
    return found


def known(spark: SparkSession) -> int:
    """Executors that have registered; on one machine the driver is one."""
    infos = spark.sparkContext._jsc.sc().statusTracker().getExecutorInfos()
    return max(1, len(infos) - (not spark.sparkContext.master.startswith("local")))


def wait(spark: SparkSession, seconds: float) -> int:
    """The number of executors that are asked for, once they have come, or after so many seconds."""
    conf = spark.sparkContext.getConf()
    comes_with_load = conf.get("spark.dynamicAllocation.enabled", "false") == "true"
    wanted = 1 if comes_with_load else int(conf.get("spark.executor.instances", "1"))
    until = time.monotonic() + seconds
    while known(spark) < wanted and time.monotonic() < until:
        time.sleep(0.5)
    return max(wanted, known(spark))


def ask(spark: SparkSession, seconds: float, warehouse: str, sources: Sequence[str], with_torch: bool) -> list[Answer]:
    """One answer an executor, of all that are known, or of those that answered in so many seconds.

    Args:
        warehouse, sources: URIs that each checks of its own (`devise.store.checks`).
        with_torch: ask torch for cards, which takes it seconds to load.
    """
    look, until = _look(warehouse, list(sources), with_torch), time.monotonic() + seconds
    answers: dict[tuple[str, int], Answer] = {}
    context = spark.sparkContext
    while True:
        n = max(context.defaultParallelism, known(spark))
        for found in context.parallelize(range(n), n).mapPartitions(look).collect():
            told = Answer(**found)
            answers.setdefault((told.host, told.process), told)
        if len(answers) >= known(spark) or time.monotonic() > until:
            return [answers[key] for key in sorted(answers)]


def _look(warehouse: str, sources: list[str], with_torch: bool) -> Callable[[Iterator[Any]], Iterator[dict]]:
    """The work of a task. It is sent whole, not by its name, and imports what it can."""
    packages, seconds = PACKAGES, SPREAD_SECONDS

    def look(_: Iterator[Any]) -> Iterator[dict]:
        import os
        import platform
        import socket
        import time
        from importlib import import_module, metadata
        from pathlib import Path

        from pyspark import TaskContext

        def version(name: str) -> str:
            try:
                return metadata.version(name)
            except metadata.PackageNotFoundError:
                return ""

        def module(name: str) -> str:
            try:
                return import_module(name).__version__
            except ImportError:
                return ""

        def jvm() -> int:
            process = os.getppid()
            while process > 1:
                fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")
                if fields[0].endswith("(java"):
                    return process
                process = int(fields[2].split()[1])
            return os.getppid()

        def limit(name: str) -> str | None:
            lines = Path("/proc/self/cgroup").read_text().splitlines()
            own = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]  # of cgroup v2 alone
            for folder in (*(Path("/sys/fs/cgroup", each) for each in own), Path("/sys/fs/cgroup")):
                if (folder / name).is_file():
                    text = (folder / name).read_text().split()
                    return None if text[0] == "max" else " ".join(text)
            return None

        began = time.monotonic()
        found = {"python": platform.python_version(), "devise": module("devise"), "pyspark": module("pyspark")}
        found |= {name: version(name) for name in packages}
        cards, card = 0, ""
        findings = ()
        if found["devise"]:
            from devise.store.checks import check_all

            findings = tuple(check_all(warehouse, sources))
            if with_torch and found["torch"]:
                from devise.vision.graph import visible_cards

                cards, card = visible_cards()
        granted = TaskContext.get().resources().get("gpu")
        memory_max, cpu_max = limit("memory.max"), limit("cpu.max")
        quota, period = map(int, cpu_max.split()) if cpu_max else (0, 1)
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
        yield {
            "host": socket.gethostname(),
            "process": jvm(),
            "versions": found,
            "granted": tuple(granted.addresses) if granted else (),
            "cards": cards,
            "card": card,
            "memory_bytes": int(memory_max) if memory_max else None,
            "cpus": quota / period if cpu_max else None,
            "findings": tuple((state, text) for state, text in findings),
        }

    return look
