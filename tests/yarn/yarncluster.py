"""A real YARN on loopback for tests: one ResourceManager and some NodeManagers, each a process of its own.

    with YarnCluster(folder, nodes=2, cards=1) as cluster:
        cluster.environment()       what spark-submit is to see, spark-defaults.conf of the "cluster" with it
        cluster.kill(1)             SIGKILL to a NodeManager; its containers go on until YARN takes the node for lost
        cluster.start(1)            a NodeManager in its place

A node grants what EMR lets YARN grant of an xlarge of 4 vCPUs and 16 GiB. Cards are counted, and are none: a script
tells of card N on node N. The jars come from Maven Central by the Ivy that Spark brings, and are kept.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from xml.sax.saxutils import escape

import pyspark
from s3server import free_port, java

SPARK = Path(pyspark.__file__).parent
HADOOP = "3.3.4"
"""Of Spark 3.5's own jars, which the daemons run on; the four below are what those lack."""
JARS = [
    ("org.apache.hadoop", "hadoop-client-minicluster", HADOOP),
    ("junit", "junit", "4.13.2"),
    ("org.bouncycastle", "bcprov-jdk15on", "1.60"),
    ("org.bouncycastle", "bcpkix-jdk15on", "1.60"),
]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "devise-tests"
FETCH_SECONDS, START_SECONDS, STOP_SECONDS = 600, 180, 5
LOST_SECONDS = 10
"""A node that is not heard of for so long is lost; YARN's own default is ten minutes."""
DISCOVER = """#!/usr/bin/env bash
# Tells of card N in a container of node N, and of card 0 elsewhere.
node=${PWD##*/node}
case ${node%%/*} in [0-9]) card=${node%%/*} ;; *) card=0 ;; esac
printf '{"name": "gpu", "addresses": ["%s"]}' "$card"
"""
DAEMON = "org.apache.hadoop.yarn.server"


class NoYarn(Exception):
    """What a YARN is made of cannot be had here."""


def fetch() -> Path:
    """The folder of the daemons' jars; whole or not at all."""
    if not list((SPARK / "jars").glob(f"hadoop-client-api-{HADOOP}.jar")):
        raise NoYarn(f"Spark {pyspark.__version__} brings another Hadoop than {HADOOP}, which this YARN is of")
    try:
        program = java()
    except Exception as error:
        raise NoYarn(str(error)) from None
    done = CACHE / f"yarn-{HADOOP}"
    if done.is_dir():
        return done
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as partial:
        wanted = "".join(
            f'<dependency org="{org}" name="{name}" rev="{revision}" conf="default->master" transitive="false"/>'
            for org, name, revision in JARS
        )
        head = '<info organisation="tests" module="yarn"/><configurations><conf name="default"/></configurations>'
        Path(partial, "ivy.xml").write_text(
            f'<ivy-module version="2.0">{head}<dependencies>{wanted}</dependencies></ivy-module>'
        )
        command = [program, "-jar", next((SPARK / "jars").glob("ivy-*.jar")), "-cache", f"{partial}/ivy"]
        command += ["-ivy", f"{partial}/ivy.xml", "-confs", "default", "-types", "jar", "bundle"]
        command += ["-retrieve", f"{partial}/jars/[artifact]-[revision](-[classifier]).[ext]"]
        try:
            told = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise NoYarn(f"YARN's jars were not fetched in {FETCH_SECONDS} s") from None
        if told.returncode or len(list(Path(partial, "jars").glob("*.jar"))) != len(JARS):
            raise NoYarn(f"YARN's jars cannot be fetched: {told.stdout[-300:]}{told.stderr[-300:]}")
        _keep(Path(partial, "jars"), done)
    return done


def connector() -> Path:
    """The folder of the jars with which Spark reads s3://, those of conf/spark/s3.conf: a real cluster has its own."""
    done = CACHE / f"s3a-{HADOOP}"
    if done.is_dir():
        return done
    program = """
from devise.spark.frame.session import start_session
print("JARS", start_session("jars", tables_on_s3=True).sparkContext.getConf().get("spark.jars"))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    found = [line.removeprefix("JARS ") for line in told.stdout.splitlines() if line.startswith("JARS ")]
    if not found:
        raise NoYarn(f"Spark's connector for s3:// cannot be fetched: {told.stderr[-300:]}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as partial:
        Path(partial, "jars").mkdir()
        for uri in found[0].split(","):
            shutil.copy(uri.removeprefix("file://"), Path(partial, "jars"))
        _keep(Path(partial, "jars"), done)
    return done


def _keep(folder: Path, done: Path) -> None:
    try:
        os.rename(folder, done)
    except OSError:  # another test run was quicker
        if not done.is_dir():
            raise


def spark_on(conf: Path, events: Path, own: dict[str, str]) -> dict[str, str]:
    """This process's environment, and what leads Spark to a cluster whose spark-defaults.conf is written into `conf`.

    It says where the connector lies, as on EMR, and this process's variables of AWS, in place of an instance's role.
    """
    from devise.spark.frame.session import S3_CONF, read_conf

    found = {name: value for name, value in read_conf(S3_CONF).items() if not name.startswith("spark.jars.")}
    found |= {
        "spark.driver.extraClassPath": f"{connector()}/*",
        "spark.executor.extraClassPath": f"{connector()}/*",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"file:{events}",
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
    }
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name, value in (aws | {"SPARK_LOCAL_IP": "127.0.0.1"}).items():
        found[f"spark.executorEnv.{name}"] = found[f"spark.yarn.appMasterEnv.{name}"] = value
    (conf / "spark-defaults.conf").touch(mode=0o600)
    (conf / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in (found | own).items()))
    return os.environ | {
        "SPARK_CONF_DIR": str(conf),
        "SPARK_HOME": str(SPARK),
        "JAVA_HOME": str(_java_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }


class YarnCluster:
    """A running YARN; a context manager that stops its processes by their own handles.

    Args:
        cards: of each node; 0 leaves cards unknown to YARN.
    """

    def __init__(self, folder: Path, nodes: int = 2, cards: int = 1, cores: int = 4, memory_mib: int = 12 * 1024):
        self.folder, self.nodes, self.cards = folder, nodes, cards
        self.events = folder / "events"
        self._jars = fetch()
        connector()
        self._processes: dict[str, subprocess.Popen] = {}
        for name in ("conf", "log", "events", "staging"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        ports = {name: free_port() for name in ("", "scheduler.", "resource-tracker.", "admin.", "webapp.")}
        self.web = f"http://127.0.0.1:{ports['webapp.']}/ws/v1/cluster"
        _write_xml(folder / "conf/core-site.xml", {"fs.defaultFS": "file:///", "hadoop.tmp.dir": folder / "tmp"})
        _write_xml(folder / "conf/yarn-site.xml", self._settings(ports, cores, memory_mib))
        # Not in HADOOP_CONF_DIR, which Spark too has on its class path.
        (folder / "log/log4j2.properties").write_text(
            "rootLogger.level=info\nrootLogger.appenderRef.o.ref=o\nappender.o.type=Console\nappender.o.name=o\n"
            "appender.o.layout.type=PatternLayout\nappender.o.layout.pattern=%d{HH:mm:ss} %p %c{1}: %m%n\n"
        )
        script = folder / "discover.sh"
        script.write_text(DISCOVER)
        script.chmod(0o755)

    def _settings(self, ports: dict[str, int], cores: int, memory_mib: int) -> dict[str, object]:
        found = {f"yarn.resourcemanager.{name}address": f"127.0.0.1:{port}" for name, port in ports.items()}
        found |= {f"yarn.nodemanager.{name}address": "127.0.0.1:0" for name in ("", "localizer.", "webapp.")}
        found |= {
            "yarn.resourcemanager.hostname": "127.0.0.1",
            "yarn.nodemanager.resource.memory-mb": memory_mib,
            "yarn.nodemanager.resource.cpu-vcores": cores,
            "yarn.scheduler.minimum-allocation-mb": 1024,
            "yarn.scheduler.maximum-allocation-mb": memory_mib,
            "yarn.scheduler.maximum-allocation-vcores": cores,
            "yarn.nodemanager.vmem-check-enabled": "false",
            "yarn.nodemanager.delete.debug-delay-sec": 3600,
            "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": 100,
            "yarn.nm.liveness-monitor.expiry-interval-ms": 1000 * LOST_SECONDS,
            "yarn.resourcemanager.nm.liveness-monitor.interval-ms": 1000,
            "yarn.nodemanager.heartbeat.interval-ms": 200,
            "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": 200,
            "yarn.scheduler.capacity.root.queues": "default",
            "yarn.scheduler.capacity.root.default.capacity": 100,
            "yarn.scheduler.capacity.maximum-am-resource-percent": 1,
            "yarn.scheduler.capacity.resource-calculator": (
                "org.apache.hadoop.yarn.util.resource.DominantResourceCalculator"
            ),
        }
        if self.cards:
            found["yarn.resource-types"] = "yarn.io/gpu"
            found["yarn.nodemanager.resource-type.yarn.io/gpu"] = self.cards
        return found

    def environment(self, **defaults: str) -> dict[str, str]:
        """This process's environment, and what leads Spark to the cluster; its spark-defaults.conf is written anew."""
        conf = self.folder / "conf"
        own = {
            "spark.master": "yarn",
            "spark.yarn.jars": f"local:{SPARK}/jars/*",
            "spark.yarn.stagingDir": f"file:{self.folder}/staging",
            "spark.executor.resource.gpu.discoveryScript": str(self.folder / "discover.sh"),
        }
        return spark_on(conf, self.events, own | defaults) | {"HADOOP_CONF_DIR": str(conf)}

    def runs(self, number: int) -> bool:
        """Whether a NodeManager was started and not killed."""
        return f"node{number}" in self._processes

    def start(self, number: int) -> None:
        """A NodeManager; a new one in the place of one that was killed."""
        here = self.folder / f"node{number}"
        dirs = {"local-dirs": here / "local", "log-dirs": here / "logs"}
        options = [f"-Dyarn.nodemanager.{name}={path}" for name, path in dirs.items()]
        self._run(f"node{number}", f"{DAEMON}.nodemanager.NodeManager", *options)

    def kill(self, number: int) -> None:
        """SIGKILL to a NodeManager."""
        process = self._processes.pop(f"node{number}")
        process.kill()
        process.wait()

    def wait(self, nodes: int) -> None:
        """Return once so many nodes are at work; `NoYarn` if they do not come."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and all(process.poll() is None for process in self._processes.values()):
            try:
                if self.ask("metrics")["activeNodes"] == nodes:
                    return
            except (OSError, KeyError):
                pass
            time.sleep(0.2)
        logs = "".join(path.read_text()[-300:] for path in self.folder.glob("*.log"))
        raise NoYarn(f"YARN did not come to {nodes} nodes: {logs}")

    def ask(self, what: str) -> dict:
        """An answer of the ResourceManager."""
        with urllib.request.urlopen(f"{self.web}/{what}", timeout=5) as answer:
            found = json.load(answer)
        return found.get("clusterMetrics", found)  # the shaded server writes no root element

    def logs(self, kind: str = "stdout") -> str:
        """What containers wrote, oldest first: in cluster mode that is where a job's own lines are."""
        found = sorted(self.folder.glob(f"node*/logs/*/*/{kind}"), key=lambda path: path.stat().st_mtime)
        return "".join(path.read_text(errors="replace") for path in found)

    def __enter__(self) -> "YarnCluster":
        try:
            self._run("manager", f"{DAEMON}.resourcemanager.ResourceManager")
            for number in range(self.nodes):
                self.start(number)
            self.wait(self.nodes)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _run(self, name: str, main: str, *options: str) -> None:
        here = self.folder / name
        here.mkdir(exist_ok=True)
        path = f"{self.folder}/conf:{self.folder}/log:{self._jars}/*:{SPARK}/jars/*"
        # Guice's cglib reaches into java.lang, which Java 17 closes.
        command = [java(), "-Xmx256m", "--add-opens=java.base/java.lang=ALL-UNNAMED", "-cp", path, main, *options]
        environment = os.environ | {"USER": os.environ.get("USER", "tests"), "JAVA_HOME": str(_java_home())}
        with open(self.folder / f"{name}.log", "w") as log:
            self._processes[name] = subprocess.Popen(
                command, cwd=here, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )


def _java_home() -> Path:
    return Path(java()).resolve().parent.parent


def _write_xml(path: Path, settings: dict[str, object]) -> None:
    rows = "".join(
        f"<property><name>{name}</name><value>{escape(str(value))}</value></property>\n"
        for name, value in settings.items()
    )
    path.write_text(f'<?xml version="1.0"?>\n<configuration>\n{rows}</configuration>\n')
