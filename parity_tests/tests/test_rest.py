"""A candidate that is slow again and again is not asked for a while, whatever the flag."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from injections import DELAYS, FLAGS, Gateway, Plan, counts, strike
from laboratory import NAME, SUCCESS
from test_guard import Clock

from retry_parity import upkeep
from retry_parity._native import Switch
from retry_parity.migration import migration_of
from retry_parity.rest import MOST_SLOW, REST_S, Rest

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_MS = 150.0
ASKED = [flag for flag in FLAGS if flag != "legacy"]


@pytest.fixture(autouse=True)
def upkeep_ends() -> Iterator[None]:
    """Leave no thread to the next test."""
    yield
    upkeep.stop()


def rest() -> tuple[Rest, Switch, Clock]:
    """Make a rest with its switch and its clock."""
    switch, clock = Switch(), Clock()
    return Rest("retry", switch, clock), switch, clock


def test_it_begins_with_one_slow_call_more_than_is_borne(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Three are borne; the fourth one begins the rest, and one line says so."""
    made, switch, _ = rest()
    for number in range(MOST_SLOW + 3):
        assert switch.resting is (number > MOST_SLOW)
        made.note_slow()
    assert made.is_on()
    assert made.count == 1
    (record,) = caplog.records
    assert "retry: the candidate was slow 4 times within 300 s" in record.getMessage()


@pytest.mark.parametrize(("pause_s", "rests"), [(100.0, True), (100.1, False)])
def test_the_window_slides(pause_s: float, *, rests: bool) -> None:
    """A slow call now and then is borne for good."""
    made, switch, clock = rest()
    for _ in range(MOST_SLOW + 1):
        made.note_slow()
        clock.now_s += pause_s
    assert switch.resting is rests


def test_it_ends_by_itself_and_the_next_slow_call_begins_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One slow call in 300 s is the price of finding out; it is logged the first time only."""
    made, switch, clock = rest()
    for _ in range(MOST_SLOW + 1):
        made.note_slow()
    for number in range(1, 4):
        assert made.count == number
        clock.now_s += REST_S - 0.1
        assert made.is_on()
        clock.now_s += 0.1
        assert not made.is_on()
        made.note_slow()
        assert switch.resting
    assert len(caplog.records) == 1


def test_a_candidate_that_has_recovered_is_borne_as_before() -> None:
    """A window without a slow call after its rest, and three are borne again."""
    made, switch, clock = rest()
    for _ in range(MOST_SLOW + 1):
        made.note_slow()
    clock.now_s += REST_S
    assert not made.is_on()
    clock.now_s += REST_S + 0.1
    for _ in range(MOST_SLOW):
        made.note_slow()
    assert not switch.resting


def slow() -> None:
    """Take longer than is allowed, and have no answer then."""
    time.sleep(1.2 * LIMIT_MS / 1000)


@pytest.mark.parametrize("flag", ASKED)
def test_a_slow_candidate_is_asked_four_times_and_then_left_alone(
    flag: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    record_property: Any,
) -> None:
    """It was asked for ever: under ``shadow``, and with the guard tripped, to compare it.

    A call cost the time limit more each time. After its rest it costs that once.
    """
    plan = Plan(slow, range(10_000))
    strike(monkeypatch, plan)
    with Gateway({**FLAGS[flag], "time_limit_ms": LIMIT_MS}) as gateway:
        clock = Clock()
        migration = migration_of(NAME)
        migration.rest = Rest(NAME, migration.switch, clock)
        requests = [gateway.request() for _ in range(12)]
        assert plan.calls == MOST_SLOW + 1
        clock.now_s += REST_S
        requests += [gateway.request() for _ in range(4)]
        assert plan.calls == MOST_SLOW + 2
    # Slow and no answer besides: under ``rust`` alone that is no retry, until the guard trips.
    alone = 4 if flag == "rust alone" else 0
    wanted = [[0]] * alone + [DELAYS] * (len(requests) - alone)
    lost = sum(got != want for got, want in zip(requests, wanted, strict=True))
    lines = [each for each in caplog.records if "is not asked for" in each.getMessage()]
    assert len(lines) == 1
    assert counts().ignored["candidate-rests"] >= 8
    record_property("tried", plan.calls)
    record_property("lost", lost)
    assert lost == 0


@pytest.mark.parametrize("flag", ["shadow", "canary, the core's share", "rust, compared"])
def test_chains_that_a_resting_candidate_has_begun_go_on_with_the_hybrid(
    flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides have seen all of them, so that the budget is exact."""
    plan = Plan()
    strike(monkeypatch, plan)
    with Gateway(FLAGS[flag]) as gateway:
        migration = migration_of(NAME)
        assert [gateway.call(each) for each in "ab"] == [100, 100]
        for _ in range(MOST_SLOW + 1):
            migration.rest.note_slow()
        assert [[gateway.call(each) for _ in range(3)] for each in "ab"] == [DELAYS[1:]] * 2
        assert plan.calls == 2
        assert gateway.request() == DELAYS
    assert counts().divergent == {}


def test_only_the_core_knows_its_own_chains_so_it_is_asked_to_their_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under ``rust`` alone the hybrid has not seen them: it would grant their budget once more."""
    plan = Plan()
    strike(monkeypatch, plan)
    with Gateway(FLAGS["rust alone"]) as gateway:
        assert gateway.call("a") == 100
        for _ in range(MOST_SLOW + 1):
            migration_of(NAME).rest.note_slow()
        assert gateway.request() == DELAYS
        assert plan.calls == 1
        assert [gateway.call("a") for _ in range(3)] == DELAYS[1:]
        assert plan.calls == 4
        assert gateway.call("b", SUCCESS) == 0
        assert plan.calls == 4
