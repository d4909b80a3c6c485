"""A scenario through the hybrid and a candidate, with nothing left to chance.

The clock is virtual. A candidate whose core draws delays draws the shortest one throughout, and in
a second run the longest. Where the hybrid drew, the longest delay it may draw stands for its draw,
for a draw of 0 would look like no retry. So a scenario shows the same each time, and what it shows
is judged as a gateway in shadow mode judges it.
"""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from retry_parity import candidates
from retry_parity.chains import Chains
from retry_parity.compare import Difference, Kind
from retry_parity.differential.subject import Finding, Judgement
from retry_parity.driver import Did, content
from retry_parity.hearing import asked_of
from retry_parity.judging import Judge
from retry_parity.ledger import shipped_ledger
from retry_parity.loading import compare_loads
from retry_parity.observation import Call as Asked
from retry_parity.observation import Hook, Observation, Raised, Returned, Side, attempt, observe
from retry_parity.reference import Reference, stored_failures
from retry_parity.refusal import one_line
from retry_parity.strata import signal_of
from retry_parity.view import policy_of
from retry_parity.walk import CEILING_VARIABLE, Walk, finish
from retry_parity.wording import unlike

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cpex.framework import (
        PluginConfig,
        PluginContext,
        ResourcePostFetchPayload,
        ToolPostInvokePayload,
    )
    from cpex.framework.extensions import Extensions

    from retry_parity.evidence import Comparison
    from retry_parity.scenarios import Call, Policy, Scenario

#: Fractions that make the core draw its shortest and its longest delay.
DRAWS: Final = (0.0, 1.0 - 2.0**-53)

_START_S: Final = 1000.0


class MinimizeError(ValueError):
    """No test can be made of what was given; the message is one line."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What both sides did in one step, judged.

    Attributes:
        step: Number of the step; -1 while loading.
        comparison: What became of it. The reference's delay is the longest legal one where it drew.
        where: What tells causes with one signature apart: signal and path.
        drawn: Whether the reference drew its delay.
        refusal: What the reference raised when it was loaded.
    """

    step: int
    comparison: Comparison
    where: str
    drawn: bool = False
    refusal: Raised | None = None

    @property
    def signature(self) -> str:
        """The name of the divergence; empty without one."""
        return self.comparison.signature


class Pair:
    """The hybrid and a candidate under one config.

    Attributes:
        loading: What became of loading the two; ``None`` where both loaded or refused alike.
        hybrids_refusal: What the hybrid raised when it was loaded.
        candidates_refusal: What the candidate raised.
        complete: Whether both are there.
    """

    def __init__(self, config: PluginConfig, candidate: str, chains: Chains) -> None:
        """Load both; what a side raises is kept, not raised.

        Args:
            config: The plugin config without ``migration:``.
            candidate: A name of `candidates.NAMES`.
            chains: The chains whose counts differ, of all pairs that share the process's stores.
        """
        from retry_legacy import RetryWithBackoffPlugin

        self._config = config
        ledger = shipped_ledger()
        hybrid = attempt(lambda: RetryWithBackoffPlugin(config))
        loaded = self._load(candidate, config.config)
        self._hybrid: Any = hybrid
        self._candidate: Any = loaded
        self.hybrids_refusal = hybrid if isinstance(hybrid, Raised) else None
        self.candidates_refusal = loaded if isinstance(loaded, Raised) else None
        reference: Reference | Raised = (
            hybrid if isinstance(hybrid, Raised) else Reference(hybrid, config, stored_failures)
        )
        self._oracle: Any = reference
        self._judge = None if isinstance(reference, Raised) else Judge(reference, ledger, chains)
        self.loading = compare_loads(
            config.config,
            reference,
            loaded,
            lambda changed: self._load(candidate, dict(changed)),
            ledger,
        )
        self.complete = not (self.hybrids_refusal or self.candidates_refusal)
        if isinstance(loaded, candidates.Candidate):
            loaded.set_quiet(True)

    def refusal(self, candidate: str) -> MinimizeError:
        """Say that a side refuses the config."""
        refused = self.hybrids_refusal or self.candidates_refusal
        who = candidate if self.hybrids_refusal is None else "the hybrid"
        error = None if refused is None else refused.error
        cause = "nobody knows why" if error is None else one_line(error)
        return MinimizeError(f"{who} cannot be loaded with this config: {cause}")

    def decide(
        self,
        asked: Asked,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Extensions | None = None,
        *,
        step: int = 0,
    ) -> Deed:
        """Let both decide on one payload, and judge. Only where both are there."""
        before = _content(payload.result)
        ours = self._ask(Side.REFERENCE, payload, context, None)
        between = _content(payload.result)
        drawn = self._ceiling_ms(asked, ours.outcome)
        if drawn is not None:
            ours = replace(ours, outcome=replace(_returned(ours), delay_ms=drawn))
        theirs = self._ask(Side.CANDIDATE, payload, context, extensions)
        changes = [
            Difference(Kind.PAYLOAD_MUTATED, side.value)
            for side, is_changed in (
                (Side.REFERENCE, between != before),
                (Side.CANDIDATE, _content(payload.result) != between),
            )
            if is_changed
        ]
        comparison = self._judge.decision(asked, ours, theirs, changes)  # type: ignore[union-attr] # both are there
        where = self._where(comparison) if comparison.unexplained else ""
        return Deed(step, comparison, where, drawn is not None)

    def _load(self, candidate: str, config: object) -> candidates.Candidate | Raised:
        changed = self._config.model_copy(update={"config": config})
        return attempt(lambda: candidates.load(candidate, changed))

    def _ask(self, side: Side, payload: object, context: object, extensions: object) -> Observation:
        if side is Side.REFERENCE:
            return finish(observe(side, self._hybrid.tool_post_invoke, payload, context))  # type: ignore[no-any-return] # a coroutine of Any
        loaded = self._candidate
        more = (extensions,) if loaded.takes_extensions else ()
        return finish(  # type: ignore[no-any-return] # as above
            observe(
                side,
                loaded.hook(Hook.TOOL_POST_INVOKE.value),
                payload,
                context,
                *more,
                internal_errors=loaded.internal_errors,
                last_internal_error=loaded.last_internal_error,
            )
        )

    def _ceiling_ms(self, asked: Asked, outcome: object) -> int | None:
        """Give the longest delay the hybrid may have drawn; ``None`` where it drew none."""
        policy = policy_of(getattr(outcome, "metadata", None))
        if policy is None or asked.tool is None or asked.request_id is None:
            return None
        if not self._oracle.traits(asked.tool).jitter:
            return None
        # After an answer a chain is there exactly where a retry was granted.
        failures = self._oracle.failures(asked.tool, asked.request_id)
        return policy.ceiling_ms(failures) if failures else None

    def _where(self, comparison: Comparison) -> str:
        asked = comparison.call
        config = attempt(lambda: self._oracle.effective_config(asked.tool))
        if isinstance(config, Raised):
            return "unusable override"
        path = "text check" if config.check_text_content else "structured"
        signal = signal_of(asked.result, config.retry_on_status)
        if all(each.kind is not Kind.METADATA for each in comparison.unexplained):
            return f"{signal}, {path}"
        sides = [_did(each) for each in (comparison.reference, comparison.candidate)]
        return f"{signal}, {path}, {unlike(*sides)}"


class Rehearsal(Walk[Pair]):
    """One scenario under way.

    Attributes:
        deeds: What was done so far, in order.
    """

    def __init__(self, scenario: Scenario, candidate: str) -> None:
        """Prepare; nothing is loaded yet."""
        super().__init__(scenario, _START_S)
        self.deeds: list[Deed] = []
        self._candidate = candidate
        self._chains = Chains()

    def load(self, config: PluginConfig) -> Pair:
        """Load both, and judge that."""
        pair = Pair(config, self._candidate, self._chains)
        if pair.loading is not None:
            refusal = pair.hybrids_refusal
            self.deeds.append(Deed(self.step, pair.loading, Hook.LOAD.value, refusal=refusal))
        return pair

    def call(
        self,
        plugin: Pair,
        call: Call,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Extensions | None,
    ) -> None:
        """Let both decide."""
        if plugin.complete:
            asked = asked_of(call, payload)
            deed = plugin.decide(asked, payload, context, extensions, step=self.step)
            self.deeds.append(deed)

    def fetch(
        self, plugin: Pair, payload: ResourcePostFetchPayload, context: PluginContext
    ) -> None:
        """Recorded traffic has none."""

    def policy(self, plugin: Pair, policy: Policy) -> None:
        """Recorded traffic has none."""


def rehearse(scenario: Scenario, candidate: str) -> list[list[Deed]]:
    """Run a scenario; what the process held of chains, clocks and draws is gone afterwards.

    Args:
        scenario: The scenario.
        candidate: A name of `candidates.NAMES`.

    Returns:
        What was done, once for each of `DRAWS`; only once where nothing was drawn.
    """
    runs: list[list[Deed]] = []
    for fraction in DRAWS:
        rehearsal = Rehearsal(scenario, candidate)
        with laboratory(lambda walk=rehearsal: walk.now_s, lambda at=fraction: at):  # type: ignore[misc] # bound now
            rehearsal.walk()
        runs.append(rehearsal.deeds)
        if not any(deed.drawn for deed in rehearsal.deeds):
            break
    return runs


def judge(scenario: Scenario, candidate: str) -> Judgement:
    """Say what a scenario shows, as a reduction needs it."""
    runs = rehearse(scenario, candidate)
    findings = {
        (deed.signature, deed.where, deed.step): Finding(
            deed.signature, deed.where, deed.step, "", ""
        )
        for deeds in runs
        for deed in deeds
        if deed.signature
    }
    return Judgement(len(runs[0]), findings=tuple(findings.values()))


@contextlib.contextmanager
def laboratory(clock: Callable[[], float], draw: Callable[[], float]) -> Iterator[None]:
    """Set the clocks and the core's draws, with no chains; all put back afterwards, empty.

    Args:
        clock: Gives the time, seconds.
        draw: Gives the fractions of the core's draws, from 0 to below 1.
    """
    import retry_legacy
    from retry_with_backoff import _core

    ceiling = os.environ.get(CEILING_VARIABLE)
    silenced = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # what both would log is in what they are seen to do
    retry_legacy.set_clock(clock)
    _core.set_clock(clock)
    _core.set_random(draw)
    try:
        retry_legacy.clear_state()
        _core.clear_state()
        yield
    finally:
        retry_legacy.clear_state()
        _core.clear_state()
        retry_legacy.set_clock(None)
        _core.set_clock(None)
        _core.set_random(None)
        logging.disable(silenced)
        if ceiling is None:
            os.environ.pop(CEILING_VARIABLE, None)
        else:
            os.environ[CEILING_VARIABLE] = ceiling


def _content(result: object) -> bytes:
    """Give what is in a result, as bytes."""
    # What is in the outer dict is mostly plain, and then ten times as fast to write.
    wrapped = isinstance(result, dict) and type(result) is not dict
    return content(dict(result.items()) if wrapped else result)  # type: ignore[attr-defined] # it is a dict


def _returned(observation: Observation) -> Returned:
    if not isinstance(observation.outcome, Returned):
        message = "a delay is drawn in an answer only"
        raise TypeError(message)
    return observation.outcome


def _did(observation: Observation | None) -> Did:
    """Give what `wording` tells of."""
    outcome = None if observation is None else observation.outcome
    if not isinstance(outcome, Returned):
        return Did(0, "call", None, None)
    rest: Mapping[str, object] = outcome.rest
    return Did(0, "call", (outcome.delay_ms, outcome.metadata, dict(rest)), None)
