"""What is measured: configurations, payloads and the pattern of calls, alike for everybody.

Read by the interpreters of all implementations, so it imports the standard library and cpex only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final, Literal

#: Failures in a row within the budget. The published rewrite refuses a larger budget.
CHAIN: Final = 10
TOOL: Final = "search"

Container = Literal["dict", "copy-on-write"]
Pattern = Literal["steady", "chain", "exhausting chain"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table.

    Attributes:
        name: Its name in results.
        title: What it shows.
        result: The tool result.
        config: Settings of the plugin.
        container: The kind of dict that the result comes in.
        pattern: ``steady``: one call after the other. ``chain``: chains of `CHAIN` failures, each
            ended by a success that is not timed. ``exhausting chain``: two failures within the
            budget and the one beyond it, all timed.
        live: Chains that are live meanwhile.
        warnings: Whether warnings are logged (to a handler that drops them).
        cpex: The framework's version; empty for the newest.
        through_manager: Whether the framework calls the hook.
    """

    name: str
    title: str
    result: dict[str, Any]
    config: dict[str, Any] = field(default_factory=dict)
    container: Container = "dict"
    pattern: Pattern = "steady"
    live: int = 0
    warnings: bool = False
    cpex: str = ""
    through_manager: bool = False


def result(*texts: str, is_error: bool = False, status: int | None = None) -> dict[str, Any]:
    """Make a result as the gateway hands it on."""
    return {
        "content": [{"type": "text", "text": text} for text in texts],
        "isError": is_error,
        "structuredContent": None if status is None else {"status_code": status, "error": "later"},
        "_meta": None,
    }


def json_text(size: int) -> str:
    """Make a JSON object of about ``size`` bytes that holds neither key, as a service writes it."""
    rows: list[dict[str, Any]] = []
    length = 0
    while length < size:
        row = {
            "id": len(rows),
            "name": f"item number {len(rows)}",
            "ok": True,
            "tags": ["a", "b"],
            "score": 0.5,
            "note": 'he said "no"\n',
        }
        rows.append(row)
        length += len(json.dumps(row)) + 2
    return json.dumps({"rows": rows, "status": "done"})


SUCCESS: Final = result("42")
FAILURE: Final = result("upstream failed", is_error=True, status=503)
SHORT_FAILURE: Final = '{"status_code": 503, "message": "later"}'
PATIENT: Final = {"max_retries": CHAIN}
READING: Final = {"max_retries": CHAIN, "check_text_content": True}
OVERRIDDEN: Final = {"tool_overrides": {TOOL: {"max_retries": 1, "backoff_base_ms": 50}}}

SCENARIOS: Final = (
    Scenario("success", "success", SUCCESS),
    Scenario("success-cow", "success, CopyOnWriteDict", SUCCESS, container="copy-on-write"),
    Scenario(
        "success-cow-0.1.2",
        "success, CopyOnWriteDict of cpex 0.1.2",
        SUCCESS,
        container="copy-on-write",
        cpex="0.1.2",
    ),
    Scenario("failure", "structured failure", FAILURE, PATIENT, pattern="chain"),
    Scenario("exhausted", "exhausted", FAILURE, {"max_retries": 0}),
    Scenario(
        "warned",
        "chain of three failures, warnings logged",
        FAILURE,
        {"max_retries": 2},
        pattern="exhausting chain",
        warnings=True,
    ),
    Scenario("override", "success, tool with override", SUCCESS, OVERRIDDEN),
    Scenario(
        "text-40B",
        "text check, 40 B JSON, failure",
        result(SHORT_FAILURE),
        READING,
        pattern="chain",
    ),
    Scenario("text-17KB", "text check, 17 KB JSON, no failure", result(json_text(17_000)), READING),
    Scenario(
        "text-1MB", "text check, 1 MB JSON, no failure", result(json_text(1_000_000)), READING
    ),
    Scenario(
        "items-50",
        "text check, 50 items of 130 B JSON, no failure",
        result(*[json_text(1)] * 50),
        READING,
    ),
    *(
        Scenario(f"live-{live}", f"success, {live:,} live entries", SUCCESS, live=live)
        for live in (10, 10_000, 50_000, 1_000_000)
    ),
    Scenario("manager", "success, whole PluginManager.invoke_hook", SUCCESS, through_manager=True),
)

#: What shadow mode is measured on.
SHADOWED: Final = ("success", "success-cow", "failure")
