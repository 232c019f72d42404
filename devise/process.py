"""How a command of ours ends: exit codes, one line for a fault, signals, lost outputs; it knows no command, no Spark.

0 is done; 2 and one line a broken promise; 130 and 143, with a line, an interrupt (Ctrl-C) and a SIGTERM, once all that
was held is released; 1 and a traceback a fault of ours.
"""

import argparse
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from types import FrameType
from typing import Any, NoReturn

from devise.errors import ConfigError, DeviseError

UNITS = ("", "KiB", "MiB", "GiB", "TiB")
"""Of sizes, each 1,024 times the one before."""
SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}

MOST_LETTERS = 300
"""Of what a fault of ours says of itself, told in one line: Java's are pages."""


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end; raised in the main thread, so that everything held is released on the way.

    A KeyboardInterrupt, because libraries put their connections in order for those.
    """

    def __init__(self, number: int):
        super().__init__(SIGNALS[number])
        self.exit_code = 128 + number


class OutputLost(DeviseError):
    """What was to be said on standard output cannot be: the disk that it goes to is full, say."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line, like every other fault; options are written out."""

    def __init__(self, *arguments: Any, **settings: Any):
        super().__init__(*arguments, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; `{self.prog} --help` tells what is wanted")


def count(text: str) -> int:
    """A whole number of 1 or more, of an option."""
    if not (text.isascii() and text.isdigit() and len(text) < 16) or (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"found {text}, wanted a whole number of 1 or more")
    return number


def size(text: str) -> int:
    """A number of bytes of an option: `8GiB`, `1.5GiB`, `500MiB`, `1000000`."""
    told = re.fullmatch(r"(\d{1,15}(?:\.\d{1,3})?)\s*(KiB|MiB|GiB|TiB|)", text, re.ASCII)
    if told is None or (number := int(float(told[1]) * 1024 ** UNITS.index(told[2]))) < 1:
        raise argparse.ArgumentTypeError(f"found {text}, wanted a size of 1 byte or more, such as 8GiB")
    return number


class ReaderLeft(OutputLost):
    """Whoever read standard output has seen enough: `head`, say."""


@contextmanager
def ending(name: str, answers: bool = True) -> Iterator[None]:
    """The body's faults become the process's one line, that begins with `name`, and its exit code.

    Args:
        answers: what is said is all that there is to do, so that a reader who has seen enough is no fault; False for
            work, which must not end undone and be taken for done.

    Raises:
        SystemExit: 2 for a DeviseError or an output that cannot be written, 130 or 143 for a signal.
    """
    _open_standard_streams()
    try:
        with stoppable(), redirect_stdout(_Output(sys.stdout)):
            yield
            sys.stdout.flush()
    except OutputLost as error:
        _drop(sys.stdout)
        if not (answers and isinstance(error, ReaderLeft)):
            _end(name, error)
    except (DeviseError, Stopped) as error:
        _end(name, error)


def told(error: BaseException) -> tuple[int, str]:
    """The exit code of a process that ends by this, and the one line that says why."""
    if isinstance(error, DeviseError):
        return 2, f"error: {error}"
    if isinstance(error, Stopped):
        return error.exit_code, str(error)
    return 1, f"a fault of ours: {type(error).__name__}: {' '.join(str(error).split())[:MOST_LETTERS]}"


@contextmanager
def stoppable() -> Iterator[None]:
    """While the body runs, an interrupt and a SIGTERM raise `Stopped`; a second one ends the process at once.

    May be entered again inside itself, to take the signals back from a library that took them.
    """
    if threading.current_thread() is not threading.main_thread():  # who started the thread has the signals
        yield
        return
    before = {number: signal.signal(number, _stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not signal.SIG_DFL:  # it was asked to stop meanwhile
                signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    for known in SIGNALS:
        signal.signal(known, signal.SIG_DFL)
    raise Stopped(number)


def _end(name: str, error: BaseException) -> NoReturn:
    code, text = told(error)
    try:
        print(f"{name}: {text}", file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)
    sys.exit(code)


class _Output:
    """Standard output whose own faults are told from those of files; what it cannot spell is written in ASCII."""

    def __init__(self, stream: io.TextIOBase):
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        return _written(lambda: self._stream.write(text))

    def flush(self) -> None:
        _written(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _written(write: Callable[[], Any]) -> Any:
    try:
        return write()
    except OSError as error:
        lost = ReaderLeft if isinstance(error, BrokenPipeError) else OutputLost
        raise lost(f"standard output cannot be written: {error.strerror or error}") from None


def _open_standard_streams() -> None:
    """Where one is closed, the next file that is opened would be it, and be written what was to be said.

    Python has None for one that was closed as it started; what is opened here takes its number, the lowest free one.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _drop(stream: io.TextIOBase) -> None:
    """What is left in the buffer goes nowhere: Python flushes it once more at its end, and would fail again."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # one that a test put there
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)
