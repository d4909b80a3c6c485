"""Every part of the harness that takes part in a call fails, under every value of the flag.

The candidate answers wrongly at every call, so that every part has its turn; the caller has the
hybrid's answer all the same, and no part's failure takes that away.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Any, Final

import pytest
from cpex.framework import PluginError
from injections import (
    BUDGET,
    DELAYS,
    FLAGS,
    Gateway,
    Liar,
    Panic,
    Plan,
    begin_anew,
    counts,
    strike,
)
from laboratory import FAILURE, NAME, answered

import retry_legacy
from retry_parity import _native, judging, lane, ledger, sampling, upkeep
from retry_parity.chains import Chains
from retry_parity.evidence import Evidence, evidence_of
from retry_parity.guard import Guard
from retry_parity.ledger import Ledger
from retry_parity.migration import migration_of
from retry_parity.predicates import DECISION_PREDICATES
from retry_parity.rest import Rest
from retry_parity.sides import Sides
from retry_parity.traces.recording import Recorder
from retry_with_backoff import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Record = Callable[[str, object], None]

BOTH: Final = ["shadow", "canary, the hybrid's share", "canary, the core's share", "rust, compared"]
DECIDED_BY_THE_CORE: Final = {"canary, the core's share", "rust, compared"}
ERRORS: Final[list[type[BaseException]]] = [
    RuntimeError, Panic, Liar, SystemExit, MemoryError, asyncio.CancelledError,
]  # fmt: skip

#: Where the harness fails, and the step that the failure is counted under.
PARTS: Final[dict[str, tuple[Any, str, str]]] = {
    "the comparison": (judging, "compare", "compare"),
    "the view of a call": (judging, "View", "compare"),
    "the ledger": (Ledger, "explain", "ledger"),
    "the memory of chains": (Chains, "see", "compare"),
    "reading the call": (lane, "_call", "call-candidate"),
    "counting": (Evidence, "record", "record"),
    "the choice of samples": (Evidence, "wants_sample", "record"),
    "sampling": (lane, "sample_of", "record"),
    "the facts of a sample": (sampling, "hashed", "record"),
    "keeping a sample": (Evidence, "add_sample", "record"),
    "the guard": (Guard, "note", "record"),
}


@pytest.fixture(autouse=True)
def upkeep_ends() -> Iterator[None]:
    """Leave no thread to the next test."""
    yield
    upkeep.stop()


def failing(error: type[BaseException]) -> Any:
    """Make a part that fails."""

    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("flag", "part"),
    # Nothing decides under shadow that a guard could take back.
    [each for each in itertools.product(BOTH, PARTS) if each != ("shadow", "the guard")],
)
def test_a_part_that_fails_takes_no_answer_away(
    flag: str,
    part: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    record_property: Record,
) -> None:
    """Whatever it raises: counted by its step each time, logged once, and the next call is served.

    Once the part works again, so does the comparison.
    """
    owner, name, step = PARTS[part]
    strike(monkeypatch, Plan(lambda: answered(50), range(10_000)))
    lost = tried = 0
    with Gateway({**FLAGS[flag], "guard": {"limit": 1000}}) as gateway:
        for error in ERRORS:
            begin_anew()
            caplog.clear()
            gateway.rebuild()
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, failing(error))
                lost += sum(gateway.request() != DELAYS for _ in range(2))
            failed = counts().harness_errors
            assert set(failed) == {step}
            assert failed[step] >= 2
            tried += failed[step]
            lines = [each for each in caplog.records if each.levelno == logging.ERROR]
            assert len(lines) == 1
            before = counts()
            lost += gateway.request() != DELAYS
            assert counts().harness_errors == failed
            assert counts().calls == before.calls + BUDGET + 1
            assert sum(counts().divergent.values()) > sum(before.divergent.values())
    record_property("tried", tried)
    record_property("lost", lost)
    assert lost == 0


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("flag", BOTH)
def test_a_predicate_that_fails_explains_nothing(
    flag: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The difference is counted as a divergence then: an acceptance is never guessed."""
    huge = {**FAILURE, "isError": False, "structuredContent": {"status_code": 2**40}}
    raises = dict.fromkeys(DECISION_PREDICATES, failing(error))
    monkeypatch.setattr(ledger, "DECISION_PREDICATES", raises)
    with Gateway({**FLAGS[flag], "guard": {"limit": 1000}}) as gateway:
        # The hybrid raises on such a status.
        if flag in DECIDED_BY_THE_CORE:
            assert gateway.call("r", huge) == 0
        else:
            with pytest.raises(PluginError):
                gateway.call("r", huge)
        assert gateway.request() == DELAYS
    assert sum(counts().divergent.values()) == 1
    assert counts().accepted == {}


@pytest.mark.parametrize("flag", FLAGS)
def test_counting_that_fails_altogether_takes_no_answer_away(
    flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the counting of what failed; under ``rust`` alone the answers are the core's."""
    if flag != "rust alone":
        strike(monkeypatch, Plan(lambda: answered(50), range(10_000)))
    with Gateway(FLAGS[flag]) as gateway:
        for error in ERRORS:
            with monkeypatch.context() as patch:
                for name in ("record", "harness_error", "candidate_error", "wants_sample"):
                    patch.setattr(Evidence, name, failing(error))
                assert [gateway.request() for _ in range(2)] == [DELAYS] * 2
        assert gateway.request() == DELAYS


@pytest.mark.parametrize("flag", FLAGS)
def test_a_recorder_that_fails_takes_no_answer_away(
    flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the whole traffic is recorded, it is so before anybody decides."""
    evidence = {"directory": str(tmp_path), "capture": "full"}
    with Gateway({**FLAGS[flag], "evidence": evidence}) as gateway:
        monkeypatch.setattr(Recorder, "record", failing(RuntimeError))
        assert [gateway.request() for _ in range(2)] == [DELAYS] * 2


@pytest.mark.parametrize("flag", FLAGS)
def test_a_setting_that_cannot_be_had_takes_no_answer_away(
    flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of a tool's config, and the bounds of a usable answer, are for seeing only."""
    for error in ERRORS:
        monkeypatch.setattr(Sides, "setting", failing(error))
        monkeypatch.setattr(lane, "longest_delay_ms", failing(error))
        with Gateway(FLAGS[flag]) as gateway:
            assert [gateway.request() for _ in range(2)] == [DELAYS] * 2
            assert counts().divergent == {}


@pytest.mark.parametrize("clock", ["the desk's", "the guard's", "the rest's"])
@pytest.mark.parametrize("flag", FLAGS)
def test_a_clock_of_the_harness_that_fails_takes_no_answer_away(
    flag: str, clock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Budgets are kept by the sides; without the time only the harness's memory of chains fails."""
    if flag != "rust alone":
        strike(monkeypatch, Plan(lambda: answered(50), range(10_000)))
    with Gateway(FLAGS[flag]) as gateway:
        migration = migration_of(NAME)
        if clock == "the desk's":
            _native.set_clock(failing(RuntimeError))
        elif clock == "the guard's":
            migration.guard = Guard(NAME, migration.switch, failing(RuntimeError))
        else:
            migration.rest = Rest(NAME, migration.switch, failing(RuntimeError))
            migration.switch.resting = True
        assert [gateway.request() for _ in range(3)] == [DELAYS] * 3
        _native.set_clock(None)
        assert gateway.request() == DELAYS


@pytest.mark.parametrize("flag", FLAGS)
def test_a_clock_of_the_core_that_fails_is_an_internal_error_of_the_core(flag: str) -> None:
    """Counted as one; the hybrid answers, or nobody retries."""
    with Gateway({**FLAGS[flag], "guard": {"limit": 1000}}) as gateway:
        _core.set_clock(failing(RuntimeError))
        alone = flag == "rust alone"
        assert [gateway.request() for _ in range(2)] == [[0] if alone else DELAYS] * 2
        if flag != "legacy":
            assert counts().candidate_errors == {"internal": 2}
        _core.set_clock(None)
        assert gateway.request() == DELAYS


@pytest.mark.parametrize("flag", BOTH)
def test_a_clock_of_the_hybrid_that_fails_is_the_hybrids_answer(flag: str) -> None:
    """It raises, and the caller gets that, as without the migration; unless the core decides."""
    with Gateway({**FLAGS[flag], "guard": {"limit": 1000}}) as gateway:
        retry_legacy.set_clock(failing(RuntimeError))
        if flag in DECIDED_BY_THE_CORE:
            assert gateway.call("r") == 100
        else:
            with pytest.raises(PluginError):
                gateway.call("r")
        retry_legacy.set_clock(None)
        assert gateway.request() == DELAYS
    assert evidence_of(NAME).counts().harness_errors == {}
