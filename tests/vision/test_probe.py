"""A file that ends the process that reads it ends the probe's child, and nothing else."""

import io
import os
import textwrap
from contextlib import nullcontext

import pytest
from PIL import Image

from devise.errors import ImageError, WorkerLost
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
                from devise.vision import thumbnails
                make = thumbnails.make
                thumbnails.make = lambda content, *more: os._exit(7) if b"small" in content else make(content, *more)
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


def test_a_thumbnail_that_ends_its_maker_is_told_where_thumbnails_are_made(deadly):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    content = file.getvalue() + b"small"
    for small, fault in ((False, None), (True, r"exit code 7")):
        probe = Probe(10**8, small)
        try:
            with pytest.raises(ImageError, match=fault) if fault else nullcontext():
                assert probe.check(content) == content
        finally:
            probe.close()


def test_a_probe_that_was_never_asked_starts_no_process(monkeypatch):
    monkeypatch.setattr("subprocess.Popen", None)
    Probe(max_pixels=1).close()


def test_a_child_that_cannot_start_blames_no_image(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'devise.vision.probe' in sys.orig_argv:\n    sys.modules['devise.vision.images'] = None\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    probe = Probe(max_pixels=1)
    with pytest.raises(WorkerLost, match=r"could not be started \(exit code 1\), 2 times"):
        probe.check(b"a good image")
    assert probe._child is None
    probe.close()


def test_a_child_finds_what_its_parent_finds_and_its_imports_may_print(tmp_path, monkeypatch):
    """Spark puts archives on the path of its workers, which no environment variable tells."""
    (tmp_path / "only_here.py").write_text("print('of an import')\n")
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        textwrap.dedent(
            """
            import sys

            class Finder:
                def find_spec(name, *more):
                    if name == "devise.vision.images":
                        import only_here

            if "devise.vision.probe" in sys.orig_argv:
                sys.meta_path.insert(0, Finder)
            """
        )
    )
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(tmp_path)
    probe = Probe(max_pixels=1)
    try:
        assert probe.check(b"a good image") == b"a good image"
    finally:
        probe.close()


def test_who_waits_no_longer_for_another_s_image_is_told_so():
    probe = Probe(100)
    with probe._lock, pytest.raises(TimeoutError, match=r"0\.01 s for another image"):
        probe.check(b"", wait_s=0.01)
