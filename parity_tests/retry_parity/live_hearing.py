"""Two builds that run here and now, on the same payloads, judged while they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpex.framework import PluginConfig

from retry_parity.hearing import Hearing, Seat, asked_of
from retry_parity.recipes import build
from retry_parity.walk import PLUGIN_NAME

if TYPE_CHECKING:
    from cpex.framework import PluginContext, ResourcePostFetchPayload, ToolPostInvokePayload
    from cpex.framework.extensions import Extensions

    from retry_parity.driver import Did, Driver
    from retry_parity.hearing import Families
    from retry_parity.jitter import Draws
    from retry_parity.ledger import Ledger
    from retry_parity.scenarios import Call, Policy, Scenario


class LiveHearing(Hearing):
    """Both sides run here and now, on one payload: the hybrid, and a candidate beside it.

    Args:
        scenario: The scenario.
        ledger: Explains differences.
        draws: Where jittered delays of both sides are kept.
        families: Which builds draw and count as the hybrid does.
        sides: The drivers of the hybrid and of the candidate.
    """

    def __init__(
        self,
        scenario: Scenario,
        ledger: Ledger,
        draws: Draws,
        *,
        families: Families,
        sides: tuple[Driver, Driver],
    ) -> None:
        """Begin anew on both sides."""
        super().__init__(scenario, ledger, draws, families=families)
        self._hybrid, self._candidate = sides
        self._candidate.begin_anew(scenario)
        self._candidate.set_time(self.now_s)

    def wait(self, seconds: float) -> None:
        """Time passes on both sides."""
        super().wait(seconds)
        self._candidate.set_time(self.now_s)

    def load(self, config: PluginConfig) -> Seat:
        """Load both."""
        loaded, ours = self._hybrid.load(self.step, config)
        seat = Seat(config, loaded, self._ledger, self._chains)
        seat.candidate, theirs = self._candidate.load(self.step, config)
        self._note(ours, theirs)
        self._judge_loads(config, seat)
        return seat

    def call(
        self,
        plugin: Seat,
        call: Call,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Extensions | None,
    ) -> None:
        """Let both decide on the same payload, and compare."""
        if plugin.plugin is None or plugin.candidate is None:
            return
        rest = (payload, context, extensions)
        self._note(
            self._hybrid.call(self.step, plugin.plugin, *rest),
            self._candidate.call(self.step, plugin.candidate, *rest, before=self._hybrid.seen),
        )
        self._judge("call", plugin, asked_of(call, payload))

    def fetch(
        self, plugin: Seat, payload: ResourcePostFetchPayload, context: PluginContext
    ) -> None:
        """Let both answer, and compare."""
        if plugin.plugin is not None and plugin.candidate is not None:
            self._note(
                self._hybrid.fetch(self.step, plugin.plugin, payload, context),
                self._candidate.fetch(self.step, plugin.candidate, payload, context),
            )
            super().fetch(plugin, payload, context)

    def policy(self, plugin: Seat, policy: Policy) -> None:
        """Let both answer, and compare."""
        if plugin.plugin is not None and plugin.candidate is not None:
            self._note(
                self._hybrid.policy(self.step, plugin.plugin, policy),
                self._candidate.policy(self.step, plugin.candidate, policy),
            )
            super().policy(plugin, policy)

    def _note(self, ours: Did, theirs: Did) -> None:
        self._ours[self.step, ours.hook] = ours
        self._theirs[self.step, theirs.hook] = theirs

    def _ask_load(self, asked: Scenario) -> Did:
        config = PluginConfig(name=PLUGIN_NAME, kind="retry_parity", config=build(asked.config))
        return self._candidate.load(-1, config)[1]
