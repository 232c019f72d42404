"""GETs a CPU second by library, from a server in another process: what the client costs, not what the server can.

    python tests/benchmarks/fetch.py --data ../shared/data [--objects 4000] [--repeats 3] [--ways in_place ...]

Each row is a process of its own that fetches real photographs (and the same, joined to 100 kB) from `responder.py`, or
with --s3proxy from the real server of the tests. CPU is the client's own, of all its threads, by getrusage; ways take
turns. Libraries that are not installed are left out: `pip install obstore httpx aiohttp`; aiobotocore wants a botocore
of its own, so an environment of its own (--python aiobotocore_asyncio=PYTHON). --processes runs so many clients at a
time. --engine embeds what is fetched, on one core, after --latency-ms to the first byte of each answer: what threads
are for. Prints tables with machine and date; asserts what was read.
"""

import argparse
import asyncio
import importlib.metadata
import inspect
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from datetime import date
from hashlib import md5
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fetch_ways

BUCKET = "photographs"
WAYS = {
    "in place": "in_place",
    "in place before": "before",
    "boto3 as it is": "boto3_as_it_is",
    "boto3 stripped": "boto3_stripped",
    "botocore's signer, urllib3": "botocore_signed_urllib3",
    "own signature, botocore's HTTP session": "own_signed_botocore_http",
    "own signature, urllib3": "own_signed_urllib3",
    "own signature, http.client": "own_signed_http_client",
    "own signature, httpx": "own_signed_httpx",
    "own signature, pycurl": "own_signed_pycurl",
    "pycurl's signature": "curl_signed_pycurl",
    "obstore, threads": "obstore_threads",
    "obstore, asyncio": "obstore_asyncio",
    "pyarrow.fs.S3FileSystem": "pyarrow_threads",
    "aiobotocore (s3fs)": "aiobotocore_asyncio",
    "own signature, aiohttp": "own_signed_aiohttp",
}


def photographs(data: Path, kind: str) -> dict[str, bytes]:
    """Key -> content, of 200 photographs: as they are, or several joined to 100 kB."""
    paths = sorted((data / "images" / "caltech101").rglob("*.jpg"))
    found = {str(path.relative_to(data / "images")): path.read_bytes() for path in paths[:: len(paths) // 200][:200]}
    if kind == "photographs":
        return found
    joined = b"".join(found.values())
    return {f"{number:03d}/100kB.jpg": joined[number * 10_000 : number * 10_000 + 100_000] for number in range(200)}


def fetch_all(endpoint: str, way: str, n_threads: int, wanted: list[tuple[str, str, int]], n_objects: int) -> dict:
    """Fetch so many objects; seconds, CPU seconds and bytes, the first tenth (connections, imports) left out."""
    get = getattr(fetch_ways, way)(endpoint, max(n_threads, 4))
    turns = [wanted[number % len(wanted)] for number in range(n_objects)]
    work = _run_coroutines if inspect.iscoroutinefunction(get) else _run_threads
    with ExitStack() as stack:
        run = work(get, n_threads, stack)
        run(turns[: max(n_objects // 10, 4 * n_threads)])
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        run(turns)
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu": cpu, "bytes": sum(size for _, _, size in turns), "objects": n_objects}


def embed_all(endpoint: str, way: str, n_threads: int, wanted: list, n_objects: int, data: Path) -> dict:
    """Fetch and embed so many objects with `n_threads` fetching and one thread computing, a batch or so left out."""
    from embed_loop import load_model

    from devise.vision.engine import Engine, Item

    get = getattr(fetch_ways, way)(endpoint, max(n_threads, 4))
    turns = [wanted[number % len(wanted)] for number in range(n_objects)]
    engine = Engine(
        load_model(data),
        lambda item: get(BUCKET, item.uri, item.etag),
        device="cpu",
        threads=1,
        fetch_threads=n_threads,
    )

    def run(part):
        items = (Item(number, key, etag, size) for number, (key, etag, size) in enumerate(part))
        assert sum(code is None for out in engine.run(items) for code in out.codes) == len(part)

    run(turns[:100])
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    run(turns)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu": cpu, "bytes": sum(size for _, _, size in turns), "objects": n_objects}


def _run_threads(get, n_threads, stack):
    def run(turns):
        failed = []

        def work(part):
            try:
                for key, etag, size in part:
                    assert len(get(BUCKET, key, etag)) == size
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(turns[start::n_threads],)) for start in range(n_threads)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        if failed:
            raise failed[0]

    return run


def _run_coroutines(get, n_threads, stack):
    loop = asyncio.new_event_loop()

    async def work(part):
        for key, etag, size in part:
            assert len(await get(BUCKET, key, etag)) == size

    async def all_of(turns):
        await asyncio.gather(*(work(turns[start::n_threads]) for start in range(n_threads)))

    return lambda turns: loop.run_until_complete(all_of(turns))


def child(options: argparse.Namespace) -> None:
    """The process that fetches."""
    wanted = [tuple(found) for found in json.loads(Path(options.wanted).read_text())]
    asked = (options.endpoint, options.child, options.threads[0], wanted, options.objects)
    found = embed_all(*asked, options.data) if options.engine else fetch_all(*asked)
    print(json.dumps(found), flush=True)
    os._exit(0)  # event loops and pools need no farewell


def measure(endpoint: str, way: str, n_threads: int, wanted: str, python: str, options: Any) -> dict | None:
    """What came of one run, all its processes together; None if it failed."""
    command = [python, __file__, "--child", way, "--endpoint", endpoint, "--wanted", wanted]
    command += ["--threads", str(n_threads), "--objects", str(options.objects), "--data", str(options.data)]
    command += ["--engine"] if options.engine else []
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(options.processes)
    ]
    done = [process.communicate() for process in running]
    if any(process.returncode for process in running):
        words = done[0][1].strip().splitlines()[-1:]
        if words and ("ModuleNotFoundError" in words[0] or "ImportError" in words[0]):
            return None
        print(done[0][1], file=sys.stderr)
        return None
    found = [json.loads(out) for out, _ in done]
    return {
        "seconds": max(one["seconds"] for one in found),
        **{name: sum(one[name] for one in found) for name in ("cpu", "bytes", "objects")},
    }


def table(title: str, rows: dict[tuple[str, int], list[dict]]) -> None:
    print(f"\n{title}\n")
    print("| way | threads | objects/s | MB/s | CPU ms a GET | objects a CPU second | MB a CPU second |")
    print("|---|---|---|---|---|---|---|")
    for (name, n_threads), found in rows.items():
        if not found:
            continue
        rate = statistics.median(one["objects"] / one["seconds"] for one in found)
        per_get = statistics.median(one["cpu"] / one["objects"] for one in found)
        size = found[0]["bytes"] / found[0]["objects"] / 1e6
        print(
            f"| {name} | {n_threads} | {rate:.0f} | {rate * size:.1f} | {1000 * per_get:.2f} | {1 / per_get:.0f} "
            f"| {size / per_get:.1f} |"
        )
    sys.stdout.flush()


def versions() -> str:
    names = ("boto3", "urllib3", "obstore", "pyarrow", "aiobotocore", "aiohttp", "httpx", "pycurl")
    told = []
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            told.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(told)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--objects", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[4, 16, 32])
    parser.add_argument("--ways", nargs="+", default=list(WAYS.values()), help=", ".join(WAYS.values()))
    parser.add_argument("--sizes", nargs="+", default=["photographs", "100kB"])
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--s3proxy", action="store_true")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--engine", action="store_true")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--python", action="append", default=[], help="WAY=PYTHON: another environment's")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--endpoint", help=argparse.SUPPRESS)
    parser.add_argument("--wanted", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options)
    from embed_loop import processor

    pythons = dict(found.split("=", 1) for found in options.python)
    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {date.today()}; {versions()};")
    print(
        f"{options.objects} objects a run, {options.repeats} interleaved runs, medians, {options.processes} processes"
    )
    for kind in options.sizes:
        objects = {f"{BUCKET}/{key}": content for key, content in photographs(options.data, kind).items()}
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            endpoint, told = serve(objects, options, Path(folder), stack)
            wanted = Path(folder, "wanted.json")
            wanted.write_text(
                json.dumps(
                    [
                        (place.partition("/")[2], md5(content).hexdigest(), len(content))
                        for place, content in objects.items()
                    ]
                )
            )
            rows = {(name, n): [] for name, way in WAYS.items() if way in options.ways for n in options.threads}
            for _ in range(options.repeats):
                for name, n in rows:
                    way = WAYS[name]
                    python = pythons.get(way, sys.executable)
                    found = measure(endpoint, way, n, str(wanted), python, options)
                    rows[name, n] += [found] if found else []
            mean = sum(len(content) for content in objects.values()) / len(objects) / 1000
            table(f"{kind}, {mean:.1f} kB on average, from {told}", rows)


def serve(objects: dict[str, bytes], options: argparse.Namespace, folder: Path, stack: ExitStack) -> tuple[str, str]:
    """A server with the objects, its endpoint, and its name; its credentials are in the environment."""
    if options.s3proxy:
        from s3server import S3Server

        server = stack.enter_context(S3Server(folder / "s3"))
        os.environ.update(server.environment())
        client = server.client()
        client.create_bucket(Bucket=BUCKET)
        for place, content in objects.items():
            client.put_object(Bucket=BUCKET, Key=place.partition("/")[2], Body=content)
        return server.endpoint, "s3proxy"
    from responder import Responder, make_certificate

    os.environ.update(AWS_ACCESS_KEY_ID="nobody", AWS_SECRET_ACCESS_KEY="nothing", AWS_REGION=fetch_ways.REGION)
    certificate = make_certificate(folder) if options.tls else None
    if certificate:
        os.environ["AWS_CA_BUNDLE"] = certificate[0]
    server = stack.enter_context(Responder(objects, certificate, options.latency_ms / 1000))
    told = f"the responder{' over TLS' if options.tls else ''}"
    return server.endpoint, told + (f", {options.latency_ms:g} ms to the first byte" if options.latency_ms else "")


if __name__ == "__main__":
    main()
