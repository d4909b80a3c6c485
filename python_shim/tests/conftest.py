"""Fixtures of the product's tests."""

from __future__ import annotations

import asyncio
import logging
import sys
import uuid
from typing import TYPE_CHECKING, Any, cast

import pytest
from cpex.framework import PluginConfig
from cpex.framework.extensions.extensions import Extensions
from cpex.framework.extensions.request import RequestExtension
from hook_calls import Call, context, payload
from hypothesis import settings

from retry_with_backoff import RetryWithBackoffPlugin, _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cpex.framework import ToolPostInvokeResult


# The same examples every time, however slow the machine: a failure is a fault of the change.
settings.register_profile("product", deadline=None, derandomize=True)
settings.load_profile("product")


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


@pytest.fixture
def hostile_world(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Keep what hostile code changes, and what it raises where nobody can catch it, in the test."""
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    limit = sys.getrecursionlimit()
    _core.clear_state()
    yield
    sys.setrecursionlimit(limit)
    _core.clear_state()
