"""Subprocesses: started in a process group of their own, awaited, and ended without leftovers."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Self

from retry_parity.lifetime import bound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

_POLL_S: Final = 0.05
_STOP_S: Final = 10.0
_MOST_LINES: Final = 5
_MOST_SHOWN: Final = 300
_GRAVE: Final = frozenset({"ERROR", "CRITICAL"})
_LOOPBACK: Final = "127.0.0.1"

#: Below the range from which the kernel takes ports of outgoing connections, of which a gateway
#: under test opens thousands.
_FIRST_PORT: Final = 20_000
_PORTS: Final = 12_000
#: A port is given out once in a process; processes begin in different places.
_next_port: Final = itertools.count(secrets.randbelow(_PORTS))

#: What ends this program from outside.
INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StartError(Exception):
    """Something did not start. The first line says what; log lines may follow."""


class Program:
    """A running subprocess; a context manager that ends it together with its whole group."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        folder: Path,
        environment: Mapping[str, str],
    ) -> None:
        """Start it.

        Args:
            name: How messages call it.
            command: Program and arguments.
            log: Receives what it prints.
            folder: Where it runs.
            environment: All of its environment; nothing is inherited.
        """
        self.name = name
        self.log = log
        self._is_finished = False
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own commands
                bound(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=dict(environment),
                # A group of its own: Ctrl-C reaches this program first, which ends it in order.
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        """Keep it until the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it."""
        self.stop()

    @property
    def pid(self) -> int:
        """The process, whose group has the same number."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status; ``None`` while it runs."""
        return self._process.poll()

    def wait_until(self, is_ready: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition while the program runs.

        Raises:
            StartError: It ended, or the time is over.
        """
        deadline = time.monotonic() + seconds
        while not is_ready():
            status = self.status
            if status is not None:
                raise StartError(self._told(f"{self.name} ended with status {status}"))
            if time.monotonic() > deadline:
                raise StartError(self._told(f"{self.name} was not ready within {seconds:.0f} s"))
            time.sleep(_POLL_S)

    def finish(self, seconds: float) -> None:
        """Wait for its end.

        Raises:
            StartError: It failed, or it still runs when the time is over.
        """
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise StartError(self._told(f"{self.name} took longer than {seconds:.0f} s")) from None
        self._is_finished = True
        if status != 0:
            raise StartError(self._told(f"{self.name} ended with status {status}"))

    def stop(self) -> None:
        """End it and all its descendants, by force where asking does not help.

        One that was waited for is left alone: long ago, its number may be another group's by now.
        """
        if self._is_finished:
            return
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._is_finished = True

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _told(self, what: str) -> str:
        return "\n".join([f"{what}; its log is {self.log}", *last_lines(self.log)])


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C and its like until the end of the block.

    A program that is interrupted between the start of a subprocess and the moment it knows of it
    would leave it behind.
    """
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread is interrupted.
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda came_now, _frame: came.append(came_now))
        for number in INTERRUPTS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for interrupt in came:
        signal.raise_signal(interrupt)


def last_lines(log: Path) -> list[str]:
    """Give what a log says about its end: the last errors, or the last lines if there are none."""
    lines = [
        readable(line) for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    grave = [line for line in lines if line.partition(" ")[0] in _GRAVE]
    return [f"  {line[:_MOST_SHOWN]}" for line in (grave or lines)[-_MOST_LINES:]]


def free_port(wanted: int | None = None) -> int:
    """Find a port that nobody listens on.

    Args:
        wanted: The only port to try; ``None`` takes any.

    Raises:
        StartError: It is in use, or none is free.
    """
    if wanted is not None:
        if not _is_free(wanted):
            message = f"port {wanted} is in use; free it or choose another one"
            raise StartError(message)
        return wanted
    for _ in range(_PORTS):
        port = _FIRST_PORT + next(_next_port) % _PORTS
        if _is_free(port):
            return port
    message = f"no port of {_FIRST_PORT} to {_FIRST_PORT + _PORTS - 1} is free"
    raise StartError(message)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: what remains of closed connections is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return False
        return True


def readable(line: str) -> str:
    """Make a line of the gateway's JSON log "LEVEL logger: message"; others stay as they are."""
    with suppress(ValueError, KeyError, TypeError):
        entry = json.loads(line)
        return f"{entry['levelname']} {entry['name']}: {entry['message']}"
    return line
