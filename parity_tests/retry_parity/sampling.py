"""Samples of divergences: what happened on a chain, told without what was in it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal

from retry_parity import _native
from retry_parity.evidence import hashed
from retry_parity.observation import Raised

if TYPE_CHECKING:
    from cpex.framework import PluginContext

    from retry_parity.evidence import Comparison
    from retry_parity.observation import Observation

#: Characters of a captured result; what is longer is cut, and says so.
_MOST_CAPTURED: Final = 65_536
#: Entries of a container.
_MOST_ITEMS: Final = 1000
_POLICY_KEYS: Final = ("max_retries", "backoff_base_ms", "max_backoff_ms", "retry_on_status")


def sample_of(
    comparison: Comparison,
    payload: object,
    context: PluginContext,
    capture: Literal["redacted", "full"],
) -> dict[str, object]:
    """Describe a divergence.

    Args:
        comparison: What became of the call.
        payload: The call's payload.
        context: The call's context.
        capture: ``full`` adds the result itself; ``redacted`` has no text of it.

    Returns:
        Plain data: the signature, the tool, a salted hash of the request id, both decisions, facts
        of the result, and the same of the chain's earlier calls, the oldest first.
    """
    call = comparison.call
    earlier, forgotten = _native.steps_of(payload, context)
    sample: dict[str, object] = {
        "kind": "sample",
        "at": time.time(),
        "signature": comparison.signature,
        "accepted": list(comparison.accepted),
        "tool": call.tool if isinstance(call.tool, str) else None,
        "request": hashed(call.request_id),
        "result": _native.facts_of(call.result),
        "legacy": _told(comparison.reference),
        "rust": _told(comparison.candidate),
        "chain": earlier,
        "chain_forgotten": forgotten,
    }
    if capture == "full":
        sample["captured"] = _captured(call.result)
    return sample


def _told(observation: Observation | None) -> dict[str, object] | None:
    if observation is None:
        return None
    outcome = observation.outcome
    if isinstance(outcome, Raised):
        return {"raised": outcome.name, "duration_ns": observation.duration_ns}
    delay = outcome.delay_ms
    return {
        "delay_ms": delay if type(delay) is int else type(delay).__name__,
        "policy": _policy(outcome.metadata),
        "other_fields": sorted(outcome.rest),
        "internal_errors": observation.internal_errors,
        "duration_ns": observation.duration_ns,
    }


def _policy(metadata: object) -> object:
    """Give the policy's numbers; whatever else a candidate puts there may come from a tool."""
    policy = metadata.get("retry_policy") if isinstance(metadata, Mapping) else None
    if not isinstance(policy, Mapping):
        return type(policy).__name__
    return {key: _number(policy.get(key)) for key in _POLICY_KEYS}


def _number(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_number(each) for each in value[:100]]
    return value if type(value) is int else type(value).__name__


def _captured(result: object) -> str:
    """Give the beginning of a result as JSON; what is beyond is not even made."""
    text = ""
    for part in json.JSONEncoder(default=repr).iterencode(_shortened(result)):
        text += part
        if len(text) > _MOST_CAPTURED:
            return f"{text[:_MOST_CAPTURED]}(cut)"
    return text


def _shortened(value: object, depth: int = 8) -> object:
    """Cut what is long or deep: the encoder makes a text in one piece."""
    if isinstance(value, str):
        return value if len(value) <= _MOST_CAPTURED else f"{value[:_MOST_CAPTURED]}(cut)"
    if depth == 0:
        return f"({type(value).__name__})"
    if isinstance(value, dict):
        some = list(value.items())[:_MOST_ITEMS]
        return {str(key)[:_MOST_CAPTURED]: _shortened(each, depth - 1) for key, each in some}
    if isinstance(value, list | tuple):
        return [_shortened(each, depth - 1) for each in value[:_MOST_ITEMS]]
    return value if isinstance(value, int | float | None) else type(value).__name__
