"""Jitter: always in the legal range, the same distribution, and the same delays from equal draws.

The hybrid's Python path and the core take their draws from where a test says; its fast path does
not, so that there distributions alone can be compared.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from cpex.framework import GlobalContext, PluginConfig, PluginContext, ToolPostInvokePayload
from hypothesis import example, given
from hypothesis import strategies as st

import retry_legacy
from retry_parity.walk import finish
from retry_with_backoff import RetryWithBackoffPlugin, _core

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hypothesis.strategies import DrawFn

#: Chance that one comparison of equal distributions raises an alarm.
FALSE_ALARM = 1e-9
DRAWS = 6_000
FAILURE = {"isError": True}


def chain_delays(plugin: Any, request_id: str, failures: int) -> list[int]:
    """Delays that a plugin asks for in one chain, which a success ends."""
    context = PluginContext(global_context=GlobalContext(request_id=request_id))
    payload = ToolPostInvokePayload(name="search", result=FAILURE)
    answers: list[Any] = [
        finish(plugin.tool_post_invoke(payload, context)) for _ in range(failures)
    ]
    # The hybrid scans all live chains on each call.
    success = ToolPostInvokePayload(name="search", result={})
    finish(plugin.tool_post_invoke(success, context))
    return [answer.retry_delay_ms for answer in answers]


def load(make: Callable[[PluginConfig], Any], base_ms: int, cap_ms: int, retries: int) -> Any:
    """Build a plugin object with jitter."""
    settings = {"max_retries": retries, "backoff_base_ms": base_ms, "max_backoff_ms": cap_ms}
    return make(PluginConfig(name="r", kind="k", config=settings))


def draws(make: Callable[[PluginConfig], Any], base_ms: int, cap_ms: int, nth: int) -> list[int]:
    """Delays of the nth retry of many chains."""
    plugin = load(make, base_ms, cap_ms, nth)
    return [chain_delays(plugin, f"r{number}", nth)[-1] for number in range(DRAWS)]


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


# --- coupled draws -------------------------------------------------------------------------------


class Told(random.Random):
    """A generator that gives what it is told, once each; what it makes of it is Python's own."""

    def __init__(self, fractions: Sequence[float]) -> None:
        """Give these, from the first to the last."""
        super().__init__(0)
        self.left = list(fractions)

    def random(self) -> float:
        """Give the next one."""
        return self.left.pop(0)


@st.composite
def draw_fractions(draw: DrawFn) -> list[float]:
    """Fractions from 0 to below 1, in few enough bits that no product with a ceiling is rounded.

    Few bits make many products that are integers, which is where the two sides differ.
    """
    sizes = draw(st.lists(st.integers(0, 20), min_size=1, max_size=8))
    return [draw(st.integers(0, 2**bits - 1)) / 2**bits for bits in sizes]


def both_delays(base_ms: int, cap_ms: int, fractions: list[float]) -> tuple[list[int], list[int]]:
    """Delays of the hybrid's Python path and of the core in one chain, from the same draws."""
    python, core = Told(fractions), Told(fractions)
    retries = len(fractions)
    retry_legacy.set_random(python.random)
    try:
        ours = chain_delays(
            load(retry_legacy.PythonRetryWithBackoffPlugin, base_ms, cap_ms, retries),
            "r",
            retries + 1,
        )
    finally:
        retry_legacy.set_random(None)
    _core.set_random(core.random)
    try:
        theirs = chain_delays(
            load(RetryWithBackoffPlugin, base_ms, cap_ms, retries), "r", retries + 1
        )
    finally:
        _core.set_random(None)
    assert python.left == core.left == []
    assert ours.pop() == theirs.pop() == 0
    return ours, theirs


@given(base_ms=st.integers(1, 2**24), cap_ms=st.integers(1, 2**32), fractions=draw_fractions())
@example(base_ms=200, cap_ms=5000, fractions=[0.0, 0.5, 0.5 + 2**-20, 1 - 2**-20])
@example(base_ms=1, cap_ms=1, fractions=[0.0, 1 - 2**-20])
def test_equal_draws_give_delays_that_differ_by_one_exactly_on_whole_milliseconds(
    base_ms: int, cap_ms: int, fractions: list[float]
) -> None:
    """From a draw u under a ceiling c the hybrid rounds u*c up, the core down and adds 1.

    So the core waits one millisecond longer where u*c is an integer, 0 included (ledger:
    jitter-zero), and as long everywhere else. Each retry takes one draw of its own, in order, and
    neither an exhausted budget nor a success takes any.
    """
    expected = [
        fraction * min(cap_ms, base_ms * 2**attempt)
        for attempt, fraction in enumerate(map(Fraction, fractions))
    ]
    ours, theirs = both_delays(base_ms, cap_ms, fractions)
    assert ours == [math.ceil(exact) for exact in expected]
    assert theirs == [math.floor(exact) + 1 for exact in expected]
    assert [their - our for our, their in zip(ours, theirs, strict=True)] == [
        int(exact.denominator == 1) for exact in expected
    ]


@given(
    cap_ms=st.integers(1, 2**64 - 1),
    steps=st.integers(0, 2**53 - 1),
)
def test_the_core_rounds_no_draw_whatever_the_ceiling(cap_ms: int, steps: int) -> None:
    """The core's delay is exact for every draw of 53 bits, up to the largest ceiling there is."""
    fraction = steps / 2**53
    _core.set_random(lambda: fraction)
    try:
        (delay_ms,) = chain_delays(load(RetryWithBackoffPlugin, cap_ms, cap_ms, 1), "r", 1)
    finally:
        _core.set_random(None)
    assert delay_ms == steps * cap_ms // 2**53 + 1


# --- one draw and the next -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(retry_legacy.RetryWithBackoffPlugin, id="native"),
        pytest.param(retry_legacy.PythonRetryWithBackoffPlugin, id="python"),
        pytest.param(RetryWithBackoffPlugin, id="core"),
    ],
)
def test_a_retry_does_not_follow_the_one_before(make: Callable[[PluginConfig], Any]) -> None:
    """Each retry has its own whole range, wherever in its range the retry before it was drawn.

    After a first delay in the lower half of its range the second one has the same distribution as
    after one in the upper half.
    """
    plugin = load(make, 200, 400, 2)
    pairs = [chain_delays(plugin, f"r{number}", 2) for number in range(DRAWS)]
    after_short = [second for first, second in pairs if first <= 100]
    after_long = [second for first, second in pairs if first > 100]
    assert largest_gap(after_short, after_long) < allowed_gap(len(after_short), len(after_long))
