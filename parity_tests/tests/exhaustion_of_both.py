"""A program in which both sides run out of memory in the middle of a call.

Prints one JSON line for each call of a huge text: the flag, what the hybrid alone does with it (its
delay or its exception), what the migration's caller gets, and the chain that follows with the limit
still in place; in the end what was counted.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path
from typing import Any

from cpex.framework import GlobalContext, PluginConfig, PluginContext, ToolPostInvokePayload

from retry_legacy import RetryWithBackoffPlugin
from retry_parity import MigrationPlugin
from retry_parity.evidence import evidence_of

MIB = 1024 * 1024
HUGE = 24 * MIB
SETTINGS = {"jitter": False, "check_text_content": True}
SMALL = '{"status_code": 503}'
FLAGS: dict[str, dict[str, Any]] = {
    "legacy": {},
    "shadow": {},
    "canary": {"canary_percent": 100.0},
    "rust": {"compare_percent": 100.0},
}


def ask(plugin: Any, text: str, request_id: str) -> object:
    """Give the delay, or the name of what was raised."""
    content = [{"type": "text", "text": text}]
    result = {"content": content, "isError": False, "structuredContent": None}
    payload = ToolPostInvokePayload.model_construct(name="t", result=result)
    context = PluginContext(global_context=GlobalContext(request_id=request_id))
    try:
        return asyncio.run(plugin.tool_post_invoke(payload, context)).retry_delay_ms
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        return type(error).__name__


def main() -> None:
    """Call with little room, and then with enough."""
    hybrid = RetryWithBackoffPlugin(PluginConfig(name="h", kind="k", config=SETTINGS))
    plugins = {
        flag: MigrationPlugin(
            PluginConfig(
                name=flag,
                kind="k",
                config={**SETTINGS, "migration": {"implementation": flag, **more}},
            )
        )
        for flag, more in FLAGS.items()
    }
    for flag, plugin in plugins.items():
        ask(plugin, SMALL, f"warm {flag}")
    for kind, text in {
        "two bytes": '{"status_code": 503, "a": "' + "\u0416" * HUGE + '"}',
        "ASCII": '{"status_code": 503, "a": "' + "x" * HUGE + '"}',
    }.items():
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        for room_mib in (2, 512):
            limit = taken + room_mib * MIB
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            for flag, plugin in plugins.items():
                name = f"{kind} {room_mib} {flag}"
                told = {
                    "flag": flag,
                    "room_mib": room_mib,
                    "hybrid": ask(hybrid, text, f"hybrid {name}"),
                    "caller": ask(plugin, text, name),
                    "after": [ask(plugin, SMALL, f"after {name}") for _ in range(3)],
                }
                sys.stdout.write(json.dumps(told) + "\n")
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for flag in FLAGS:
        counts = evidence_of(flag).counts()
        told = {"flag": flag, "errors": counts.candidate_errors, "harness": counts.harness_errors}
        sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
