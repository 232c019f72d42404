"""Mutated image files through `decode`, for as many minutes as asked; not a test, `make fuzz MINUTES=10` runs it.

    python tests/fuzz/fuzz_images.py [--minutes 10] [--seed 0]

Cases run in a process of its own with a limit on memory; its parent ends it when a case takes too long. A fault,
printed with a file of the case, is any exception but an ImageError, a hang, a death, or a sound file that is refused or
shown otherwise once something was added that says nothing of its pixels. The exit code is 1 if there was one.

No coverage-guided fuzzer: the decoders are C libraries that it could not see into, and it would end at its first find.
"""

import argparse
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from makers import blocky, refused, sound
from mutations import broken, with_more

CASE_SECONDS, MORE_MEMORY = 5, 2 * 2**30


def serve(pipe, seed: int) -> None:
    """Cases without end; the parent is told each before it is tried."""
    from devise.errors import ImageError
    from devise.vision.images import REJECT_CODES, Preprocessing, decode

    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff prints what it finds
    r, small = random.Random(seed), Preprocessing(48, 40)
    files = sound() | blocky() | {name: content for name, (content, _) in refused().items()}
    names, contents = list(files), list(files.values())
    right = {name: decode(content, small, 10**6).pixels for name, content in (sound() | blocky()).items()}
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE_MEMORY, used + MORE_MEMORY))
    while True:
        name = r.choice(names)
        more = with_more(name, files[name], r) if name in right and r.random() < 0.3 else None
        content = more or broken(files[name], contents, r)
        pipe.send((name, content))
        try:
            picture = decode(content, small, 10**6)
            told, fault = "embedded", "" if picture.pixels.shape == right["png"].shape else "no picture"
            if more and (picture.pixels.int() - right[name].int()).abs().float().mean() > 2:
                fault = "a sound file is shown otherwise"
        except ImageError as error:
            told = error.code
            fault = f"a sound file is refused: {error}" if more else "" if told in REJECT_CODES else "no such code"
        except BaseException as error:
            told, fault = "foreign", f"foreign exception {error!r}"
        pipe.send((told, fault))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    end, start = time.monotonic() + 60 * options.minutes, time.monotonic()
    folder, told, faults, process = Path(tempfile.mkdtemp(prefix="fuzz-")), Counter(), Counter(), None
    name, content = "start", b""
    while time.monotonic() < end:
        if process is None:
            pipe, theirs = multiprocessing.Pipe()
            seed = options.seed + 1000 * sum(faults.values())
            process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, seed), daemon=True)
            process.start()
            theirs.close()
        try:
            name, content = pipe.recv()
            code, fault = pipe.recv() if pipe.poll(CASE_SECONDS) else ("hang", f"more than {CASE_SECONDS} s")
        except EOFError:
            process.join()
            code, fault = "death", f"the process ended with {process.exitcode}"
        told[code] += 1
        if fault:
            faults[fault[:80]] += 1
            case = folder / f"{sum(faults.values()):04}_{name}"
            case.write_bytes(content)
            print(f"FAULT {fault} ({case})", flush=True)
        if code in ("hang", "death"):
            process.kill()
            process = None
    if process is not None:
        process.kill()
    n, seconds = sum(told.values()), time.monotonic() - start
    print(f"{n} cases in {seconds:.0f} s, {n / seconds:.0f} a second; {dict(told.most_common())}")
    print(f"faults: {sum(faults.values())} {dict(faults.most_common())}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
