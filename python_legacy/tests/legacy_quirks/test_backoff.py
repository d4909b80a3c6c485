"""Jitter and the arithmetic of delays."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from retry_legacy import RetryConfig, RetryStateManager, set_random
from retry_legacy.backoff import delay_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .driver import Load

U64_MAX = 2**64 - 1


def fast(base_ms: int, max_ms: int, *, jitter: bool = False) -> RetryStateManager:
    """Make a manager of which only the delays matter."""
    return RetryStateManager(2, base_ms, max_ms, jitter, [])


@pytest.mark.parametrize("attempt", [0, 1, 5, 31, 62])
def test_the_paths_agree_without_jitter(attempt: int) -> None:
    """Both compute base * 2^attempt, capped."""
    config = RetryConfig(backoff_base_ms=3, max_backoff_ms=10**15, jitter=False)
    assert fast(3, 10**15).compute_delay(attempt) == delay_ms(attempt, config)


def test_a_cap_below_the_base_wins() -> None:
    """A maximum smaller than the base is allowed and caps the first delay."""
    assert fast(200, 50).compute_delay(0) == 50


@pytest.mark.parametrize("attempt", [63, 64, 2**32 - 1])
def test_huge_attempts_saturate(attempt: int) -> None:
    """The fast path neither wraps nor panics."""
    assert fast(2, U64_MAX).compute_delay(attempt) == U64_MAX


def test_jitter_of_the_fast_path_includes_0_and_the_ceiling() -> None:
    """A draw of 0 is legal, and loses the retry (ledger: jitter-zero)."""
    manager = fast(3, 3, jitter=True)
    assert {manager.compute_delay(0) for _ in range(2000)} == {0, 1, 2, 3}


def test_a_draw_of_0_loses_the_retry_but_keeps_the_failure(load: Load) -> None:
    """At base 1 every second first retry is asked for with delay 0, which means no retry."""
    plugin = load(native=True, jitter=True, backoff_base_ms=1, max_backoff_ms=1)
    delays = [plugin.delay(request_id=str(number)) for number in range(400)]
    assert set(delays) == {0, 1}
    assert 100 < sum(delays) < 300


def test_jitter_of_the_python_path_is_rounded_up() -> None:
    """A uniform draw below the ceiling is rounded up, so that 0 does not come."""
    config = RetryConfig(backoff_base_ms=3, max_backoff_ms=3, jitter=True)
    assert {delay_ms(0, config) for _ in range(2000)} == {1, 2, 3}


@pytest.fixture
def scripted_draws() -> Iterator[list[float]]:
    """Put draws in the place of the random source of both paths; the last one is drawn first."""
    draws: list[float] = []
    set_random(draws.pop)
    yield draws
    set_random(None)


@pytest.mark.parametrize(("draw", "delay"), [(0.0, 0), (0.5, 2), (0.75, 3), (0.999999, 3)])
def test_a_replaced_source_draws_for_the_fast_path(
    scripted_draws: list[float], draw: float, delay: int
) -> None:
    """A replay draws the same each time: every delay from 0 to the ceiling, each as likely."""
    scripted_draws.append(draw)
    assert fast(3, 3, jitter=True).compute_delay(0) == delay
    assert scripted_draws == []


def test_a_replaced_source_draws_for_the_python_path(scripted_draws: list[float]) -> None:
    """The same source, so that a replay sets one only."""
    scripted_draws += [0.999999, 0.5, 0.1]
    config = RetryConfig(backoff_base_ms=3, max_backoff_ms=3, jitter=True)
    assert [delay_ms(0, config) for _ in range(3)] == [1, 2, 3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_workers_draw_the_same_jitter_on_the_fast_path() -> None:
    """The generator is not reseeded after a fork (ledger: fork-jitter)."""
    manager = fast(U64_MAX, U64_MAX, jitter=True)
    manager.compute_delay(0)
    draws = set()
    for _ in range(3):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, str(manager.compute_delay(0)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        draws.add(os.read(read, 100))
        os.close(read)
        os.close(write)
    assert len(draws) == 1
