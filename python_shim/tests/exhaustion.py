"""A program that runs out of memory in the middle of a call; see `test_core_faults`.

Prints one JSON line for each call of a huge text: its delay, the internal errors that it brought,
and the delays of a chain that follows with the limit still in place.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path
from typing import Any

from cpex.framework import PluginConfig
from hook_calls import context, payload

from retry_with_backoff import RetryWithBackoffPlugin, _core

MIB = 1024 * 1024
HUGE = 24 * MIB
#: Room beyond what the process takes: less than any copy of a text needs, and enough for all.
ROOMS_MIB = (1, 4, 512)


def huge_texts() -> dict[str, str]:
    """Give texts that say 503, and cannot be read without taking memory, or can."""
    return {
        "two bytes a character": '{"status_code": 503, "a": "' + "\u0416" * HUGE + '"}',
        "a lone surrogate": '{"status_code": 503, "\ud800": "' + "x" * HUGE + '"}',
        "ASCII": '{"status_code": 503, "a": "' + "x" * HUGE + '"}',
    }


def result_of(text: str) -> dict[str, Any]:
    """Make a result with a text and no other signal."""
    content = [{"type": "text", "text": text}]
    return {"content": content, "isError": False, "structuredContent": None}


def main() -> None:
    """Call with less and less room."""
    settings = {"jitter": False, "check_text_content": True}
    plugin = RetryWithBackoffPlugin(PluginConfig(name="r", kind="k", config=settings))

    def ask(text: str, request_id: str) -> int:
        hook = plugin.tool_post_invoke(payload("t", result_of(text)), context(request_id))
        return asyncio.run(hook).retry_delay_ms

    small = '{"status_code": 503}'
    ask(small, "warm")
    for name, text in huge_texts().items():
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        for room_mib in ROOMS_MIB:
            limit = taken + room_mib * MIB
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            before = _core.internal_errors()
            delay = ask(text, f"{name} {room_mib}")
            errors = _core.internal_errors() - before
            after = [ask(small, f"after {name} {room_mib}") for _ in range(3)]
            told = {"text": name, "room_mib": room_mib, "delay": delay, "errors": errors}
            sys.stdout.write(json.dumps({**told, "after": after}) + "\n")
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
