"""Memory and time to read 80,000 wanted rows out of a text file of 2,000,000 word vectors, the size of wiki.en.vec.

    python tests/benchmarks/vector_memory.py [--rows 2000000] [--wanted 80000] [--dim 300]

The file (random numbers of 3 decimals, 6.5 bytes each: 3.9 GB in full) is written to a temporary folder and deleted. It
is read in a fresh process, whose peak resident memory is taken before the call and after it.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from embed_loop import processor

BLOCK_ROWS = 2000
MIB = 1 << 20


def write(path: Path, n_rows: int, dim: int) -> None:
    """A .vec file of words w0000000, w0000001, ...; numbers are looked up in a table of all 1,999 texts there are."""
    rng = np.random.default_rng(0)
    texts = np.array([f" {value / 1000:.3f}" for value in range(-999, 1000)], dtype="S7")
    lines = np.empty(BLOCK_ROWS, np.dtype([("word", "S8"), ("numbers", "S7", (dim,)), ("end", "S1")]))
    lines["end"] = b"\n"
    with path.open("wb") as file:
        file.write(b"%d %d\n" % (n_rows, dim))
        for start in range(0, n_rows, BLOCK_ROWS):
            block = lines[: min(BLOCK_ROWS, n_rows - start)]
            block["word"] = [f"w{row:07d}" for row in range(start, start + len(block))]
            block["numbers"] = texts[rng.integers(0, len(texts), (len(block), dim), dtype=np.uint16)]
            file.write(block.tobytes().translate(None, b"\0"))


def chosen(n_rows: int, n_wanted: int) -> set[str]:
    rows = np.random.default_rng(1).choice(n_rows, min(n_wanted, n_rows), replace=False)
    return {f"w{row:07d}" for row in rows}


def read(path: str, n_rows: int, n_wanted: int) -> dict[str, float]:
    from devise.words import wordvectors

    wanted = chosen(n_rows, n_wanted)
    before = peak_bytes()
    started = time.perf_counter()
    found = wordvectors.read(path, wanted)
    elapsed_s = time.perf_counter() - started
    if set(found.words) != wanted:
        raise SystemExit(f"found {len(found.words)} words, wanted {len(wanted)}")
    return {"read_s": elapsed_s, "before": before, "peak": peak_bytes(), "kept": found.vectors.nbytes}


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--wanted", type=int, default=80_000)
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        print(json.dumps(read(options.read, options.rows, options.wanted)))
        return
    with tempfile.TemporaryDirectory() as folder:
        needed, free = 7 * options.rows * options.dim, shutil.disk_usage(folder).free
        if free < needed * 1.2:
            raise SystemExit(f"found {free / 1e9:.1f} GB free for temporary files, wanted {needed * 1.2 / 1e9:.1f} GB")
        path = Path(folder) / "vectors.vec"
        write(path, options.rows, options.dim)
        size_bytes = path.stat().st_size
        command = [sys.executable, __file__, "--read", str(path), "--rows", str(options.rows)]
        told = subprocess.run([*command, "--wanted", str(options.wanted)], check=True, capture_output=True, text=True)
    found = json.loads(told.stdout.splitlines()[-1])
    print(f"{platform.machine()} {processor()}, {len(os.sched_getaffinity(0))} cores, {datetime.date.today()}")
    print()
    print("| rows in the file | dims | file, GB | wanted | read, s | kept rows, MiB | before, MiB | peak memory, MiB |")
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {options.rows:,} | {options.dim} | {size_bytes / 1e9:.2f} | {min(options.wanted, options.rows):,} "
        f"| {found['read_s']:.1f} | {found['kept'] / MIB:.0f} | {found['before'] / MIB:.0f} "
        f"| {found['peak'] / MIB:.0f} |"
    )


if __name__ == "__main__":
    main()
