"""What a tool's override changes, and what it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .results import FAILURE, result, status, text

if TYPE_CHECKING:
    from .harness import Retry

BASE = {"max_retries": 2, "backoff_base_ms": 100, "max_backoff_ms": 250}


def test_an_override_replaces_the_keys_it_names_and_no_others(retry: Retry) -> None:
    """Each key may be overridden by itself; all others keep the base's value."""
    overrides: dict[str, dict[str, object]] = {
        "patient": {"max_retries": 4},
        "quick": {"backoff_base_ms": 10},
        "capped": {"max_backoff_ms": 150},
        "picky": {"retry_on_status": [418]},
        "plain": {},
    }
    plugin = retry.plugin(**BASE, tool_overrides=overrides)
    seen = {tool: plugin.delays_ms([FAILURE] * 5, tool=tool) for tool in overrides}
    assert seen == {
        "patient": [100, 200, 250, 250, 0],
        "quick": [10, 20, 0, 10, 20],
        "capped": [100, 150, 0, 100, 150],
        "picky": [100, 200, 0, 100, 200],
        "plain": [100, 200, 0, 100, 200],
    }
    plugin.expect_failure(status(418), tool="picky")
    plugin.expect_no_failure(status(503), tool="picky")
    for tool in ("patient", "quick", "capped", "plain"):
        plugin.expect_failure(status(503), tool=tool)


def test_an_override_applies_to_the_tool_of_exactly_that_name(retry: Retry) -> None:
    """Other tools, and names that differ in case or by a space, have the base config."""
    plugin = retry.plugin(**BASE, tool_overrides={"search": {"backoff_base_ms": 7}})
    assert plugin.delays_ms([FAILURE], tool="search") == [7]
    for other in ("Search", "search ", "search2", "earch", ""):
        assert plugin.delays_ms([FAILURE], tool=other) == [100], other


def test_an_override_turns_text_checks_on_or_off(retry: Retry) -> None:
    """check_text_content may differ per tool, both ways."""
    report = result(content=(text({"status_code": 503}),))
    on = retry.plugin(check_text_content=False, tool_overrides={"rest": {_CHECK: True}})
    on.expect_failure(report, tool="rest")
    on.expect_no_failure(report, tool="other")
    off = retry.plugin(check_text_content=True, tool_overrides={"rest": {_CHECK: False}})
    off.expect_no_failure(report, tool="rest")
    off.expect_failure(report, tool="other")


def test_keys_the_config_does_not_know_are_ignored(retry: Retry) -> None:
    """An unknown key in the base or in an override, a nested override too, changes nothing."""
    odd = {"max_attempts": 9, "tool_overrides": {"search": {"max_retries": 9}}}
    plugin = retry.plugin(**BASE, comment="ours", tool_overrides={"search": odd})
    assert plugin.delays_ms([FAILURE] * 3) == [100, 200, 0]


_CHECK = "check_text_content"
