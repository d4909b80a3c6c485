"""Runs scenarios against one build of the retry plugin and writes down what it did, as plain data.

Runs in the interpreter of the build, whatever else is installed there: it imports the standard
library, cpex, and modules of this package that do the same. What it writes down is compared in
another process, so that nothing of a build but its decisions leaves its interpreter.
"""

from __future__ import annotations

import hashlib
import inspect
import marshal
import math
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from retry_parity.observation import (
    Observation,
    Raised,
    Returned,
    Side,
    raised,
    returned,
)
from retry_parity.plain import plain
from retry_parity.walk import Walk, finish

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpex.framework import (
        PluginConfig,
        PluginContext,
        ResourcePostFetchPayload,
        ToolPostInvokePayload,
    )
    from cpex.framework.extensions import Extensions

    from retry_parity.scenarios import Call, Policy, Scenario

#: Seconds between two scenarios: every chain of the first is too old for the second.
GAP_S: Final = 1000.0

#: A ceiling that bounds nothing, for a build that takes an absent one for the base's own retries.
_NO_CEILING: Final = math.inf

#: Format 2 writes equal values as equal bytes: no references, no interning.
_FORMAT: Final = 2


class Did(NamedTuple):
    """What a build did in one step. Everything in it is plain data.

    Attributes:
        step: Number of the step, -1 for the first load.
        hook: ``load``, ``call``, ``fetch`` or ``policy``.
        answer: (delay, metadata, other fields) of a hook, the policy, or ``None`` for a load.
        raised: (lineage, message, attributes) of an exception; ``None`` without one.
        internal_errors: Errors that the build turned into an answer.
        internal_cause: The latest of them; ``None`` without one.
        mutated: Names what the result was changed to; empty where it was not.
    """

    step: int
    hook: str
    answer: object
    raised: tuple[tuple[str, ...], str, dict[str, object]] | None
    internal_errors: int = 0
    internal_cause: str | None = None
    mutated: str = ""

    def observation(self, side: Side) -> Observation:
        """Give the observation that a comparison takes."""
        outcome: Returned | Raised
        if self.raised is not None:
            outcome = Raised(*self.raised)
        else:
            delay_ms, metadata, rest = cast("tuple[object, object, Any]", self.answer)
            outcome = Returned(delay_ms, metadata, rest, None)
        return Observation(side, outcome, 0, self.internal_errors, self.internal_cause)


class Driver:
    """One build, ready to run scenarios.

    Args:
        plugin_class: The build's plugin class.
        set_time: Sets the process's monotonic clock, seconds; ``None`` where nothing can, and
            then the build's own ``set_clock`` is used, if it has one.
        begin: Told that a step begins, and which.
        end: Told that a step has ended.
    """

    def __init__(
        self,
        plugin_class: Any,
        set_time: Callable[[float], None] | None = None,
        begin: Callable[[int], None] = lambda _: None,
        end: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Look for what the build offers to a harness; all of it is optional."""
        self.plugin_class = plugin_class
        self.begin = begin
        self.end = end
        self._modules = _modules_of(plugin_class)
        self._now_s = GAP_S
        self._set_time = set_time
        self._set_clock = None if set_time else self._found("set_clock")
        self._forget = self._found("clear_state")
        self._count_errors = self._found("internal_errors")
        self._last_error = self._found("last_internal_error")
        python_chains = getattr(sys.modules[plugin_class.__module__], "_STATE", None)
        if self._forget is None and isinstance(python_chains, dict):
            self._forget = python_chains.clear
        self._takes_ceiling = hasattr(sys.modules[plugin_class.__module__], "get_settings")
        # cpex hands extensions to hooks that have room for them.
        hook = inspect.signature(plugin_class.tool_post_invoke)
        self._takes_extensions = len(hook.parameters) > 3  # noqa: PLR2004 - self, payload, context
        #: What was in the latest result after the build had seen it.
        self.seen = b""
        self._ran = 0

    @property
    def has_clock(self) -> bool:
        """Whether this build's time can be set."""
        return self._set_time is not None or self._set_clock is not None

    def run(self, scenario: Scenario) -> bytes:
        """Run a scenario that shares no chain with those before it.

        Returns:
            What the build did, for `read`. Equal decisions give equal bytes, except that the order
            of keys counts; `read` them to be sure.
        """
        self._ran += 1
        self._now_s += GAP_S
        self.begin_anew(scenario)
        recorder = _Recorder(self, scenario, self._now_s, f"#{self._ran}")
        recorder.walk()
        self._now_s = float(int(recorder.now_s))
        return written(recorder.did)

    def set_time(self, now_s: float) -> None:
        """Set the build's time, where it can be set, seconds."""
        self._now_s = now_s
        if self._set_time is not None:
            self._set_time(now_s)

    def load(self, step: int, config: PluginConfig) -> tuple[Any, Did]:
        """Build a plugin object; ``None`` for one whose config is refused."""
        plugin = _attempt(lambda: self.plugin_class(config))
        if isinstance(plugin, Raised):
            return None, _did(step, "load", None, plugin)
        return plugin, _did(step, "load", None)

    def call(  # noqa: PLR0913, PLR0917 - the facts of one call
        self,
        step: int,
        plugin: Any,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Extensions | None,
        before: bytes | None = None,
    ) -> Did:
        """Hand a tool result to a plugin object.

        Args:
            step: Number of the step.
            plugin: The plugin object.
            payload: Tool name and result.
            context: Carries the request id.
            extensions: For a hook that takes them.
            before: What is in the result; ``None`` where nobody has looked.
        """
        arguments: list[Any] = [payload, context]
        if self._takes_extensions:
            arguments.append(extensions)
        before = content(payload.result) if before is None else before
        did = self._hook(step, "call", plugin.tool_post_invoke, arguments)
        self.seen = content(payload.result)
        if self.seen == before:
            return did
        return did._replace(mutated=hashlib.sha256(self.seen).hexdigest())

    def fetch(
        self,
        step: int,
        plugin: Any,
        payload: ResourcePostFetchPayload,
        context: PluginContext,
    ) -> Did:
        """Hand a resource to a plugin object."""
        return self._hook(step, "fetch", plugin.resource_post_fetch, [payload, context])

    @staticmethod
    def policy(step: int, plugin: Any, policy: Policy) -> Did:
        """Ask a plugin object for a native policy."""
        ask = getattr(plugin, "to_rust_native_policy", None)
        if ask is None:
            return _did(step, "policy", "the plugin has no to_rust_native_policy")
        answer = _attempt(lambda: _frozen(ask(policy.tool, policy.ceiling)))
        if isinstance(answer, Raised):
            return _did(step, "policy", None, answer)
        return _did(step, "policy", answer)

    def begin_anew(self, scenario: Scenario) -> None:
        """Forget the chains, as far as the build can, and hand it the scenario's ceiling."""
        if self._forget is not None:
            self._forget()
        if self._set_clock is not None:
            self._set_clock(lambda: self._now_s)
        if self._takes_ceiling:
            # The published hybrid asks this for the ceiling and never finds it (BEHAVIOUR.md,
            # "Config"); the ceiling is left out of the comparison by giving it one.
            allowed = _NO_CEILING if scenario.ceiling is None else scenario.ceiling
            settings = SimpleNamespace(max_tool_retries=allowed)
            module: Any = sys.modules[self.plugin_class.__module__]
            module.get_settings = lambda: settings

    def _hook(self, step: int, name: str, hook: Callable[..., Any], arguments: list[Any]) -> Did:
        count, last = self._count_errors, self._last_error
        errors = count() if count else 0
        answer: object = None
        outcome: Returned | Raised
        try:
            # An answer is taken apart here, because an odd one can raise when it is read.
            outcome = returned(finish(hook(*arguments)))
            # And made plain at once: the build may change it in a later step.
            answer = _frozen((outcome.delay_ms, outcome.metadata, dict(outcome.rest)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a panic is a BaseException
            outcome = raised(error)
        errors = count() - errors if count else 0
        cause = last() if errors and last else None
        if isinstance(outcome, Raised):
            return _did(step, name, None, outcome, errors, cause)
        return _did(step, name, answer, None, errors, cause)

    def _found(self, name: str) -> Callable[..., Any] | None:
        for module in self._modules:
            if callable(found := getattr(module, name, None)):
                return found  # type: ignore[no-any-return] # a module's attribute has no type
        return None


def _did(  # noqa: PLR0913, PLR0917 - the facts of one step
    step: int,
    hook: str,
    answer: object,
    error: Raised | None = None,
    errors: int = 0,
    cause: str | None = None,
) -> Did:
    told = None if error is None else (error.lineage, error.message, dict(error.attributes))
    return Did(step, hook, answer, told, errors, cause)


def _modules_of(plugin_class: Any) -> list[Any]:
    """Give the packages of a class and its bases, and their compiled cores."""
    names = dict.fromkeys(
        name
        for each in plugin_class.__mro__
        for top in [each.__module__.partition(".")[0]]
        for name in (top, f"{top}._core")
    )
    return [sys.modules[name] for name in names if name in sys.modules]


class _Recorder(Walk[Any]):
    """One scenario against the build."""

    def __init__(self, driver: Driver, scenario: Scenario, start_s: float, suffix: str) -> None:
        super().__init__(scenario, start_s, suffix)
        self.did: list[Did] = []
        self._driver = driver
        driver.set_time(start_s)

    def before(self, step: int) -> None:
        self.step = step
        self._driver.begin(step)

    def after(self, step: int) -> None:
        self._driver.end(step)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self._driver.set_time(self.now_s)

    def load(self, config: PluginConfig) -> Any:
        plugin, did = self._driver.load(self.step, config)
        self.did.append(did)
        return plugin

    def call(
        self,
        plugin: Any,
        call: Call,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Extensions | None,
    ) -> None:
        del call  # the payload has all of it
        self.did.append(self._driver.call(self.step, plugin, payload, context, extensions))

    def fetch(self, plugin: Any, payload: ResourcePostFetchPayload, context: PluginContext) -> None:
        self.did.append(self._driver.fetch(self.step, plugin, payload, context))

    def policy(self, plugin: Any, policy: Policy) -> None:
        self.did.append(self._driver.policy(self.step, plugin, policy))


def _attempt(make: Callable[[], Any]) -> Any:
    """Call something that is no hook; a build that would end the process has raised, no more."""
    try:
        return make()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a panic is a BaseException
        return raised(error)


def _frozen(answer: object) -> Any:
    """Copy an answer as plain data."""
    return marshal.loads(content(answer))  # noqa: S302 - written a moment ago


def content(value: object) -> bytes:
    """Give what is in a value as bytes: the same for the same plain data, types included."""
    try:
        return marshal.dumps(cast("Any", value), _FORMAT)
    except ValueError:  # a subclass of something, or an object
        return marshal.dumps(cast("Any", plain(value)), _FORMAT)


def written(did: list[Did]) -> bytes:
    """Write down what a build did."""
    return content([tuple(each) for each in did])


def read(told: bytes) -> list[Did]:
    """Read what `written` has written.

    Raises:
        ValueError: It is something else.
        EOFError: It ends too early.
        TypeError: It is something else.
    """
    return [Did(*row) for row in marshal.loads(told)]  # noqa: S302 - a process of our own wrote it
