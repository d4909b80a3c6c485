"""What `make gateway` starts, as its user runs it."""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from gateway.stack import PLUGIN_NAME
from gateway.tests.commands import PATIENCE_S, ended, left_running, start
from gateway.tests.page import page_when

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.programs import StartError
    from gateway.tests.commands import Ended, Left


def _refusal(*arguments: str, python: Sequence[str] = (sys.executable,)) -> str:
    """Run the command to its end and give the one line by which it refuses."""
    refused = ended(*arguments, python=python)
    assert refused.status == 2
    assert "Traceback" not in refused.output + refused.errors
    (line,) = refused.errors.splitlines()
    return line


def test_once_says_what_became_of_the_calls(once: Ended) -> None:
    """``--once`` ends by itself, with status 0 when every call ended as it has to."""
    assert (once.status, once.errors) == (0, "")
    assert once.output.splitlines()[1:] == [
        "14 calls, 30 attempts behind the gateway",
        "       4 succeeded at once",
        "       8 recovered by retries",
        "       2 failed for good, as they have to",
        "       0 did not end as it has to",
    ]


def test_the_drill_of_the_guide_goes_as_it_says(left: Left) -> None:
    """Traffic makes the guard trip, callers see nothing, and every line on where to look works.

    The metrics move, the guard's command shows and resets, the flags file decides. Ctrl-C ends
    all processes, with the status of a success.
    """
    started = psutil.Process(left.command.pid).children(recursive=True)
    page_when(left.gateway, lambda page: page.total("guard_tripped") == 1)
    metrics = subprocess.run(  # noqa: S602 - the printed line, as it is pasted
        left.lines["metrics"], shell=True, capture_output=True, text=True, check=True
    )
    assert "retry_migration_decisions_total{" in metrics.stdout
    guard = shlex.split(left.lines["guard"])
    shown = subprocess.run(guard, capture_output=True, text=True, check=False)  # noqa: S603 - as above
    assert shown.returncode == 1
    assert "the last one: retry-lost" in shown.stdout
    flags = Path(left.lines["flag"].partition(":")[0])
    flags.write_text(flags.read_text().replace('t": "canary"', 't": "shadow"'), encoding="utf-8")
    page_when(left.gateway, lambda page: page.total("flag_info", implementation="shadow") == 2)
    reset = [*guard, "--reset", PLUGIN_NAME]
    subprocess.run(reset, capture_output=True, check=True)  # noqa: S603 - as above
    page_when(left.gateway, lambda page: page.total("guard_tripped") == 0)
    for name in ("log", "plugins", "token", "evidence"):
        assert Path(left.lines[name]).exists()
    left.command.send_signal(signal.SIGINT)
    rest, errors = left.command.communicate(timeout=PATIENCE_S)
    assert (left.command.returncode, errors) == (0, "")
    assert "recovered by retries" in rest
    assert "0 did not end as it has to" in rest
    assert len(started) >= 4, "upstreams, gunicorn and its two workers"
    assert not [process for process in started if process.is_running()]
    assert not left.gateway.is_healthy()


def test_an_interrupt_during_the_start_leaves_nothing_behind() -> None:
    """Ctrl-C ends what was started so far, without a traceback."""
    with start() as command:
        process = psutil.Process(command.pid)
        while not (started := process.children(recursive=True)):
            assert command.poll() is None
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=PATIENCE_S)
    assert (command.returncode, errors) == (130, "")
    assert not [process for process in started if process.is_running()]


def test_a_command_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    """Servers, gunicorn and its workers lived on for good."""
    with left_running(tmp_path) as left:
        started = psutil.Process(left.command.pid).children(recursive=True)
        left.command.kill()
        _, living = psutil.wait_procs(started, timeout=PATIENCE_S)
        left.command.communicate(timeout=PATIENCE_S)
    assert len(started) >= 4
    assert living == []


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


def test_a_plugin_that_is_refused_is_told(refused: StartError) -> None:
    """A wrong value of the flag stops the gateway, and the message repeats what it says of it."""
    assert "gateway ended with status" in str(refused)
    assert "'nonsense' is not one of legacy, shadow" in str(refused)
