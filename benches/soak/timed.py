"""What the framework imports by its kind: the plugin under load, its hook timed."""

from __future__ import annotations

import importlib
from time import perf_counter_ns
from typing import Any, ClassVar

from retry_parity._native import Latency


class Timed:
    """Makes the plugin, and counts how long each call of its hook takes."""

    plugin: ClassVar[str]
    hook: ClassVar[Latency] = Latency()

    def __new__(cls, config: Any) -> Any:
        """Make it with this config."""
        module, _, name = cls.plugin.partition(":")
        made: Any = getattr(importlib.import_module(module), name)(config)
        hook, add = made.tool_post_invoke, cls.hook.add

        async def tool_post_invoke(payload: Any, context: Any, extensions: Any = None) -> Any:
            begin = perf_counter_ns()
            try:
                return await hook(payload, context, extensions)
            finally:
                add(perf_counter_ns() - begin)

        made.tool_post_invoke = tool_post_invoke
        return made
