"""What `make gateway` starts, as its user runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from gateway.client import Client
from gateway.programs import StartError
from gateway.stack import HERE, TOKEN, Settings, running

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PATIENCE_S = 120.0
_LAST_LINE = "Ctrl-C ends all of it"


def _start(*arguments: str, python: Sequence[str] = (sys.executable,)) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own command
        [*python, "-m", "gateway", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(HERE.parent)},
    )


def _refusal(*arguments: str, python: Sequence[str] = (sys.executable,)) -> str:
    """Run the command to its end and give the one line by which it refuses."""
    with _start(*arguments, python=python) as command:
        output, errors = command.communicate(timeout=_PATIENCE_S)
    assert command.returncode == 2
    assert "Traceback" not in output + errors
    (line,) = errors.splitlines()
    return line


def test_once_says_what_became_of_the_calls() -> None:
    """``--once`` ends by itself, with status 0 when every call ended as it has to."""
    with _start("--once", "14", "--implementation", "rust") as command:
        output, errors = command.communicate(timeout=_PATIENCE_S)
    assert (command.returncode, errors) == (0, "")
    assert output.splitlines()[1:] == [
        "14 calls, 30 attempts behind the gateway",
        "       4 succeeded at once",
        "       8 recovered by retries",
        "       2 failed beyond the budget, as told",
        "       0 did not end as it has to",
    ]


def test_it_stays_until_it_is_interrupted_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Traffic flows until Ctrl-C; then all processes end, and the status is that of a success."""
    with _start("--rate", "50", "--folder", str(tmp_path), "--workers", "2") as command:
        assert command.stdout is not None
        output: list[str] = []
        while not (output and output[-1].startswith(_LAST_LINE)):
            output.append(command.stdout.readline())
            assert output[-1], command.communicate()
        (address,) = [line for line in output if line.startswith("gateway ")]
        started = psutil.Process(command.pid).children(recursive=True)
        token = (tmp_path / TOKEN).read_text(encoding="utf-8")
        client = Client(int(address.rpartition(":")[2]), token)
        while 'handler="/rpc"' not in client.metrics():
            assert command.poll() is None
        command.send_signal(signal.SIGINT)
        rest, errors = command.communicate(timeout=_PATIENCE_S)
    assert (command.returncode, errors) == (0, "")
    assert "0 did not end as it has to" in rest
    assert len(started) >= 4, "upstreams, gunicorn and its two workers"
    assert not [process for process in started if process.is_running()]
    assert not client.is_healthy()


def test_the_flags_file_decides_while_the_gateway_runs(tmp_path: Path) -> None:
    """What the flags file says holds within a second or so, without a restart, and is logged."""
    with _start("--no-traffic", "--folder", str(tmp_path)) as command:
        assert command.stdout is not None
        while command.stdout.readline().strip() != _LAST_LINE:
            assert command.poll() is None, command.communicate()
        flags = tmp_path / "flags.json"
        text = flags.read_text(encoding="utf-8")
        flags.write_text(text.replace('t": "shadow"', 't": "rust"'), encoding="utf-8")
        deadline = time.monotonic() + _PATIENCE_S
        while "rust decides from now on" not in (tmp_path / "gateway.log").read_text("utf-8"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=_PATIENCE_S)
    assert (command.returncode, errors) == (0, "")


def test_an_interrupt_during_the_start_leaves_nothing_behind() -> None:
    """Ctrl-C ends what was started so far, without a traceback."""
    with _start() as command:
        process = psutil.Process(command.pid)
        while not (started := process.children(recursive=True)):
            assert command.poll() is None
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=_PATIENCE_S)
    assert (command.returncode, errors) == (130, "")
    assert not [process for process in started if process.is_running()]


def test_a_port_in_use_is_one_line() -> None:
    """The message names the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        line = _refusal("--port", str(port))
    assert line == f"gateway: port {port} is in use; free it or choose another one"


def test_a_python_without_the_gateway_is_one_line() -> None:
    """The message names the module that is missing and the command that brings it."""
    line = _refusal(python=(sys.executable, "-S"))
    assert "has no module mcpgateway; `make gateway`" in line


def test_a_work_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """The message names the folder and the reason."""
    file = tmp_path / "file"
    file.touch()
    line = _refusal("--folder", str(file / "folder"))
    assert line == (f"gateway: the work folder {file / 'folder'} cannot be made: Not a directory")


def test_a_plugin_that_is_refused_is_told(tmp_path: Path) -> None:
    """A wrong value of the flag stops the gateway, and the message repeats what it says of it."""
    settings = Settings(environment={"RETRY_IMPLEMENTATION": "nonsense"})
    with (
        pytest.raises(StartError, match=r"gateway ended with status") as caught,
        running(settings, tmp_path),
    ):
        pass
    assert "'nonsense' is not one of legacy, shadow" in str(caught.value)
