"""The hook for fetched resources."""

from __future__ import annotations

from .harness import Decision, Retry


def test_a_resource_is_never_retried_and_carries_the_base_policy(retry: Retry) -> None:
    """A fetched resource passes as it is, with the base config's policy, whatever tools have."""
    plugin = retry.plugin(max_retries=4, tool_overrides={"search": {"max_retries": 9}})
    policy = {
        "max_retries": 4,
        "backoff_base_ms": 200,
        "max_backoff_ms": 5000,
        "retry_on_status": [429, 500, 502, 503, 504],
    }
    for answer in plugin.fetch_resource():
        assert answer == Decision(
            0, {"retry_policy": policy}, continues=True, modifies=False, violates=False
        )
