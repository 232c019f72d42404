"""A real S3 server on loopback for tests: s3proxy, fetched with nothing but Java and kept for the next time.

    with S3Server(folder) as server:
        server.environment()        AWS's own variables, for boto3, Spark and whatever is started
        server.make_bucket("corpus")

It stores objects as files below `folder`, checks signatures, and knows conditional writes.
"""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pyspark

from devise.spark.frame.session import find_java

VERSION = "4.1.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "devise-tests" / f"s3proxy-{VERSION}"
FETCH_SECONDS, START_SECONDS = 600, 60


class NoServer(Exception):
    """The server's jars cannot be had here."""


def java() -> str:
    """The Java that Spark runs on."""
    find_java()
    home = os.environ.get("JAVA_HOME")
    return os.path.join(home, "bin", "java") if home else shutil.which("java")


def fetch() -> Path:
    """The folder of the server's jars; fetched by the Ivy that Spark brings, whole or not at all."""
    if CACHE.is_dir():
        return CACHE
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    ivy = next((Path(pyspark.__file__).parent / "jars").glob("ivy-*.jar"))
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as partial:
        command = [java(), "-jar", ivy, "-cache", f"{partial}/ivy", "-confs", "default", "-types", "jar", "bundle"]
        command += ["-dependency", "org.gaul", "s3proxy", VERSION]
        command += ["-retrieve", f"{partial}/jars/[artifact]-[revision](-[classifier]).[ext]"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise NoServer(f"s3proxy {VERSION} was not fetched in {FETCH_SECONDS} s") from None
        if done.returncode or not list(Path(partial, "jars").glob(f"s3proxy-{VERSION}*.jar")):
            raise NoServer(f"s3proxy {VERSION} cannot be fetched: {done.stdout[-300:]}{done.stderr[-300:]}")
        try:
            os.rename(f"{partial}/jars", CACHE)
        except OSError:  # another test run was quicker
            if not CACHE.is_dir():
                raise
    return CACHE


class S3Server:
    """A running server; a context manager that stops it by its own handle."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.identity, self.secret = "devise-tests", secrets.token_hex(16)
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "S3Server":
        jars = fetch()
        store, settings = self.folder / "store", self.folder / "s3proxy.conf"
        store.mkdir(parents=True, exist_ok=True)
        settings.touch(mode=0o600)
        settings.write_text(
            f"s3proxy.endpoint={self.endpoint}\njclouds.provider=filesystem-nio2\njclouds.filesystem.basedir={store}\n"
            f"s3proxy.authorization=aws-v2-or-v4\ns3proxy.identity={self.identity}\ns3proxy.credential={self.secret}\n"
        )
        command = [java(), "-DLOG_LEVEL=warn", "-Xmx512m", "-cp", f"{jars}/*", "org.gaul.s3proxy.Main"]
        with open(self.folder / "s3proxy.log", "w") as log:
            self._process = subprocess.Popen(
                [*command, "--properties", settings], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def environment(self) -> dict[str, str]:
        """The standard AWS variables that lead to this server."""
        return {
            "AWS_ACCESS_KEY_ID": self.identity,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
        }

    def client(self):
        """A boto3 client of the test's own, beside the one under test."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.identity,
            aws_secret_access_key=self.secret,
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=32),
        )

    def make_bucket(self, name: str) -> str:
        """The bucket's URI."""
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}"

    def upload(self, folder: Path, uri: str) -> int:
        """Every file below a folder, 16 at a time; how many."""
        from concurrent.futures import ThreadPoolExecutor

        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        files, client = [path for path in sorted(folder.rglob("*")) if path.is_file()], self.client()

        def put(path: Path) -> None:
            key = "/".join(filter(None, [prefix, path.relative_to(folder).as_posix()]))
            client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(put, files))
        return len(files)

    def _wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            try:
                urllib.request.urlopen(self.endpoint, timeout=1)
                return
            except urllib.error.HTTPError:  # it answers, and refuses who has no signature
                return
            except OSError:
                time.sleep(0.1)
        raise NoServer(f"s3proxy did not start: {(self.folder / 's3proxy.log').read_text()[-500:]}")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
