"""The walk through a scenario, step by step, whoever the plugin objects are.

A walk builds plugin objects when a step needs them, makes payloads and contexts, and keeps the
virtual time. What a step does with a plugin object is the subclass's affair. This module is also
run inside other environments: it imports the standard library, cpex, and modules that do the same.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from cpex.framework import (
    GlobalContext,
    PluginConfig,
    PluginContext,
    ResourcePostFetchPayload,
    ToolPostInvokePayload,
)
from cpex.framework.extensions.extensions import Extensions
from cpex.framework.extensions.request import RequestExtension

from retry_parity.recipes import build
from retry_parity.scenarios import Call, Fetch, Policy, Rebuild, Scenario, Wait

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pydantic import BaseModel

    from retry_parity.recipes import Recipe
    from retry_parity.scenarios import Step

CEILING_VARIABLE: Final = "MAX_TOOL_RETRIES"
PLUGIN_NAME: Final = "retry-parity-walk"

PluginObject = TypeVar("PluginObject")

_FETCHED: Final = ResourcePostFetchPayload(uri="file:///resource", content=None)


class _Mould:
    """Makes instances of a Pydantic model from one that was validated.

    Not validated themselves: Pydantic refuses names that a comparison has to reach as well. Making
    one costs a tenth of ``model_copy``.
    """

    def __init__(self, model: BaseModel) -> None:
        self._class = type(model)
        self._fields = dict(model.__dict__)
        slots = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
        self._slots = [(slot, getattr(model, slot, None)) for slot in slots]

    def cast(self, **changed: Any) -> Any:
        """Make an instance with some fields of its own."""
        made = self._class.__new__(self._class)
        for slot, value in self._slots:
            object.__setattr__(made, slot, value)
        object.__setattr__(made, "__dict__", {**self._fields, **changed})
        return made


_GLOBAL: Final = _Mould(GlobalContext(request_id="r"))
_CONTEXT: Final = _Mould(PluginContext(global_context=GlobalContext(request_id="r")))
_PAYLOAD: Final = _Mould(ToolPostInvokePayload(name="t", result=None))
_CONFIG: Final = _Mould(PluginConfig(name=PLUGIN_NAME, kind="retry_parity"))


class Walk(ABC, Generic[PluginObject]):
    """A scenario under way.

    Args:
        scenario: What happens.
        start_s: The time at which it begins, seconds.
        suffix: Added to every request id, so that no chain of another scenario is met where a
            build offers no way to forget its chains.

    Attributes:
        step: Number of the step under way, from 0; -1 before the first.
        now_s: The virtual time, seconds.
        recipe: Recipe of the config that was loaded last.
    """

    def __init__(self, scenario: Scenario, start_s: float, suffix: str = "") -> None:
        """Prepare; nothing is loaded yet."""
        self.scenario = scenario
        self.step = -1
        self.now_s = start_s
        self.recipe: Recipe = scenario.config
        self._suffix = suffix
        self._plugins: dict[int, PluginObject | None] = {}

    @abstractmethod
    def load(self, config: PluginConfig) -> PluginObject | None:
        """Build a plugin object; ``None`` where the config is refused. Must not raise."""

    @abstractmethod
    def call(
        self,
        plugin: PluginObject,
        call: Call,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Extensions | None,
    ) -> None:
        """A tool result arrives. Must not raise."""

    @abstractmethod
    def fetch(
        self, plugin: PluginObject, payload: ResourcePostFetchPayload, context: PluginContext
    ) -> None:
        """A resource arrives. Must not raise."""

    @abstractmethod
    def policy(self, plugin: PluginObject, policy: Policy) -> None:
        """The gateway asks for a native policy. Must not raise."""

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now_s += seconds

    def before(self, step: int) -> None:
        """A step begins (-1: the first plugin object is loaded)."""
        self.step = step

    def after(self, step: int) -> None:
        """A step has ended."""

    def walk(self) -> None:
        """Take every step, under the scenario's ceiling."""
        set_ceiling(self.scenario.ceiling)
        self.before(-1)
        self._plugin(0)
        self.after(-1)
        for number, step in enumerate(self.scenario.steps):
            self.before(number)
            self._take(step)
            self.after(number)

    def request_id(self, call: Call) -> str:
        """Give the request id that a call of the scenario has in this walk."""
        return call.request_id + self._suffix

    def _take(self, step: Step) -> None:
        if isinstance(step, Call):
            plugin = self._plugin(step.plugin)
            if plugin is not None:
                self._call(plugin, step)
        elif isinstance(step, Wait):
            self.wait(step.seconds)
        elif isinstance(step, Rebuild):
            self._plugins.pop(step.plugin, None)
        else:
            plugin = self._plugin(step.plugin)
            if plugin is None:
                return
            if isinstance(step, Fetch):
                self.fetch(plugin, _FETCHED, _CONTEXT.cast())
            else:
                self.policy(plugin, step)

    def _call(self, plugin: PluginObject, call: Call) -> None:
        request = _GLOBAL.cast(request_id=self.request_id(call))
        extensions = None
        if call.trace_id is not None:
            extensions = Extensions(request=RequestExtension(trace_id=call.trace_id))
        self.call(
            plugin,
            call,
            _PAYLOAD.cast(name=call.tool, result=build(call.result)),
            _CONTEXT.cast(global_context=request),
            extensions,
        )

    def _plugin(self, number: int) -> PluginObject | None:
        """Give a plugin object, built at first use; ``None`` when its config is refused."""
        if number not in self._plugins:
            scenario = self.scenario
            other = number and scenario.other is not None
            self.recipe = scenario.other if other else scenario.config
            config = _CONFIG.cast(config=build(self.recipe))
            self._plugins[number] = self.load(config)
        return self._plugins[number]


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a hook that never waits, without an event loop.

    Raises:
        RuntimeError: It waits for something.
        BaseException: Whatever the hook raises.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    message = "the hook waited for something; it is expected to answer at once"
    raise RuntimeError(message)


def set_ceiling(ceiling: int | None) -> None:
    """Set the gateway's limit on retries, as a process without a gateway reads it."""
    text = None if ceiling is None else str(ceiling)
    if os.environ.get(CEILING_VARIABLE) == text:
        return
    if text is None:
        os.environ.pop(CEILING_VARIABLE, None)
    else:
        os.environ[CEILING_VARIABLE] = text
