"""The plugin that stands where one implementation stood, and asks the flag which one decides."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from cpex.framework import (
    Plugin,
    PluginConfig,
    PluginContext,
    ResourcePostFetchPayload,
    ResourcePostFetchResult,
    ToolPostInvokePayload,
    ToolPostInvokeResult,
)

from retry_parity.flag import Flag, Implementation, read_flag, without_section
from retry_parity.refusal import ConfigRefusedError, refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cpex.framework.extensions import Extensions

#: The gateway's Rust runtime retries by itself, without calling any hook, when the only plugin on
#: tool_post_invoke has this name (`_build_rust_native_tool_post_invoke_retry_policy` of gateway
#: 1.0.7: it reads the plugin's config and does not ask the plugin).
BYPASSED_NAME: Final = "RetryWithBackoffPlugin"

_log = logging.getLogger("retry_parity")


class _Lane(Protocol):
    """Who decides, under one value of the flag."""

    async def tool_post_invoke(
        self,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Extensions | None,
    ) -> Any:
        """Decide on a tool result; what comes back is the implementation's own object."""
        ...  # pragma: no cover

    async def resource_post_fetch(
        self, payload: ResourcePostFetchPayload, context: PluginContext
    ) -> object:
        """Decide on a fetched resource."""
        ...  # pragma: no cover

    def to_rust_native_policy(self, tool_name: str, ceiling: int) -> dict[str, object] | None:
        """Describe a tool's policy."""
        ...  # pragma: no cover


class MigrationPlugin(Plugin):
    """The hybrid, the Rust core, or the hybrid with the core compared to it.

    Takes the config keys of the implementations, and ``migration: {implementation: ..}``. The
    implementations are imported when they are needed: under ``legacy`` the core is not imported,
    under ``rust`` the hybrid is not. Chains and counters are the process's, never this object's:
    the gateway rebuilds plugin objects every 30 s, for each team and tool.
    """

    def __init__(self, config: PluginConfig) -> None:
        """Read the flag and load what it asks for.

        Args:
            config: The plugin's entry. It is not changed.

        Raises:
            FlagError: The flag or the ``migration:`` section cannot be used.
            ConfigRefusedError: The hybrid refuses the config. One line says where, what was given
                and what is allowed; the hybrid's exception is the cause.
            ValueError: The core refuses the config, under ``rust``: its ConfigError, unchanged.
            ImportError: An implementation that the flag asks for cannot be imported.
        """
        super().__init__(config)
        self._flag = self._read_flag(config)
        inner = config.model_copy(update={"config": without_section(config.config)})
        try:
            self._lane = self._make_lane(inner)
        except (ConfigRefusedError, ImportError):
            raise
        except Exception as error:
            if self._flag.implementation is Implementation.RUST:
                raise
            raise refused(error, inner.config) from error

    @property
    def flag(self) -> Flag:
        """The value of the flag in force and where it came from."""
        return self._flag

    async def tool_post_invoke(
        self,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Extensions | None = None,
    ) -> ToolPostInvokeResult:
        """Say whether and when the gateway retries the call.

        Args:
            payload: Tool name and result.
            context: Carries the request id.
            extensions: cpex hands them to hooks of three parameters; only the Rust core gets them.

        Returns:
            The result object of the deciding implementation.
        """
        result: ToolPostInvokeResult = await self._lane.tool_post_invoke(
            payload, context, extensions
        )
        return result

    async def resource_post_fetch(
        self, payload: ResourcePostFetchPayload, context: PluginContext
    ) -> ResourcePostFetchResult:
        """Attach the base policy's metadata; a resource is never retried."""
        return cast(
            "ResourcePostFetchResult", await self._lane.resource_post_fetch(payload, context)
        )

    def to_rust_native_policy(self, tool_name: str, ceiling: int) -> dict[str, object] | None:
        """Describe a tool's policy for a gateway that retries by itself.

        A gateway that has a policy does not call the hook. Under ``shadow`` that would take those
        calls away from the comparison without a trace, so there is no policy then: the gateway
        calls the hook, and the comparison sees every call. The two sides' policies are compared.

        Args:
            tool_name: Whose policy.
            ceiling: The most retries the gateway allows.

        Returns:
            The deciding implementation's policy. ``None`` when the hook must be called: under
            ``shadow``, and for a tool whose text content is checked.
        """
        return self._lane.to_rust_native_policy(tool_name, ceiling)

    def _read_flag(self, config: PluginConfig) -> Flag:
        return read_flag(config.config)

    def _make_lane(self, config: PluginConfig) -> _Lane:
        if self._flag.implementation is Implementation.LEGACY:
            return _legacy(config)
        if self._flag.implementation is Implementation.RUST:
            return _rust(config)
        if config.name == BYPASSED_NAME:
            _log.warning(
                "plugin name %s: a gateway with the Rust runtime retries by itself for a plugin of "
                "this name and calls no hook, so nothing is compared; use another name in shadow",
                BYPASSED_NAME,
            )
        return self._make_shadow(config)

    def _make_shadow(self, config: PluginConfig) -> _Lane:
        from retry_parity.shadow import Shadow

        return Shadow(config)


class _Hooks(Protocol):
    """The hooks of either implementation; cpex calls one of three parameters with extensions."""

    tool_post_invoke: Callable[..., Awaitable[object]]
    resource_post_fetch: Callable[..., Awaitable[object]]
    to_rust_native_policy: Callable[[str, int], dict[str, object] | None]


class _Alone:
    """One implementation decides, and the other one is not there."""

    def __init__(self, plugin: object, *, takes_extensions: bool) -> None:
        self._plugin = cast("_Hooks", plugin)
        self._takes_extensions = takes_extensions

    async def tool_post_invoke(
        self,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Extensions | None,
    ) -> object:
        """Decide as the implementation does; the hybrid never gets extensions."""
        if self._takes_extensions:
            return await self._plugin.tool_post_invoke(payload, context, extensions)
        return await self._plugin.tool_post_invoke(payload, context)

    async def resource_post_fetch(
        self, payload: ResourcePostFetchPayload, context: PluginContext
    ) -> object:
        """Decide as the implementation does."""
        return await self._plugin.resource_post_fetch(payload, context)

    def to_rust_native_policy(self, tool_name: str, ceiling: int) -> dict[str, object] | None:
        """Describe the implementation's policy."""
        return self._plugin.to_rust_native_policy(tool_name, ceiling)


def _legacy(config: PluginConfig) -> _Lane:
    from retry_legacy import RetryWithBackoffPlugin

    return _Alone(RetryWithBackoffPlugin(config), takes_extensions=False)


def _rust(config: PluginConfig) -> _Lane:
    from retry_with_backoff import RetryWithBackoffPlugin

    return _Alone(RetryWithBackoffPlugin(config), takes_extensions=True)
