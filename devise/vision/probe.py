"""Decodes images in a process of its own first, so that a file that kills its reader kills nobody else's work.

The child's protocol: one byte out once it can read images; then the length of a content as 8 bytes, little-endian, and
the content in, and one byte out. What the child finds wrong with an image it does not tell: whoever asked decodes the
image again and finds it too. A child that never was ready says nothing of an image.
"""

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from devise.errors import ImageError, WorkerLost

ANSWER = b"."

TRIES = 2
"""An image that ended its child twice is the reason: the first time it may have been another's, such as memory."""


class Probe:
    """A child process that decodes what it is given; started when it is first needed, one image at a time.

    Args:
        max_pixels: larger pictures are not decoded, as in the engine.
        thumbnails: whether a thumbnail is made too, as in the engine.
        limit_s: seconds after which a child that still reads an image is ended; None waits as long as it takes.
    """

    def __init__(self, max_pixels: int, thumbnails: bool = False, limit_s: float | None = None):
        self.max_pixels, self.thumbnails, self.limit_s = max_pixels, thumbnails, limit_s
        self._lock = threading.Lock()
        self._child: subprocess.Popen | None = None

    def check(self, content: bytes, wait_s: float = -1) -> bytes:
        """The same content, if reading it ends no process.

        Args:
            wait_s: for who asked before; below 0 as long as it takes.

        Raises:
            ImageError: code crashed: it does, or takes longer than `limit_s`.
            TimeoutError: who asked before is still being answered.
            WorkerLost: no child could be started.
        """
        if not self._lock.acquire(timeout=wait_s):
            raise TimeoutError(f"{wait_s:g} s for another image")
        try:
            for _ in range(TRIES):
                if (how := self._ended_by(content)) is None:
                    return content
        finally:
            self._lock.release()
        raise ImageError("crashed", f"reading it ended a process ({how}), {TRIES} times")

    def close(self) -> None:
        with self._lock:
            self._end()

    def _ended_by(self, content: bytes) -> str | None:
        """None, or how the child ended while it had this content; `ImageError` if it was ended for being slow."""
        if self._child is None:
            self._start()
        with _killing(self._child, self.limit_s) as killed, suppress(BrokenPipeError):
            self._child.stdin.write(struct.pack("<q", len(content)))
            self._child.stdin.write(content)
            self._child.stdin.flush()
            if self._child.stdout.read(1) == ANSWER and not killed.is_set():
                return None
        how = self._end()
        if killed.is_set():  # once is enough: it would keep the next child as long
            raise ImageError("crashed", f"reading it took more than {self.limit_s:g} seconds")
        return how

    def _start(self) -> None:
        command = [sys.executable, "-m", "devise.vision.probe", str(self.max_pixels), *["thumbnails"] * self.thumbnails]
        # Spark puts archives on the path of its workers alone.
        path = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), *sys.path]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
        for _ in range(TRIES):
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
            if self._child.stdout.read(1) == ANSWER:
                return
            how = self._end()
        raise WorkerLost(f"a process to read images apart could not be started ({how}), {TRIES} times")

    def _end(self) -> str:
        child, self._child = self._child, None
        if child is None:
            return "never started"
        with suppress(BrokenPipeError):
            child.stdin.close()
        child.stdout.close()
        code = child.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"


@contextmanager
def _killing(child: subprocess.Popen, limit_s: float | None) -> Iterator[threading.Event]:
    """Kills the child after so many seconds, if it still works then; set once it does."""
    killed = threading.Event()

    def kill() -> None:
        killed.set()
        child.kill()

    timer = threading.Timer(limit_s or 0.0, kill)
    if limit_s is not None:
        timer.start()
    try:
        yield killed
    finally:
        timer.cancel()


def serve(max_pixels: int, small: bool) -> None:
    """The child: reads images from standard input until it ends."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what a decoder, or an import, prints is no answer
    from devise.vision import thumbnails
    from devise.vision.images import Preprocessing, decode

    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")  # where memory runs out, this process is the one to go
    preprocessing = Preprocessing()
    os.write(answers, ANSWER)
    while len(head := sys.stdin.buffer.read(8)) == 8:
        content = sys.stdin.buffer.read(struct.unpack("<q", head)[0])
        with suppress(ImageError):
            decode(content, preprocessing, max_pixels)
            if small:
                thumbnails.make(content, max_pixels)
        os.write(answers, ANSWER)


if __name__ == "__main__":
    serve(int(sys.argv[1]), "thumbnails" in sys.argv[2:])
