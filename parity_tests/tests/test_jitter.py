"""Jitter: always in the legal range, and the same distribution on both sides."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import pytest
from cpex.framework import GlobalContext, PluginConfig, PluginContext, ToolPostInvokePayload

import retry_legacy
from retry_parity.walk import finish
from retry_with_backoff import RetryWithBackoffPlugin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Chance that one comparison of equal distributions raises an alarm.
FALSE_ALARM = 1e-9
DRAWS = 6_000
FAILURE = {"isError": True}


def draws(make: Callable[[PluginConfig], Any], base_ms: int, cap_ms: int, nth: int) -> list[int]:
    """Delays of the nth retry of many chains."""
    settings = {"max_retries": nth, "backoff_base_ms": base_ms, "max_backoff_ms": cap_ms}
    plugin = make(PluginConfig(name="r", kind="k", config=settings))
    payload = ToolPostInvokePayload(name="search", result=FAILURE)
    found = []
    for number in range(DRAWS):
        context = PluginContext(global_context=GlobalContext(request_id=f"r{number}"))
        answers: list[Any] = [finish(plugin.tool_post_invoke(payload, context)) for _ in range(nth)]
        found.append(answers[-1].retry_delay_ms)
        # A success ends the chain: the hybrid scans all live chains on each call.
        success = ToolPostInvokePayload(name="search", result={})
        finish(plugin.tool_post_invoke(success, context))
    return found


def largest_gap(left: Sequence[int], right: Sequence[int]) -> float:
    """The two-sample Kolmogorov-Smirnov statistic."""
    left, right = sorted(left), sorted(right)
    return max(
        abs(bisect_right(left, at) / len(left) - bisect_right(right, at) / len(right))
        for at in {*left, *right}
    )


def allowed_gap(left: int, right: int) -> float:
    """The gap that samples of one distribution exceed with the fixed false-alarm rate only.

    For discrete distributions the true rate is lower still.
    """
    return math.sqrt(-math.log(FALSE_ALARM / 2) / 2 * (left + right) / (left * right))


@pytest.mark.parametrize(("base_ms", "cap_ms", "nth"), [(200, 5000, 1), (7, 5000, 3), (500, 60, 1)])
@pytest.mark.parametrize(
    ("make", "smallest"),
    [
        pytest.param(retry_legacy.RetryWithBackoffPlugin, 0, id="native"),
        pytest.param(retry_legacy.PythonRetryWithBackoffPlugin, 0, id="python"),
    ],
)
def test_the_core_draws_as_the_hybrid_does(
    make: Callable[[PluginConfig], Any], smallest: int, base_ms: int, cap_ms: int, nth: int
) -> None:
    """Both within their legal range, and one distribution but for the hybrid's lost draws of 0."""
    ceiling = min(cap_ms, base_ms * 2 ** (nth - 1))
    ours, theirs = (draws(side, base_ms, cap_ms, nth) for side in (make, RetryWithBackoffPlugin))
    assert smallest <= min(ours) <= max(ours) <= ceiling
    assert 1 <= min(theirs) <= max(theirs) <= ceiling
    kept = [delay for delay in ours if delay]
    assert largest_gap(kept, theirs) < allowed_gap(len(kept), len(theirs))


def test_the_test_notices_half_the_jitter() -> None:
    """A generator that draws from the upper half only is far beyond the allowed gap."""
    whole = [number % 200 + 1 for number in range(DRAWS)]
    half = [number % 100 + 101 for number in range(DRAWS)]
    assert largest_gap(whole, half) > 2 * allowed_gap(DRAWS, DRAWS)
    assert largest_gap(whole, whole[::-1]) == 0
