"""A generated scenario through the hybrid and a candidate in this process, as shadow mode runs it.

The clock is virtual, every scenario starts without chains, and the comparison and the ledger are
those of `Lane`: what a trial finds is what a gateway would count.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from retry_parity import _native, candidates, evidence
from retry_parity.lane import Lane
from retry_parity.strata import Setting
from retry_parity.walk import CEILING_VARIABLE, PLUGIN_NAME, Walk, finish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cpex.framework import (
        PluginConfig,
        PluginContext,
        ResourcePostFetchPayload,
        ToolPostInvokePayload,
    )
    from cpex.framework.extensions import Extensions

    from retry_parity.evidence import Comparison, Counts
    from retry_parity.scenarios import Call, Policy, Scenario
    from retry_parity.strata import Coverage

_START_S: Final = 1000.0


class Trial(Walk[Lane]):
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
        super().__init__(scenario, _START_S)
        if isinstance(candidate, str):
            name = candidate
            self._load = lambda config: candidates.load(name, config)
        else:
            self._load = candidate
        self._observer = observer
        self._coverage = coverage
        self._cell: tuple[Setting, int] | None = None

    def run(self) -> Counts:
        """Run every step; give what was counted."""
        with self._laboratory():
            self.walk()
            return evidence.evidence_of(PLUGIN_NAME).counts()

    def load(self, config: PluginConfig) -> Lane | None:
        """Load both sides; ``None`` when the hybrid refuses the config."""
        with contextlib.suppress(Exception):
            return Lane(config, load=self._load, observer=self._observe, check_payload=True)
        return None

    def call(
        self,
        plugin: Lane,
        call: Call,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Extensions | None,
    ) -> None:
        """Let both decide. The hybrid's own exception is part of the comparison, and ends here."""
        self._cell = self._look(plugin, call) if self._coverage else None
        with contextlib.suppress(Exception):
            finish(plugin.tool_post_invoke(payload, context, extensions))

    def fetch(
        self, plugin: Lane, payload: ResourcePostFetchPayload, context: PluginContext
    ) -> None:
        """Let both look at a resource."""
        finish(plugin.resource_post_fetch(payload, context))

    def policy(self, plugin: Lane, policy: Policy) -> None:
        """Ask both."""
        plugin.to_rust_native_policy(policy.tool, policy.ceiling)

    @staticmethod
    def _look(plugin: Lane, call: Call) -> tuple[Setting, int] | None:
        """Give what a stratum needs to know before the call; ``None`` where it cannot be known."""
        reference = plugin.reference
        try:
            setting = Setting(
                reference.traits(call.tool),
                bool(reference.override(call.tool)),
                frozenset(reference.effective_config(call.tool).retry_on_status),
            )
        except ValidationError:  # the hybrid raises at every call of this tool
            return None
        try:
            return setting, reference.failures(call.tool, call.request_id)
        except UnicodeEncodeError:
            return setting, 0

    def _observe(self, comparison: Comparison) -> None:
        if self._coverage is not None and self._cell is not None:
            self._coverage.add(comparison, *self._cell)
        self._observer(self.step, comparison)

    @contextlib.contextmanager
    def _laboratory(self) -> Iterator[None]:
        """Virtual clock, no chains and no counters; all put back afterwards, the ceiling too."""
        import retry_legacy
        from retry_with_backoff import _core

        before = os.environ.get(CEILING_VARIABLE)
        retry_legacy.set_clock(lambda: self.now_s)
        _core.set_clock(lambda: self.now_s)
        _native.set_clock(lambda: self.now_s)
        try:
            retry_legacy.clear_state()
            _core.clear_state()
            evidence.reset(PLUGIN_NAME)
            yield
        finally:
            retry_legacy.set_clock(None)
            _core.set_clock(None)
            _native.set_clock(None)
            if before is None:
                os.environ.pop(CEILING_VARIABLE, None)
            else:
                os.environ[CEILING_VARIABLE] = before
