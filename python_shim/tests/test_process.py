"""What all plugin objects of a process share: chains, clock, draws."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from retry_with_backoff import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hook_calls import Call

FAILURE: dict[str, Any] = {"isError": True}
EXACT = {"jitter": False, "max_retries": 3, "backoff_base_ms": 10}


@pytest.fixture
def clock() -> Iterator[list[float]]:
    """A clock that stands where its only item says, in seconds."""
    now = [1000.0]
    _core.set_clock(lambda: now[0])
    yield now
    _core.set_clock(None)
    _core.clear_state()


@pytest.fixture
def few_chains() -> Iterator[None]:
    """Room for two chains only."""
    _core.clear_state()
    _core.set_max_chains(2)
    yield
    _core.set_max_chains(1_000_000)
    _core.clear_state()


def test_a_chain_goes_on_in_another_plugin_object(call: Call) -> None:
    """Each call builds its plugin anew, as the gateway does; the budget is not reset."""
    assert [call(EXACT, FAILURE).retry_delay_ms for _ in range(4)] == [10, 20, 40, 0]


def test_a_chain_is_alive_at_exactly_300_seconds_and_gone_after(
    call: Call, clock: list[float]
) -> None:
    """BEHAVIOUR, "The chain": more than 300 s after its last failure it counts as absent."""
    delays = []
    for wait in (0, 300.0, 300.0, 300.000001):
        clock[0] += wait
        delays.append(call(EXACT, FAILURE).retry_delay_ms)
    assert delays == [10, 20, 40, 10]


@pytest.mark.parametrize("reading", [-1.0, float("nan"), float("inf"), 2e10])
def test_an_impossible_clock_is_an_internal_error_and_no_crash(
    call: Call, clock: list[float], reading: float
) -> None:
    """A broken clock costs the retry, never the call."""
    clock[0] = reading
    before = _core.internal_errors()
    assert call(EXACT, FAILURE).retry_delay_ms == 0
    assert _core.internal_errors() - before == 1


def test_draws_cover_the_range_from_one_to_the_ceiling(call: Call) -> None:
    """Ledger jitter-zero: the smallest draw is 1 ms, which is still a retry."""
    delays = []
    for draw in (0.0, 0.5, 0.9999999):
        _core.set_random(lambda draw=draw: draw)  # type: ignore[misc]  # mypy: defaults of lambdas
        try:
            delays.append(call({}, FAILURE, request_id=f"draw {draw}").retry_delay_ms)
        finally:
            _core.set_random(None)
    assert delays == [1, 101, 200]


@pytest.mark.parametrize("draw", [1.0, -0.1, float("nan")])
def test_an_impossible_draw_is_an_internal_error(call: Call, draw: float) -> None:
    """A random source that leaves [0, 1) costs the retry, never the call."""
    before = _core.internal_errors()
    _core.set_random(lambda: draw)
    try:
        assert call({}, FAILURE).retry_delay_ms == 0
    finally:
        _core.set_random(None)
    assert _core.internal_errors() - before == 1


@pytest.mark.usefixtures("few_chains")
def test_beyond_the_bound_the_oldest_chain_starts_anew(call: Call) -> None:
    """Ledger bounded-state: a configured maximum, the oldest goes first, counted."""
    before = _core.evicted_chains()
    for request_id in ("first", "second", "third"):
        call(EXACT, FAILURE, request_id=request_id)
    assert (_core.live_chains(), _core.evicted_chains() - before) == (2, 1)
    again = {rid: call(EXACT, FAILURE, request_id=rid).retry_delay_ms for rid in ("third", "first")}
    assert again == {"third": 20, "first": 10}


def test_the_bytes_of_the_chains_are_told(call: Call) -> None:
    """More chains take more, in blocks; the bindings add nothing for each."""
    before = _core.store_bytes()
    for number in range(3000):
        call(EXACT, FAILURE, request_id=str(number))
    grown = _core.store_bytes() - before
    assert 3000 * 40 <= grown <= 3000 * 100


def test_the_environment_bounds_the_chains(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """RETRY_MAX_CHAINS is read when a plugin is built."""
    monkeypatch.setenv("RETRY_MAX_CHAINS", "1")
    try:
        for request_id in ("a", "b", "c"):
            call(EXACT, FAILURE, request_id=request_id)
        assert _core.live_chains() == 1
    finally:
        _core.set_max_chains(1_000_000)


def test_forked_workers_draw_their_own_jitter() -> None:
    """Ledger fork-jitter: the hybrid's workers, forked after a first draw, all drew the same."""
    workers = """
import os
from types import SimpleNamespace as N
from retry_with_backoff import RetryPluginCore, _core
core = RetryPluginCore({"backoff_base_ms": 2**40, "max_backoff_ms": 2**40})
def draw():
    _core.clear_state()
    payload = N(name="t", result={"isError": True})
    context = N(global_context=N(request_id="r"))
    return core.tool_post_invoke(payload, context).retry_delay_ms
draw()
for _ in range(4):
    if os.fork() == 0:
        os.write(1, f"{draw()}\\n".encode())
        os._exit(0)
    os.wait()
"""
    run = subprocess.run(  # noqa: S603  our own interpreter and code
        [sys.executable, "-c", workers], capture_output=True, text=True, check=True
    )
    draws = run.stdout.split()
    assert len(draws) == len(set(draws)) == 4
