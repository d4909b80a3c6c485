"""What comparing has shown: counters per plugin name, one set per process.

The gateway rebuilds its plugin objects every 30 s, for each team and tool, so nothing that has to
last lives in a plugin object. Memory is bounded: names that would grow a counter without end are
counted together beyond a limit.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

from cpex.framework import ToolPostInvokeResult

from retry_parity._native import Agreement, Latency
from retry_parity.beginnings import Beginnings
from retry_parity.chains import Chains
from retry_parity.compare import Difference, Outcome, signature
from retry_parity.observation import Call, Hook, Observation, Side

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_NAMES: Final = 256
_OTHER: Final = "(others)"

#: What counts as a call. Loading, and native policies, leave a trace only where they differ.
_HOOK_CALLS: Final = frozenset({Hook.TOOL_POST_INVOKE, Hook.RESOURCE_POST_FETCH})

_log = logging.getLogger("retry_parity")


class Step(StrEnum):
    """The guarded steps of the harness. A failing step names itself and changes no answer."""

    LOAD_CANDIDATE = "load-candidate"
    SNAPSHOT = "snapshot"
    CALL_CANDIDATE = "call-candidate"
    COMPARE = "compare"
    LEDGER = "ledger"
    RECORD = "record"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of one call.

    Attributes:
        outcome: Match, mismatch, or ignored (not compared).
        call: What both sides were given.
        reference: What the reference did; ``None`` when it was no hook call.
        candidate: What the candidate did; ``None`` when it was not asked.
        differences: All differences.
        accepted: Ledger ids that explain some or all of them.
        unexplained: The differences no entry explains.
        reason: Why the call was ignored; empty otherwise.
    """

    outcome: Outcome
    call: Call
    reference: Observation | None = None
    candidate: Observation | None = None
    differences: tuple[Difference, ...] = ()
    accepted: tuple[str, ...] = ()
    unexplained: tuple[Difference, ...] = ()
    reason: str = ""

    @classmethod
    def of_mismatch(cls, call: Call, difference: Difference, accepted: str | None) -> Self:
        """Tell of one difference that is no hook call's, and of the entry that explains it."""
        return cls(
            Outcome.MISMATCH,
            call,
            differences=(difference,),
            accepted=() if accepted is None else (accepted,),
            unexplained=(difference,) if accepted is None else (),
        )

    @property
    def signature(self) -> str:
        """The name under which an unexplained divergence is counted; empty without one."""
        return signature(self.unexplained)


@dataclass(frozen=True, slots=True)
class Counts:
    """A copy of the counters at one moment.

    Attributes:
        calls: Hook calls seen, ignored ones included.
        matches: Decisions that were equal.
        accepted_calls: Decisions that differed and were explained completely.
        accepted: Explanations by ledger id; a decision may need more than one.
        divergent: Decisions not explained, by signature.
        ignored: Calls that were not compared, by reason.
        candidate_errors: Exceptions and internal errors of the candidate, by name.
        harness_errors: Failures of the harness itself, by step.
    """

    calls: int
    matches: int
    accepted_calls: int
    accepted: dict[str, int]
    divergent: dict[str, int]
    ignored: dict[str, int]
    candidate_errors: dict[str, int]
    harness_errors: dict[str, int]


class Evidence:
    """The counters of one plugin name."""

    def __init__(self, name: str) -> None:
        """Start at zero."""
        self.name = name
        self.latency = {side: Latency() for side in Side}
        self._agreement: Agreement | None = None
        self._lock = threading.Lock()
        self._calls = self._matches = self._accepted_calls = 0
        self._accepted: Counter[str] = Counter()
        self._divergent: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._candidate_errors: Counter[str] = Counter()
        self._harness_errors: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()

    def agreement(
        self, live: list[Callable[[], int]], counted: Callable[[str, str], int]
    ) -> Agreement:
        """Give what counts the calls that agree at a glance.

        Args:
            live: See `Agreement`; the first caller's hold.
            counted: See `Agreement`.
        """
        if self._agreement is None:
            self._agreement = Agreement(
                ToolPostInvokeResult,
                self.latency[Side.REFERENCE],
                self.latency[Side.CANDIDATE],
                [BEGINNINGS.joined, CHAINS.joined, CHAINS.drifted_keys],
                live,
                counted,
            )
        return self._agreement

    def record(self, comparison: Comparison, *, quiet: bool = False) -> None:
        """Count a comparison; log each new signature once, unless it was reported already."""
        is_call = comparison.call.hook in _HOOK_CALLS
        with self._lock:
            self._calls += is_call
            for observation in (comparison.reference, comparison.candidate):
                if observation is not None:
                    self.latency[observation.side].add(observation.duration_ns)
            if comparison.outcome is Outcome.MATCH:
                self._matches += is_call
                return
            if comparison.outcome is Outcome.IGNORED:
                _count(self._ignored, comparison.reason)
                return
            for entry in comparison.accepted:
                _count(self._accepted, entry)
            if not comparison.unexplained:
                self._accepted_calls += is_call
                return
            first = _count(self._divergent, comparison.signature)
        if first and not quiet:
            _log.warning(
                "%s: the candidate decides differently: %s (%s, tool %r, request id %r); "
                "counted from now on",
                self.name,
                comparison.signature,
                comparison.call.hook.value,
                comparison.call.tool,
                comparison.call.request_id,
            )

    def candidate_error(self, name: str, error: BaseException | None = None) -> None:
        """Count an error of the candidate; log each new name once."""
        with self._lock:
            first = _count(self._candidate_errors, name)
        if first:
            _log.warning("%s: the candidate failed: %s", self.name, name, exc_info=error)

    def candidate_refusal(self, name: str, line: str) -> None:
        """Count a config that only the candidate refuses; log each new reason once, on one line."""
        with self._lock:
            _count(self._candidate_errors, name)
            first = _count(self._refusals, line)
        if first:
            _log.warning(
                "%s: the candidate refuses this config, so nothing is compared: %s", self.name, line
            )

    def harness_error(self, step: Step, error: BaseException) -> None:
        """Count a failure of the harness itself; log the first of each step."""
        with self._lock:
            self._harness_errors[step.value] += 1
            first = self._harness_errors[step.value] == 1
        if first:
            _log.error(
                "%s: the comparison failed in step %s; answers are not affected",
                self.name,
                step.value,
                exc_info=error,
            )

    def counts(self) -> Counts:
        """Copy the counters."""
        with self._lock:
            at_a_glance = 0 if self._agreement is None else self._agreement.matches
            return Counts(
                calls=self._calls + at_a_glance,
                matches=self._matches + at_a_glance,
                accepted_calls=self._accepted_calls,
                accepted=dict(sorted(self._accepted.items())),
                divergent=dict(sorted(self._divergent.items())),
                ignored=dict(sorted(self._ignored.items())),
                candidate_errors=dict(sorted(self._candidate_errors.items())),
                harness_errors=dict(sorted(self._harness_errors.items())),
            )


_by_plugin: dict[str, Evidence] = {}
_by_plugin_lock = threading.Lock()

#: The chains whose counts differ. One set per process, as both sides share their chains among all
#: plugin objects.
CHAINS: Final = Chains()

#: Which chains the candidate has met from the beginning; one set, for the same reason.
BEGINNINGS: Final = Beginnings()


def evidence_of(plugin_name: str) -> Evidence:
    """Give the process's evidence of a plugin name, begun at the first mention."""
    with _by_plugin_lock:
        found = _by_plugin.get(plugin_name)
        if found is None:
            found = _by_plugin[plugin_name] = Evidence(plugin_name)
        return found


def reset(plugin_name: str) -> None:
    """Start a plugin's counters anew, and forget what is known of chains."""
    with _by_plugin_lock:
        _by_plugin.pop(plugin_name, None)
    CHAINS.clear()
    BEGINNINGS.clear()


def _count(counter: Counter[str], name: str) -> bool:
    """Count a name; say whether it is new. Beyond the limit, new names count together."""
    if name not in counter and len(counter) >= _MOST_NAMES:
        name = _OTHER
    counter[name] += 1
    return counter[name] == 1
