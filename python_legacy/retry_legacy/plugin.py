"""The hybrid plugin: Python around a fast path in Rust, or Python alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cpex.framework import (
    Plugin,
    PluginConfig,
    PluginContext,
    ResourcePostFetchPayload,
    ResourcePostFetchResult,
    ToolPostInvokePayload,
    ToolPostInvokeResult,
)

from retry_legacy.backoff import delay_ms
from retry_legacy.ceiling import clamp, find_ceiling
from retry_legacy.config import RetryConfig, config_for, parse_config, policy_metadata
from retry_legacy.failure import is_failure, read_signals
from retry_legacy.limits import check_limits
from retry_legacy.native import MISSING, NATIVE_AVAILABLE, manager
from retry_legacy.state import CHAINS

if TYPE_CHECKING:
    from retry_legacy._native import RetryStateManager


class RetryWithBackoffPlugin(Plugin):
    """Says after each tool result whether, and when, the gateway retries the call.

    A call takes the fast path unless its tool has text content checked. Chains are shared by all
    plugin objects of the process, one store for each path.
    """

    def __init__(self, config: PluginConfig, *, native: bool | None = None) -> None:
        """Load the config.

        Args:
            config: The plugin's entry; its `config` takes the keys of `RetryConfig`.
            native: None takes the fast path where it can be imported; True requires it; False
                sends every call through Python.

        Raises:
            ValueError: A base key is wrong (pydantic.ValidationError), or the ceiling is.
            TypeError: An override is of the wrong type.
            OverflowError: A number does not fit the fast path.
            ImportError: The fast path is required and missing.
        """
        super().__init__(config)
        if native and not NATIVE_AVAILABLE:
            raise ImportError(MISSING)
        self._base = clamp(parse_config(config.config), find_ceiling())
        self._manager: RetryStateManager | None = None
        self._tool_managers: dict[str, RetryStateManager] = {}
        overrides = self._base.tool_overrides
        if NATIVE_AVAILABLE and native is not False:
            self._manager = manager(*_fast_path_arguments(self._base, {}))
            self._tool_managers = {
                tool: manager(*_fast_path_arguments(self._base, override))
                for tool, override in overrides.items()
            }
        else:
            for override in ({}, *overrides.values()):
                check_limits(*_fast_path_arguments(self._base, override))

    async def tool_post_invoke(
        self, payload: ToolPostInvokePayload, context: PluginContext
    ) -> ToolPostInvokeResult:
        """Judge a tool result.

        Returns:
            `retry_delay_ms` 0 for "do not retry", else the delay; the effective policy as metadata.

        Raises:
            OverflowError: On the fast path, for a status outside 32 bits.
            UnicodeEncodeError: On the fast path, for a lone surrogate in a name.
            pydantic.ValidationError: The tool's override holds a value that only a call reveals.
            Exception: Whatever text content raises; see `failure.is_failure`.
        """
        tool = payload.name
        config = self.effective_config(tool)
        request_id = context.global_context.request_id
        if self._manager is not None and not config.check_text_content:
            is_error, status_code = read_signals(payload.result)
            retry, delay = self._tool_managers.get(tool, self._manager).check_and_update(
                tool, request_id, is_error, status_code
            )
        else:
            retry, delay = _judge_in_python(tool, request_id, payload.result, config)
        return ToolPostInvokeResult(
            retry_delay_ms=delay if retry else 0, metadata=policy_metadata(config)
        )

    async def resource_post_fetch(
        self, payload: ResourcePostFetchPayload, context: PluginContext
    ) -> ResourcePostFetchResult:
        """Attach the base policy as metadata; a resource is never retried."""
        del payload, context
        return ResourcePostFetchResult(metadata=policy_metadata(self._base))

    def effective_config(self, tool_name: str) -> RetryConfig:
        """Give the config in force for a tool: overrides merged, ceiling applied.

        Raises:
            pydantic.ValidationError: The tool's override holds a value that only a call reveals.
        """
        return config_for(self._base, tool_name)

    def to_rust_native_policy(self, tool_name: str, ceiling: int) -> dict[str, Any] | None:
        """Describe the tool's policy for a gateway that retries by itself.

        Starts from the operator's config, without the ceiling found at load.

        Args:
            tool_name: Whose policy.
            ceiling: The most retries the caller allows.

        Returns:
            The policy; None where text content is checked, which only this plugin can do.
        """
        config = config_for(parse_config(self.config.config), tool_name)
        max_retries = min(config.max_retries, ceiling)
        if config.check_text_content:
            return None
        return {
            "kind": "retry_with_backoff",
            "maxRetries": int(max_retries),
            "backoffBaseMs": int(config.backoff_base_ms),
            "maxBackoffMs": int(config.max_backoff_ms),
            "retryOnStatus": list(config.retry_on_status),
            "jitter": bool(config.jitter),
        }


class PythonRetryWithBackoffPlugin(RetryWithBackoffPlugin):
    """The same plugin without the fast path: the Python-only baseline."""

    def __init__(self, config: PluginConfig) -> None:
        """Load the config; raises as `RetryWithBackoffPlugin` does."""
        super().__init__(config, native=False)


def _judge_in_python(
    tool: str, request_id: str, result: object, config: RetryConfig
) -> tuple[bool, int]:
    """Take one result into account as the fast path does, in Python; returns (retry, delay)."""
    chain = CHAINS.access(tool, request_id)
    if is_failure(result, config):
        failures = chain.fail()
        if failures <= config.max_retries:
            return True, delay_ms(failures - 1, config)
    CHAINS.drop(tool, request_id)
    return False, 0


def _fast_path_arguments(
    config: RetryConfig, override: dict[str, Any]
) -> tuple[Any, Any, Any, Any, Any]:
    """Pick the fast path's arguments: the override's raw values over the base's parsed ones."""
    return (
        override.get("max_retries", config.max_retries),
        override.get("backoff_base_ms", config.backoff_base_ms),
        override.get("max_backoff_ms", config.max_backoff_ms),
        override.get("jitter", config.jitter),
        override.get("retry_on_status", config.retry_on_status),
    )
