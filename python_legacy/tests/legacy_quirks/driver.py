"""A short way to put a result before a plugin, and a clock to do it by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cpex.framework import (
    GlobalContext,
    PluginConfig,
    PluginContext,
    ResourcePostFetchPayload,
    ToolPostInvokePayload,
)

from retry_legacy import RetryWithBackoffPlugin

if TYPE_CHECKING:
    from collections.abc import Coroutine

ERROR = {"content": [], "isError": True, "structuredContent": None}


class VirtualClock:
    """Monotonic seconds that pass only when a test says so."""

    def __init__(self) -> None:
        """Start anywhere above 0."""
        self.now_s = 5000.0

    def __call__(self) -> float:
        """Read the clock."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


class Driver:
    """Puts results before one plugin object."""

    def __init__(self, plugin: RetryWithBackoffPlugin) -> None:
        """Take the plugin."""
        self.plugin = plugin

    def hook(self, result: object = ERROR, tool: str = "tool", request_id: str = "r") -> Any:
        """Run the tool hook; return its whole result."""
        payload = ToolPostInvokePayload(name="tool", result=None).model_copy(
            update={"name": tool, "result": result}
        )
        return finish(self.plugin.tool_post_invoke(payload, context(request_id)))

    def delay(self, result: object = ERROR, tool: str = "tool", request_id: str = "r") -> int:
        """Run the tool hook; return the delay in milliseconds."""
        delay: int = self.hook(result, tool, request_id).retry_delay_ms
        return delay

    def text(self, *texts: object) -> int:
        """Run the tool hook on a result that consists of text; return the delay."""
        items = [{"type": "text", "text": text} for text in texts]
        return self.delay({"content": items, "isError": False, "structuredContent": None})

    def resource(self) -> Any:
        """Run the resource hook."""
        payload = ResourcePostFetchPayload(uri="file:///x", content=None)
        return finish(self.plugin.resource_post_fetch(payload, context("r")))


class Load(Protocol):
    """Makes a driver from config keys; jitter is off unless given."""

    def __call__(self, *, native: bool | None = None, **keys: Any) -> Driver:
        """Load a plugin."""


def context(request_id: str) -> PluginContext:
    """Make a hook's context, whatever the request id."""
    made = PluginContext(global_context=GlobalContext(request_id="r"))
    made.global_context = made.global_context.model_copy(update={"request_id": request_id})
    return made


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a hook that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError


class LazyDict(dict[str, Any]):
    """What a gateway hands over: a dict whose own storage is empty."""

    def __init__(self, values: dict[str, Any]) -> None:
        """Keep the values outside the dict's storage."""
        super().__init__()
        self._values = values

    def get(self, key: str, default: Any = None) -> Any:
        """Look a key up."""
        return self._values.get(key, default)

    def __getitem__(self, key: str) -> Any:
        """Look a key up."""
        return self._values[key]


def drive(*, native: bool | None = None, **keys: Any) -> Driver:
    """Load a plugin from config keys."""
    config = PluginConfig(name="retry", kind="k", config={"jitter": False, **keys})
    return Driver(RetryWithBackoffPlugin(config, native=native))
