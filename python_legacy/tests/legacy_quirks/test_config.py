"""What is accepted as config, what it becomes, and when it raises."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

if TYPE_CHECKING:
    from .driver import Load


def policy(plugin_result: Any) -> dict[str, Any]:
    """Pick the policy out of a hook's metadata."""
    found: dict[str, Any] = plugin_result.metadata["retry_policy"]
    return found


@pytest.mark.parametrize(
    ("key", "given", "becomes"),
    [
        ("max_retries", "3", 3),
        ("max_retries", 3.0, 3),
        ("max_retries", True, 1),
        ("backoff_base_ms", "1_000", 1000),
        ("retry_on_status", (500,), [500]),
        ("retry_on_status", {500}, [500]),
        ("retry_on_status", ["500", 503.0], [500, 503]),
    ],
)
def test_base_values_are_coerced(load_on: Load, key: str, given: object, becomes: object) -> None:
    """Base keys follow Pydantic's lax rules."""
    keys: dict[str, Any] = {key: given}
    assert policy(load_on(**keys).resource())[key] == becomes


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_retries", -1),
        ("max_retries", 2.5),
        ("max_retries", None),
        ("backoff_base_ms", 0),
        ("max_backoff_ms", 0),
        ("jitter", "maybe"),
        ("retry_on_status", "500"),
        ("tool_overrides", {"tool": 5}),
    ],
)
def test_wrong_base_values_raise_at_load(load_on: Load, key: str, value: object) -> None:
    """A base key out of range or of a wrong type is a validation error."""
    keys: dict[str, Any] = {key: value}
    with pytest.raises(ValidationError):
        load_on(**keys)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_retries", 2**32),
        ("backoff_base_ms", 2**64),
        ("max_backoff_ms", 2**64),
        ("retry_on_status", [2**31]),
    ],
)
def test_numbers_too_big_for_the_fast_path_raise_on_both(
    load_on: Load, key: str, value: object
) -> None:
    """A config is accepted or refused alike, whether or not the fast path is there."""
    keys: dict[str, Any] = {key: value}
    with pytest.raises(OverflowError):
        load_on(**keys)
    with pytest.raises(OverflowError):
        load_on(tool_overrides={"tool": keys})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_retries", 3.0),
        ("max_retries", "3"),
        ("max_retries", None),
        ("jitter", 1),
        ("jitter", "yes"),
        ("retry_on_status", {500}),
        ("retry_on_status", "500"),
        ("retry_on_status", [500.0]),
    ],
)
def test_overrides_are_taken_strictly_at_load(load_on: Load, key: str, value: object) -> None:
    """What a base key would coerce raises a TypeError in an override."""
    with pytest.raises(TypeError):
        load_on(tool_overrides={"tool": {key: value}})


@pytest.mark.parametrize(
    "override",
    [{"backoff_base_ms": 0}, {"check_text_content": "maybe"}, {"retry_on_status": b"ab"}],
)
def test_some_bad_overrides_raise_at_every_call_of_their_tool(
    load_on: Load, override: dict[str, object]
) -> None:
    """What the fast path's types let through is found at the call (ledger: override-at-load)."""
    plugin = load_on(tool_overrides={"tool": override})
    for _ in range(2):
        with pytest.raises(ValidationError):
            plugin.delay()
    assert plugin.delay(tool="other") == 200


def test_an_override_changes_its_tool_only(load_on: Load) -> None:
    """Overrides are merged over the base by tool name."""
    plugin = load_on(tool_overrides={"slow": {"backoff_base_ms": 1000, "max_retries": 1}})
    assert [plugin.delay(tool="slow"), plugin.delay(tool="slow")] == [1000, 0]
    assert plugin.delay() == 200


def test_metadata_is_the_tools_effective_policy(load_on: Load) -> None:
    """Every result of a tool carries its merged policy, four keys and no more."""
    result = load_on(tool_overrides={"tool": {"max_retries": 7}}).hook(None)
    assert result.metadata == {
        "retry_policy": {
            "max_retries": 7,
            "backoff_base_ms": 200,
            "max_backoff_ms": 5000,
            "retry_on_status": [429, 500, 502, 503, 504],
        }
    }


def test_a_resource_carries_the_base_policy_and_is_not_retried(load_on: Load) -> None:
    """The resource hook only describes."""
    result = load_on(max_retries=4, tool_overrides={"x": {"max_retries": 1}}).resource()
    assert (result.retry_delay_ms, policy(result)["max_retries"]) == (0, 4)


def test_the_operators_config_is_not_mutated(
    load_on: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clamping and merging work on copies."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", "1")
    overrides = {"tool": {"max_retries": 9}}
    before = copy.deepcopy(overrides)
    load_on(max_retries=9, tool_overrides=overrides).delay()
    assert overrides == before


def test_a_status_beyond_32_bits_raises_on_the_fast_path(load: Load) -> None:
    """The fast path cannot take it and fails the tool call (ledger: status-range)."""
    result = {"structuredContent": {"status_code": 2**31}}
    with pytest.raises(OverflowError):
        load(native=True).delay(result)
    assert load(native=False).delay(result) == 0


@pytest.mark.parametrize("names", [{"tool": "\ud800"}, {"request_id": "\udfff"}])
def test_a_lone_surrogate_in_a_name_raises_on_the_fast_path(
    load: Load, names: dict[str, str]
) -> None:
    """The fast path cannot encode it and fails the tool call (ledger: name-encoding)."""
    with pytest.raises(UnicodeEncodeError):
        load(native=True).delay(**names)
    assert load(native=False).delay(**names) == 200


def test_native_policy_describes_the_tool(load_on: Load) -> None:
    """The gateway's own retry loop gets the merged policy, capped by its ceiling."""
    plugin = load_on(max_retries=9, tool_overrides={"tool": {"backoff_base_ms": 50}})
    assert plugin.plugin.to_rust_native_policy("tool", 3) == {
        "kind": "retry_with_backoff",
        "maxRetries": 3,
        "backoffBaseMs": 50,
        "maxBackoffMs": 5000,
        "retryOnStatus": [429, 500, 502, 503, 504],
        "jitter": False,
    }


def test_native_policy_is_none_where_text_is_checked(load_on: Load) -> None:
    """Only this plugin reads text, so there is nothing to hand over."""
    plugin = load_on(tool_overrides={"tool": {"check_text_content": True}})
    assert plugin.plugin.to_rust_native_policy("tool", 3) is None


def test_native_policy_starts_from_the_unclamped_config(
    load_on: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ceiling found at load does not reach this policy, only the caller's does."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", "1")
    native_policy = load_on(max_retries=9).plugin.to_rust_native_policy("tool", 5)
    assert native_policy is not None
    assert native_policy["maxRetries"] == 5
