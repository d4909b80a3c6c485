"""The cpex plugin: hands every hook to the Rust core and lets none of its errors out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cpex.framework import Plugin, PluginConfig, ResourcePostFetchResult

from retry_with_backoff._core import RetryPluginCore, no_retry, report_internal_error

if TYPE_CHECKING:
    from cpex.framework import (
        PluginContext,
        ResourcePostFetchPayload,
        ToolPostInvokePayload,
        ToolPostInvokeResult,
    )


class RetryWithBackoffPlugin(Plugin):
    """Retries failing tool calls; cpex kind ``retry_with_backoff.RetryWithBackoffPlugin``.

    Args:
        config: The plugin's configuration; its ``config`` holds the settings.

    Raises:
        ConfigError: A setting is wrong. One line says where, what was given, what is allowed.
    """

    def __init__(self, config: PluginConfig) -> None:
        super().__init__(config)
        try:
            self._core = RetryPluginCore(config.config)
        except Exception:
            raise
        except BaseException as error:  # a Rust panic must not end the start of the gateway
            report_internal_error("load", error)
            raise RuntimeError(error) from error

    async def tool_post_invoke(
        self, payload: ToolPostInvokePayload, context: PluginContext, extensions: Any = None
    ) -> ToolPostInvokeResult:
        """Say whether the call is retried: ``retry_delay_ms`` > 0 is the wait before the retry."""
        try:
            return self._core.tool_post_invoke(payload, context, extensions)
        except BaseException as error:  # a Rust panic is no Exception
            report_internal_error("tool_post_invoke", error)
            return no_retry(self._core.metadata_of(payload))

    async def resource_post_fetch(
        self, payload: ResourcePostFetchPayload, context: PluginContext
    ) -> ResourcePostFetchResult:
        """Put the base policy into the metadata; a resource is never retried."""
        try:
            return self._core.resource_post_fetch(payload, context)
        except BaseException as error:
            report_internal_error("resource_post_fetch", error)
            return ResourcePostFetchResult()

    def to_rust_native_policy(self, tool_name: str, ceiling: int) -> dict[str, Any] | None:
        """Return the gateway's own form of the policy; None for a tool whose text is checked."""
        try:
            return self._core.to_rust_native_policy(tool_name, ceiling)
        except BaseException as error:
            report_internal_error("to_rust_native_policy", error)
            return None
