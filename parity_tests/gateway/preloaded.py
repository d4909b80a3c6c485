"""A server that has used its plugin before gunicorn forks its workers off: a WSGI application.

``PRELOADED_PLUGIN`` is the plugin's ``MODULE:CLASS``, ``PRELOADED_SETTINGS`` its settings as JSON.
Each answer has the worker, the delays that it has just drawn, and the first ones of a chain that
the server had failed twice in before the fork.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
from typing import TYPE_CHECKING, Any, Final

from cpex.framework import GlobalContext, PluginConfig, PluginContext, ToolPostInvokePayload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_DRAWS: Final = 8
#: Long enough that no two draws are the same by chance.
CEILING_MS: Final = 2**40
_DRAWING: Final = {
    "max_retries": 1_000_000,
    "backoff_base_ms": CEILING_MS,
    "max_backoff_ms": CEILING_MS,
}
_COUNTING: Final = {"jitter": False, "max_retries": 3, "backoff_base_ms": 10}


def _plugin(settings: dict[str, Any]) -> Any:
    module, _, name = os.environ["PRELOADED_PLUGIN"].partition(":")
    settings = json.loads(os.environ["PRELOADED_SETTINGS"]) | settings
    made = getattr(importlib.import_module(module), name)
    return made(PluginConfig(name="preloaded", kind="k", config=settings))


def _fail(plugin: Any, request_id: str, tool: str) -> int:
    result = {"content": [], "isError": True, "structuredContent": None, "_meta": None}
    context = PluginContext(global_context=GlobalContext(request_id=request_id))
    hook = plugin.tool_post_invoke(ToolPostInvokePayload(name=tool, result=result), context)
    delay: int = asyncio.run(hook).retry_delay_ms
    return delay


_drawing, _counting = _plugin(_DRAWING), _plugin(_COUNTING)


def _draws() -> list[int]:
    return [_fail(_drawing, f"draw {number}", "draw") for number in range(_DRAWS)]


_server = os.getpid()
_draws()
_begun = [_fail(_counting, "copied", "count") for _ in range(2)]
_goes_on: dict[int, list[int]] = {}


def application(
    _environ: dict[str, Any], start: Callable[[str, list[tuple[str, str]]], Any]
) -> Iterable[bytes]:
    """Draw, and say what came of it."""
    worker = os.getpid()
    if worker not in _goes_on:
        _goes_on[worker] = [_fail(_counting, "copied", "count") for _ in range(3)]
    told = {
        "worker": worker,
        "is_forked": worker != _server,
        "draws": _draws(),
        "chain": _begun + _goes_on[worker],
    }
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
