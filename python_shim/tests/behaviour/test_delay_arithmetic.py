"""How long the gateway waits before each retry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .results import FAILURE

if TYPE_CHECKING:
    from .harness import Retry


def test_first_delay_is_the_base(retry: Retry) -> None:
    """The first failure waits backoff_base_ms, 200 when the config does not say."""
    assert retry.plugin().decide(FAILURE).delay_ms == 200
    assert retry.plugin(backoff_base_ms=1).decide(FAILURE, request="two").delay_ms == 1


def test_delay_doubles_with_each_failure(retry: Retry) -> None:
    """The n-th failure of a chain waits base * 2^(n-1)."""
    plugin = retry.plugin(max_retries=5, backoff_base_ms=3, max_backoff_ms=1000)
    assert plugin.delays_ms([FAILURE] * 5) == [3, 6, 12, 24, 48]


def test_delay_never_exceeds_the_cap(retry: Retry) -> None:
    """No delay is above max_backoff_ms: not where the base is, not where 2^(n-1) leaves 64 bits."""
    capped = retry.plugin(max_retries=5, backoff_base_ms=100, max_backoff_ms=350)
    assert capped.delays_ms([FAILURE] * 5) == [100, 200, 350, 350, 350]
    base_above = retry.plugin(max_retries=2, backoff_base_ms=900, max_backoff_ms=350)
    assert base_above.delays_ms([FAILURE] * 2, request="two") == [350, 350]
    endless = retry.plugin(max_retries=70, backoff_base_ms=3, max_backoff_ms=2**62)
    assert endless.delays_ms([FAILURE] * 70, request="three") == [
        min(3 * 2**n, 2**62) for n in range(70)
    ]


def test_jitter_draws_from_the_whole_range_up_to_the_delay(retry: Retry) -> None:
    """With jitter a delay is drawn from 0 (or 1) to what it would be without, all of it likely."""
    plugin = retry.plugin(
        jitter=True, max_retries=3, backoff_base_ms=1_000_000, max_backoff_ms=2_000_000
    )
    for attempt, highest in enumerate([1_000_000, 2_000_000, 2_000_000]):
        drawn: dict[str, list[int]] = {}
        for draw in range(60):
            for lane, decision in plugin.decide_by_lane(FAILURE, request=f"draw-{draw}").items():
                drawn.setdefault(lane, []).append(decision.delay_ms)
        for lane, delays in drawn.items():
            outside = [delay for delay in delays if not 0 <= delay <= highest]
            assert not outside, f"{lane}: failure {attempt + 1} waits {outside}, above {highest}"
            spread = f"{lane}: 60 draws up to {highest} in one half: {sorted(delays)}"
            assert min(delays) < highest // 2 < max(delays), spread
