"""Fine-tuning of MobileNetV2 on photographs: images a second by 1 and 2 processes, and what a kill changes.

    python tests/benchmarks/finetune.py --data DATA [--each 12] [--nouns 10]

Runs on local[2]; one image of a noun after the other is linked into a folder of its own first.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from safetensors.torch import load_file

EPOCHS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--each", type=int, default=12)
    parser.add_argument("--nouns", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        prepare(place, options)
        start(place, "build_vocabulary", "a0")
        print("| run | images/s, each epoch | seconds of the job |")
        print("|---|---|---|")
        for run, processes, layers in (("one", 1, None), ("two", 2, None), ("top", 2, 10)):
            began, said = time.monotonic(), start(place, "train_model", run, processes, layers)
            rates = ", ".join(re.findall(r"([\d.]+) images/s", said))
            name = f"{processes} processes, {'all' if layers is None else f'the last {layers}'} layers"
            print(f"| {name} | {rates} | {time.monotonic() - began:.0f} |", flush=True)
        kill_after_an_epoch(place, "killed")
        said = start(place, "train_model", "killed", 2, None)
        print(re.search(r"goes on after epoch \d+.*", said).group())
        two, killed = (weights(place, run) for run in ("two", "killed"))
        furthest = max((two[name].double() - one.double()).abs().max().item() for name, one in killed.items())
        print(f"killed and started again, against undisturbed: largest difference of a weight {furthest:g}")


def prepare(place: Path, options: argparse.Namespace) -> None:
    nouns = sorted(path for path in (options.data / "images/caltech101").iterdir() if path.is_dir())
    known = [
        one
        for one in nouns
        if one.name
        in (
            "accordion",
            "anchor",
            "ant",
            "barrel",
            "beaver",
            "butterfly",
            "camera",
            "cannon",
            "chair",
            "crab",
            "dolphin",
            "elephant",
            "ferry",
            "lamp",
            "llama",
            "lobster",
        )
    ][: options.nouns]
    for noun in known:
        (place / "corpus" / noun.name).mkdir(parents=True)
        for path in sorted(noun.iterdir())[: options.each]:
            (place / "corpus" / noun.name / path.name).symlink_to(path)
    train = {
        **{"architecture": "mobilenet_v2", "weights": f"{options.data}/weights/mobilenet_v2_imagenet1k.pth"},
        **{"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "projection": "linear", "loss": "cosine", "epochs": 2},
        "labelled": {"source": str(place / "corpus")},
    }
    words = {"vectors": "wordnet", "hierarchy": "wordnet"}
    config = {"warehouse": str(place / "w"), "build_vocabulary": words, "train_model": train}
    (place / "conf.yaml").write_text(yaml.safe_dump(config))


def command(place: Path, job: str, run: str, processes: int | None, layers: int | None) -> list[str]:
    line = [sys.executable, "-m", "devise", "run", job, "--config", str(place / "conf.yaml"), "--run", run]
    if processes is not None:
        tuned = {"epochs": EPOCHS, "processes": processes, "batch_size": 16, "watched": 0.2, "layers": layers}
        line += ["--set", f"train_model.finetune={yaml.safe_dump(tuned, default_flow_style=True).strip()}"]
    return line


def environment() -> dict[str, str]:
    return {**os.environ, "DEVISE_MASTER": "local[2]"}


def start(place: Path, job: str, run: str, processes: int | None = None, layers: int | None = None) -> str:
    done = subprocess.run(
        command(place, job, run, processes, layers), env=environment(), capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done.stdout + done.stderr  # what tasks say goes to the latter


def kill_after_an_epoch(place: Path, run: str) -> None:
    """SIGKILL the driver once the first checkpoint stands."""
    with subprocess.Popen(
        command(place, "train_model", run, 2, None), env=environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as driver:  # fmt: skip
        while not list(place.glob(f"w/_staging/train_model/run={run}/finetune/*/epoch-00001.json")):
            if driver.poll() is not None:
                sys.exit("the driver ended before its first checkpoint")
            time.sleep(0.1)
        driver.send_signal(signal.SIGKILL)
    time.sleep(5)  # the JVM and the processes end by themselves; its lease is not waited for
    for lease in place.glob("w/live/lease/*.json"):
        lease.unlink()


def weights(place: Path, run: str) -> dict:
    return load_file(next(place.glob(f"w/model/run={run}/*/model.safetensors")))


if __name__ == "__main__":
    main()
