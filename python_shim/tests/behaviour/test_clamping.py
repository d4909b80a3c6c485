"""The gateway's ceiling on retries (its MAX_TOOL_RETRIES) and the plugin's max_retries."""

from __future__ import annotations

import copy
import itertools
import logging
from typing import TYPE_CHECKING

import pytest

from .results import FAILURE

if TYPE_CHECKING:
    from .harness import Retry, Subject

BASE = {"backoff_base_ms": 1, "max_backoff_ms": 1}

_wanted = itertools.count(1000)
"""Numbers of retries no plugin has warned of: one that warns once per process does so again."""


def retries(plugin: Subject, *, tool: str = "search", request: str = "one") -> int:
    """Count how many failures in a row are retried, and check that the metadata agrees."""
    budget: object = plugin.decide(FAILURE, tool=tool, request=f"{request}-metadata").metadata[
        "retry_policy"
    ]["max_retries"]
    count = 0
    while plugin.decide(FAILURE, tool=tool, request=request).delay_ms:
        count += 1
    assert budget == count, f"{tool}: the metadata says {budget}, {count} failures were retried"
    return count


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give the messages logged as a warning or worse."""
    return [item.getMessage() for item in caplog.records if item.levelno >= logging.WARNING]


def expect_warning(caplog: pytest.LogCaptureFixture, *words: str) -> None:
    """Check that one of the warnings has all of these words."""
    warned = warnings_in(caplog)
    if not any(all(word in line for word in words) for line in warned):
        pytest.fail(f"no warning has {' and '.join(words)}: {warned}")


def test_the_base_is_clamped_to_the_ceiling(retry: Retry, caplog: pytest.LogCaptureFixture) -> None:
    """max_retries above the ceiling becomes the ceiling, with a warning that names both."""
    for ceiling in (0, 1, 3):
        wanted = next(_wanted)
        caplog.clear()
        plugin = retry.plugin(**BASE, max_retries=wanted, ceiling=ceiling)
        expect_warning(caplog, str(wanted), str(ceiling))
        assert retries(plugin, request=f"under-{ceiling}") == ceiling


def test_an_override_is_clamped_to_the_ceiling(
    retry: Retry, caplog: pytest.LogCaptureFixture
) -> None:
    """An override above the ceiling becomes the ceiling, with a warning that names its tool."""
    wanted = next(_wanted)
    overrides = {"eager": {"max_retries": wanted}, "other": {"backoff_base_ms": 1}}
    plugin = retry.plugin(**BASE, max_retries=1, tool_overrides=overrides, ceiling=3)
    expect_warning(caplog, "eager", str(wanted), "3")
    assert retries(plugin, tool="eager") == 3
    assert retries(plugin, tool="other") == 1


def test_what_is_not_above_the_ceiling_stays(
    retry: Retry, caplog: pytest.LogCaptureFixture
) -> None:
    """The ceiling is a limit, not a value: at or below it nothing changes or is warned of."""
    overrides = {"at": {"max_retries": 5}, "below": {"max_retries": 1}, "never": {"max_retries": 0}}
    plugin = retry.plugin(**BASE, max_retries=4, tool_overrides=overrides, ceiling=5)
    assert not warnings_in(caplog)
    assert {tool: retries(plugin, tool=tool) for tool in ("at", "below", "never", "base")} == {
        "at": 5,
        "below": 1,
        "never": 0,
        "base": 4,
    }


def test_without_a_ceiling_nothing_is_clamped(
    retry: Retry, caplog: pytest.LogCaptureFixture
) -> None:
    """No ceiling means none: more than ten retries are allowed, and an override above the base."""
    plugin = retry.plugin(**BASE, max_retries=25, tool_overrides={"eager": {"max_retries": 40}})
    assert not warnings_in(caplog)
    assert retries(plugin) == 25
    assert retries(plugin, tool="eager") == 40


def test_clamping_leaves_the_config_of_the_operator_alone(retry: Retry) -> None:
    """The config the plugin is given is read, never written, so it can be loaded again."""
    config = {
        **BASE,
        "jitter": False,
        "check_text_content": False,
        "max_retries": 47,
        "retry_on_status": [503],
        "tool_overrides": {"eager": {"max_retries": 48, "retry_on_status": [500]}},
    }
    before = copy.deepcopy(config)
    low = retry.load(config, ceiling=2)
    low.decide(FAILURE, tool="eager", request="before")
    low.fetch_resource()
    assert config == before
    assert retries(retry.load(config, ceiling=3), tool="eager") == 3
