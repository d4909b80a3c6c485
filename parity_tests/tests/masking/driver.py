"""Runs scenarios on one version, in its own interpreter."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cpex.framework import PluginConfig, ToolPostInvokePayload

if TYPE_CHECKING:
    from collections.abc import Callable


class Driver:
    """Loads the plugin with a scenario's words and hands it the scenario's texts."""

    has_clock = True  # nothing here asks for the time

    def __init__(
        self,
        plugin_class: Any,
        set_time: object = None,
        begin: Callable[[int], None] = lambda _: None,
        end: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Keep the class."""
        del set_time
        self._plugin_class, self._begin, self._end = plugin_class, begin, end

    def run(self, scenario: tuple[tuple[str, ...], tuple[str, ...]]) -> bytes:
        """Give the texts as they are after the plugin."""
        words, texts = scenario
        config = PluginConfig(name="mask", kind="mask", config={"words": list(words)})
        plugin = self._plugin_class(config)
        masked = []
        for step, text in enumerate(texts):
            self._begin(step)
            payload = ToolPostInvokePayload(name="tool", result=text)
            try:
                plugin.tool_post_invoke(payload, SimpleNamespace()).send(None)
            except StopIteration as end:
                masked.append(end.value.modified_payload.result)
            self._end(step)
        return json.dumps(masked).encode()
