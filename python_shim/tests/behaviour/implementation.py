"""What the suite needs of an implementation of the plugin, and the one that is always there.

Other implementations join through the hook `pytest_behaviour_implementations`; nothing here knows
them. The suite imports only pytest, cpex and the standard library, so that it also runs in an
environment where this package is not installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from cpex.framework import (
    PluginConfig,
    PluginContext,
    ResourcePostFetchPayload,
    ResourcePostFetchResult,
    ToolPostInvokePayload,
    ToolPostInvokeResult,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class RetryPlugin(Protocol):
    """The public hooks: all that the cases touch."""

    async def tool_post_invoke(
        self, payload: ToolPostInvokePayload, context: PluginContext
    ) -> ToolPostInvokeResult:
        """Decide on a tool result."""
        ...

    async def resource_post_fetch(
        self, payload: ResourcePostFetchPayload, context: PluginContext
    ) -> ResourcePostFetchResult:
        """Describe the base config."""
        ...

    def to_rust_native_policy(self, tool_name: str, ceiling: int) -> dict[str, Any] | None:
        """Describe a tool's effective config to the gateway's native runtime."""
        ...


def _no_complaints() -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Implementation:
    """A way to run the plugin under test.

    Attributes:
        name: Names it in test ids and for ``--implementation``.
        make: Loads a plugin from its config and the gateway's ceiling on retries (``None``: there
            is none). The environment already carries the ceiling as ``MAX_TOOL_RETRIES``.
        set_time_ns: Stops the clock the plugin reads at this many nanoseconds; ``None`` lets it
            run again. Plugins that are loaded already follow.
        clear: Drops all chains, as far as the implementation can.
        complaints: What went wrong beside the answers since the last call, one line each.
        native_policy: Whether it gives native policies at all. The gateway does not call the hook
            where it has one, so a plugin that must see every call gives none.
    """

    name: str
    make: Callable[[dict[str, Any], int | None], RetryPlugin]
    set_time_ns: Callable[[int | None], None]
    clear: Callable[[], None]
    complaints: Callable[[], list[str]] = _no_complaints
    native_policy: bool = True


class ImplementationHooks:
    """The hook by which another pytest plugin adds implementations to the suite."""

    @pytest.hookspec
    def pytest_behaviour_implementations(
        self, implementation: type[Implementation]
    ) -> list[Implementation]:
        """Give further implementations, made with the class that is passed."""
        raise NotImplementedError


def rust_core() -> Implementation:
    """Give the Rust core behind the shim. Imports it only when a case runs on it."""

    def make(config: dict[str, Any], ceiling: int | None) -> RetryPlugin:
        del ceiling  # read from the environment
        from retry_with_backoff import RetryWithBackoffPlugin

        kind = "retry_with_backoff.RetryWithBackoffPlugin"
        return RetryWithBackoffPlugin(PluginConfig(name="retry", kind=kind, config=config))

    def set_time_ns(reading_ns: int | None) -> None:
        from retry_with_backoff import _core

        _core.set_clock(None if reading_ns is None else lambda: reading_ns / 1e9)

    def clear() -> None:
        from retry_with_backoff import _core

        _core.clear_state()

    errors_seen = 0

    def complaints() -> list[str]:
        nonlocal errors_seen
        from retry_with_backoff import _core

        before, errors_seen = errors_seen, _core.internal_errors()
        return [f"{errors_seen - before} internal errors"] if errors_seen > before else []

    return Implementation("rust-core", make, set_time_ns, clear, complaints)
