"""Two runs of a scenario that took place elsewhere, judged while the hybrid follows."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from retry_parity import driver, view
from retry_parity.chains import Chains, Count, Pair
from retry_parity.compare import Difference, Kind, compare
from retry_parity.differential.subject import Finding, Judgement
from retry_parity.judging import Judge
from retry_parity.loading import compare_loads, load_difference
from retry_parity.observation import Call as Asked
from retry_parity.observation import Hook, Raised, Returned, Side, attempt
from retry_parity.predicates import raised_by_reading
from retry_parity.recipes import MAPPINGS, build
from retry_parity.reference import Reference, Traits, stored_failures
from retry_parity.scenarios import Call, Policy, Scenario
from retry_parity.strata import Signal, signal_of
from retry_parity.view import policy_of
from retry_parity.walk import Walk, finish
from retry_parity.wording import reason, said, unlike

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cpex.framework import (
        PluginConfig,
        PluginContext,
        ResourcePostFetchPayload,
        ToolPostInvokePayload,
    )
    from cpex.framework.extensions import Extensions

    from retry_parity.driver import Did
    from retry_parity.evidence import Comparison
    from retry_parity.jitter import Draws
    from retry_parity.ledger import Ledger
    from retry_parity.recipes import Recipe

_START_S: Final = 1000.0
#: Differences that two draws from one range may make.
_DRAWN: Final = frozenset({Kind.DELAY, Kind.RETRY_LOST, Kind.RETRY_EXTRA})
#: What makes a text odd to a parser, for telling causes apart.
_ODDITIES: Final = ("NaN", "Infinity", "\\u", "\ufeff", "\ud800")


@dataclass(frozen=True, slots=True)
class Families:
    """Which of the two builds draw and count as the hybrid does.

    Attributes:
        hybrid_reference: The reference is the hybrid, so that the hybrid's counts are its counts.
        zero_drawn: The candidate may draw a delay of 0, as the hybrid does (ledger: jitter-zero).
    """

    hybrid_reference: bool = True
    zero_drawn: bool = False


class Seat:
    """A plugin object in a hearing: the hybrid that answers questions, if it takes the config.

    Attributes:
        plugin: The hybrid's plugin object; ``None`` where it refuses the config.
        oracle: The questions to it; likewise.
        judge: Judges by its answers; likewise.
        candidate: The candidate's plugin object, where it runs here.
    """

    def __init__(self, config: PluginConfig, loaded: Any, ledger: Ledger, chains: Chains) -> None:
        """Take a hybrid that was loaded with a config, or what it raised."""
        self.plugin: Any = None
        self.oracle: Reference | None = None
        self.judge: Judge | None = None
        self.candidate: Any = None
        if loaded is not None and not isinstance(loaded, Raised):
            self.plugin = loaded
            self.oracle = Reference(loaded, config, stored_failures)
            self.judge = Judge(self.oracle, ledger, chains)


class Hearing(Walk[Seat]):
    """What two builds did in a scenario, judged step by step while the hybrid follows.

    Args:
        scenario: The scenario.
        ledger: Explains differences.
        draws: Where jittered delays of both sides are kept.
        families: Which builds draw and count as the hybrid does.
        ours: What the reference did.
        theirs: What the candidate did.
        ask: Runs another scenario on the candidate.
    """

    def __init__(  # noqa: PLR0913 - the facts of one hearing
        self,
        scenario: Scenario,
        ledger: Ledger,
        draws: Draws,
        *,
        families: Families,
        ours: Sequence[Did] = (),
        theirs: Sequence[Did] = (),
        ask: Callable[[Scenario], bytes] | None = None,
    ) -> None:
        """Prepare; `hear` walks through it."""
        super().__init__(scenario, _START_S)
        self._ledger = ledger
        self._draws = draws
        self._families = families
        self._own: dict[Pair, Count] = {}
        self._before = 0
        self._ours = {(did.step, did.hook): did for did in ours}
        self._theirs = {(did.step, did.hook): did for did in theirs}
        self._ask = ask
        self._chains = Chains()
        self._decisions = 0
        self._accepted: Counter[str] = Counter()
        self._findings: list[Finding] = []

    def hear(self) -> Judgement:
        """Judge every step."""
        import retry_legacy

        retry_legacy.set_clock(lambda: self.now_s)
        retry_legacy.clear_state()
        try:
            self.walk()
        finally:
            retry_legacy.clear_state()
            retry_legacy.set_clock(None)
        return Judgement(self._decisions, self._accepted, tuple(self._findings))

    def load(self, config: PluginConfig) -> Seat:
        """Load the hybrid, and compare the two loads."""
        from retry_legacy import RetryWithBackoffPlugin

        loaded = attempt(lambda: RetryWithBackoffPlugin(config))
        seat = Seat(config, loaded, self._ledger, self._chains)
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
        """Let the hybrid follow, and compare."""
        del extensions  # the hybrid takes none
        if plugin.plugin is not None:
            with contextlib.suppress(Exception):
                finish(plugin.plugin.tool_post_invoke(payload, context))
        self._judge("call", plugin, asked_of(call, payload))

    def fetch(
        self, plugin: Seat, payload: ResourcePostFetchPayload, context: PluginContext
    ) -> None:
        """Compare."""
        del payload, context  # what arrives plays no part
        self._judge("fetch", plugin, Asked(Hook.RESOURCE_POST_FETCH))

    def policy(self, plugin: Seat, policy: Policy) -> None:
        """Compare."""
        ours, theirs = self._pair("policy")
        if ours is None or theirs is None:
            return
        self._decisions += 1
        if _same(ours, theirs):
            return
        if plugin.judge is None:
            self._find(Difference(Kind.POLICY), ours, theirs, "")
            return
        comparison = plugin.judge.policy(
            policy.tool,
            policy.ceiling,
            _refusal(ours) or ours.answer,
            _refusal(theirs) or theirs.answer,
        )
        if comparison is not None:
            self._keep(comparison, ours, theirs, "")

    def _judge_loads(self, config: PluginConfig, seat: Seat) -> None:
        ours, theirs = self._pair("load")
        if ours is None or theirs is None:
            return
        reference = _refusal(ours) or seat.oracle
        candidate = _refusal(theirs) or object()
        if reference is None:
            # The reference is no hybrid: it takes a config that the ledger knows nothing of.
            difference = load_difference(object(), candidate)
            if difference is not None:
                self._find(difference, ours, theirs, reason(ours, theirs))
            return
        comparison = compare_loads(config.config, reference, candidate, self._reload, self._ledger)
        if comparison is not None:
            self._keep(comparison, ours, theirs, reason(ours, theirs))

    def _judge(self, hook: str, seat: Seat, asked: Asked) -> None:
        ours, theirs = self._pair(hook)
        if ours is None or theirs is None:
            return  # a load that only one side refused is a finding of its own
        self._decisions += 1
        pair = _pair(seat, asked)
        own_count = 0 if pair is None else self._own_count(pair, asked, ours)
        if _same(ours, theirs) and not self._chains.concern(asked.tool, asked.request_id):
            return
        extra = tuple(
            Difference(Kind.PAYLOAD_MUTATED, side.value)
            for side, did in ((Side.REFERENCE, ours), (Side.CANDIDATE, theirs))
            if did.mutated and ours.mutated != theirs.mutated
        )
        reference = ours.observation(Side.REFERENCE)
        candidate = theirs.observation(Side.CANDIDATE)
        if seat.judge is None:
            # The hybrid refuses this config, so that nobody can say which draws are legal.
            jitter = _settings(self.scenario.config).get("jitter", True)
            legal = jitter is not False
            differences = (*compare(reference, candidate, lambda *_: legal), *extra)
            for each in differences:
                self._find(each, ours, theirs, "")
            return
        comparison = seat.judge.decision(asked, reference, candidate, extra)
        if not self._families.hybrid_reference and pair is not None:
            comparison = self._by_own_count(seat, pair, comparison, own_count)
        ceiling_ms = None if pair is None else self._drawn_up_to(seat, pair, comparison)
        if ceiling_ms and self._note_draws(ceiling_ms, comparison):
            return
        self._keep(comparison, ours, theirs, self._where(seat, asked))

    def _pair(self, hook: str) -> tuple[Did | None, Did | None]:
        key = (self.step, hook)
        return self._ours.get(key), self._theirs.get(key)

    def _reload(self, changed: Mapping[str, object]) -> object | Raised:
        """Load the candidate with some of the overrides only; the predicate names those to keep."""
        kept: Any = changed.get("tool_overrides", {})
        kind, settings = self.recipe
        pairs = dict(settings)
        overrides_kind, overrides = pairs["tool_overrides"]
        pairs["tool_overrides"] = (
            overrides_kind,
            tuple((tool, value) for tool, value in overrides if build(tool) in kept),
        )
        asked = Scenario((kind, tuple(pairs.items())), self.scenario.ceiling, ())
        return _refusal(self._ask_load(asked)) or object()

    def _ask_load(self, asked: Scenario) -> Did:
        if self._ask is None:
            message = "there is nobody to ask"
            raise LookupError(message)
        return driver.read(self._ask(asked))[0]

    def _where(self, seat: Seat, asked: Asked) -> str:
        """Say what else tells causes apart: the signal, the path, and the container."""
        if asked.hook is not Hook.TOOL_POST_INVOKE or seat.oracle is None or asked.tool is None:
            return asked.hook.value
        config = attempt(lambda: seat.oracle.effective_config(asked.tool or ""))  # type: ignore[union-attr] # checked
        if isinstance(config, Raised):
            return "unusable override"
        path = "text check" if config.check_text_content else "structured"
        signal = attempt(lambda: signal_of(asked.result, config.retry_on_status))
        named = "unreadable" if isinstance(signal, Raised) else signal.value
        odd = _oddities(asked.result) if signal is Signal.TEXT else ""
        return f"{named}, {path}, {type(asked.result).__name__}{odd}"

    def _keep(self, comparison: Comparison, ours: Did, theirs: Did, where: str) -> None:
        self._accepted.update(comparison.accepted)
        for each in comparison.unexplained:
            self._find(each, ours, theirs, where)

    def _find(self, difference: Difference, ours: Did, theirs: Did, where: str) -> None:
        what = str(difference)
        if difference.kind is Kind.METADATA:
            what, where = f"{what}: {unlike(ours, theirs)}", ""
        elif ours.hook == "load":
            what = f"{what}: {where}"
        self._findings.append(Finding(what, where, self.step, said(ours), said(theirs)))

    def _drawn_up_to(self, seat: Seat, pair: Pair, comparison: Comparison) -> int | None:
        """Give the ceiling (milliseconds) up to which both sides drew; ``None`` without draws."""
        oracle, tool, request_id = seat.oracle, pair.tool, pair.request_id
        policy = _policy(seat, tool, _outcome(comparison, Side.REFERENCE))
        if oracle is None or policy is None:
            return None
        told = attempt(lambda: (oracle.traits(tool).jitter, oracle.failures(tool, request_id)))
        if isinstance(told, Raised):  # the hybrid cannot take the name, or the override
            return None
        jitter, failures = told
        if not jitter or not 1 <= failures <= policy.max_retries:
            return None
        return None if self._chains.differ(pair) else policy.ceiling_ms(failures)

    def _own_count(self, pair: Pair, asked: Asked, ours: Did) -> int:
        """Count the reference's failures of a chain by its answers; 0 where it says no retry.

        A reference that is not the hybrid may count what the hybrid does not: a name that it
        cannot encode, a call in which it raises. A result that cannot be read changes no count,
        whatever is answered; nor does an exception.
        """
        count = self._before = self._own.get(pair, Count(0, 0.0)).at(self.now_s)
        if isinstance(ours.answer, tuple) and not ours.internal_errors:
            delay_ms = ours.answer[0]
            retries = isinstance(delay_ms, int) and delay_ms > 0
            if not retries and raised_by_reading(asked.result, text_path=pair.text_path):
                return count
            count = count + 1 if retries else 0
            self._own[pair] = Count(count, self.now_s)
        return count

    def _by_own_count(
        self, seat: Seat, pair: Pair, comparison: Comparison, count: int
    ) -> Comparison:
        """Take two draws for legal that are so by the reference's own count of the chain.

        A draw of 0, where the candidate may draw one, is taken for no end of the chain.
        """
        ours, theirs = _outcome(comparison, Side.REFERENCE), _outcome(comparison, Side.CANDIDATE)
        policy = _policy(seat, pair.tool, ours)
        if policy is None or seat.oracle is None or not comparison.unexplained:
            return comparison
        oracle = seat.oracle
        traits = attempt(lambda: oracle.traits(pair.tool))
        drawn = [getattr(outcome, "delay_ms", None) for outcome in (ours, theirs)]
        smallest = 0 if self._families.zero_drawn else 1
        count = count or self._before + 1
        legal = all(
            type(each) is int and smallest <= each <= policy.ceiling_ms(count) for each in drawn
        )
        if isinstance(traits, Raised) or not traits.jitter or not legal:
            return comparison
        self._own[pair] = Count(count, self.now_s)
        kept = tuple(each for each in comparison.unexplained if each.kind not in _DRAWN)
        return replace(comparison, unexplained=kept)

    def _note_draws(self, ceiling_ms: int, comparison: Comparison) -> bool:
        """Keep two draws from one range.

        Returns:
            Whether a draw of 0 is all that the two differ by, and the candidate may draw it.
        """
        drawn = [
            outcome.delay_ms if isinstance(outcome, Returned) else None
            for outcome in (
                _outcome(comparison, Side.REFERENCE),
                _outcome(comparison, Side.CANDIDATE),
            )
        ]
        ours, theirs = drawn
        if not (type(ours) is int and type(theirs) is int):
            return False
        smallest = 0 if self._families.zero_drawn else 1
        if not all(smallest <= each <= ceiling_ms for each in (ours, theirs)):
            return False
        self._draws.add(ceiling_ms, ours, theirs)
        if (ours and theirs) or ours == theirs:
            return False
        kinds = {each.kind for each in comparison.differences}
        return kinds <= {Kind.RETRY_LOST, Kind.RETRY_EXTRA}


def _pair(seat: Seat, asked: Asked) -> Pair | None:
    """Give the chain of a call; ``None`` where it belongs to none."""
    if asked.tool is None or asked.request_id is None:
        return None
    oracle, tool = seat.oracle, asked.tool
    traits = attempt(lambda: None if oracle is None else oracle.traits(tool))
    # Where the hybrid refuses the config, or the override at each call, it says nothing of a path.
    is_text = isinstance(traits, Traits) and traits.text_path
    return Pair(tool, asked.request_id, is_text)


def _outcome(comparison: Comparison, side: Side) -> object:
    observation = comparison.reference if side is Side.REFERENCE else comparison.candidate
    return None if observation is None else observation.outcome


def _oddities(result: object) -> str:
    """Name what is odd in the texts of a result."""
    shown = attempt(lambda: str(driver.content(result)))
    return (
        ""
        if isinstance(shown, Raised)
        else "".join(f", {each}" for each in _ODDITIES if each in shown)
    )


def _settings(config: Recipe) -> dict[Recipe, Recipe]:
    """Give the settings of a config's recipe, where it is one of a mapping."""
    return dict(config[1]) if isinstance(config, tuple) and config[0] in MAPPINGS else {}


def _policy(seat: Seat, tool: str | None, answer: object) -> view.Policy | None:
    """Give the policy in force, by the metadata; by the hybrid where a build has none."""
    told = policy_of(getattr(answer, "metadata", None))
    if told is not None or seat.oracle is None:
        return told
    oracle = seat.oracle
    config = attempt(lambda: oracle.effective_config(tool or ""))
    if isinstance(config, Raised):
        return None
    return view.Policy(
        int(config.max_retries),
        config.backoff_base_ms,
        config.max_backoff_ms,
        tuple(config.retry_on_status),
    )


def _refusal(did: Did) -> Raised | None:
    return None if did.raised is None else Raised(*did.raised)


def _same(ours: Did, theirs: Did) -> bool:
    """Whether two builds did the same, types included."""
    return driver.content(tuple(ours)) == driver.content(tuple(theirs))


def asked_of(call: Call, payload: ToolPostInvokePayload) -> Asked:
    """Give what both sides are asked in a call."""
    return Asked(Hook.TOOL_POST_INVOKE, call.tool, call.request_id, payload.result, call.trace_id)
