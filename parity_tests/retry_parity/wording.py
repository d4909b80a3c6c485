"""Scenarios, and what builds did in them, in words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from retry_parity.recipes import show
from retry_parity.scenarios import Call, Fetch, Rebuild, Wait

if TYPE_CHECKING:
    from retry_parity.driver import Did
    from retry_parity.scenarios import Scenario, Step

_MOST_SHOWN: Final = 320
_MOST_REASON: Final = 80
_PARTICULARS: Final = re.compile(r"'[^']*'|\"[^\"]*\"|-?\d[\d_,.]*")


def setting(scenario: Scenario) -> str:
    """Describe what holds throughout a scenario."""
    ceiling = "" if scenario.ceiling is None else f", at most {scenario.ceiling} retries"
    other = "" if scenario.other is None else f", other objects {_short(show(scenario.other))}"
    return f"config {_short(show(scenario.config))}{other}{ceiling}"


def reason(ours: Did, theirs: Did) -> str:
    """Give the refusals' own words without the particulars."""
    messages = [did.raised[1] for did in (ours, theirs) if did.raised is not None]
    words = " / ".join(" ".join(str(text).split()) for text in messages)
    return _PARTICULARS.sub("..", words)[:_MOST_REASON]


def unlike(ours: Did, theirs: Did) -> str:
    """Name the first metadata that differ."""
    left, right = (
        did.answer[1] if isinstance(did.answer, tuple) else None for did in (ours, theirs)
    )
    path = ""
    while isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}, key=str):
            if key not in left or key not in right:
                side = "candidate" if key not in right else "reference"
                return f"{path}{key} is missing in the {side}"
            if left[key] != right[key] or type(left[key]) is not type(right[key]):
                path += f"{key}."
                left, right = left[key], right[key]
                break
        else:
            break
    return path.rstrip(".") or "as a whole"


def said(did: Did) -> str:
    """Say what a build did in a step."""
    if did.raised is not None:
        return _short(f"raises {did.raised[0][0]}: {' '.join(str(did.raised[1]).split())}")
    if did.hook == "load":
        return "takes the config"
    if did.hook == "policy":
        return _short(f"policy {_shown(did.answer)}")
    if not isinstance(did.answer, tuple):
        return _short(_shown(did.answer))
    delay, metadata, rest = did.answer
    answered = (
        f"retry in {_shown(delay)} ms" if isinstance(delay, int) and delay > 0 else "no retry"
    )
    if not isinstance(delay, int):
        answered = f"retry_delay_ms {_shown(delay)}"
    more = f", and {_shown(rest)}" if rest else ""
    errors = f", after an internal error ({did.internal_cause})" if did.internal_errors else ""
    mutated = ", and changes the payload" if did.mutated else ""
    return _short(f"{answered}, metadata {_shown(metadata)}{more}{errors}{mutated}")


def told(step: Step) -> str:
    """Say what happens in a step."""
    if isinstance(step, Call):
        plugin = f", plugin object {step.plugin}" if step.plugin else ""
        trace = "" if step.trace_id is None else f", trace {step.trace_id!r}"
        result = _short(show(step.result))
        return f"{step.tool!r}, request {step.request_id!r}{plugin}{trace}: {result}"
    if isinstance(step, Wait):
        return f"{step.seconds:g} s pass"
    if isinstance(step, Rebuild):
        return f"plugin object {step.plugin} is rebuilt"
    if isinstance(step, Fetch):
        return "a resource is fetched"
    return f"native policy of {step.tool!r} with at most {step.ceiling} retries"


def _shown(value: object) -> str:
    try:
        return repr(value)
    except (RecursionError, ValueError):  # nested too deep, or a number of too many digits
        return "(a value that cannot be shown)"


def _short(text: str) -> str:
    shown = text.encode("utf-8", "backslashreplace").decode()
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}.."
