"""The retry plugin as a subject of differential tests: all that `differential` must be told of it.

Another plugin's migration brings a module like this one, with a driver, strategies, a comparator
and a ledger of its own, and uses the rest as it is.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from retry_parity import driver
from retry_parity.chains import Chains
from retry_parity.compare import Kind, compare
from retry_parity.differential.builds import folder_of
from retry_parity.differential.subject import Finding, Judgement
from retry_parity.jitter import Draws
from retry_parity.judging import Judge
from retry_parity.ledger import shipped_ledger
from retry_parity.loading import compare_loads, load_difference
from retry_parity.observation import Call as Asked
from retry_parity.observation import Hook, Raised, Returned, Side, attempt
from retry_parity.recipes import show
from retry_parity.reference import Reference, stored_failures
from retry_parity.shrinking import simpler
from retry_parity.source import Seeded
from retry_parity.strata import signal_of
from retry_parity.strategies import Call, Fetch, Policy, Rebuild, Scenario, Wait, scenario
from retry_parity.view import policy_of
from retry_parity.walk import Walk, finish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cpex.framework import (
        PluginConfig,
        PluginContext,
        ResourcePostFetchPayload,
        ToolPostInvokePayload,
    )
    from cpex.framework.extensions import Extensions

    from retry_parity.compare import Difference
    from retry_parity.differential.lane import About
    from retry_parity.driver import Did
    from retry_parity.evidence import Comparison
    from retry_parity.strategies import Step

_PACKAGE: Final = "retry_parity"
#: Packages of builds that draw their jitter from 0. Ours draws from 1 and is held to it.
_HYBRIDS: Final = ("retry_legacy.", "cpex_retry_with_backoff.")
_HOOKS: Final = {"call": Hook.TOOL_POST_INVOKE, "fetch": Hook.RESOURCE_POST_FETCH}
_START_S: Final = 1000.0
_MOST_SHOWN: Final = 320
_MOST_REASON: Final = 80
_PARTICULARS: Final = re.compile(r"'[^']*'|\"[^\"]*\"|-?\d[\d_,.]*")


class RetrySubject:
    """The retry plugin.

    Its ledger and its counts come from the hybrid of this environment, whichever two builds are
    compared: it is asked only where the two differ.
    """

    driver = "retry_parity.driver:Driver"
    named_builds: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
        "legacy": ("retry_legacy:RetryWithBackoffPlugin", ("retry_legacy",)),
        "rust": ("retry_with_backoff:RetryWithBackoffPlugin", ("retry_with_backoff",)),
        "broken-example": (
            "retry_parity.broken_example:BrokenExamplePlugin",
            ("retry_with_backoff",),
        ),
    }

    def __init__(self) -> None:
        """Start with nothing compared."""
        self.packages: Mapping[str, str] = {_PACKAGE: folder_of(_PACKAGE)}
        self.candidate_may_draw_zero = False
        self._draws = Draws()
        self._ledger = shipped_ledger()
        logging.getLogger("retry_legacy").addHandler(logging.NullHandler())

    def meet(self, reference: About, candidate: About) -> None:
        """See which builds are compared: the hybrid may draw a delay of 0 (ledger: jitter-zero)."""
        del reference  # the reference may draw what it likes
        self.candidate_may_draw_zero = candidate.plugin.startswith(_HYBRIDS)

    def scenario(self, seed: str, *, with_time: bool) -> Scenario:
        """Generate a scenario; without time, nothing in it waits."""
        made = scenario(Seeded(seed))
        if with_time:
            return made
        steps = tuple(step for step in made.steps if not isinstance(step, Wait))
        return Scenario(made.config, made.ceiling, steps)

    def judge(
        self,
        scenario: Scenario,
        reference: bytes,
        candidate: bytes,
        ask: Callable[[Scenario], bytes],
    ) -> Judgement:
        """Compare decision by decision, as shadow mode does, where the two are not the same."""
        ours = driver.read(reference)
        if reference == candidate:
            return Judgement(sum(did.hook != "load" for did in ours))
        hearing = _Hearing(self, scenario, ours, driver.read(candidate), ask)
        return hearing.hear()

    def aggregate(self) -> Sequence[Finding]:
        """Say whether both sides draw their jitter from one distribution."""
        return [
            Finding(
                "jitter-distribution",
                f"ceiling {ceiling_ms} ms",
                -1,
                f"{size:,} draws",
                f"{size:,} draws, {gap:.3f} apart; {allowed:.3f} is chance",
            )
            for ceiling_ms, size, gap, allowed in self._draws.apart()
        ]

    def simpler(self, scenario: Scenario) -> Iterable[Scenario]:
        """Give simpler variants."""
        return simpler(scenario)

    def show(self, scenario: Scenario, until: int) -> Sequence[str]:
        """Describe a scenario up to a step."""
        ceiling = "" if scenario.ceiling is None else f", at most {scenario.ceiling} retries"
        setting = f"config {_short(show(scenario.config))}{ceiling}"
        return [setting, *map(_told, scenario.steps[: until + 1])]

    def note_draws(self, ceiling_ms: int, ours: int, theirs: int) -> None:
        """Keep two jittered delays that were drawn in the same place."""
        self._draws.add(ceiling_ms, ours, theirs)

    def judge_of(self, oracle: Reference, chains: Chains) -> Judge:
        """Give a judge with the ledger."""
        return Judge(oracle, self._ledger, chains)

    def judge_loads(
        self,
        config: object,
        reference: Reference | Raised,
        candidate: object | Raised,
        reload: Callable[[Mapping[str, object]], object | Raised],
    ) -> Comparison | None:
        """Compare two loads with the ledger."""
        return compare_loads(config, reference, candidate, reload, self._ledger)


class _Seat:
    """A plugin object in a hearing: the hybrid that answers questions, if it takes the config."""

    def __init__(self, subject: RetrySubject, config: PluginConfig, chains: Chains) -> None:
        from retry_legacy import RetryWithBackoffPlugin

        loaded = attempt(lambda: RetryWithBackoffPlugin(config))
        self.plugin: Any = None
        self.oracle: Reference | None = None
        self.judge: Judge | None = None
        if not isinstance(loaded, Raised):
            self.plugin = loaded
            self.oracle = Reference(loaded, config, stored_failures)
            self.judge = subject.judge_of(self.oracle, chains)


class _Hearing(Walk[_Seat]):
    """What two builds did in a scenario, judged step by step while the hybrid follows."""

    def __init__(
        self,
        subject: RetrySubject,
        scenario: Scenario,
        ours: Sequence[Did],
        theirs: Sequence[Did],
        ask: Callable[[Scenario], bytes],
    ) -> None:
        super().__init__(scenario, _START_S)
        self._subject = subject
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

    def load(self, config: PluginConfig) -> _Seat:
        seat = _Seat(self._subject, config, self._chains)
        ours, theirs = self._pair("load")
        if ours is None or theirs is None:
            return seat
        reference = _refusal(ours) or seat.oracle
        candidate = _refusal(theirs) or object()
        if reference is None:
            # The reference is no hybrid: it takes a config that the ledger knows nothing of.
            difference = load_difference(object(), candidate)
            if difference is not None:
                self._find(difference, ours, theirs, _reason(ours, theirs))
            return seat
        comparison = self._subject.judge_loads(config.config, reference, candidate, self._reload)
        if comparison is not None:
            self._keep(comparison, ours, theirs, _reason(ours, theirs))
        return seat

    def call(
        self,
        plugin: _Seat,
        call: Call,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Extensions | None,
    ) -> None:
        del extensions  # the hybrid takes none
        if plugin.plugin is not None:
            with contextlib.suppress(Exception):
                finish(plugin.plugin.tool_post_invoke(payload, context))
        asked = Asked(
            Hook.TOOL_POST_INVOKE, call.tool, call.request_id, payload.result, call.trace_id
        )
        self._judge("call", plugin, asked)

    def fetch(
        self, plugin: _Seat, payload: ResourcePostFetchPayload, context: PluginContext
    ) -> None:
        del payload, context  # what arrives plays no part
        self._judge("fetch", plugin, Asked(Hook.RESOURCE_POST_FETCH))

    def policy(self, plugin: _Seat, policy: Policy) -> None:
        ours, theirs = self._pair("policy")
        if ours is None or theirs is None:
            return
        self._decisions += 1
        if ours == theirs or plugin.judge is None:
            return
        comparison = plugin.judge.policy(
            policy.tool,
            policy.ceiling,
            _refusal(ours) or ours.answer,
            _refusal(theirs) or theirs.answer,
        )
        if comparison is not None:
            self._keep(comparison, ours, theirs, "")

    def _judge(self, hook: str, seat: _Seat, asked: Asked) -> None:
        ours, theirs = self._pair(hook)
        if ours is None or theirs is None:
            return  # a load that only one side refused is a finding of its own
        self._decisions += 1
        extra = tuple(
            _mutation(side)
            for side, did in ((Side.REFERENCE, ours), (Side.CANDIDATE, theirs))
            if did.mutated and not (ours.mutated and theirs.mutated)
        )
        reference = ours.observation(Side.REFERENCE)
        candidate = theirs.observation(Side.CANDIDATE)
        if seat.judge is None:
            # The hybrid refuses this config, so that nobody can say which draws are legal.
            differences = (*compare(reference, candidate, lambda *_: True), *extra)
            for each in differences:
                self._find(each, ours, theirs, "")
            return
        comparison = seat.judge.decision(asked, reference, candidate, extra)
        ceiling_ms = self._drawn_up_to(seat, asked, comparison)
        if ceiling_ms and self._note_draws(ceiling_ms, comparison):
            return
        self._keep(comparison, ours, theirs, self._where(seat, asked))

    def _pair(self, hook: str) -> tuple[Did | None, Did | None]:
        key = (self.step, hook)
        return self._ours.get(key), self._theirs.get(key)

    def _reload(self, changed: Mapping[str, object]) -> object | Raised:
        """Load the candidate with some of the overrides only; the predicate names those to keep."""
        kept = changed.get("tool_overrides", {})
        config = self.scenario.config
        pairs = dict(config[1])
        kind, overrides = pairs["tool_overrides"]
        pairs["tool_overrides"] = (
            kind,
            tuple((tool, value) for tool, value in overrides if tool in kept),  # type: ignore[operator] # a mapping
        )
        asked = Scenario((config[0], tuple(pairs.items())), self.scenario.ceiling, ())
        told = driver.read(self._ask(asked))
        return _refusal(told[0]) or object()

    def _where(self, seat: _Seat, asked: Asked) -> str:
        """Say what else tells causes apart: the signal, the path, and the container."""
        if asked.hook is not Hook.TOOL_POST_INVOKE or seat.oracle is None or asked.tool is None:
            return asked.hook.value
        config = attempt(lambda: seat.oracle.effective_config(asked.tool or ""))  # type: ignore[union-attr] # checked
        if isinstance(config, Raised):
            return "unusable override"
        path = "text check" if config.check_text_content else "structured"
        signal = attempt(lambda: signal_of(asked.result, config.retry_on_status))
        named = "unreadable" if isinstance(signal, Raised) else signal.value
        return f"{named}, {path}, {type(asked.result).__name__}"

    def _keep(self, comparison: Comparison, ours: Did, theirs: Did, where: str) -> None:
        self._accepted.update(comparison.accepted)
        for each in comparison.unexplained:
            self._find(each, ours, theirs, where)

    def _find(self, difference: Difference, ours: Did, theirs: Did, where: str) -> None:
        what = str(difference)
        if difference.kind is Kind.METADATA:
            what = f"{what}: {_unlike(ours, theirs)}"
        elif ours.hook == "load":
            what = f"{what}: {where}"
        self._findings.append(Finding(what, where, self.step, _said(ours), _said(theirs)))

    def _drawn_up_to(self, seat: _Seat, asked: Asked, comparison: Comparison) -> int | None:
        """Give the ceiling (milliseconds) up to which both sides drew; ``None`` without draws."""
        oracle, tool, request_id = seat.oracle, asked.tool, asked.request_id
        policy = policy_of(getattr(_outcome(comparison, Side.REFERENCE), "metadata", None))
        if oracle is None or policy is None or tool is None or request_id is None:
            return None
        told = attempt(lambda: (oracle.traits(tool).jitter, oracle.failures(tool, request_id)))
        if isinstance(told, Raised):  # the hybrid cannot take the name, or the override
            return None
        jitter, failures = told
        if not jitter or not 1 <= failures <= policy.max_retries:
            return None
        return None if self._chains.differs(tool, request_id) else policy.ceiling_ms(failures)

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
        smallest = 0 if self._subject.candidate_may_draw_zero else 1
        if not all(smallest <= each <= ceiling_ms for each in (ours, theirs)):
            return False
        self._subject.note_draws(ceiling_ms, ours, theirs)
        if (ours and theirs) or ours == theirs:
            return False
        kinds = {each.kind for each in comparison.differences}
        if not kinds <= {Kind.RETRY_LOST, Kind.RETRY_EXTRA}:
            return False
        return True


def _outcome(comparison: Comparison, side: Side) -> object:
    observation = comparison.reference if side is Side.REFERENCE else comparison.candidate
    return None if observation is None else observation.outcome


def _refusal(did: Did) -> Raised | None:
    return None if did.raised is None else Raised(*did.raised)


def _mutation(side: Side) -> Difference:
    from retry_parity.compare import Difference as Found

    return Found(Kind.PAYLOAD_MUTATED, side.value)


def _reason(ours: Did, theirs: Did) -> str:
    """Give the refusals' own words without the particulars."""
    said = [did.raised[1] for did in (ours, theirs) if did.raised is not None]
    words = " / ".join(" ".join(text.split()) for text in said)
    return _PARTICULARS.sub("..", words)[:_MOST_REASON]


def _unlike(ours: Did, theirs: Did) -> str:
    """Name the first metadata that differ."""
    left, right = (
        did.answer[1] if isinstance(did.answer, tuple) else None for did in (ours, theirs)
    )
    path = ""
    while isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}, key=str):
            if key not in left or key not in right:
                side = "candidate" if key not in right else "reference"
                return f"{path}{key} is missing in the {side}"
            if left[key] != right[key] or type(left[key]) is not type(right[key]):
                path += f"{key}."
                left, right = left[key], right[key]
                break
        else:
            break
    return path.rstrip(".") or "as a whole"


def _said(did: Did) -> str:
    """Say what a build did in a step."""
    if did.raised is not None:
        return _short(f"raises {did.raised[0][0]}: {' '.join(did.raised[1].split())}")
    if did.hook == "load":
        return "takes the config"
    if did.hook == "policy":
        return _short(f"policy {did.answer!r}")
    if not isinstance(did.answer, tuple):
        return _short(repr(did.answer))
    delay, metadata, rest = did.answer
    told = f"retry in {delay} ms" if isinstance(delay, int) and delay > 0 else "no retry"
    if not isinstance(delay, int):
        told = f"retry_delay_ms {delay!r}"
    more = f", and {rest!r}" if rest else ""
    errors = f", after an internal error ({did.internal_cause})" if did.internal_errors else ""
    mutated = ", and changes the payload" if did.mutated else ""
    return _short(f"{told}, metadata {metadata!r}{more}{errors}{mutated}")


def _told(step: Step) -> str:
    if isinstance(step, Call):
        plugin = f", plugin object {step.plugin}" if step.plugin else ""
        trace = "" if step.trace_id is None else f", trace {step.trace_id!r}"
        result = _short(show(step.result))
        return f"{step.tool!r}, request {step.request_id!r}{plugin}{trace}: {result}"
    if isinstance(step, Wait):
        return f"{step.seconds:g} s pass"
    if isinstance(step, Rebuild):
        return f"plugin object {step.plugin} is rebuilt"
    if isinstance(step, Fetch):
        return "a resource is fetched"
    return f"native policy of {step.tool!r} with at most {step.ceiling} retries"


def _short(text: str) -> str:
    shown = text.encode("utf-8", "backslashreplace").decode()
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}.."
