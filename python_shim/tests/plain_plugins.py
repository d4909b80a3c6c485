"""The plugins that hostile payloads are given to, one for each path, without jitter."""

from __future__ import annotations

from typing import Any

from cpex.framework import PluginConfig
from hostile import World, answer, plain

from retry_with_backoff import RetryWithBackoffPlugin, _core

#: The delay of a first retry: each answer is this one, or none.
RETRY_MS = 200
FAILURE: dict[str, Any] = {"isError": True}
#: An item whose text tells a failure.
TOLD = {"type": "text", "text": '{"isError": true}'}


def plugin_of(*, text_path: bool, **settings: object) -> RetryWithBackoffPlugin:
    """A plugin of either path."""
    given = {"jitter": False, "check_text_content": text_path, **settings}
    return RetryWithBackoffPlugin(PluginConfig(name="r", kind="k", config=given))


PLUGINS = {path: plugin_of(text_path=path) for path in (False, True)}
POLICY = PLUGINS[False]._core.metadata_of(None)  # noqa: SLF001  what every answer carries


def new_world(plugin: RetryWithBackoffPlugin) -> World:
    """A world whose hostile code calls this plugin, each time in a chain of its own."""
    inner = iter(range(10**9))

    def hook(result: object) -> Any:
        return answer(plugin, plain(result, request_id=f"inner {next(inner)}"))

    return World(hook, _core.clear_state)


def retries_as_ever() -> bool:
    """Whether an ordinary failure is still served."""
    before = _core.internal_errors()
    delay = answer(PLUGINS[False], plain(FAILURE, request_id="afterwards")).retry_delay_ms
    _core.clear_state()
    return delay == RETRY_MS and _core.internal_errors() == before


def raising(error: BaseException) -> dict[str, Any]:
    """A result whose reading raises this."""

    class Raising(dict[str, Any]):
        def get(self, *_: object) -> Any:
            raise error

    return Raising()
