"""What the product's tests share."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest
from cpex.framework import (
    GlobalContext,
    PluginConfig,
    PluginContext,
    ToolPostInvokePayload,
    ToolPostInvokeResult,
)
from cpex.framework.extensions.extensions import Extensions
from cpex.framework.extensions.request import RequestExtension

from retry_with_backoff import RetryWithBackoffPlugin

if TYPE_CHECKING:
    from collections.abc import Callable


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


@pytest.fixture
def call() -> Call:
    """Call the hook of a freshly built plugin, as the gateway does after each rebuild."""
    chain = uuid.uuid4().hex

    def call(
        settings: dict[str, Any],
        result: object,
        *,
        tool: str = "search",
        request_id: str | None = None,
        trace_id: str | None = None,
    ) -> ToolPostInvokeResult:
        plugin = RetryWithBackoffPlugin(PluginConfig(name="r", kind="k", config=settings))
        extensions = Extensions(request=RequestExtension(trace_id=trace_id))
        hook = plugin.tool_post_invoke(
            payload(tool, result), context(request_id or chain), extensions
        )
        return asyncio.run(hook)

    return cast("Callable[..., ToolPostInvokeResult]", call)
