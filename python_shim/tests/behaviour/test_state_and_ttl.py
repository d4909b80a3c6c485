"""How long a chain lives without a call: 300 s from its last failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .results import FAILURE, SUCCESS

if TYPE_CHECKING:
    from .harness import Retry

CONFIG = {"max_retries": 3, "backoff_base_ms": 10, "max_backoff_ms": 1000}
FIRST, SECOND, THIRD, NONE = 10, 20, 40, 0
"""The delays of CONFIG, and no retry."""


def test_a_chain_is_counted_on_until_it_is_300_s_old(retry: Retry) -> None:
    """A chain whose last failure is 300 s ago, to the nanosecond, is still there."""
    plugin = retry.plugin(**CONFIG)
    for request, seconds in (("soon", 1), ("late", 299), ("just", 300)):
        assert plugin.delays_ms([FAILURE], request=request) == [FIRST]
        retry.advance(seconds=seconds)
        assert plugin.delays_ms([FAILURE], request=request) == [SECOND], f"after {seconds} s"


def test_a_chain_older_than_300_s_is_absent(retry: Retry) -> None:
    """A chain whose last failure is more than 300 s ago is as good as none: the budget is whole."""
    plugin = retry.plugin(**CONFIG)
    for request, milliseconds in (("just", 300_001), ("long", 3_600_000)):
        assert plugin.delays_ms([FAILURE] * 3, request=request) == [FIRST, SECOND, THIRD]
        retry.advance(milliseconds=milliseconds)
        delays = plugin.delays_ms([FAILURE] * 4, request=request)
        assert delays == [FIRST, SECOND, THIRD, NONE], f"after {milliseconds} ms"


def test_the_age_is_counted_from_the_last_failure(retry: Retry) -> None:
    """Each failure renews the chain, so a slow chain outlives 300 s and is exhausted in the end."""
    plugin = retry.plugin(**CONFIG)
    seen = []
    for _ in range(4):
        seen.append(plugin.decide(FAILURE).delay_ms)
        retry.advance(seconds=200)
    assert seen == [FIRST, SECOND, THIRD, NONE]


def test_each_chain_ages_by_itself(retry: Retry) -> None:
    """Calls of other requests, failures and successes, keep no chain alive and end none."""
    plugin = retry.plugin(**CONFIG)
    assert plugin.delays_ms([FAILURE], request="old") == [FIRST]
    retry.advance(seconds=200)
    assert plugin.delays_ms([FAILURE], request="young") == [FIRST]
    retry.advance(seconds=101)
    assert plugin.delays_ms([SUCCESS], request="passing") == [NONE]
    assert plugin.delays_ms([FAILURE], request="young") == [SECOND]
    assert plugin.delays_ms([FAILURE], request="old") == [FIRST]
