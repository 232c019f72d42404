"""An explorer under load: requests a second, milliseconds a request, memory; at rest and while nights publish.

    python tests/benchmarks/explorer.py WAREHOUSE [--rate 20] [--seconds 20] [--renew]

WAREHOUSE is a published one, as `searcher.py make` makes it; publications are swapped in it, which are its live one
again; with --renew each has another run of the vocabulary than the one before, as few nights do. The explorer runs as a
process of its own and is asked over the loopback for first pages of a hundred answers with their labels, no question
twice. `At a rate`: requests begin at even distances whether or not the ones before have ended, and waiting counts. `As
fast as it can`: four clients ask one after the other. Asking takes processor time too.
"""

import argparse
import asyncio
import os
import platform
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from threading import Event, Thread

import httpx
import numpy as np

from devise.show.explorer.corpus import Corpus
from devise.warehouse import manifest, pointer

CLIENTS = 4
EVERY_S = 5.0
"""Between two publications, where nights publish."""
AGAIN = "-again"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def serving(warehouse: str):
    """The URL and the process of an explorer, and the seconds until it answered."""
    port, began = free_port(), time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "devise", "serve", "--warehouse", warehouse, "--port", str(port)],
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                httpx.get(f"{url}/api/health").raise_for_status()
                break
            except httpx.TransportError:
                if process.poll() is not None:
                    raise SystemExit("the explorer ended") from None
                time.sleep(0.05)
        yield url, process, time.perf_counter() - began
    finally:
        process.terminate()
        process.wait()


def questions(warehouse: str, n: int) -> dict[str, list[str]]:
    """Of each kind, n that differ."""
    corpus, rng = Corpus.open(warehouse), np.random.default_rng(0)
    searcher = corpus.searcher
    labels = [label for label in searcher.vocabulary.labels if label.isalpha()]
    suggested = corpus.names.suggestions.find  # never what is denied
    labels = [label for label in labels if [word.label for word in suggested(label, 1)] == [label]]
    words = [labels[row] for row in rng.permutation(len(labels))[: 3 * n]]
    ids = [image_id for part in searcher.index.parts for image_id in part.sidecar.some(2 * n)]
    return {
        "word": words[:n],
        "pair": [f"{one} + {other}" for one, other in zip(words[n : 2 * n], words[2 * n :], strict=True)],
        "image": [f"image:ID/{image_id}" for image_id in rng.choice(ids, n, replace=False).tolist()],
    }


def clients(url: str, n: int) -> list[httpx.AsyncClient]:
    """Clients with addresses of their own, as each has a rate."""
    transports = (httpx.AsyncHTTPTransport(local_address=f"127.0.1.{number + 1}") for number in range(n))
    return [httpx.AsyncClient(transport=transport, base_url=url, timeout=60) for transport in transports]


async def ask(client: httpx.AsyncClient, text: str, began: float) -> float:
    answer = await client.get("/api/search", params={"q": text})
    if answer.status_code != 200:
        raise SystemExit(f"{text}: {answer.status_code} {answer.text[:200]}")
    return time.perf_counter() - began


async def at_a_rate(url: str, texts: list[str], rate: float) -> np.ndarray:
    """Milliseconds of each, from when it was due."""
    asking, began = clients(url, 8), time.perf_counter() + 0.1
    tasks = []
    for number, text in enumerate(texts):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(ask(asking[number % len(asking)], text, due)))
    took = await asyncio.gather(*tasks)
    for client in asking:
        await client.aclose()
    return 1e3 * np.array(took)


async def as_fast_as_it_can(url: str, texts: list[str]) -> float:
    """Requests a second."""
    asking, left = clients(url, 40), iter(enumerate(texts))

    async def one() -> None:
        for number, text in left:
            await ask(asking[number % len(asking)], text, 0.0)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    seconds = time.perf_counter() - began
    for client in asking:
        await client.aclose()
    return len(texts) / seconds


def other_vocabulary(warehouse: str, run: str) -> str:
    """Another run of the vocabulary, of the same files."""
    words, other = manifest.read(warehouse, "vocabulary", run), f"{run.removesuffix(AGAIN)}{AGAIN}"
    if other == run:
        return run.removesuffix(AGAIN)
    if not manifest.is_committed(warehouse, "vocabulary", other):
        there, here = (Path(warehouse) / "vocabulary" / f"run={name}" for name in (other, run))
        there.mkdir()
        for file in words.files:
            os.link(here / file.path, there / file.path)
        manifest.write(warehouse, words.model_copy(update={"run": other}))
    return other


@contextmanager
def publishing(warehouse: str, renew: bool):
    """Meanwhile a publication every EVERY_S seconds, of what is live."""
    stopped, made = Event(), [0]

    def publish() -> None:
        while not stopped.wait(EVERY_S):
            live = pointer.read(warehouse)
            again = {"vocabulary": other_vocabulary(warehouse, live.runs("vocabulary")[-1])} if renew else {}
            pointer.swap(warehouse, [(table, again.get(table, run)) for table, run in live.pairs()], live.run, live)
            made[0] += 1

    thread = Thread(target=publish)
    thread.start()
    try:
        yield made
    finally:
        stopped.set()
        thread.join()


def memory_mb(process: subprocess.Popen) -> tuple[float, float]:
    """Of the process: its own, and mapped files that are in memory."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    told = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
    return int(told["RssAnon"]) / 1024, int(told["RssFile"]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("warehouse")
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--renew", action="store_true", help="each publication with another run of the vocabulary")
    told = parser.parse_args()
    n = int(told.rate * told.seconds)
    asked = questions(told.warehouse, 3 * n)
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f} at the start, {date.today()}\n")
    with serving(told.warehouse) as (url, process, seconds):
        live = httpx.get(f"{url}/api/live").json()
        print(f"{live['images']:,} images, {live['labels']:,} labels; open after {seconds:.1f} s\n")
        print(f"| kind | p50 ms at {told.rate:.0f}/s | p99 ms | most | p50 while publishing | p99 | most | a second |")
        print("|---" * 8 + "|")
        for kind, texts in asked.items():
            rest = asyncio.run(at_a_rate(url, texts[:n], told.rate))
            with publishing(told.warehouse, told.renew) as made:
                moved = asyncio.run(at_a_rate(url, texts[n : 2 * n], told.rate))
            fast = asyncio.run(as_fast_as_it_can(url, texts[2 * n :]))
            cells = [f"{value:.1f}" for took in (rest, moved) for value in (*np.percentile(took, [50, 99]), took.max())]
            print(f"| {kind} | {' | '.join(cells)} | {fast:.0f} |", flush=True)
        own, mapped = memory_mb(process)
        print(f"\n{made[0]} publications while the last kind was asked; memory {own:,.0f} MB, mapped {mapped:,.0f} MB")


if __name__ == "__main__":
    main()
