"""Every fault of a candidate, at every place of a chain, under every value of the flag.

Driven through the real PluginManager, as the gateway calls it. The caller gets the hybrid's answer,
or "no retry" where there is no hybrid; budgets are exact; the fault is counted each time and logged
once; nothing is left behind.
"""

from __future__ import annotations

import itertools
import json
import logging
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cpex.framework import PluginConfig
from injections import (
    BUDGET,
    DELAYS,
    FAULTS,
    FLAGS,
    RAISING,
    Gateway,
    Liar,
    Panic,
    Plan,
    begin_anew,
    counted,
    counts,
    resources,
    strike,
)
from laboratory import FAILURE, NAME, SUCCESS

from retry_parity import MigrationPlugin, _native, candidates, upkeep
from retry_parity.migration import migration_of
from retry_with_backoff import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Record = Callable[[str, object], None]

ALONE = "rust alone"
ASKED = [flag for flag in FLAGS if flag != "legacy"]


@pytest.fixture(autouse=True)
def upkeep_ends() -> Iterator[None]:
    """Leave no thread to the next test."""
    yield
    upkeep.stop()


def expected(flag: str, position: int) -> list[int]:
    """Give the delays of a request whose attempt at a position is struck."""
    return [*DELAYS[:position], 0] if flag == ALONE else DELAYS


def lines(caplog: pytest.LogCaptureFixture) -> Counter[str]:
    """Count the lines about trouble; a request is another one each time."""
    return Counter(
        record.getMessage().partition(" (tool_post_invoke")[0]
        for record in caplog.records
        if record.name == "retry_parity" and record.levelno >= logging.WARNING
    )


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("flag", ASKED)
def test_a_fault_costs_no_attempt_that_the_hybrid_grants(
    flag: str,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    record_property: Record,
) -> None:
    """At each attempt of a request, before the core has counted it and after.

    Counted each time and each kind logged once, and the next request is served as if nothing had
    been. One fault used to show three more times further on in its chain.
    """
    plan = Plan(FAULTS[fault])
    strike(monkeypatch, plan)
    lost = 0
    with Gateway({**FLAGS[flag], "guard": {"limit": 1000}}) as gateway:
        for position, plan.is_counted in itertools.product(range(BUDGET + 1), (False, True)):
            for _ in range(2):
                plan.strike_after(position)
                lost += gateway.request() != expected(flag, position)
                lost += gateway.request() != DELAYS
                assert counted(counts()) == plan.struck
    assert plan.struck == 4 * (BUDGET + 1)
    assert set(lines(caplog).values()) == {1}
    record_property("tried", plan.struck)
    record_property("lost", lost)
    assert lost == 0


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("flag", ASKED)
def test_a_candidate_that_always_fails_is_found_out_and_harms_nobody(
    flag: str, fault: str, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    """Every request has its whole budget from the hybrid, but three under ``rust`` alone.

    There the guard bears three faults; with the fourth it gives the decision back. A fault is one
    piece of trouble, wherever it strikes.
    """
    strike(monkeypatch, Plan(FAULTS[fault], range(1000)))
    guard = migration_of(NAME).guard
    with Gateway(FLAGS[flag]) as gateway:
        first = [gateway.request() for _ in range(3)]
        assert guard.trips == 0
        first.append(gateway.request())
        assert guard.trips == (flag != "shadow")
        requests = [gateway.request() for _ in range(4)]
    wanted = [[0] if flag == ALONE else DELAYS] * len(first) + [DELAYS] * len(requests)
    lost = sum(got != want for got, want in zip(first + requests, wanted, strict=True))
    record_property("tried", len(wanted))
    record_property("lost", lost)
    assert lost == 0


def test_under_legacy_no_fault_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """The candidate is not even built."""
    monkeypatch.setattr(candidates, "load", lambda *_: pytest.fail("loaded"))
    with Gateway(FLAGS["legacy"]) as gateway:
        assert [gateway.request() for _ in range(3)] == [DELAYS] * 3


@pytest.mark.parametrize("flag", ASKED)
def test_faults_leave_no_thread_and_no_file_open(
    flag: str, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    """All faults over and over: threads and open files are as many as after the first round."""
    strikes = range(0, 10_000, 3)
    tried = 0
    with Gateway(FLAGS[flag]) as gateway:
        seen = []
        for _ in range(3):
            for fault in FAULTS.values():
                begin_anew()
                plan = Plan(fault, strikes)
                strike(monkeypatch, plan)
                gateway.rebuild()
                gateway.request()
                tried += plan.struck
            seen.append(resources())
    left = sum(each != seen[0] for each in seen)
    record_property("tried", tried)
    record_property("lost", left)
    assert left == 0, seen


@pytest.mark.parametrize("flag", ["shadow", "canary, the core's share", "rust, compared"])
def test_a_panic_that_empties_the_store_costs_the_other_chains_nothing(
    flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core forgets every chain; the hybrid has not, and its answers stand."""
    strike(monkeypatch, Plan(_core.panic_for_tests, {2}))
    with Gateway({**FLAGS[flag], "guard": {"limit": 1000}}) as gateway:
        assert [gateway.call("a"), gateway.call("b")] == [100, 100]
        assert gateway.call("struck") == 100
        assert [gateway.call("a") for _ in range(BUDGET)] == DELAYS[1:]
        assert [gateway.call("b") for _ in range(BUDGET)] == DELAYS[1:]
        assert gateway.request() == DELAYS


@pytest.mark.parametrize("fault", RAISING)
@pytest.mark.parametrize("flag", ASKED)
def test_a_candidate_that_cannot_be_built_harms_nobody(
    flag: str, fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The hybrid decides; without one the framework is told by an Exception, and goes on.

    What ends a process did, from a candidate's constructor: the gateway did not start.
    """

    def refuse(*_: object) -> Any:
        RAISING[fault]()

    monkeypatch.setattr(candidates, "load", refuse)
    if flag in {ALONE, "rust, compared"}:
        config = {"migration": FLAGS[flag]}
        with pytest.raises(Exception):  # noqa: B017, PT011 - any, as long as it is one
            MigrationPlugin(PluginConfig(name=NAME, kind="x", config=config))
        return
    with Gateway(FLAGS[flag]) as gateway:
        assert gateway.request() == DELAYS
        gateway.rebuild()
        assert gateway.request() == DELAYS
    assert sum(counts().candidate_errors.values()) == 2
    assert sum(counts().ignored.values()) == 2 * (BUDGET + 1)
    assert set(lines(caplog).values()) == {1}


@pytest.mark.parametrize("what", ["internal_errors", "last_internal_error", "set_quiet"])
@pytest.mark.parametrize("error", [RuntimeError, Panic, Liar])
@pytest.mark.parametrize("flag", ASKED)
def test_what_is_asked_of_a_candidate_beside_its_answer_may_fail(
    flag: str,
    error: type[BaseException],
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its counts of errors, and being told to be quiet: no answer depends on them.

    One that could not be told to be quiet kept the plugin from being loaded.
    """
    load = candidates.load

    def fail(*_: object) -> Any:
        raise error

    def spoiled(name: str, config: PluginConfig) -> candidates.Candidate:
        made = load(name, config)
        fields = {each: getattr(made, each) for each in candidates.Candidate.__slots__}
        return candidates.Candidate(**{**fields, what: fail})

    monkeypatch.setattr(candidates, "load", spoiled)
    with Gateway(FLAGS[flag]) as gateway:
        assert gateway.request() == DELAYS
    assert counts().divergent == {}
    assert set(counts().harness_errors) == ({"load-candidate"} if what == "set_quiet" else set())
    assert set(lines(caplog).values()) <= {1}


@pytest.mark.parametrize("flag", ["shadow", "canary, the core's share", "rust, compared"])
@pytest.mark.parametrize("fault", ["raises MemoryError", "answers None"])
def test_a_fault_at_a_text_too_large_to_judge_is_counted(
    flag: str, fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Such calls are not compared, and the candidate's failure on them was seen by nobody."""
    text = {**FAILURE, "content": [{"type": "text", "text": "x" * 300_000}]}
    strike(monkeypatch, Plan(FAULTS[fault], {0, 1}))
    with Gateway(FLAGS[flag]) as gateway:
        assert [gateway.call("a", text), gateway.call("b", text)] == [100, 100]
        assert gateway.request() == DELAYS
    assert sum(counts().candidate_errors.values()) == 2
    assert counts().ignored == {"too-large": 2}
    assert set(lines(caplog).values()) == {1}


@pytest.mark.parametrize("position", range(BUDGET))
@pytest.mark.parametrize("fault", ["raises an exception", "answers None"])
@pytest.mark.parametrize("flag", ["shadow", "canary, the core's share"])
def test_a_chain_that_was_struck_is_not_compared_to_its_end(
    flag: str, fault: str, position: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows whether the candidate has counted the call: the rest would be the same fault.

    Nor after its end: the candidate may still hold it.
    """
    plan = Plan(FAULTS[fault], {position}, is_counted=True)
    strike(monkeypatch, plan)
    with Gateway(FLAGS[flag]) as gateway:
        assert [gateway.call("r") for _ in range(BUDGET + 1)] == DELAYS
        assert [gateway.call("r", SUCCESS), gateway.call("r")] == [0, 100]
    assert plan.calls == position + 1
    assert counts().ignored == {"chain-began-unseen": BUDGET + 2 - position}
    assert _native.open_chains() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")
def test_where_both_sides_run_out_of_memory_the_one_that_decides_answers(
    record_property: Record,
) -> None:
    """A process at its limit: the hybrid raises, as without the migration; the core does not.

    No crash, the candidate's failure is counted, and what follows is decided and compared with the
    limit still in place.
    """
    program = Path(__file__).with_name("exhaustion_of_both.py")
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, str(program)], capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    told = [json.loads(line) for line in done.stdout.splitlines()]
    calls = [each for each in told if "caller" in each]
    exhausted = sum(each["hybrid"] == "MemoryError" for each in calls)
    assert exhausted >= 4
    lost = [
        each
        for each in calls
        if each["after"] != [200, 400, 0]
        or each["caller"]
        not in ({each["hybrid"]} if each["flag"] in {"legacy", "shadow"} else {0, 200})
    ]
    counted = {each["flag"]: each["errors"] for each in told if "errors" in each}
    internal = {"internal": 1}
    assert counted == {"legacy": {}, "shadow": internal, "canary": internal, "rust": internal}
    assert all(each["harness"] == {} for each in told if "harness" in each)
    record_property("tried", exhausted)
    record_property("lost", len(lost))
    assert lost == []
