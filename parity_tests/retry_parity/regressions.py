"""What an emitted regression test imports: a fixture run on a candidate, and the first wrong step.

A test that `retry-parity minimize` has written calls `check` with its fixture. The hybrid runs
beside the candidate, so that the ledger can say what it accepts; the fixture has what the hybrid
decided when the divergence was found, and it has to decide so still.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from retry_parity import candidates
from retry_parity.compare import Kind, same_plain
from retry_parity.minimizing.fixtures import Decision, Fixture, FixtureError, read_fixture
from retry_parity.minimizing.rehearsal import rehearse
from retry_parity.observation import Returned
from retry_parity.scenarios import Call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from retry_parity.minimizing.rehearsal import Deed

#: Names another candidate than the Rust core for all emitted tests.
CANDIDATE_VARIABLE: Final = "RETRY_PARITY_CANDIDATE"


def candidate() -> str:
    """Give the candidate under test: `CANDIDATE_VARIABLE`, or else the Rust core.

    Raises:
        FixtureError: There is no such candidate.
    """
    name = os.environ.get(CANDIDATE_VARIABLE) or candidates.RUST
    if name not in candidates.NAMES:
        allowed = ", ".join(candidates.NAMES)
        message = f"{CANDIDATE_VARIABLE}: {name!r} is no candidate; allowed are {allowed}"
        raise FixtureError(message)
    return name


def check(fixture: Path | str, candidate: str = candidates.RUST) -> None:
    """Fail unless a candidate decides on a fixture's chain as the reference does.

    Clocks and draws are set, so that the outcome is the same each time. Differences that the ledger
    accepts are accepted here.

    Args:
        fixture: The fixture's file.
        candidate: A name of `candidates.NAMES`.

    Raises:
        AssertionError: A step was decided otherwise; the message says which, what was expected and
            what was got.
        FixtureError: The fixture cannot be read.
    """
    __tracebackhide__ = True
    read = read_fixture(Path(fixture))
    wrong = list(dict.fromkeys(faults(read, candidate)))
    if wrong:
        head = (
            f"{read.signature}: the candidate {candidate} decides otherwise than {read.reference}"
        )
        raise AssertionError("\n".join([head, *wrong]))


def faults(fixture: Fixture, candidate: str) -> Iterator[str]:
    """Say, one line for each, in which steps something is not as the fixture wants it.

    Args:
        fixture: The fixture.
        candidate: A name of `candidates.NAMES`.
    """
    for deeds in rehearse(fixture.scenario, candidate):
        seen = {deed.step: deed for deed in deeds}
        loading = seen.get(-1)
        if loading is not None and loading.comparison.unexplained:
            yield f"  loading the config: {loading.signature}"
            continue
        for step, expected in fixture.expected.items():
            if step in seen:
                yield from _faults_of(fixture, expected, seen[step])
            else:
                yield f"{_place(fixture, step)}: expected {expected}, got no decision"


def _faults_of(fixture: Fixture, expected: Decision, deed: Deed) -> Iterator[str]:
    comparison = deed.comparison
    place = _place(fixture, deed.step)
    ours = None if comparison.reference is None else comparison.reference.outcome
    reference = Decision.of(ours, drawn=deed.drawn)
    if not _same(reference, expected):
        yield (
            f"{place}: the fixture is out of date: it expects {_told(expected)}, "
            f"{fixture.reference} now gives {_told(reference)}"
        )
    if not comparison.unexplained:
        return
    theirs = None if comparison.candidate is None else comparison.candidate.outcome
    got = Decision.of(theirs)
    yield f"{place}: expected {expected}, got {got}{_besides(deed, expected)} ({deed.signature})"


def _besides(deed: Deed, expected: Decision) -> str:
    """Say what differs besides the delay."""
    said = []
    for each in deed.comparison.unexplained:
        if each.kind is Kind.METADATA:
            theirs = deed.comparison.candidate
            outcome = None if theirs is None else theirs.outcome
            metadata = outcome.metadata if isinstance(outcome, Returned) else None
            said.append(f"; metadata: expected {expected.metadata!r}, got {metadata!r}")
        elif each.kind is Kind.PAYLOAD_MUTATED:
            said.append("; and the result was changed")
        elif each.kind is Kind.INTERNAL_ERROR:
            said.append("; and an internal error was counted")
    return "".join(said)


def _told(decision: Decision) -> str:
    return str(decision) if decision.raises else f"{decision} with metadata {decision.metadata!r}"


def _same(decision: Decision, expected: Decision) -> bool:
    if decision.raises or expected.raises:
        return decision.raises == expected.raises
    return (
        decision.drawn == expected.drawn
        and same_plain(decision.delay_ms, expected.delay_ms)
        and same_plain(decision.as_json()["metadata"], expected.metadata)
    )


def _place(fixture: Fixture, step: int) -> str:
    steps = fixture.scenario.steps
    call = steps[step]
    named = f" ({call.tool!r}, request {call.request_id!r})" if isinstance(call, Call) else ""
    return f"  step {step + 1} of {len(steps)}{named}"
