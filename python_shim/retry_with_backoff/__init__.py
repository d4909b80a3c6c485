"""Retry failing MCP tool calls in ContextForge, decided by one Rust core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retry_with_backoff._core import ConfigError, RetryConfig, RetryPluginCore, __version__
from retry_with_backoff.plugin import RetryWithBackoffPlugin

if TYPE_CHECKING:
    from retry_with_backoff.config_model import RetryConfigModel, ToolOverridesModel

__all__ = [
    "ConfigError",
    "RetryConfig",
    "RetryConfigModel",
    "RetryPluginCore",
    "RetryWithBackoffPlugin",
    "ToolOverridesModel",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import the Pydantic models only when somebody asks for one."""
    if name in {"RetryConfigModel", "ToolOverridesModel"}:
        from retry_with_backoff import config_model

        return getattr(config_model, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
