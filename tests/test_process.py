"""How a command ends: one line and the right exit code, whatever its outputs, its folder, its locale, its signals."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

import devise
from devise.errors import ConfigError
from devise.process import Parser, ending

HELD = """
import sys, time
from contextlib import contextmanager
from devise.process import ending

@contextmanager
def held():
    try:
        yield
    finally:
        print("released", file=sys.stderr, flush=True)

with ending("work"), held():
    print("begun", flush=True)
    time.sleep(60)
"""


def devise_command(*arguments, stdout=subprocess.PIPE, before="", **settings):
    """A `devise` in a process of its own; `before` runs in its Python first."""
    program = f"{before}\nfrom devise.cli import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], stdout=stdout, stderr=subprocess.PIPE, text=True, **settings
    )


def closed(*numbers):
    """A call for the new process that closes its standard streams of these numbers."""
    return lambda: [os.close(number) for number in numbers]


@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_signal_is_one_line_and_what_was_held_is_released(number, word):
    with subprocess.Popen(
        [sys.executable, "-c", HELD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout.readline() == "begun\n"
        running.send_signal(number)
        assert running.stderr.read() == f"released\nwork: {word}\n" and running.wait() == 128 + number


def test_a_second_signal_ends_a_release_that_hangs():
    hanging = HELD.replace(
        "    finally:\n", '    finally:\n        print("hangs", flush=True)\n        time.sleep(60)\n'
    )
    with subprocess.Popen([sys.executable, "-c", hanging], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        assert running.stdout.readline() == b"hangs\n"
        began = time.monotonic()
        running.send_signal(signal.SIGINT)
        assert running.wait() == -signal.SIGINT and time.monotonic() - began < 30
        assert b"Traceback" not in running.stderr.read()


@pytest.mark.parametrize(("answers", "code"), [(True, 0), (False, 2)])
def test_a_reader_that_has_seen_enough_ends_an_answer_but_never_work_in_silence(answers, code):
    lines = "for number in range(99999):\n        print(number)"
    program = f"from devise.process import ending\nwith ending('work', answers={answers}):\n    {lines}"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.readline()
        running.stdout.close()
        said = b"" if answers else b"work: error: standard output cannot be written: Broken pipe\n"
        assert running.stderr.read() == said and running.wait() == code


def test_a_broken_connection_is_not_taken_for_a_reader_that_left():
    with pytest.raises(BrokenPipeError), ending("work"):
        raise BrokenPipeError(errno.EPIPE, "of a socket")


def test_signals_are_the_caller_s_again_afterwards():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with ending("work"):
        assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.parametrize(
    "command", [["columns"], ["--version"], ["--help"], ["run", "--help"], ["words", "ship", "boat"]]
)
def test_a_full_disk_behind_standard_output_is_one_line(command):
    with open("/dev/full", "w") as full:
        ended = devise_command(*command, stdout=full)
    assert ended.returncode == 2
    assert ended.stderr == "devise: error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("numbers", [(1,), (2,), (0, 1), (0, 1, 2)])
def test_a_closed_stream_is_quiet_and_no_file_takes_its_place(numbers, tmp_path):
    before = "import atexit, os; atexit.register(lambda: os.write(1, b'lost'))"
    ended = devise_command("words", "ship", "boat", preexec_fn=closed(*numbers), before=before, cwd=tmp_path)
    assert ended.returncode == 0 and ended.stderr == ""
    assert ("pearson" in ended.stdout) == (1 not in numbers)


def test_a_fault_without_anywhere_to_say_it_keeps_its_exit_code():
    assert devise_command("words", "ship", preexec_fn=closed(1, 2)).returncode == 2
    program = [sys.executable, "-m", "devise", "nope"]
    with open("/dev/full", "w") as full:
        assert subprocess.run(program, stdout=full, stderr=full).returncode == 2


def test_help_needs_no_docstrings():
    for command in (["--help"], ["status", "--help"]):  # not of a job: PySpark needs its own
        ended = subprocess.run([sys.executable, "-OO", "-m", "devise", *command], capture_output=True, text=True)
        assert (ended.returncode, ended.stderr) == (0, "") and ended.stdout.startswith("usage: ")


def test_what_takes_a_while_to_import_is_imported_where_an_interrupt_is_one_line():
    program = "import sys, devise.cli; print(*sorted({'pydantic', 'numpy', 'pyspark', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "\n"


def test_a_folder_that_was_removed_is_one_line_or_no_matter(tmp_path):
    gone = str(tmp_path / "gone")
    before = f"import os; os.mkdir({gone!r}); os.chdir({gone!r}); os.rmdir({gone!r})"
    ended = devise_command("status", "--warehouse", "w", before=before)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert "w in the folder that this runs in: no such file or folder" in ended.stderr
    assert "nothing is published" in devise_command("status", "--warehouse", str(tmp_path), before=before).stderr


@pytest.mark.parametrize("spelling", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "ascii"}])
def test_a_path_of_any_letters_is_told_in_any_locale(spelling, tmp_path):
    place = tmp_path / "wü 北"
    place.mkdir()
    ended = devise_command("status", "--warehouse", str(place), env={**os.environ, **spelling})
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1 and "nothing is published" in ended.stderr
    ended = devise_command("words", "--known", "bücher", env={**os.environ, **spelling})
    assert ended.returncode == 0 and ended.stdout.endswith("cher: no label\n")


def test_the_module_is_the_command_and_says_its_version():
    ended = subprocess.run([sys.executable, "-m", "devise", "--version"], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"devise {devise.__version__}\n", "")


def test_an_unexpected_fault_keeps_its_traceback_and_exit_code_1():
    ended = devise_command(
        "columns", before="from devise.spark.frame import schemas; schemas.data_dictionary = lambda: 1 / 0"
    )
    assert ended.returncode == 1 and "ZeroDivisionError" in ended.stderr


def test_wrong_arguments_are_one_line_that_says_where_help_is():
    parser = Parser(prog="job")
    parser.add_argument("--config")
    with pytest.raises(ConfigError, match="unrecognized arguments: --conf x; `job --help` tells what is wanted"):
        parser.parse_args(["--conf", "x"])
