"""Times one implementation in its own interpreter, when it is told to.

Started as ``python worker.py MODULE:CLASS``; ``floor`` stands for a hook that does nothing but
return a fresh, validated result. Reads one JSON object a line from standard input and answers with
one: ``prepare``, ``run``, ``fill``, ``scan``, ``get``. An error is answered as ``{"error": ..}``.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import itertools
import json
import logging
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cpex import framework
from cpex.framework.memory import CopyOnWriteDict
from cpex.framework.models import Config

import managed
import scenarios

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Hook = Callable[[Any, Any], Awaitable[Any]]

REQUEST_ID = "0123456789abcdef0123456789abcdef"
FLOOR = "floor"
_FILL_STEP = 1_000
#: More would measure how contexts get into the processor's cache, which a gateway makes anew.
_UNKNOWN = 2_000
_KIND = "managed.Managed"


class Floor(framework.Plugin):
    """Does nothing but return a fresh, validated result."""

    async def tool_post_invoke(self, payload: Any, context: Any) -> Any:
        """Return a fresh, validated result."""
        del payload, context
        return framework.ToolPostInvokeResult()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A scenario that only has to be run."""

    hook: Hook
    payload: Any
    contexts: tuple[Any, ...]
    pattern: scenarios.Pattern
    level: int


class Worker:
    """One implementation, and the scenarios that it is prepared for."""

    def __init__(self, plugin: str) -> None:
        """Import the implementation.

        Raises:
            ImportError: It is not installed.
        """
        if plugin == FLOOR:
            self._make: Callable[..., Any] = Floor
        else:
            module, _, name = plugin.partition(":")
            self._make = getattr(importlib.import_module(module), name)
        self._migration: dict[str, Any] = {}
        if plugin.endswith(":MigrationPlugin"):
            self._migration = {"migration": {"implementation": "shadow"}}
        self._prepared: dict[str, Prepared] = {}
        self._success = framework.ToolPostInvokePayload(
            name=scenarios.TOOL, result=dict(scenarios.SUCCESS)
        )
        logging.getLogger().handlers[:] = [logging.NullHandler()]

    async def prepare(self, scenario: scenarios.Scenario) -> None:
        """Build the plugin and its payload, and call it until imports and caches are done."""
        config = self._config(scenario.config)
        result = dict(scenario.result)
        if scenario.container == "copy-on-write":
            result = CopyOnWriteDict(result)
        payload = framework.ToolPostInvokePayload.model_construct(
            name=scenarios.TOOL, result=result
        )
        if scenario.through_manager:
            hook, context = await self._managed(config)
        else:
            hook = self._make(config).tool_post_invoke
            context = _context(REQUEST_ID)
        # One request would keep its part of a large store in the processor's cache.
        others = [_context(f"{number:032x}") for number in _unknown(scenario.live)]
        level = logging.WARNING if scenario.warnings else logging.ERROR
        contexts = tuple(others) or (context,)
        prepared = Prepared(hook, payload, contexts, scenario.pattern, level)
        self._prepared[scenario.name] = prepared
        await hook(payload, context)
        await hook(self._success, context)

    async def run(self, name: str, calls: int) -> tuple[int, int]:
        """Make about so many calls.

        Returns:
            How many were timed, and the nanoseconds they took.
        """
        prepared = self._prepared[name]
        logging.getLogger().setLevel(prepared.level)
        if prepared.pattern == "steady":
            return calls, await _steady(prepared, calls)
        length = 3 if prepared.pattern == "exhausting chain" else scenarios.CHAIN
        chains = max(1, calls // length)
        spent = 0
        for _ in range(chains):
            spent += await _steady(prepared, length)
            await prepared.hook(self._success, prepared.contexts[0])
        return chains * length, spent

    async def fill(self, live: int, limit_s: float) -> dict[str, float]:
        """Fail once for each of so many requests, for at most ``limit_s`` seconds.

        Returns:
            How many were reached, and the resident bytes that each takes, its ids included.
        """
        plugin = self._make(self._config(scenarios.PATIENT))
        failing = framework.ToolPostInvokePayload(
            name=scenarios.TOOL, result=dict(scenarios.FAILURE)
        )
        context = _context(REQUEST_ID)
        request = context.global_context
        gc.collect()
        before, end, reached = _resident_bytes(), time.monotonic() + limit_s, 0
        while reached < live and time.monotonic() < end:
            for number in range(reached, min(live, reached + _FILL_STEP)):
                request.request_id = f"{number:032x}"
                await plugin.tool_post_invoke(failing, context)
            reached = min(live, reached + _FILL_STEP)
        gc.collect()
        grown = _resident_bytes() - before
        return {"live": reached, "bytes": grown / reached if reached else 0.0}

    def scan(self, name: str, times: int) -> int:
        """Search a scenario's text for a byte that it does not hold, which is `memchr`'s work.

        Returns:
            Nanoseconds of one search.
        """
        text = self._prepared[name].payload.result["content"][0]["text"]
        begin = time.perf_counter_ns()
        for _ in range(times):
            text.find("\0")
        return (time.perf_counter_ns() - begin) // times

    def get(self, name: str, times: int) -> int:
        """Read a flag of a scenario's result, as every implementation has to.

        Returns:
            Nanoseconds of one reading.
        """
        read = self._prepared[name].payload.result.get
        begin = time.perf_counter_ns()
        for _ in range(times):
            read("isError")
        return (time.perf_counter_ns() - begin) // times

    def _config(self, settings: dict[str, Any]) -> framework.PluginConfig:
        return framework.PluginConfig(
            name="bench",
            kind=_KIND,
            hooks=["tool_post_invoke"],
            config={**settings, **self._migration},
        )

    async def _managed(self, config: framework.PluginConfig) -> tuple[Hook, Any]:
        managed.Managed.made = self._make
        manager = framework.TenantPluginManager(config=Config(plugins=[config], plugin_dirs=[]))
        await manager.initialize()
        if manager.plugin_count != 1:
            message = "the framework skipped the plugin"
            raise RuntimeError(message)
        kind = framework.ToolHookType.TOOL_POST_INVOKE

        async def hook(payload: Any, context: Any) -> Any:
            return await manager.invoke_hook(kind, payload, context)

        return hook, framework.GlobalContext(request_id=REQUEST_ID)


async def _steady(prepared: Prepared, calls: int) -> int:
    hook, payload = prepared.hook, prepared.payload
    contexts = itertools.islice(itertools.cycle(prepared.contexts), calls)
    begin = time.perf_counter_ns()
    for context in contexts:
        await hook(payload, context)
    return time.perf_counter_ns() - begin


def _unknown(live: int) -> range:
    """Give numbers of requests that have not failed, where there are live ones."""
    return range(live, live + _UNKNOWN) if live else range(0)


def _context(request_id: str) -> Any:
    return framework.PluginContext(global_context=framework.GlobalContext(request_id=request_id))


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _answer(worker: Worker, asked: dict[str, Any]) -> dict[str, Any]:
    do = asked["do"]
    if do == "prepare":
        by_name = {scenario.name: scenario for scenario in scenarios.SCENARIOS}
        await worker.prepare(by_name[asked["scenario"]])
        return {}
    if do == "run":
        calls, spent = await worker.run(asked["scenario"], asked["calls"])
        return {"calls": calls, "ns": spent}
    if do == "fill":
        return {**await worker.fill(asked["live"], asked["limit_s"])}
    if do == "scan":
        return {"ns": worker.scan(asked["scenario"], asked["times"])}
    if do == "get":
        return {"ns": worker.get(asked["scenario"], asked["times"])}
    message = f"{do!r} is no request"
    raise ValueError(message)


async def main() -> None:
    """Serve until standard input ends."""
    (plugin,) = sys.argv[1:]
    # Whatever an implementation prints must not get between the answers.
    out, sys.stdout = sys.stdout, sys.stderr
    worker = Worker(plugin)
    for line in sys.stdin:
        try:
            answer = await _answer(worker, json.loads(line))
        except Exception as error:  # noqa: BLE001 - whatever it is, the asker has to know
            answer = {"error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    asyncio.run(main())
