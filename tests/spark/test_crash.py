"""Files that end their worker, and files too large to fetch: one reject each, the rest embedded."""

import os
import subprocess
import sys
import textwrap

import pytest
import yaml
from PIL import Image
from tiny_warehouse import commit_vocabulary_and_model

from devise.warehouse import manifest

DECODER = """
import os, sys
if "devise" in " ".join(sys.orig_argv) or "pyspark" in " ".join(sys.orig_argv):
    from devise.vision import images
    decode = images.decode

    def deadly(content, *more):
        if b"deadly" in content[-8:]:
            os.kill(os.getpid(), 9)
        return decode(content, *more)

    images.decode = deadly
"""
"""A decoder that ends its process at a certain file, for every Python that is started."""


@pytest.mark.parametrize("master", ["local[2]", pytest.param("local-cluster[2,1,2048]", marks=pytest.mark.slow)])
def test_a_file_that_kills_its_worker_is_one_reject_and_a_huge_one_is_never_fetched(tmp_path, spark, master):
    (tmp_path / "decoder").mkdir()
    (tmp_path / "decoder" / "sitecustomize.py").write_text(textwrap.dedent(DECODER))
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number in range(40):
        Image.new("RGB", (40, 30), (number * 6, 9, 9)).save(corpus / f"{number:02d}.png")
    with open(corpus / "17.png", "ab") as file:
        file.write(b"deadly")
    with open(corpus / "huge.png", "wb") as file:
        file.truncate(50 * 2**30)  # sparse: it takes no room
    place = tmp_path / "w"
    commit_vocabulary_and_model(str(place))
    config = {
        "warehouse": str(place),
        "run_nightly": {"stages": ["catalog_images", "embed_images"]},
        "catalog_images": {"sources": [str(corpus)]},
        "embed_images": {"images_per_slice": 8, "engine": {"device": "cpu", "precision": "fp32"}},
    }
    path = tmp_path / "conf.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "devise", "run", "run_nightly", "--config", str(path), "--run", "r2"]
    paths = [str(tmp_path / "decoder"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "DEVISE_MASTER": master}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=570)
    assert done.returncode == 0, done.stdout + done.stderr
    made = manifest.read(str(place), "embeddings", "r2").details
    rejects = manifest.read(str(place), "rejects", "r2").rejects
    assert (made["attempted"], made["embedded"], made["rejected"]) == (41, 39, 2), done.stdout
    assert rejects == {"crashed": 1, "too_large": 1}
    if master == "local[2]":  # elsewhere Spark tries the task again by itself
        assert "a worker died: the slices that it had are done again" in done.stdout
