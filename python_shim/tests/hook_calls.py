"""Calls of the plugin's hook, as the tests of the product make them."""

from __future__ import annotations

from typing import Any, Protocol

from cpex.framework import (
    GlobalContext,
    PluginContext,
    ToolPostInvokePayload,
    ToolPostInvokeResult,
)


class Call(Protocol):
    """One call of ``tool_post_invoke`` on a new plugin object, in one chain per test."""

    def __call__(  # noqa: D102  the class says it
        self,
        settings: dict[str, Any],
        result: object,
        *,
        tool: str = ...,
        request_id: str | None = ...,
        trace_id: str | None = ...,
    ) -> ToolPostInvokeResult: ...


def payload(tool: object, result: object) -> ToolPostInvokePayload:
    """A payload without validation: cpex lets no odd name through, a test must."""
    return ToolPostInvokePayload.model_construct(name=tool, result=result)


def context(request_id: str) -> PluginContext:
    """The context of a request."""
    return PluginContext.model_construct(
        global_context=GlobalContext.model_construct(request_id=request_id)
    )
