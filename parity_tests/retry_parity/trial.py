"""A generated scenario through the hybrid and a candidate in this process, as shadow mode runs it.

The clock is virtual, every scenario starts without chains, and the comparison and the ledger are
those of `Shadow`: what a trial finds is what a gateway would count.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from cpex.framework import GlobalContext, PluginConfig, PluginContext, ToolPostInvokePayload
from cpex.framework.extensions.extensions import Extensions
from cpex.framework.extensions.request import RequestExtension
from pydantic import ValidationError

from retry_parity import candidates, evidence
from retry_parity.recipes import build
from retry_parity.shadow import Shadow
from retry_parity.strata import Setting
from retry_parity.strategies import Call, Policy, Rebuild, Scenario, Step, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from retry_parity.evidence import Comparison, Counts
    from retry_parity.strata import Coverage

_NAME: Final = "retry-parity-trial"
_CEILING: Final = "MAX_TOOL_RETRIES"
_START_S: Final = 1000.0


class Trial:
    """One scenario under way.

    Args:
        scenario: What happens.
        candidate: A name of `candidates.NAMES`, or what makes a candidate of a config.
        observer: Told of every comparison, with the number of its step (-1 while loading).
        coverage: Where the strata that are met are counted; ``None`` to count none.
    """

    def __init__(
        self,
        scenario: Scenario,
        candidate: str | Callable[[PluginConfig], candidates.Candidate] = candidates.RUST,
        observer: Callable[[int, Comparison], None] = lambda *_: None,
        coverage: Coverage | None = None,
    ) -> None:
        """Prepare; nothing is loaded yet."""
        self._scenario = scenario
        self._candidate = candidate
        self._observer = observer
        self._coverage = coverage
        self._cell: tuple[Setting, int] | None = None
        self._now_s = _START_S
        self._step = -1
        self._plugins: dict[int, Shadow | None] = {}

    def run(self) -> Counts:
        """Run every step; give what was counted."""
        with self._laboratory():
            self._plugin(0)
            for number, step in enumerate(self._scenario.steps):
                self._step = number
                self._do(step)
            return evidence.evidence_of(_NAME).counts()

    def _do(self, step: Step) -> None:
        if isinstance(step, Wait):
            self._now_s += step.seconds
        elif isinstance(step, Rebuild):
            self._plugins.pop(step.plugin, None)
        elif isinstance(step, Policy):
            plugin = self._plugin(0)
            if plugin is not None:
                plugin.to_rust_native_policy(step.tool, step.ceiling)
        else:
            plugin = self._plugin(step.plugin)
            if plugin is not None:
                self._cell = self._look(plugin, step) if self._coverage else None
                self._call(plugin, step)

    @staticmethod
    def _look(plugin: Shadow, call: Call) -> tuple[Setting, int] | None:
        """Give what a stratum needs to know before the call; ``None`` where it cannot be known."""
        reference = plugin.reference
        overrides = reference.config.get("tool_overrides")
        try:
            setting = Setting(
                reference.traits(call.tool),
                isinstance(overrides, Mapping) and bool(overrides.get(call.tool)),
                frozenset(reference.effective_config(call.tool).retry_on_status),
            )
            return setting, reference.failures(call.tool, call.request_id)
        except UnicodeEncodeError:
            return setting, 0
        except ValidationError:  # the hybrid raises at every call of this tool
            return None

    @staticmethod
    def _call(plugin: Shadow, call: Call) -> None:
        # Not validated: Pydantic refuses the names that a comparison has to reach as well.
        payload = ToolPostInvokePayload.model_construct(name=call.tool, result=build(call.result))
        context = PluginContext.model_construct(
            global_context=GlobalContext.model_construct(request_id=call.request_id)
        )
        extensions = None
        if call.trace_id is not None:
            extensions = Extensions(request=RequestExtension(trace_id=call.trace_id))
        # The hybrid's own exception is part of the comparison, and ends here.
        with contextlib.suppress(Exception):
            finish(plugin.tool_post_invoke(payload, context, extensions))

    def _plugin(self, number: int) -> Shadow | None:
        """Give a plugin object, built at first use; ``None`` when the hybrid refuses the config."""
        if number not in self._plugins:
            config = PluginConfig.model_construct(
                name=_NAME, kind="retry_parity", config=build(self._scenario.config)
            )
            loader = self._candidate
            if isinstance(loader, str):
                name = loader

                def load(config: PluginConfig) -> candidates.Candidate:
                    return candidates.load(name, config)

                loader = load
            shadow = None
            with contextlib.suppress(Exception):
                shadow = Shadow(config, load=loader, observer=self._observe, check_payload=True)
            self._plugins[number] = shadow
        return self._plugins[number]

    def _observe(self, comparison: Comparison) -> None:
        if self._coverage is not None and self._cell is not None:
            self._coverage.add(comparison, *self._cell)
        self._observer(self._step, comparison)

    @contextlib.contextmanager
    def _laboratory(self) -> Iterator[None]:
        """Virtual clock, wanted ceiling, no chains and no counters; all put back afterwards."""
        import retry_legacy
        from retry_with_backoff import _core

        before = os.environ.get(_CEILING)
        _set_environment(None if self._scenario.ceiling is None else str(self._scenario.ceiling))
        retry_legacy.set_clock(lambda: self._now_s)
        _core.set_clock(lambda: self._now_s)
        try:
            retry_legacy.clear_state()
            _core.clear_state()
            evidence.reset(_NAME)
            yield
        finally:
            retry_legacy.set_clock(None)
            _core.set_clock(None)
            _set_environment(before)


def finish(coroutine: Coroutine[object, object, object]) -> object:
    """Run a hook that never waits, without an event loop.

    Raises:
        RuntimeError: It waits for something.
        BaseException: Whatever the hook raises.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        answer: object = end.value
        return answer
    coroutine.close()
    message = "the hook waited for something; it is expected to answer at once"
    raise RuntimeError(message)


def _set_environment(value: str | None) -> None:
    if value is None:
        os.environ.pop(_CEILING, None)
    else:
        os.environ[_CEILING] = value
