"""What every answer says about the policy it followed."""

from __future__ import annotations

import json

from .harness import Decision, Retry
from .results import FAILURE, SUCCESS, status

DEFAULTS = {
    "max_retries": 2,
    "backoff_base_ms": 200,
    "max_backoff_ms": 5000,
    "retry_on_status": [429, 500, 502, 503, 504],
}


def test_the_metadata_is_the_retry_policy(retry: Retry) -> None:
    """An empty config answers with the documented defaults under ``retry_policy``, and no more."""
    assert retry.load({}).decide(SUCCESS).metadata == {"retry_policy": DEFAULTS}


def test_the_metadata_is_that_of_the_tool(retry: Retry) -> None:
    """An overridden tool's answers carry its merged policy, other tools' the base's."""
    override = {"max_retries": 5, "retry_on_status": [418], "jitter": True}
    plugin = retry.plugin(backoff_base_ms=30, tool_overrides={"search": override})
    merged = {**DEFAULTS, "max_retries": 5, "backoff_base_ms": 30, "retry_on_status": [418]}
    assert plugin.decide(SUCCESS, tool="search").metadata == {"retry_policy": merged}
    base = {**DEFAULTS, "backoff_base_ms": 30}
    assert plugin.decide(SUCCESS, tool="other").metadata == {"retry_policy": base}


def test_the_metadata_is_the_same_whatever_is_decided(retry: Retry) -> None:
    """Success, each failure, exhaustion and a result of no dict all carry the same policy."""
    plugin = retry.plugin(max_retries=1)
    policy = {"retry_policy": {**DEFAULTS, "max_retries": 1}}
    for outcome in (SUCCESS, FAILURE, FAILURE, status(503), status(404), None, "text"):
        assert plugin.decide(outcome).metadata == policy, outcome


def test_the_metadata_shows_what_the_config_was_read_as(retry: Retry) -> None:
    """Numbers written as text, as whole floats or as booleans are reported as plain integers."""
    plugin = retry.plugin(
        max_retries="3",
        backoff_base_ms=250.0,
        max_backoff_ms=True,
        retry_on_status=("429", 503.0, 500),
    )
    metadata = plugin.decide(SUCCESS).metadata
    assert json.dumps(metadata, sort_keys=True) == json.dumps(
        {
            "retry_policy": {
                "max_retries": 3,
                "backoff_base_ms": 250,
                "max_backoff_ms": 1,
                "retry_on_status": [429, 503, 500],
            }
        },
        sort_keys=True,
    )


def test_an_answer_is_a_delay_and_metadata_and_nothing_else(retry: Retry) -> None:
    """The hook lets the result pass as it is, whether it asks for a retry or not."""
    plugin = retry.plugin(max_retries=1, backoff_base_ms=70)
    metadata = {"retry_policy": {**DEFAULTS, "max_retries": 1, "backoff_base_ms": 70}}
    answers = [plugin.decide(outcome) for outcome in (SUCCESS, FAILURE, FAILURE)]
    assert answers == [
        Decision(delay_ms, metadata, continues=True, modifies=False, violates=False)
        for delay_ms in (0, 70, 0)
    ]
