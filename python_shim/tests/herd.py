"""A herd: callers that all fail at once, in workers that are forked off one loaded plugin.

A program: ``python herd.py MODULE:CLASS`` reads ``{"settings", "tools", "callers", "workers"}`` as
JSON from standard input, and writes the delays that callers were told, milliseconds, as JSON:
``[worker][tool][attempt][caller]``. Like a gateway that is preloaded, the parent has used the
plugin before it forks.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from cpex.framework import PluginConfig
from hook_calls import context, payload

if TYPE_CHECKING:
    from collections.abc import Sequence

_FAILURE = {"content": [], "isError": True, "structuredContent": None, "_meta": None}


def delays(
    plugin: Any, tools: Sequence[str], callers: Sequence[str], attempts: int
) -> list[list[list[int]]]:
    """Fail for every caller on every tool, attempt after attempt, as a herd would come back."""
    payloads = [payload(tool, _FAILURE) for tool in tools]
    contexts = [context(caller) for caller in callers]

    async def told() -> list[list[list[int]]]:
        by_attempt = [
            [
                [(await plugin.tool_post_invoke(each, its)).retry_delay_ms for its in contexts]
                for each in payloads
            ]
            for _ in range(attempts)
        ]
        return [list(of_tool) for of_tool in zip(*by_attempt, strict=True)]

    return asyncio.run(told())


def main() -> None:
    """Fork the workers, and gather what they were told."""
    (name,) = sys.argv[1:]
    asked = json.load(sys.stdin)
    module, _, of_class = name.partition(":")
    made = getattr(importlib.import_module(module), of_class)
    plugin = made(PluginConfig(name="herd", kind="k", config=asked["settings"]))
    attempts = asked["settings"]["max_retries"]
    # What is drawn before the fork is what all workers would draw on from.
    delays(plugin, asked["tools"], ["of the parent"], attempts)
    callers = [f"caller {number}" for number in range(asked["callers"])]
    pipes = []
    for worker in range(asked["workers"]):
        reader, writer = os.pipe()
        if os.fork() == 0:
            mine = callers[worker :: asked["workers"]]
            with os.fdopen(writer, "w", encoding="ascii") as pipe:
                json.dump(delays(plugin, asked["tools"], mine, attempts), pipe)
            os._exit(0)
        os.close(writer)
        pipes.append(reader)
    told = []
    for reader in pipes:
        with os.fdopen(reader, encoding="ascii") as pipe:
            told.append(json.load(pipe))
        os.wait()
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
