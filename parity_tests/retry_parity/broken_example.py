"""Candidates that are wrong on purpose, to show that the comparison notices.

`BrokenExamplePlugin` is the Rust core but for one thing: it reads a result's keys from the dict's
own storage, as C code that knows the class ``dict`` only does. Inside a gateway whose framework
wraps results in a lazy dict that storage is empty, and no failure is ever seen. A published rewrite
of the plugin did exactly that for five releases. `NeverRetriesPlugin` has the symptom whatever dict
comes, for drills in a gateway whose framework fills its dicts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from retry_with_backoff import RetryWithBackoffPlugin

if TYPE_CHECKING:
    from cpex.framework import PluginContext, ToolPostInvokePayload, ToolPostInvokeResult
    from cpex.framework.extensions import Extensions

_KEYS = ("content", "isError", "structuredContent")


class BrokenExamplePlugin(RetryWithBackoffPlugin):
    """The Rust core, handed what the dict's C storage holds."""

    async def tool_post_invoke(
        self,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Extensions | None = None,
    ) -> ToolPostInvokeResult:
        """Decide on the wrong data."""
        if isinstance(payload.result, dict):
            storage = {key: dict.get(payload.result, key) for key in _KEYS}
            payload = payload.model_copy(update={"result": storage})
        return await super().tool_post_invoke(payload, context, extensions)


class NeverRetriesPlugin(RetryWithBackoffPlugin):
    """The Rust core, whose retries are all lost."""

    async def tool_post_invoke(
        self,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Extensions | None = None,
    ) -> ToolPostInvokeResult:
        """Decide, and forget the delay."""
        answer = await super().tool_post_invoke(payload, context, extensions)
        return answer.model_copy(update={"retry_delay_ms": 0})
