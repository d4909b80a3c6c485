"""Runs a case in every way its rule has to hold, and says which way broke it.

A plugin answers the same whatever container the gateway delivers a result in, and, as long as no
text speaks, whether text is checked or not. So every call of a case goes down several lanes, each
with a chain of its own: the plain dict, the dict as the gateway isolates it and a lazy dict, times
text checked or not where the case leaves that open. The lanes have to agree.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cpex.framework import (
    GlobalContext,
    PluginContext,
    ResourcePostFetchPayload,
    ToolPostInvokePayload,
)
from cpex.framework.memory import wrap_payload_for_isolation

from .results import lazily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .implementation import Implementation, RetryPlugin

CEILING_VARIABLE = "MAX_TOOL_RETRIES"
START_S = 10_000
"""Where the stopped clock stands when a case begins. Whole seconds are exact as floats."""

_TEXT_CHECK = "check_text_content"
_NS_PER_S = 1_000_000_000
_case_numbers = itertools.count(1)
_fresh_numbers = itertools.count(1)


def _plain(payload: ToolPostInvokePayload) -> ToolPostInvokePayload:
    return payload


def _isolated(payload: ToolPostInvokePayload) -> ToolPostInvokePayload:
    wrapped = wrap_payload_for_isolation(payload)
    assert isinstance(wrapped, ToolPostInvokePayload)
    return wrapped


def _lazy(payload: ToolPostInvokePayload) -> ToolPostInvokePayload:
    return ToolPostInvokePayload(name=payload.name, result=lazily(payload.result))


_CONTAINERS: dict[str, Callable[[ToolPostInvokePayload], ToolPostInvokePayload]] = {
    "plain": _plain,
    "isolated": _isolated,
    "lazy": _lazy,
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What one hook call asks of the gateway.

    Attributes:
        delay_ms: Wait this long and call the tool again; 0 means do not.
        metadata: The metadata of the answer.
        continues: Whether the gateway goes on with the result.
        modifies: Whether the payload is to be replaced.
        violates: Whether the result is refused.
    """

    delay_ms: int
    metadata: dict[str, Any]
    continues: bool
    modifies: bool
    violates: bool

    @classmethod
    def of(cls, answer: Any) -> Decision:
        """Read a hook's result."""
        return cls(
            answer.retry_delay_ms,
            answer.metadata,
            answer.continue_processing,
            answer.modified_payload is not None,
            answer.violation is not None,
        )


class Retry:
    """One case on one implementation: loads plugins, owns the clock and the request ids."""

    def __init__(self, implementation: Implementation) -> None:
        """Begin a case: empty state, stopped clock, request ids nobody has used."""
        self._implementation = implementation
        self._case = f"case-{next(_case_numbers)}"
        self._runner = asyncio.Runner()
        self._now_ns = START_S * _NS_PER_S
        implementation.clear()
        implementation.complaints()
        implementation.set_time_ns(self._now_ns)

    def close(self) -> None:
        """End the case and let the clock run.

        Raises:
            AssertionError: The implementation complains of something beside its answers.
        """
        self._runner.close()
        self._implementation.set_time_ns(None)
        complaints = self._implementation.complaints()
        self._implementation.clear()
        if complaints:
            message = f"{self._implementation.name} complains: {'; '.join(complaints)}"
            raise AssertionError(message)

    def advance(self, *, seconds: int = 0, milliseconds: int = 0) -> None:
        """Move the clock on."""
        self._now_ns += seconds * _NS_PER_S + milliseconds * 1_000_000
        self._implementation.set_time_ns(self._now_ns)

    def plugin(self, *, ceiling: int | None = None, **config: object) -> Subject:
        """Load a plugin without jitter, so that delays are known; else as `load` does."""
        return self.load({"jitter": False, **config}, ceiling=ceiling)

    def load(self, config: dict[str, Any], *, ceiling: int | None = None) -> Subject:
        """Load a plugin with a config exactly as given, under the gateway's ceiling if any.

        Where the config leaves ``check_text_content`` open, one plugin is loaded for each value.
        """
        if _TEXT_CHECK in config:
            configs = {"as configured": config}
        else:
            configs = {
                "text not checked": {**config, _TEXT_CHECK: False},
                "text checked": {**config, _TEXT_CHECK: True},
            }
        with pytest.MonkeyPatch.context() as patch:
            # A gateway in this process, or the caller's environment, would be another ceiling.
            patch.delitem(sys.modules, "mcpgateway.config", raising=False)
            patch.delenv(CEILING_VARIABLE, raising=False)
            if ceiling is not None:
                patch.setenv(CEILING_VARIABLE, str(ceiling))
            plugins = {
                path: self._implementation.make(path_config, ceiling)
                for path, path_config in configs.items()
            }
        return Subject(
            plugins, self._case, self._runner, native_policy=self._implementation.native_policy
        )


class Subject:
    """A loaded plugin. Every call goes down all lanes."""

    def __init__(
        self,
        plugins: dict[str, RetryPlugin],
        case: str,
        runner: asyncio.Runner,
        *,
        native_policy: bool,
    ) -> None:
        """Take the plugin of each path; request ids start with ``case``."""
        self._plugins = plugins
        self._case = case
        self._runner = runner
        self._native_policy = native_policy

    def decide(self, result: object, *, tool: str = "search", request: str = "one") -> Decision:
        """Give the decision on a result, the same in all lanes.

        Args:
            result: The tool's result.
            tool: The tool that was called.
            request: The incoming request. Subjects of one case share the chains of a request.
        """
        decisions = self.decide_by_lane(result, tool=tool, request=request)
        (first_lane, first), *others = decisions.items()
        for lane, decision in others:
            if decision != first:
                pytest.fail(
                    f"the lanes disagree on {result!r} (tool {tool!r}, request {request!r}):\n"
                    f"  {first_lane}: {first}\n  {lane}: {decision}"
                )
        return first

    def decide_by_lane(
        self, result: object, *, tool: str = "search", request: str = "one"
    ) -> dict[str, Decision]:
        """Give the decision of each lane; with jitter they differ."""
        decisions = {}
        for path, plugin in self._plugins.items():
            for container, deliver in _CONTAINERS.items():
                lane = f"{path}, {container}"
                before = repr(result)
                payload = deliver(ToolPostInvokePayload(name=tool, result=result))
                context = _context(f"{self._case}/{request}/{lane}")
                answer = self._runner.run(plugin.tool_post_invoke(payload, context))
                if repr(result) != before:
                    pytest.fail(f"{lane}: the hook changed its payload {before} to {result!r}")
                decisions[lane] = Decision.of(answer)
        return decisions

    def delays_ms(
        self, results: Iterable[object], *, tool: str = "search", request: str = "one"
    ) -> list[int]:
        """Give the delays after results that come one after the other in one request."""
        return [self.decide(item, tool=tool, request=request).delay_ms for item in results]

    def expect_failure(self, *results: object, tool: str = "search") -> None:
        """Check that each result, alone, is a failure."""
        self._expect(results, tool, failure=True)

    def expect_no_failure(self, *results: object, tool: str = "search") -> None:
        """Check that each result, alone, is no failure."""
        self._expect(results, tool, failure=False)

    def expect_policy(
        self, tool: str, expected: dict[str, Any] | None, *, ceiling: int = 100
    ) -> None:
        """Check the native policy of a tool, or that there is none where none is ever given.

        Only for configs that say whether text is checked.
        """
        (plugin,) = self._plugins.values()
        policy = plugin.to_rust_native_policy(tool, ceiling)
        wanted = expected if self._native_policy else None
        # As text, so that True is not taken for 1 and a tuple not for a list.
        if repr(policy) != repr(wanted):
            pytest.fail(f"native policy of {tool!r}, ceiling {ceiling}: {policy}, not {wanted}")

    def fetch_resource(self) -> list[Decision]:
        """Give the answers of each path to a fetched resource."""
        payload = ResourcePostFetchPayload(uri="file:///notes.txt", content=None)
        context = _context(f"{self._case}/resource")
        return [
            Decision.of(self._runner.run(plugin.resource_post_fetch(payload, context)))
            for plugin in self._plugins.values()
        ]

    def _expect(self, results: Iterable[object], tool: str, *, failure: bool) -> None:
        for result in results:
            request = f"fresh-{next(_fresh_numbers)}"
            for lane, decision in self.decide_by_lane(result, tool=tool, request=request).items():
                if (decision.delay_ms > 0) is not failure:
                    expected, seen = ("a", "no") if failure else ("no", "a")
                    pytest.fail(
                        f"{lane}: {result!r} counts as {seen} failure, it is {expected} failure"
                    )


def _context(request_id: str) -> PluginContext:
    return PluginContext(global_context=GlobalContext(request_id=request_id))
