"""Which tools the gateway may handle natively, and with what policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .harness import Retry

DEFAULT = {
    "kind": "retry_with_backoff",
    "maxRetries": 2,
    "backoffBaseMs": 200,
    "maxBackoffMs": 5000,
    "retryOnStatus": [429, 500, 502, 503, 504],
    "jitter": True,
}
"""The policy of an empty config, in the gateway's spelling."""


def test_the_native_policy_is_the_effective_config(retry: Retry) -> None:
    """Without text checks the policy carries every value a native retry needs, as plain data."""
    retry.load({"check_text_content": False}).expect_policy("search", DEFAULT)
    config: dict[str, Any] = {
        "check_text_content": False,
        "max_retries": "7",
        "backoff_base_ms": 30.0,
        "max_backoff_ms": 90,
        "retry_on_status": ("418",),
        "jitter": "no",
    }
    read = {
        "maxRetries": 7,
        "backoffBaseMs": 30,
        "maxBackoffMs": 90,
        "retryOnStatus": [418],
        "jitter": False,
    }
    retry.load(config).expect_policy("search", DEFAULT | read)


def test_the_native_policy_of_a_tool_has_its_override(retry: Retry) -> None:
    """An overridden tool has the merged values, other tools have the base's."""
    override = {"max_retries": 4, "max_backoff_ms": 90, "retry_on_status": [418], "jitter": False}
    base = {"check_text_content": False, "max_retries": 1, "backoff_base_ms": 30}
    plugin = retry.load({**base, "tool_overrides": {"search": override}})
    other = DEFAULT | {"maxRetries": 1, "backoffBaseMs": 30}
    merged = {"maxRetries": 4, "maxBackoffMs": 90, "retryOnStatus": [418], "jitter": False}
    plugin.expect_policy("search", other | merged)
    plugin.expect_policy("other", other)


def test_the_native_policy_is_capped_by_the_ceiling_it_is_asked_for(retry: Retry) -> None:
    """The policy has the lower of the tool's max_retries and the caller's ceiling."""
    eager = {"eager": {"max_retries": 8}}
    plugin = retry.load({"check_text_content": False, "max_retries": 3, "tool_overrides": eager})
    for tool, budget in (("eager", 8), ("other", 3)):
        for ceiling in (0, 3, 5, 8, 100):
            capped = DEFAULT | {"maxRetries": min(budget, ceiling)}
            plugin.expect_policy(tool, capped, ceiling=ceiling)


def test_a_tool_whose_text_is_checked_has_no_native_policy(retry: Retry) -> None:
    """The gateway's native runtime does not read text, so such tools stay with the plugin."""
    overrides = {"on": {"check_text_content": True}, "off": {"check_text_content": False}}
    without = retry.load({"check_text_content": False, "tool_overrides": overrides})
    checking = retry.load({"check_text_content": True, "tool_overrides": overrides})
    for plugin, other in ((without, DEFAULT), (checking, None)):
        plugin.expect_policy("on", None)
        plugin.expect_policy("off", DEFAULT)
        plugin.expect_policy("other", other)
