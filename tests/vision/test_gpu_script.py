"""The GPU script runs whole on a CPU: every table has its rows, embeddings that differ end it; no time is asserted."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu.py"
SPEC = importlib.util.spec_from_file_location("gpu_script", SCRIPT)
gpu = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gpu)
SMALL = ["--device", "cpu", "--images", "6", "--checked", "4", "--repeats", "1", "--batch-sizes", "2"]


def test_the_script_prints_every_table_on_a_cpu():
    asked = ["--architectures", "mobilenet_v2", "--precisions", "fp32", "--tasks", "2"]
    told = subprocess.run([sys.executable, SCRIPT, *SMALL, *asked], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    rows = [line for line in told.stdout.splitlines() if line.startswith("| ")]
    assert [row.split(" |")[0] for row in rows] == [
        *("| network", "| mobilenet_v2", "| step", "| fetch, 4 threads, from the page cache"),
        f"| decode, {gpu.CORES} threads",
        "| decode, torchvision's on the CPU, one thread",
        *("| network", "| mobilenet_v2", "| network", "| mobilenet_v2"),
    ]
    assert re.search(r"\d{4}-\d\d-\d\d, Python ", told.stdout) and "6 pictures of " in told.stdout
    rates = [float(row.rstrip(" |").rsplit("| ", 1)[1]) for row in rows[3:6] + [rows[7], rows[9]]]
    assert all(rate > 0 for rate in rates)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
def test_embeddings_of_both_networks_are_those_of_the_plain_model(tmp_path, precision):
    paths = gpu.draw_pictures(tmp_path, 4)
    for architecture in ("mobilenet_v2", "resnet50"):
        cosine, furthest = gpu.check(paths, gpu.load_model(architecture, None), "cpu", precision)
        assert gpu.LEAST_COSINE[precision] <= cosine <= 1 + 1e-6 and furthest < 0.1


def test_embeddings_that_differ_end_the_script(tmp_path, monkeypatch):
    paths = gpu.draw_pictures(tmp_path, 4)
    embed = gpu.embed
    monkeypatch.setattr(gpu, "embed", lambda *given, **more: (np.roll(embed(*given, **more)[0], 1, axis=0), 1.0))
    options = gpu.arguments().parse_args([*SMALL, "--architectures", "mobilenet_v2", "--precisions", "fp32"])
    with pytest.raises(SystemExit, match="mobilenet_v2, fp32: found cosine .*, wanted at least 0.9999"):
        list(gpu.report(paths, tmp_path, options))
