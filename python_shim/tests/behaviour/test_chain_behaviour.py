"""The chain: the calls of one tool for one request, from its first failure to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .results import FAILURE, SUCCESS, result, status, text

if TYPE_CHECKING:
    from .harness import Retry

CONFIG = {"max_retries": 3, "backoff_base_ms": 10, "max_backoff_ms": 1000}
FIRST, SECOND, THIRD, NONE = 10, 20, 40, 0
"""The delays of CONFIG, and no retry."""


def test_a_chain_is_retried_max_retries_times(retry: Retry) -> None:
    """max_retries failures are retried, the next one is not."""
    assert retry.plugin(**CONFIG).delays_ms([FAILURE] * 4) == [FIRST, SECOND, THIRD, NONE]
    single = retry.plugin(**{**CONFIG, "max_retries": 1})
    assert single.delays_ms([FAILURE] * 2, request="two") == [FIRST, NONE]


def test_a_budget_of_zero_never_retries(retry: Retry) -> None:
    """With max_retries 0 no failure is ever retried."""
    plugin = retry.plugin(**{**CONFIG, "max_retries": 0})
    assert plugin.delays_ms([FAILURE] * 3) == [NONE, NONE, NONE]


def test_an_exhausted_chain_is_over(retry: Retry) -> None:
    """The failure after the one that exhausts the budget starts anew, with the whole budget."""
    delays = retry.plugin(**CONFIG).delays_ms([FAILURE] * 8)
    assert delays == [FIRST, SECOND, THIRD, NONE] * 2


def test_a_success_ends_the_chain(retry: Retry) -> None:
    """A success is not retried, and the failure after it starts anew."""
    results = [FAILURE, FAILURE, SUCCESS, FAILURE, FAILURE, FAILURE, FAILURE]
    delays = retry.plugin(**CONFIG).delays_ms(results)
    assert delays == [FIRST, SECOND, NONE, FIRST, SECOND, THIRD, NONE]


def test_a_success_without_a_chain_changes_nothing(retry: Retry) -> None:
    """However many successes come first, the first failure is the first."""
    delays = retry.plugin(**CONFIG).delays_ms([SUCCESS] * 5 + [FAILURE, FAILURE])
    assert delays == [NONE] * 5 + [FIRST, SECOND]


def test_an_error_that_is_not_retryable_ends_the_chain(retry: Retry) -> None:
    """What is no failure ends the chain like a success: another status, or a result of no dict."""
    plugin = retry.plugin(**CONFIG)
    not_found = result(is_error=True, structured={"status_code": 404})
    for number, ending in enumerate((not_found, None, "text", [FAILURE], 503)):
        delays = plugin.delays_ms([FAILURE, ending, FAILURE], request=f"request-{number}")
        assert delays == [FIRST, NONE, FIRST], f"{ending!r} is no failure and ends the chain"


def test_failures_of_different_kinds_count_together(retry: Retry) -> None:
    """A chain counts failures, whatever made each of them one."""
    kinds = [status(503), FAILURE, result(structured={"isError": True}), status(429)]
    assert retry.plugin(**CONFIG).delays_ms(kinds) == [FIRST, SECOND, THIRD, NONE]
    told = [result(content=(text({"isError": True}),)), status(503), FAILURE, status(500)]
    checking = retry.plugin(**CONFIG, check_text_content=True)
    assert checking.delays_ms(told, request="two") == [FIRST, SECOND, THIRD, NONE]


def test_requests_have_chains_of_their_own(retry: Retry) -> None:
    """Failures, exhaustion and successes of one request leave another one's chain as it is."""
    plugin = retry.plugin(**CONFIG)
    assert plugin.delays_ms([FAILURE] * 2, request="one") == [FIRST, SECOND]
    assert plugin.delays_ms([FAILURE] * 4, request="two") == [FIRST, SECOND, THIRD, NONE]
    assert plugin.delays_ms([SUCCESS], request="three") == [NONE]
    assert plugin.delays_ms([FAILURE, FAILURE], request="one") == [THIRD, NONE]


def test_tools_have_chains_of_their_own(retry: Retry) -> None:
    """Two tools called for the same request each have their own count and their own end."""
    plugin = retry.plugin(**CONFIG)
    assert plugin.delays_ms([FAILURE] * 2, tool="search") == [FIRST, SECOND]
    assert plugin.delays_ms([FAILURE] * 4, tool="fetch") == [FIRST, SECOND, THIRD, NONE]
    assert plugin.delays_ms([SUCCESS], tool="list") == [NONE]
    assert plugin.delays_ms([FAILURE, FAILURE], tool="search") == [THIRD, NONE]


def test_plugin_objects_share_the_chains(retry: Retry) -> None:
    """Plugin objects of one process count, exhaust and end the same chains.

    The gateway rebuilds its plugin objects every 30 s. With state kept in the object,
    ``max_retries: 2`` was seen to give four attempts.
    """
    assert retry.plugin(**CONFIG).delays_ms([FAILURE]) == [FIRST]
    second = retry.plugin(**CONFIG)
    assert second.delays_ms([FAILURE]) == [SECOND]
    third = retry.plugin(**CONFIG)
    assert third.delays_ms([FAILURE, FAILURE]) == [THIRD, NONE]
    assert second.delays_ms([FAILURE, SUCCESS]) == [FIRST, NONE]
    assert third.delays_ms([FAILURE]) == [FIRST]


def test_a_chain_goes_on_under_a_changed_config(retry: Retry) -> None:
    """A plugin loaded with other numbers goes on from the count it finds, by its own numbers."""
    assert retry.plugin(**CONFIG).delays_ms([FAILURE, FAILURE]) == [FIRST, SECOND]
    larger = retry.plugin(max_retries=9, backoff_base_ms=1, max_backoff_ms=1000)
    assert larger.delays_ms([FAILURE]) == [4]
    smaller = retry.plugin(**{**CONFIG, "max_retries": 1})
    assert smaller.delays_ms([FAILURE, FAILURE, FAILURE]) == [NONE, FIRST, NONE]
