"""Load through the real gateway: many callers, failing tools, workers that are killed meanwhile.

``python -m gateway.load --seconds 300``, in the gateway's environment. Every call has a case of its
own, whose attempts are counted behind the gateway: a call that was answered has exactly the
attempts that its failures and the budget make, whatever happened to flag, flag service and workers
meanwhile. Only a call whose worker is killed may end without an answer. Exit status: 0 = nothing
was lost and nothing was too many, 1 = something was, 2 = something did not start.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from gateway.client import RequestError
from gateway.flags import FlagsFile
from gateway.programs import StartError
from gateway.stack import EVIDENCE, FLAGS, IMPLEMENTATIONS, Settings, Tool, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.stack import Stack

BUDGET: Final = 3
#: Failures of the calls, in turn: none, within the budget, and beyond it.
_FAILURES: Final = (1, 0, BUDGET, BUDGET + 1, 2)
_MANNERS: Final = ("error", "structured")
_POLL_S: Final = 0.05
#: Far longer than a worker's start.
_RESTART_S: Final = 120.0
#: Far longer than the follower of the flags file needs to see a change.
_STEP_S: Final = 1.5
_MOST_SHOWN: Final = 20
#: Calls that see what a step has brought.
_STEP_CALLS: Final = 12
_WRONG, _NOT_STARTED = 1, 2


@dataclass(frozen=True, slots=True)
class Kill:
    """A worker that was killed.

    Attributes:
        pid: Its process id.
        ports: The callers' ports whose connections it had accepted.
    """

    pid: int
    ports: frozenset[int]


@dataclass(slots=True)
class Told:
    """What a load has shown.

    Attributes:
        answered: Calls that were answered.
        attempts: Attempts of all calls, as they were counted behind the gateway.
        in_flight: Calls that ended with their worker.
        wrong: A line for each call that has not the attempts or the answer that it has to have.
        broken: Of the calls without an answer: the caller's port, and what it was told.
        kills: The workers that were killed.
        flips: Changes of the flag.
        losses: How often the flag service went away; it came back as often.
    """

    answered: int = 0
    attempts: int = 0
    in_flight: int = 0
    wrong: list[str] = field(default_factory=list)
    broken: list[tuple[int, str]] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    flips: int = 0
    losses: int = 0

    def lines(self) -> list[str]:
        """Say it."""
        return [
            f"{self.answered:,} calls answered, {self.attempts:,} attempts behind the gateway",
            f"{len(self.kills)} workers killed with {self.in_flight} calls in flight",
            f"{self.flips} flips of the flag, {self.losses} losses of the flag service",
            f"{len(self.wrong)} calls with an attempt too many or too few, or without an answer",
            f"tried {self.answered:,} calls, lost {len(self.wrong):,}",
            *self.wrong[:_MOST_SHOWN],
        ]


def settings(folder: Path, workers: int = 2) -> Settings:
    """Give the settings of a stack that is loaded, and write its flags file."""
    folder.mkdir(parents=True, exist_ok=True)
    FlagsFile(folder / FLAGS).write("shadow", "half")
    return Settings(
        # Without jitter: the hybrid draws delays from 0 on, which the gateway takes for no retry.
        plugin={
            "max_retries": BUDGET,
            "backoff_base_ms": 10,
            "max_backoff_ms": 40,
            "jitter": False,
        },
        migration={
            "implementation": "legacy",
            "flags": {"path": str(folder / FLAGS)},
            "evidence": {"directory": str(folder / EVIDENCE)},
        },
        workers=workers,
        max_tool_retries=BUDGET + 1,
        log_level="WARNING",
    )


class Load:
    """Callers at a stack, and what happens to it meanwhile."""

    def __init__(self, stack: Stack, callers: int = 8) -> None:
        """Begin nothing yet.

        Args:
            stack: Where the calls go; `settings` has set it up.
            callers: Calls at the same time.
        """
        self.told = Told()
        self._stack = stack
        self._callers = callers
        self._flags = FlagsFile(stack.folder / FLAGS)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._failures: list[BaseException] = []
        self._most_calls: int | None = None

    def run(self, seconds: float, *, drill: bool = True, most_calls: int | None = None) -> Told:
        """Call for so long, and count.

        Args:
            seconds: How long; a drill is ended after a whole round, the first of them in any case.
            drill: Whether workers are killed, the flag is changed and its service lost meanwhile.
            most_calls: Ends it earlier, when so many calls were answered; ``None`` does not.
        """
        self._most_calls = most_calls
        before = self._stack.attempts()
        threads = [
            threading.Thread(target=self._guarded, args=(self._call_on,))
            for _ in range(self._callers)
        ]
        for thread in threads:
            thread.start()
        try:
            if drill:
                self._guarded(lambda: self._drill_for(seconds))
            else:
                self._stop.wait(seconds)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        for failure in self._failures:
            raise failure
        self._settle(self._stack.attempts() - before)
        return self.told

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as failure:  # noqa: BLE001 - it is raised by `run`
            self._failures.append(failure)
            self._stop.set()

    def _settle(self, attempts: int) -> None:
        """Tell calls that ended with their worker from those that nothing excuses."""
        told = self.told
        killed = {port for kill in told.kills for port in kill.ports}
        for port, what in told.broken:
            if port in killed:
                told.in_flight += 1
            else:
                told.wrong.append(what)
        if attempts != told.attempts:
            told.wrong.append(f"{attempts} attempts in all, {told.attempts} of the calls made here")

    # --- callers ---------------------------------------------------------------------------------

    def _call_on(self) -> None:
        number = 0
        while not self._stop.is_set():
            self._call(number)
            number += 1

    def _call(self, number: int) -> None:
        case, tool = uuid.uuid4().hex, tuple(Tool)[number % len(Tool)]
        failures = _FAILURES[number % len(_FAILURES)]
        manner = _MANNERS[number % len(_MANNERS)]
        expected = min(failures, BUDGET) + 1
        what = f"{tool}, {failures} failures ({manner})"
        with self._stack.gateway.another() as client:
            # The connection's port is known once it is accepted, by whichever worker.
            if not client.is_healthy() or (port := client.local_port) is None:
                return
            try:
                answer = self._stack.call(tool, case, failures, manner, through=client)
            except RequestError as error:
                attempts = self._stack.attempts(case)
                with self._lock:
                    self.told.attempts += attempts
                    self.told.broken.append((port, f"{what}: no answer: {error}"))
                    if attempts > expected:
                        self.told.wrong.append(f"{what}: {attempts} attempts and no answer")
                return
        attempts = self._stack.attempts(case)
        with self._lock:
            self.told.answered += 1
            if self.told.answered == self._most_calls:
                self._stop.set()
            self.told.attempts += attempts
            if attempts != expected:
                self.told.wrong.append(f"{what}: {attempts} attempts, {expected} have to be")
            if answer.failed != (failures > BUDGET):
                self.told.wrong.append(f"{what}: the caller got {answer.text[:80]!r}")

    # --- the drill -------------------------------------------------------------------------------

    def _drill_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stop.is_set():
            for step in self._round():
                answered = self.told.answered
                step()
                if self._stop.wait(_STEP_S):
                    return
                while self.told.answered < answered + _STEP_CALLS and not self._stop.is_set():
                    self._stop.wait(_POLL_S)
            if time.monotonic() >= end:
                return

    def _round(self) -> Iterator[Callable[[], None]]:
        """Give the steps: every value of the flag, with two kills and a loss among them."""
        for number, value in enumerate(IMPLEMENTATIONS):
            yield partial(self._flip, value)
            if number % 2:
                yield self._kill
        yield self._lose_the_service
        yield partial(self._flip, "shadow")

    def _flip(self, value: str) -> None:
        self._flags.write(value, "half")
        self.told.flips += 1

    def _lose_the_service(self) -> None:
        self._flags.path.unlink()
        self.told.losses += 1

    def _kill(self) -> None:
        """Kill the worker that has most of the calls, and wait for its successor."""
        before = self._workers()
        worker = max(before, key=lambda each: len(_ports(each)))
        # Nothing that it has accepted changes between the look at it and its end.
        worker.send_signal(signal.SIGSTOP)
        self.told.kills.append(Kill(worker.pid, frozenset(_ports(worker))))
        os.kill(worker.pid, signal.SIGKILL)
        deadline = time.monotonic() + _RESTART_S
        while True:
            now = {each.pid for each in self._workers()} - {worker.pid}
            if len(now) >= len(before):
                return
            if time.monotonic() > deadline:
                message = f"worker {worker.pid} has no successor after {_RESTART_S:.0f} s"
                raise StartError(message)
            time.sleep(_POLL_S)

    def _workers(self) -> list[psutil.Process]:
        """Give the gateway's workers that live."""
        found = []
        for child in psutil.Process(self._stack.program.pid).children():
            with suppress(psutil.Error):
                if child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child)
        return found


def _ports(worker: psutil.Process) -> list[int]:
    """Give the callers' ports of the connections that a worker has accepted."""
    with suppress(psutil.Error):
        return [each.raddr.port for each in worker.net_connections("tcp") if each.raddr]
    return []


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a load; ``None`` takes this process's arguments."""
    parser = argparse.ArgumentParser(
        prog="gateway.load", description=(__doc__ or "").partition("\n\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=300.0, help="how long (default 300)")
    parser.add_argument("--callers", type=int, default=8, help="calls at once (default 8)")
    parser.add_argument("--workers", type=int, default=2, help="of the gateway (default 2)")
    parser.add_argument("--no-drill", action="store_true", help="kill nothing and flip nothing")
    parser.add_argument("--folder", type=Path, help="work folder (default: a temporary one)")
    options = parser.parse_args(arguments)
    with ExitStack() as resources:
        folder: Path | None = options.folder
        if folder is None:
            folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="load-")))
        try:
            stack = resources.enter_context(running(settings(folder, options.workers), folder))
            told = Load(stack, options.callers).run(options.seconds, drill=not options.no_drill)
        except (StartError, RequestError) as error:
            sys.stderr.write(f"gateway.load: {error}\n")
            return _NOT_STARTED
    sys.stdout.write("".join(f"{line}\n" for line in told.lines()))
    return _WRONG if told.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
