"""Pictures decoded a second of CPU time, on one core, of this checkout beside another one.

    python tests/benchmarks/decode.py --before CHECKOUT [--data ../shared/data] [--images 1000] [--repeats 7]

Photographs as they are (short side at most 500), and 16 of them enlarged by 4 as JPEG, progressive JPEG and PNG. Each
measurement is a process of its own, and the two checkouts take turns. Files are read before the clock starts; the clock
is the process's CPU time, as machines are shared. The last column says whether both gave the same pixels.
"""

import argparse
import datetime
import hashlib
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

from PIL import Image


def files(data: Path, kind: str, n: int) -> list[bytes]:
    paths = sorted(path for path in (data / "images").rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    chosen = paths[:: max(1, len(paths) // n)][:n]
    if kind == "photographs":
        return [path.read_bytes() for path in chosen]
    found = []
    for path in chosen[:: max(1, n // 16)][:16]:
        image = Image.open(path).convert("RGB")
        image = image.resize((image.width * 4, image.height * 4), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        image.save(file, "PNG" if kind == "large PNG" else "JPEG", progressive=kind == "large progressive JPEG")
        found.append(file.getvalue())
    return found


def measure(checkout: Path, data: Path, kind: str, n: int) -> None:
    """Print pictures a second and a digest of all pixels, as JSON."""
    sys.path.insert(0, str(checkout))
    warnings.simplefilter("ignore")
    import torch

    import devise
    from devise.vision.images import Preprocessing, decode

    if not Path(devise.__file__).is_relative_to(checkout):
        raise SystemExit(f"found {devise.__file__}, wanted it below {checkout}")
    torch.set_num_threads(1)
    contents, digest = files(data, kind, n), hashlib.sha256()
    for content in contents[:20]:
        decode(content, Preprocessing(), 10**8)
    start = time.process_time()
    pictures = [decode(content, Preprocessing(), 10**8).pixels for content in contents]
    seconds = time.process_time() - start
    for pixels in pictures:
        digest.update(pixels.numpy().tobytes())
    print(json.dumps([len(contents) / seconds, digest.hexdigest()]))


def main() -> None:
    here = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=here.parent / "shared/data")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--measure", nargs=2, metavar=("CHECKOUT", "KIND"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(Path(options.measure[0]).resolve(), options.data, options.measure[1], options.images)
        return
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "?")
    print(f"{options.repeats} interleaved repeats; {cpu}, {len(os.sched_getaffinity(0))} cores, one used;")
    print(f"Python {platform.python_version()}, {datetime.date.today()}\n")
    print("| pictures | before, a second | after | ratio (median of pairs) | least, most | same pixels |")
    print("|---|---|---|---|---|---|")
    for kind in ("photographs", "large JPEG", "large progressive JPEG", "large PNG"):
        before, after, same = [], [], True
        for repeat in range(options.repeats):
            pair = {}
            for checkout in (options.before, here) if repeat % 2 else (here, options.before):
                command = [sys.executable, __file__, *sys.argv[1:], "--measure", str(checkout), kind]
                pair[checkout] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            before.append(pair[options.before][0])
            after.append(pair[here][0])
            same = same and pair[options.before][1] == pair[here][1]
        ratios = [new / old for new, old in zip(after, before, strict=True)]
        middle = [f"{statistics.median(values):.0f}" for values in (before, after)]
        spread = f"{min(ratios):.2f}, {max(ratios):.2f}"
        print(
            f"| {kind} | {middle[0]} | {middle[1]} | {statistics.median(ratios):.3f} | {spread} | {same} |", flush=True
        )


if __name__ == "__main__":
    main()
