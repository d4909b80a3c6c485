"""Where two builds run scenarios and are judged: apart, or both in one interpreter."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from retry_parity.differential import worker
from retry_parity.differential.builds import Build, BuildError
from retry_parity.differential.lane import About, Lane
from retry_parity.differential.subject import Finding, Judgement
from retry_parity.lifetime import end_pool, end_worker_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from retry_parity.differential.lane import Fault, Ran
    from retry_parity.differential.subject import Scenario, Subject

#: Seconds that a batch may take where nothing watches its steps.
_BATCH_LIMIT_S: Final = 120.0
_FAULTS: Final = ("-hangs", "-dies", "-garbles")


class Court(Protocol):
    """Two builds that run and are judged.

    Attributes:
        ahead: Batches that are worth sending before the oldest is judged.
    """

    ahead: int

    def open(self) -> tuple[About, About]:
        """Load the builds; tell of the reference and the candidate.

        Raises:
            BuildError: One of them cannot be loaded.
        """
        ...  # pragma: no cover

    def send(self, scenarios: Sequence[Scenario]) -> None:
        """Hand over scenarios."""
        ...  # pragma: no cover

    def send_named(self, names: Sequence[str], *, with_time: bool) -> None:
        """Hand over the scenarios that the subject generates for these seeds."""
        ...  # pragma: no cover

    def judge(self) -> list[Judgement]:
        """Judge the oldest batch, one judgement for each scenario."""
        ...  # pragma: no cover

    def close(self) -> None:
        """End what was started."""
        ...  # pragma: no cover


class Apart:
    """Each build in an interpreter of its own."""

    ahead = 1

    def __init__(self, subject: Subject, reference: Lane, candidate: Lane) -> None:
        """Prepare; nothing is started yet."""
        self._subject = subject
        self._reference = reference
        self._candidate = candidate
        self._sent: deque[Sequence[Scenario]] = deque()

    def open(self) -> tuple[About, About]:
        """Start both interpreters."""
        return self._reference.start(), self._candidate.start()

    def send(self, scenarios: Sequence[Scenario]) -> None:
        """Hand scenarios to both; they run while others are judged."""
        self._sent.append(scenarios)
        for lane in (self._reference, self._candidate):
            lane.send(scenarios)

    def send_named(self, names: Sequence[str], *, with_time: bool) -> None:
        """Generate scenarios and hand them to both."""
        self.send([self._subject.scenario(name, with_time=with_time) for name in names])

    def judge(self) -> list[Judgement]:
        """Judge the oldest batch."""
        scenarios = self._sent.popleft()
        runs = zip(scenarios, self._reference.receive(), self._candidate.receive(), strict=True)
        return [self._judge(*run) for run in runs]

    def close(self) -> None:
        """End both interpreters."""
        self._reference.stop()
        self._candidate.stop()

    def _judge(self, scenario: Scenario, ours: Ran, theirs: Ran) -> Judgement:
        faults = _faults(ours, theirs)
        if ours.fault is not None or theirs.fault is not None:
            return Judgement(0, findings=faults, compared=False)
        judgement = _guarded(
            lambda: self._subject.judge(scenario, ours.told, theirs.told, self._candidate.ask)
        )
        return replace(judgement, findings=(*faults, *judgement.findings))


class Together:
    """Both builds in one interpreter, on the same payloads; one such interpreter for each core.

    There is no isolation, and no cost of it: a build that hangs or dies ends the comparison.
    """

    def __init__(self, subject: Subject, reference: Build, candidate: Build) -> None:
        """Prepare; nothing is imported yet.

        Raises:
            BuildError: One of the builds cannot run here, or not beside the other.
        """
        if reference.spec != subject.local_reference:
            message = f"--one-process: the reference is {subject.local_reference} there"
            raise BuildError(message)
        elsewhere = candidate.spec.partition(":")[0] not in {*subject.named_builds, "python"}
        if elsewhere or candidate.requirements is not None:
            message = f"{candidate.spec}: --one-process takes a candidate of this environment"
            raise BuildError(message)
        if reference.top == candidate.top:
            message = f"{candidate.spec}: --one-process takes another package than the reference's"
            raise BuildError(message)
        self._subject = subject
        self._builds = (reference, candidate)
        self._cores = os.cpu_count() or 1
        self.ahead = 2 * self._cores
        self._pool: ProcessPoolExecutor | None = None
        self._sent: deque[Future[tuple[list[Judgement], object]]] = deque()

    def open(self) -> tuple[About, About]:
        """Import both builds here; the interpreters are forks of this one."""
        driver_class = worker.imported(self._subject.driver)
        drivers: list[Any] = []
        classes: list[Any] = []
        for build in self._builds:
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    classes.append(worker.imported(build.plugin))
                    drivers.append(driver_class(classes[-1]))
            except (Exception, SystemExit) as error:
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                message = f"{build.spec}: cannot be imported: {reason}"
                raise BuildError(message) from error
        reference, candidate = (
            About(**worker.about(each, driver))
            for each, driver in zip(classes, drivers, strict=True)
        )
        self._refuse_relatives(classes[-1])
        self._subject.meet(reference, candidate)  # the forks have to know, too
        _Fork.subject, _Fork.drivers = self._subject, drivers
        self._pool = ProcessPoolExecutor(
            self._cores, mp_context=multiprocessing.get_context("fork"), initializer=_begin_fork
        )
        return reference, candidate

    def send(self, scenarios: Sequence[Scenario]) -> None:
        """Hand scenarios to one of the interpreters."""
        self._sent.append(self._opened.submit(_judge_batch, list(scenarios)))

    def send_named(self, names: Sequence[str], *, with_time: bool) -> None:
        """Let one of the interpreters generate scenarios and judge them."""
        self._sent.append(self._opened.submit(_judge_named, list(names), with_time=with_time))

    def judge(self) -> list[Judgement]:
        """Give the oldest batch's judgements."""
        try:
            judgements, aggregate = self._sent.popleft().result(_BATCH_LIMIT_S)
        except TimeoutError:
            message = (
                f"--one-process: no answer within {_BATCH_LIMIT_S:g} s: a build hangs, or the "
                "machine is busy; run without it to see which"
            )
            raise BuildError(message) from None
        except BrokenProcessPool:
            message = "--one-process: a build ended the interpreter; run without it to see where"
            raise BuildError(message) from None
        self._subject.merge_aggregate(aggregate)
        return judgements

    def _refuse_relatives(self, candidate: Any) -> None:
        """Refuse a candidate that is made of the reference: the two would share their state."""
        reference, theirs = self._builds
        tops = {each.__module__.partition(".")[0] for each in candidate.__mro__}
        if reference.top in tops:
            message = f"{theirs.spec}: --one-process takes no candidate derived from the reference"
            raise BuildError(message)

    @property
    def _opened(self) -> ProcessPoolExecutor:
        if self._pool is None:
            message = "the court is not open"
            raise BuildError(message)
        return self._pool

    def close(self) -> None:
        """End the interpreters."""
        if self._pool is not None:
            end_pool(self._pool)


class _Fork:
    """What a forked interpreter finds when a batch arrives."""

    subject: ClassVar[Subject]
    drivers: ClassVar[list[Any]]


def _begin_fork() -> None:
    """Let what a build prints go to standard error: standard output is the harness's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its forks
    end_worker_with_parent()
    sys.stdout = sys.stderr
    os.dup2(2, 1)


def _judge_batch(scenarios: Sequence[Scenario]) -> tuple[list[Judgement], object]:
    try:
        judgements = [_judge_here(scenario) for scenario in scenarios]
    except Exception:
        raise
    except BaseException as error:  # noqa: BLE001 - SystemExit would end the harness, as a success
        message = f"--one-process: a build raised {type(error).__name__}; run without it"
        raise BuildError(message) from None
    return judgements, _Fork.subject.take_aggregate()


def _judge_here(scenario: Scenario) -> Judgement:
    return _guarded(lambda: _Fork.subject.judge_here(scenario, *_Fork.drivers))


def _judge_named(names: Sequence[str], *, with_time: bool) -> tuple[list[Judgement], object]:
    return _judge_batch([_Fork.subject.scenario(name, with_time=with_time) for name in names])


def _guarded(judge: Callable[[], Judgement]) -> Judgement:
    """Judge; an answer that nobody can make sense of is a finding too, and ends nothing."""
    try:
        return judge()
    except BuildError:
        raise
    except Exception as error:  # noqa: BLE001 - an odd answer may fail anywhere
        said = " ".join(f"{type(error).__name__}: {error}".split())
        finding = Finding("unreadable-answer", "", -1, "a readable answer", said)
        return Judgement(0, findings=(finding,))


def is_fault(finding: Finding) -> bool:
    """Whether a finding says that a build did not answer."""
    return finding.what.endswith(_FAULTS)


def _alike(fault: Fault, other: Fault | None) -> bool:
    return other is not None and (fault.what, fault.step) == (other.what, other.step)


def _faults(ours: Ran, theirs: Ran) -> tuple[Finding, ...]:
    """Give what a build did beside answering; what both do alike is no difference."""
    found = []
    told = ["answers", "answers"]
    for number, ran in enumerate((ours, theirs)):
        if ran.fault is not None:
            told[number] = f"{ran.fault.what}: {ran.fault.detail}"
    for side, ran, other in (("reference", ours, theirs), ("candidate", theirs, ours)):
        if ran.fault is not None and not _alike(ran.fault, other.fault):
            found.append(Finding(f"{side}-{ran.fault.what}", "", ran.fault.step, *told))
        if ran.printed is not None and other.printed is None:
            step, prints = ran.printed
            said = (prints, "prints nothing") if ran is ours else ("prints nothing", prints)
            found.append(Finding(f"{side}-prints", "", step, *said))
    return tuple(found)
