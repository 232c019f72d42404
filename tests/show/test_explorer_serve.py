"""`devise serve` as a person starts it: what it says, what it refuses, how it ends."""

import signal
import socket
import subprocess
import sys

import httpx
import pytest
from explorers import TOKEN, make_warehouse

from devise import cli


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    return make_warehouse(tmp_path_factory.mktemp("serving"))[0]


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", *arguments])
    said = capsys.readouterr().err.strip()
    assert ended.value.code == 2 and "\n" not in said
    return said


def test_others_than_this_machine_want_a_token(warehouse, capsys, monkeypatch):
    monkeypatch.delenv("DEVISE_TOKEN", raising=False)
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        assert f"--host {host}: wanted a token" in refused(capsys, "--warehouse", warehouse, "--host", host)
    monkeypatch.setenv("DEVISE_TOKEN", "short")
    assert "DEVISE_TOKEN: found a token of 5 letters" in refused(capsys, "--warehouse", warehouse, "--host", "0.0.0.0")
    monkeypatch.setenv("DEVISE_TOKEN", TOKEN)
    assert "cannot be listened on" in refused(capsys, "--warehouse", warehouse, "--host", "192.0.2.1")


def test_what_cannot_be_served_is_one_line(tmp_path, warehouse, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"--port {port}: cannot be listened on" in refused(capsys, "--warehouse", warehouse, "--port", port)
    assert "--port 70000: cannot" in refused(capsys, "--warehouse", warehouse, "--port", "70000")
    assert "wanted at most 3600 seconds" in refused(capsys, "--warehouse", warehouse, "--links", "3601")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    assert "nothing is published here yet" in refused(capsys, "--warehouse", str(tmp_path), "--port", port)


def test_without_its_libraries_the_command_says_what_to_install(warehouse, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'devise[explorer]'" in refused(capsys, "--warehouse", warehouse)


def test_it_says_where_it_is_answers_there_and_ends_with_a_signal(warehouse):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "devise", "serve", "--warehouse", warehouse, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said = process.stdout.readline()
        assert said == f"publication 3 (run r3) of {warehouse}: http://127.0.0.1:{port}\n"
        found = httpx.get(f"http://127.0.0.1:{port}/api/live")
        assert found.json()["images"] == 12 and "server" not in found.headers
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "devise: interrupted\n")
