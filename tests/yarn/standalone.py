"""Spark's own cluster on loopback for tests: one master and some workers, each a process with a counted card.

with StandaloneCluster(folder, workers=2) as cluster:
    cluster.master              spark://127.0.0.1:PORT
    cluster.environment()       what spark-submit is to see
"""

import os
import subprocess
import time
import urllib.request
from pathlib import Path

from s3server import free_port
from yarncluster import SPARK, spark_on

START_SECONDS, STOP_SECONDS = 120, 20
CLASS = "org.apache.spark.deploy"


class StandaloneCluster:
    """A running cluster; a context manager that stops its processes by their own handles."""

    def __init__(self, folder: Path, workers: int = 2, cores: int = 4, memory: str = "12g"):
        self.folder, self.workers, self.cores, self.memory = folder, workers, cores, memory
        self.events, self._processes = folder / "events", []
        for name in ("conf", "events"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._port, self._web = free_port(), free_port()
        self.master = f"spark://127.0.0.1:{self._port}"

    def environment(self, **defaults: str) -> dict[str, str]:
        """This process's environment, and what leads Spark to the cluster; its spark-defaults.conf is written anew."""
        return spark_on(self.folder / "conf", self.events, {"spark.master": self.master} | defaults)

    def __enter__(self) -> "StandaloneCluster":
        ports = ["--port", str(self._port), "--webui-port", str(self._web)]
        self._run("master", "", "master.Master", "--host", "127.0.0.1", *ports)
        for number in range(self.workers):
            script = self.folder / f"card{number}.sh"
            script.write_text(f"""#!/usr/bin/env bash\nprintf '{{"name": "gpu", "addresses": ["{number}"]}}'\n""")
            script.chmod(0o755)
            name = "-Dspark.worker.resource.gpu"
            options = ["--host", "127.0.0.1", "--cores", str(self.cores), "--memory", self.memory]
            options += ["--work-dir", str(self.folder / f"work{number}"), "--webui-port", str(free_port())]
            cards = f"{name}.amount=1 {name}.discoveryScript={script}"
            self._run(f"worker{number}", cards, "worker.Worker", *options, self.master)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and all(process.poll() is None for process in self._processes):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._web}/json/", timeout=5) as answer:
                    if answer.read().count(b'"ALIVE"') == 1 + self.workers:  # the master is one too
                        return self
            except OSError:
                pass
            time.sleep(0.2)
        self.__exit__()
        raise RuntimeError(f"the cluster did not start: see {self.folder}/*.log")

    def __exit__(self, *_: object) -> None:
        for process in self._processes[::-1]:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _run(self, name: str, cards: str, main: str, *options: str) -> None:
        environment = self.environment() | {"SPARK_DAEMON_MEMORY": "256m", "SPARK_WORKER_OPTS": cards}
        command = [SPARK / "bin" / "spark-class", f"{CLASS}.{main}", *options]
        with open(self.folder / f"{name}.log", "w") as log:
            self._processes.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | environment
                )
            )
