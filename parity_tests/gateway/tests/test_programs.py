"""Starting and ending subprocesses, without a gateway."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from gateway.programs import Program, StartError, free_port, last_lines

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE_S = 30.0


def _program(folder: Path, code: str) -> Program:
    return Program(
        "program",
        [sys.executable, "-c", code],
        log=folder / "program.log",
        folder=folder,
        environment={"PATH": os.environ["PATH"]},
    )


def test_a_program_that_ends_too_early_is_told_with_its_last_errors(tmp_path: Path) -> None:
    """The first line names program, status and log; the errors in the log follow, readable."""
    line = '{"levelname": "ERROR", "name": "cpex", "message": "no such plugin"}'
    code = f"print({line!r}); print('bye'); raise SystemExit(3)"
    with (
        _program(tmp_path, code) as program,
        pytest.raises(StartError) as caught,
    ):
        program.wait_until(lambda: False, _PATIENCE_S)
    assert str(caught.value).splitlines() == [
        f"program ended with status 3; its log is {tmp_path / 'program.log'}",
        "  ERROR cpex: no such plugin",
    ]


def test_a_program_that_is_never_ready_is_not_waited_for(tmp_path: Path) -> None:
    """When the time is over the message says so, and how long it was."""
    with (
        _program(tmp_path, "import time; time.sleep(600)") as program,
        pytest.raises(StartError, match="program was not ready within 0 s"),
    ):
        program.wait_until(lambda: False, 0.0)


def test_the_end_of_a_program_is_the_end_of_its_descendants(tmp_path: Path) -> None:
    """Even one that ignores being asked to end, and whose parent ends first, is not left over."""
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('ready', flush=True); time.sleep(600)"
    )
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {stubborn!r}])"
    with _program(tmp_path, code) as program:
        program.wait_until(lambda: "ready" in program.log.read_text(), _PATIENCE_S)
        (child,) = psutil.Process(program.pid).children()
    assert program.status is not None
    psutil.wait_procs([child], timeout=_PATIENCE_S)
    assert not child.is_running()


def test_without_errors_the_last_lines_of_a_log_are_told(tmp_path: Path) -> None:
    """A program that ends without an error in its log said something before, as a rule."""
    log = tmp_path / "log"
    log.write_text("\n".join(f"line {number}" for number in range(9)), encoding="utf-8")
    assert last_lines(log) == [f"  line {number}" for number in range(4, 9)]


def test_a_port_in_use_is_refused() -> None:
    """One line names the port and says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port} is in use; free it or choose another"):
            free_port(port)
