"""What the operator configures, and the effective config of one tool."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class RetryConfig(BaseModel):
    """The plugin's config, coerced by Pydantic's lax rules; unknown keys are ignored.

    Attributes:
        max_retries: Retries granted to a chain of failures, at least 0. A ceiling may lower it.
        backoff_base_ms: Delay before the first retry in milliseconds, at least 1.
        max_backoff_ms: Cap of every delay in milliseconds, at least 1; may be below the base.
        retry_on_status: Status codes that are worth a retry.
        jitter: Whether a delay is drawn uniformly from 0 up to the computed one.
        check_text_content: Whether text content is parsed as JSON in search of a failure.
        tool_overrides: Per tool name, the keys above that differ for that tool.
    """

    max_retries: int = Field(default=2, ge=0)
    backoff_base_ms: int = Field(default=200, ge=1)
    max_backoff_ms: int = Field(default=5000, ge=1)
    retry_on_status: list[int] = Field(default_factory=lambda: [429, 500, 502, 503, 504])
    jitter: bool = True
    check_text_content: bool = False
    tool_overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)


def parse_config(raw: dict[str, Any] | None) -> RetryConfig:
    """Parse the operator's config; None and anything else that is empty is the default.

    Raises:
        pydantic.ValidationError: A value has the wrong type or is out of range.
        TypeError: It is not a mapping with text keys.
    """
    return RetryConfig(**(raw or {}))


def config_for(config: RetryConfig, tool: str) -> RetryConfig:
    """Merge the tool's override, if it has one, over the base.

    This runs on every call, as in the published plugin: the price of that is part of the
    reference, and so is that a bad override value may raise at each call instead of at load.

    Raises:
        pydantic.ValidationError: The override holds a value the config does not allow.
    """
    override = config.tool_overrides.get(tool)
    if not override:
        return config
    merged = config.model_dump() | override
    merged.pop("tool_overrides", None)
    return RetryConfig(**merged)


def policy_metadata(config: RetryConfig) -> dict[str, Any]:
    """Describe the effective config for the metadata of a hook's result."""
    return {
        "retry_policy": {
            "max_retries": config.max_retries,
            "backoff_base_ms": config.backoff_base_ms,
            "max_backoff_ms": config.max_backoff_ms,
            "retry_on_status": config.retry_on_status,
        }
    }
