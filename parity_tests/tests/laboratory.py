"""A laboratory: one shadow under a config of choice, one call at a time, nothing left behind."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from cpex.framework import (
    PluginConfig,
    ResourcePostFetchResult,
    ToolPostInvokePayload,
    ToolPostInvokeResult,
)

from retry_parity import candidates, evidence
from retry_parity.lane import Lane

if TYPE_CHECKING:
    from retry_parity.evidence import Comparison, Counts
from retry_parity.compare import Outcome
from retry_parity.observation import Raised

NAME = "retry"
POLICY = {
    "max_retries": 2,
    "backoff_base_ms": 100,
    "max_backoff_ms": 5000,
    "retry_on_status": [429, 500, 502, 503, 504],
}
FAILURE = {"content": [], "isError": True, "structuredContent": None, "_meta": None}
SUCCESS = {"content": [], "isError": False, "structuredContent": None, "_meta": None}

Answer: TypeAlias = Callable[[Any, Any], ToolPostInvokeResult]


def answered(delay_ms: int = 0, **metadata: Any) -> ToolPostInvokeResult:
    """Make an answer with the laboratory's policy as metadata."""
    return ToolPostInvokeResult(
        retry_delay_ms=delay_ms, metadata={"retry_policy": dict(POLICY), **metadata}
    )


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    return stopped.value.value


class Scripted:
    """A candidate that does as a test says."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    async def tool_post_invoke(
        self, payload: Any, context: Any, extensions: Any = None
    ) -> ToolPostInvokeResult:
        """Answer as scripted."""
        del extensions
        return self.answer(payload, context)

    async def resource_post_fetch(self, payload: Any, context: Any) -> ResourcePostFetchResult:
        """Answer as the hybrid does."""
        del payload, context
        return ResourcePostFetchResult(metadata={"retry_policy": dict(POLICY)})

    def to_rust_native_policy(self, tool_name: str, ceiling: int) -> dict[str, Any] | None:
        """Give no policy."""
        del tool_name, ceiling
        return None


class Laboratory:
    """The hybrid and a candidate under one config, and every comparison of the two."""

    #: Whether somebody is told of every comparison. In the gateway nobody is, and what agrees is
    #: seen at a glance then.
    watched = True

    def __init__(
        self, answer: Answer | None = None, *, check_payload: bool = True, **config: Any
    ) -> None:
        """Load both; ``answer`` scripts the candidate, otherwise it is the Rust core."""
        self.comparisons: list[Comparison] = []
        self.internal_errors = 0
        self.internal_cause: str | None = None
        base = {"jitter": False, "backoff_base_ms": 100}
        self.config = PluginConfig(
            name=NAME, kind="retry_parity.MigrationPlugin", config=base | config
        )
        self.shadow = Lane(
            self.config,
            load=None if answer is None else self._scripted(answer),
            observer=self.comparisons.append if self.watched else None,
            check_payload=check_payload and self.watched,
        )

    def call(
        self,
        result: Any,
        *,
        tool: str = "tool",
        request_id: str = "r1",
        trace_id: str | None = None,
    ) -> Any:
        """Make one call and give its `Comparison`; the hybrid's exception stays in there."""
        with contextlib.suppress(Exception):
            self.ask(result, tool=tool, request_id=request_id, trace_id=trace_id)
        return self.comparisons[-1]

    def ask(
        self,
        result: Any,
        *,
        tool: str = "tool",
        request_id: str = "r1",
        trace_id: str | None = None,
    ) -> ToolPostInvokeResult:
        """Make one call and give what the gateway would get."""
        payload = ToolPostInvokePayload.model_construct(name=tool, result=result)
        context: Any = SimpleNamespace(global_context=SimpleNamespace(request_id=request_id))
        extensions = SimpleNamespace(request=SimpleNamespace(trace_id=trace_id))
        answer: ToolPostInvokeResult = finish(
            self.shadow.tool_post_invoke(payload, context, extensions)
        )
        return answer

    @property
    def counts(self) -> Counts:
        """The counters."""
        return evidence.evidence_of(NAME).counts()

    def _scripted(self, answer: Answer) -> Callable[[PluginConfig], candidates.Candidate]:
        return lambda _: candidates.Candidate(
            Scripted(answer),
            takes_extensions=True,
            internal_errors=lambda: self.internal_errors,
            last_internal_error=lambda: self.internal_cause,
        )


HUGE_STATUS = {**SUCCESS, "structuredContent": {"status_code": 2**32}}
TOO_DEEP = "[" * 100_000 + "]" * 100_000
TOO_LONG = "9" * 5000


def texts(*items: Any, **others: Any) -> dict[str, Any]:
    """Make a result that carries text items."""
    return SUCCESS | {"content": [{"type": "text", "text": text} for text in items]} | others


def delays(comparison: Any) -> tuple[int, int]:
    """Give both delays of a comparison."""
    return comparison.reference.outcome.delay_ms, comparison.candidate.outcome.delay_ms


def raised(comparison: Any) -> type[BaseException]:
    """Give the class of what the hybrid raised."""
    assert isinstance(comparison.reference.outcome, Raised)
    error = comparison.reference.outcome.error
    assert error is not None
    return type(error)


def accepted(comparison: Any) -> tuple[str, ...]:
    """Give the ids that explain a comparison completely."""
    assert comparison.outcome is Outcome.MISMATCH
    assert comparison.unexplained == ()
    ids: tuple[str, ...] = comparison.accepted
    return ids


class Angry(dict[str, Any]):
    """A result that cannot be read."""

    def get(self, key: str, default: object = None) -> object:
        """Refuse."""
        del default
        raise RuntimeError(key)

    def __getitem__(self, key: str) -> object:
        """Refuse."""
        raise RuntimeError(key)
