"""The parent's end of a build: sends scenarios, takes answers, and survives the build's end."""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle  # the two ends of the pipe are one program
import queue
import signal
import subprocess
import tempfile
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from retry_parity.differential import worker
from retry_parity.differential.builds import Build, BuildError, StarvedError
from retry_parity.differential.waiting import Wait
from retry_parity.lifetime import bound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from retry_parity.differential.subject import Scenario

#: Seconds that one step of a scenario may take, without those in which the build was kept from
#: running.
STEP_LIMIT_S: Final = 5.0

_LOAD_LIMIT_S: Final = 60.0
#: How many times as long a build is waited for that is kept from running.
_PATIENCE: Final = 10
_GLANCE_S: Final = 0.1
_END_LIMIT_S: Final = 1.0
_MOST_SAID: Final = 300
#: Scenarios that one interpreter runs. In each, virtual time passes, and the clock has an end.
_MOST_SCENARIOS: Final = 1_000_000
#: Bytes that one answer may have.
_MOST_ANSWERED: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Fault:
    """A build that did not answer: the harness's own finding.

    Attributes:
        what: "hangs", "dies", or "garbles".
        detail: How, for a reader.
        step: In which step; -1 while loading.
    """

    what: str
    detail: str
    step: int


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a scenario.

    Attributes:
        told: What the build did, as its driver wrote it; empty after a fault.
        printed: Step, and what was done to standard output there; ``None`` for nothing.
        fault: Why there is nothing told; ``None`` where there is.
    """

    told: bytes
    printed: tuple[int, str] | None = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What an interpreter says of the build it has loaded.

    Attributes:
        plugin: Module and class.
        python: Version of the interpreter.
        versions: Versions of the distributions installed there, by name.
        has_clock: Whether its time can be set.
        modules: Modules of the plugin's class and its bases.
    """

    plugin: str
    python: str
    versions: Mapping[str, str]
    has_clock: bool
    modules: Sequence[str] = ()


class Lane:
    """One build in an interpreter of its own.

    Args:
        build: The build.
        driver: Module and class of the subject's driver.
        packages: Folders of the packages the driver needs, by name.
        preload: The library that stops the clock; ``None`` for none.
        step_limit_s: Seconds that one step may take.
    """

    def __init__(
        self,
        build: Build,
        driver: str,
        packages: Mapping[str, str],
        preload: Path | None = None,
        step_limit_s: float = STEP_LIMIT_S,
    ) -> None:
        """Prepare; `start` starts the interpreter."""
        self.build = build
        self._hello = {
            "packages": {**packages, **build.packages},
            "plugin": build.plugin,
            "distribution": build.distribution,
            "driver": driver,
        }
        self._preload = preload
        self._step_limit_s = step_limit_s
        self._sent: deque[list[Scenario]] = deque()
        self._done: deque[list[Ran]] = deque()
        self._process: _Process | None = None
        self._about: About | None = None
        self._age = 0

    def start(self) -> About:
        """Start the interpreter and load the build.

        Raises:
            BuildError: It cannot be started, or the build cannot be imported there.
            StarvedError: It was kept from running.
        """
        self._process = _Process(self.build, self._preload)
        self._process.send(self._hello)
        try:
            told = self._process.receive(_LOAD_LIMIT_S)
        except _EndedError as ended:
            self.stop()
            message = (
                f"{self.build.spec}: {ended.fault.what} while it is imported: {ended.fault.detail}"
            )
            raise BuildError(message) from None
        try:
            if "error" not in told:
                self._about = About(**told)
                return self._about
            reason = told["error"][:_MOST_SAID]
        except TypeError:  # the build has written to the pipe
            reason = f"it says {str(told)[:_MOST_SAID]!r} of itself"
        self.stop()
        message = f"{self.build.spec}: cannot be imported: {reason}"
        raise BuildError(message)

    @property
    def about(self) -> About:
        """What the interpreter says of the build.

        Raises:
            BuildError: It has not been started.
        """
        if self._about is None:
            message = f"{self.build.spec} is not running"
            raise BuildError(message)
        return self._about

    def send(self, scenarios: Sequence[Scenario]) -> None:
        """Hand over scenarios; `receive` gives what became of them, batch by batch."""
        self._age += len(scenarios)
        if self._age > _MOST_SCENARIOS:
            self._restart(self._sent)
            self._age = len(scenarios)
        self._sent.append(list(scenarios))
        self._running.send(self._sent[-1])

    def receive(self) -> list[Ran]:
        """Give what became of the oldest batch, one for each scenario.

        A build that hangs or dies costs its scenario; it is started anew, and nothing else is lost.

        Raises:
            BuildError: It cannot be started anew.
            StarvedError: It was kept from running.
        """
        if self._done:
            return self._done.popleft()
        scenarios = self._sent.popleft()
        done: list[Ran] = []
        while len(done) < len(scenarios):
            try:
                done.append(self._running.ran(self._step_limit_s))
            except _EndedError as ended:
                done.append(Ran(b"", fault=ended.fault))
                self._restart([scenarios[len(done) :], *self._sent])
        return done

    def ask(self, scenario: Scenario) -> bytes:
        """Run one scenario beside the batches that are under way; nothing after a fault."""
        self._done.extend([self.receive() for _ in range(len(self._done) + len(self._sent))])
        self._sent.append([scenario])
        self._running.send(self._sent[-1])
        done, self._done = self._done, deque()
        told = self.receive()[0].told
        self._done = done
        return told

    def stop(self) -> None:
        """End the interpreter, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    @property
    def _running(self) -> _Process:
        if self._process is None:
            message = f"{self.build.spec} is not running"
            raise BuildError(message)
        return self._process

    def _restart(self, batches: Iterable[list[Scenario]]) -> None:
        self.stop()
        self.start()
        for batch in batches:
            if batch:
                self._running.send(batch)


class _EndedError(Exception):
    """The interpreter is of no more use."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


class _Process:
    """One interpreter, with a thread for each direction, so that neither side waits to be read."""

    def __init__(self, build: Build, preload: Path | None) -> None:
        self._spec = build.spec
        # No "with": they live as long as the process does.
        self._stdout = tempfile.TemporaryFile()  # noqa: SIM115 - as above
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - as above
        progress = tempfile.TemporaryFile()  # noqa: SIM115 - as above
        progress.truncate(worker.PROGRESS_SIZE)
        self._progress = mmap.mmap(progress.fileno(), worker.PROGRESS_SIZE)
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        given = (theirs_in, theirs_out, progress.fileno())
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environment["PYTHONHASHSEED"] = "0"  # sets of text are in one order in both interpreters
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        if preload is not None:
            environment["LD_PRELOAD"] = str(preload)
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - our own command
                bound([build.python, "-sP", worker.__file__, *map(str, given)]),
                stdin=subprocess.DEVNULL,
                stdout=self._stdout,
                stderr=self._stderr,
                pass_fds=given,
                env=environment,
                start_new_session=True,  # so that what it starts ends with it
            )
        except OSError as error:
            os.close(ours_out)
            os.close(ours_in)
            self._stdout.close()
            self._stderr.close()
            message = f"{build.spec}: {build.python} cannot be started: {error.strerror or error}"
            raise BuildError(message) from error
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
            progress.close()
        self._killed = False
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._incoming: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        for target, descriptor in ((self._write, ours_out), (self._read, ours_in)):
            threading.Thread(target=target, args=(descriptor,), daemon=True).start()

    def send(self, order: Any) -> None:
        message = pickle.dumps(order, pickle.HIGHEST_PROTOCOL)
        self._outgoing.put(worker.LENGTH.pack(len(message)) + message)

    def receive(self, limit_s: float) -> Any:
        """Give the next answer; end with a fault when nothing has moved for so long.

        Only time in which the process ran, or slept of its own accord, is held against it.

        Raises:
            StarvedError: It was kept from running.
        """
        moved, wait = -1, Wait(self._popen.pid, 2 * _GLANCE_S)
        while True:
            try:
                message = self._incoming.get(timeout=_GLANCE_S)
            except queue.Empty:
                if self._popen.poll() is not None and self._incoming.empty():
                    # A child of it may hold the pipe open.
                    raise _EndedError(self._fault()) from None
                moves, _, step = worker.PROGRESS.unpack_from(self._progress, 0)
                if moves != moved:
                    moved = moves
                    wait.begin()
                    continue
                wait.look()
                if wait.own_s > limit_s:
                    self.kill()
                    detail = f"no answer within {limit_s:g} s{wait}"
                    raise _EndedError(Fault("hangs", detail, step)) from None
                if wait.total_s > _PATIENCE * limit_s:
                    self.kill()
                    at = f"in step {step + 1}" if step >= 0 else "while it loads a config"
                    line = (
                        f"{self._spec}: no answer {at if moves else 'while it is imported'} in "
                        f"{wait.total_s:.0f} s{wait}; it was ready to run and could not, or was "
                        "stopped: the machine may be busy, try again when it is less so"
                    )
                    raise StarvedError(line) from None
                continue
            if message is None:
                raise _EndedError(self._fault())
            try:
                return pickle.loads(message)  # noqa: S301 - see import
            except Exception as error:  # noqa: BLE001 - whatever the build has made of the pipe
                raise _EndedError(self._garbled(f"an answer cannot be read: {error}")) from None

    def ran(self, limit_s: float) -> Ran:
        """Give what became of the next scenario, as `receive` does."""
        match self.receive(limit_s):
            case (bytes() as told, None | (int(), str()) as printed):
                return Ran(told, printed)
            case _:
                raise _EndedError(self._garbled("an answer is none"))

    def kill(self) -> None:
        self._outgoing.put(None)
        self._kill_group()
        self._popen.wait()
        for file in (self._stdout, self._stderr):
            file.close()

    def _kill_group(self) -> None:
        """Kill the process and what it has started, once: later its number may be another's."""
        if not self._killed:
            self._killed = True
            with contextlib.suppress(OSError):
                os.killpg(self._popen.pid, signal.SIGKILL)

    def _garbled(self, how: str) -> Fault:
        return Fault("garbles", how, worker.PROGRESS.unpack_from(self._progress, 0)[2])

    def _fault(self) -> Fault:
        """Say how the process ended."""
        step = worker.PROGRESS.unpack_from(self._progress, 0)[2]
        try:
            status = self._popen.wait(timeout=_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            return Fault("garbles", "it closed the pipe and went on", step)
        self._kill_group()
        how = f"exit status {status}"
        if status < 0:
            with contextlib.suppress(ValueError):
                how = f"killed by {signal.Signals(-status).name}"
        self._stderr.seek(0)
        said = self._stderr.read().decode(errors="replace").split("\n")
        last = next((line for line in reversed(said) if line.strip()), "")
        return Fault("dies", f"{how}{': ' if last else ''}{last.strip()[:_MOST_SAID]}", step)

    def _write(self, descriptor: int) -> None:
        with contextlib.suppress(OSError), os.fdopen(descriptor, "wb") as pipe:
            while (message := self._outgoing.get()) is not None:
                pipe.write(message)
                pipe.flush()

    def _read(self, descriptor: int) -> None:
        with contextlib.suppress(OSError), os.fdopen(descriptor, "rb") as pipe:
            while len(head := pipe.read(worker.LENGTH.size)) == worker.LENGTH.size:
                size = worker.LENGTH.unpack(head)[0]
                if size > _MOST_ANSWERED:
                    self._incoming.put(b"")  # no answer is empty: it cannot be read
                    return
                message = pipe.read(size)
                if len(message) < size:
                    break
                self._incoming.put(message)
        self._incoming.put(None)
