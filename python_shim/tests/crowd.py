"""A crowd: many threads, each with an event loop of its own, that call the plugin all at once."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from cpex.framework import (
    GlobalContext,
    PluginConfig,
    TenantPluginManager,
    ToolHookType,
    ToolPostInvokePayload,
)
from cpex.framework.models import Config

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

FAILURE: Final = {"content": [], "isError": True, "structuredContent": None, "_meta": None}
SUCCESS: Final = {"content": [], "isError": False, "structuredContent": None, "_meta": None}
#: So many times as many calls, and forks, as in a usual run: ``CROWD_SCALE=100`` for a long one.
SCALE: Final = int(os.environ.get("CROWD_SCALE", "1"))
#: Seconds between two threads' turns; the interpreter's own is 5 ms, a thousand calls.
_TURN_S: Final = 1e-6


class Caller:
    """Calls the plugin through a framework's manager, as a gateway does."""

    def __init__(self, kind: str, settings: dict[str, Any], name: str = "crowd") -> None:
        """Prepare; the plugin is built by `start`."""
        entry = PluginConfig(name=name, kind=kind, hooks=["tool_post_invoke"], config=settings)
        self._manager = TenantPluginManager(config=Config(plugins=[entry], plugin_dirs=[]))

    async def start(self) -> None:
        """Build the plugin."""
        await self._manager.initialize()
        assert self._manager.plugin_count == 1

    async def fail(self, request_id: str, tool: str = "search") -> int:
        """Fail; give the delay before the retry, milliseconds."""
        return await self._call(request_id, tool, FAILURE)

    async def succeed(self, request_id: str, tool: str = "search") -> int:
        """Succeed; give the delay, which is to be 0."""
        return await self._call(request_id, tool, SUCCESS)

    async def _call(self, request_id: str, tool: str, result: dict[str, Any]) -> int:
        answer, _ = await self._manager.invoke_hook(
            ToolHookType.TOOL_POST_INVOKE,
            ToolPostInvokePayload(name=tool, result=dict(result)),
            GlobalContext(request_id=request_id),
        )
        delay: int = answer.retry_delay_ms
        return delay


@contextmanager
def short_turns() -> Iterator[None]:
    """Let another thread go on after every few steps."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def in_threads(count: int, work: Callable[[int], Awaitable[list[int]]]) -> list[list[int]]:
    """Do work in so many threads that begin together; give what each one gives.

    Raises:
        BaseException: The first that a thread raised.
    """
    begin = threading.Barrier(count)
    given: list[list[int]] = [[] for _ in range(count)]
    raised: list[BaseException] = []

    async def begun(number: int) -> list[int]:
        begin.wait()
        return await work(number)

    def run(number: int) -> None:
        try:
            given[number] = asyncio.run(begun(number))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test has to know
            raised.append(error)
            begin.abort()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    with short_turns():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if raised:
        raise raised[0]
    return given


def expected_delays(calls: int, budget: list[int]) -> dict[int, int]:
    """How often each delay is told in so many failures of one chain, whoever makes them.

    Args:
        calls: Failures of the chain.
        budget: The delays of a whole budget, and the 0 after which the chain starts anew.
    """
    counts = dict.fromkeys(budget, 0)
    for call in range(calls):
        counts[budget[call % len(budget)]] += 1
    return {delay: count for delay, count in counts.items() if count}
