"""Uses of the public API that must type-check; mypy reads this file, nothing runs it."""

from __future__ import annotations

from typing import Any, assert_type

from cpex.framework import (
    PluginConfig,
    PluginContext,
    ToolPostInvokePayload,
    ToolPostInvokeResult,
)

from retry_with_backoff import (
    ConfigError,
    RetryConfig,
    RetryConfigModel,
    RetryPluginCore,
    RetryWithBackoffPlugin,
)


async def decide(
    config: PluginConfig, payload: ToolPostInvokePayload, context: PluginContext
) -> None:
    """A hook through the plugin and through the core."""
    plugin = RetryWithBackoffPlugin(config)
    assert_type(await plugin.tool_post_invoke(payload, context), ToolPostInvokeResult)
    assert_type(plugin.to_rust_native_policy("search", 3), dict[str, Any] | None)
    core = RetryPluginCore({"max_retries": 1})
    assert_type(core.tool_post_invoke(payload, context), ToolPostInvokeResult)
    assert_type(core.metadata_of(payload), dict[str, Any])


def configure(settings: dict[str, Any]) -> str:
    """A configuration checked by hand."""
    try:
        config = RetryConfig.from_dict(settings, ceiling=3)
    except ConfigError as refused:
        return str(refused)
    assert_type(config.to_metadata_dict("search"), dict[str, Any])
    assert_type(RetryConfigModel(max_retries=3).settings(), dict[str, Any])
    return str(config)
