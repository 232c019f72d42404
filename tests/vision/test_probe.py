"""A file that ends the process that reads it ends the probe's child, and nothing else."""

import os
import textwrap

import pytest

from devise.errors import ImageError
from devise.vision.probe import Probe


@pytest.fixture
def deadly(tmp_path, monkeypatch):
    """Children whose decoder ends them when a content begins with DIE."""
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(
            """
            import os, sys
            if "devise.vision.probe" in sys.orig_argv:
                from devise.vision import images
                decode = images.decode

                def deadly(content, *more):
                    if content[:3] == b"DIE":
                        print("last words")
                        os.kill(os.getpid(), int(content[3:]))
                    return decode(content, *more)

                images.decode = deadly
            """
        )
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


def test_a_file_that_kills_its_reader_is_told_and_the_next_one_is_read(deadly):
    probe = Probe(max_pixels=10**8)
    try:
        assert probe.check(b"no image") == b"no image"  # what is merely broken is for the engine to say
        with pytest.raises(ImageError, match=r"reading it ended a process \(signal 9\), 2 times") as caught:
            probe.check(b"DIE9")
        assert caught.value.code == "crashed"
        assert probe.check(b"x" * 3_000_000) == b"x" * 3_000_000
    finally:
        probe.close()
    assert probe._child is None


def test_a_probe_that_was_never_asked_starts_no_process(monkeypatch):
    monkeypatch.setattr("subprocess.Popen", None)
    Probe(max_pixels=1).close()
