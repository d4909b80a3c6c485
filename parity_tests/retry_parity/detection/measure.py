"""Runs each mutant through the suite, and the reference against itself.

A mutant first meets generated scenarios, the ones that the suite in CI runs, and is found at the
first divergence that the ledger does not explain, or when it does not load. One that survives them
meets the rest of the suite: ledger entries on both sides, processes, jitter, the behaviour
cases, chains in sequence. A mutant that is declared to change no decision meets the scenarios only.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from retry_parity.detection.mutants import ROOT, DetectionError, Mutant, Workshop
from retry_parity.detection.report import reason_for
from retry_parity.differential.builds import Build, BuildError, StarvedError
from retry_parity.differential.clock import clock_library
from retry_parity.differential.court import Apart
from retry_parity.differential.lane import Lane
from retry_parity.lifetime import bound
from retry_parity.subject import RetrySubject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Scenarios of the full run in CI.
SCENARIOS: Final = 8_000

SEED: Final = "detection"
_BATCH: Final = 32
_STEP_LIMIT_S: Final = 2.0
_SUITE: Final = (
    "parity_tests/tests/test_ledger.py",
    "parity_tests/tests/test_ledger_strictness.py",
    "parity_tests/tests/test_jitter.py",
    "python_shim/tests/behaviour",
    "python_shim/tests/test_results.py",
    "parity_tests/tests/test_sequences.py",
)
_SUITE_LIMIT_S: Final = 300
_CANDIDATE: Final = "retry_with_backoff"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant.

    Attributes:
        name: The mutant.
        area: Which part of the candidate it is in.
        by_hand: Whether a person wrote it.
        found_by: "loading", "scenarios", "the rest of the suite"; empty where nothing found it.
        what: What differed.
        scenarios: Scenarios that were needed; all of them where scenarios did not find it.
        decisions: Decisions that were compared until then.
        seconds: How long that took, the start of the interpreter included.
    """

    name: str
    area: str
    by_hand: bool
    found_by: str
    what: str
    scenarios: int
    decisions: int
    seconds: float


def measure(
    mutants: Sequence[Mutant],
    folder: Path,
    tell: Callable[[str], None],
    *,
    scenarios_only: bool = False,
) -> tuple[list[Result], list[str]]:
    """Build and run every mutant; the next one is built while one runs.

    Args:
        mutants: The mutants.
        folder: Where everything is built.
        tell: Told of each mutant's result in one line.
        scenarios_only: Leave out the rest of the suite.

    Returns:
        The results, and the names of the mutants that do not compile.

    Raises:
        DetectionError: The candidate without a fault is taken for faulty, or does not compile.
    """
    workshop = Workshop(folder)
    subject = RetrySubject()
    reference = Lane(Build("legacy", Path(sys.executable), "retry_legacy:RetryWithBackoffPlugin"),
                     subject.driver, subject.packages, clock_library())  # fmt: skip
    sound = workshop.build(None, "sound")
    if sound is None:
        message = "the candidate does not compile"
        raise DetectionError(message)
    results: list[Result] = []
    broken: list[str] = []
    try:
        reference.start()
        if not scenarios_only:
            check_sound(sound, reference)
        for number, (mutant, package) in enumerate(_built(workshop, mutants), start=1):
            if package is None:
                broken.append(mutant.name)
                tell(f"{number}/{len(mutants)} does not compile: {mutant.name}")
                continue
            result = _run(mutant, package, reference, scenarios_only=scenarios_only)
            results.append(result)
            found = result.found_by or "MISSED"
            tell(f"{number}/{len(mutants)} {found}, {result.decisions:,} decisions: {mutant.name}")
    finally:
        reference.stop()
    return results, broken


def check_sound(package: Path, reference: Lane) -> None:
    """Make sure that the candidate without a fault is not found.

    Raises:
        DetectionError: It is.
    """
    sound = Mutant("no fault", "", "", 0, 0, "", by_hand=True)
    result = _run(sound, package, reference, scenarios_only=False)
    if result.found_by:
        message = f"the candidate without a fault is found by {result.found_by}: {result.what}"
        raise DetectionError(message)


def _built(workshop: Workshop, mutants: Sequence[Mutant]) -> Iterator[tuple[Mutant, Path | None]]:
    """Build ahead of whoever takes the packages."""
    done: queue.Queue[tuple[Mutant, Path | None] | BaseException] = queue.Queue(maxsize=2)

    def build() -> None:
        try:
            for number, mutant in enumerate(mutants):
                done.put((mutant, workshop.build(mutant, str(number))))
        except BaseException as error:  # noqa: BLE001 - raised where the packages are taken
            done.put(error)

    threading.Thread(target=build, daemon=True).start()
    for _ in mutants:
        built = done.get()
        if isinstance(built, BaseException):
            raise built
        yield built


def _run(mutant: Mutant, package: Path, reference: Lane, *, scenarios_only: bool) -> Result:
    begun = time.monotonic()
    by, what, scenarios, decisions = _through_scenarios(package, reference)
    if not by and not scenarios_only and reason_for(mutant.name) is None:
        what = _through_suite(package)
        by = "the rest of the suite" if what else ""
    seconds = round(time.monotonic() - begun, 2)
    return Result(mutant.name, mutant.area, mutant.by_hand, by, what, scenarios, decisions, seconds)


def _through_scenarios(package: Path, reference: Lane) -> tuple[str, str, int, int]:
    """Run scenarios until one of them shows something."""
    subject = RetrySubject()
    build = Build(
        "mutant",
        Path(sys.executable),
        f"{_CANDIDATE}:RetryWithBackoffPlugin",
        packages={_CANDIDATE: str(package)},
    )
    candidate = Lane(build, subject.driver, subject.packages, clock_library(), _STEP_LIMIT_S)
    court = Apart(subject, reference, candidate)
    try:
        about = candidate.start()
    except StarvedError:  # says nothing of the mutant
        raise
    except BuildError as error:
        return "loading", str(error), 0, 0
    try:
        subject.meet(reference.about, about)
        decisions = 0
        for first in range(0, SCENARIOS, _BATCH):
            names = [f"{SEED}:{number}" for number in range(first, first + _BATCH)]
            court.send_named(names, with_time=about.has_clock)
            for number, judgement in enumerate(court.judge(), start=first + 1):
                decisions += judgement.decisions
                if judgement.findings:
                    return "scenarios", judgement.findings[0].what, number, decisions
        unlike = [finding.what for finding in subject.aggregate()]
        found = ("scenarios", unlike[0]) if unlike else ("", "")
    except StarvedError:
        raise
    except BuildError as error:
        return "loading", str(error), SCENARIOS, 0
    else:
        return *found, SCENARIOS, decisions
    finally:
        candidate.stop()


def _through_suite(package: Path) -> str:
    """Run the rest of the suite on a mutant; give the first test that fails, or nothing."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    try:
        ran = subprocess.run(  # noqa: S603 - our own command
            bound([*command, *_SUITE]),
            cwd=ROOT,
            env=environment,
            text=True,
            capture_output=True,
            check=False,
            timeout=_SUITE_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        return "the suite does not end"
    if ran.returncode == 0:
        return ""
    failed = [line for line in ran.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return (failed or [f"pytest ends with {ran.returncode}"])[0].partition(" - ")[0]


def alarms(decisions: int, tell: Callable[[str], None]) -> dict[str, object]:
    """Compare the reference with itself, all jitter on.

    Args:
        decisions: How many at least.
        tell: Told now and then.
    """
    subject = RetrySubject(always_jitter=True)
    build = Build("legacy", Path(sys.executable), "retry_legacy:RetryWithBackoffPlugin")
    lanes = [Lane(build, subject.driver, subject.packages, clock_library()) for _ in range(2)]
    court = Apart(subject, lanes[0], lanes[1])
    begun = time.monotonic()
    compared = scenarios = 0
    findings: list[str] = []
    try:
        abouts = court.open()
        subject.meet(*abouts)
        while compared < decisions:
            names = [f"alarms:{scenarios + number}" for number in range(_BATCH)]
            court.send_named(names, with_time=abouts[1].has_clock)
            for judgement in court.judge():
                scenarios += 1
                compared += judgement.decisions
                findings.extend(finding.what for finding in judgement.findings)
            if scenarios % (_BATCH * 200) == 0:
                tell(f"alarms: {compared:,} decisions, {len(findings)} alarms")
        findings.extend(finding.what for finding in subject.aggregate())
    finally:
        court.close()
    return {
        "decisions": compared,
        "scenarios": scenarios,
        "alarms": len(findings),
        "what": sorted(set(findings)),
        "seconds": round(time.monotonic() - begun, 1),
    }


def as_rows(results: Sequence[Result]) -> list[dict[str, object]]:
    """Give results as plain data."""
    return [asdict(result) for result in results]
