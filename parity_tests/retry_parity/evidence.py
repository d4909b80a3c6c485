"""What comparing has shown: counters per plugin name, one set per process.

The gateway rebuilds its plugin objects every 30 s, for each team and tool, so nothing that has to
last lives in a plugin object. Memory is bounded: names that would grow a counter without end are
counted together beyond a limit.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections import Counter, deque
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from retry_parity import _native
from retry_parity._native import Book, Latency
from retry_parity.chains import Chains
from retry_parity.compare import Difference, Outcome, signature
from retry_parity.observation import Call, Hook, Observation, Side, class_name
from retry_parity.strata import ACTS, stratum_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_MOST_NAMES: Final = 256
_OTHER: Final = "(others)"
#: Stands for a tool whose name is no text.
_NAMELESS: Final = "(no name)"
_LONGEST_NAME: Final = 256

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
    EVIDENCE = "evidence"
    UPKEEP = "upkeep"


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


class Memory(NamedTuple):
    """What the chains of one side take in this process.

    Attributes:
        chains: How many.
        store_bytes: Bytes of what keeps them.
    """

    chains: int = 0
    store_bytes: int = 0


#: How one side did, in the order of `Book.decisions`.
_SIDES: Final = (Side.REFERENCE, Side.CANDIDATE)

#: What became of a comparison, in the order of `Book.strata`.
_VERDICTS: Final = ("match", "accepted", "divergent")

#: Samples that wait to be written; more are dropped and counted.
_MOST_SAMPLES: Final = 64
#: Samples of one signature.
_SAMPLES_PER_SIGNATURE: Final = 3
#: A call left out of the comparison by its share.
SAMPLED_OUT: Final = "sampled-out"


class Evidence:
    """The counters of one plugin name."""

    def __init__(self, name: str) -> None:
        """Start at zero."""
        self.name = name
        self.latency = {side: Latency() for side in _SIDES}
        #: What is counted at every call.
        self.book = Book(*self.latency.values())
        #: Kinds of tools that the config makes possible: overridden, text checked. ``None`` where
        #: nobody has looked.
        self.shapes: frozenset[tuple[bool, bool]] | None = None
        #: Completes a sample; ``None`` leaves it as it is.
        self.complete: Callable[[Mapping[str, object]], Mapping[str, object]] | None = None
        #: What this worker's files take.
        self.bytes_on_disk = 0
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._calls = self._matches = self._accepted_calls = 0
        self._accepted: Counter[str] = Counter()
        self._divergent: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._candidate_errors: Counter[str] = Counter()
        self._harness_errors: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._sampled: Counter[str] = Counter()
        self._samples: deque[Mapping[str, object]] = deque()
        self._impact: dict[str, Counter[str]] = {}
        self._most: dict[Side, Memory] = {}

    def begin_anew(self) -> None:
        """Start at zero again, in a child of a fork."""
        self._lock = threading.Lock()
        self._begin()
        self.book.clear()
        for latency in self.latency.values():
            latency.clear()

    def record(self, comparison: Comparison, *, quiet: bool = False) -> None:
        """Count a comparison; log each new signature once, unless it was reported already."""
        is_call = comparison.call.hook in _HOOK_CALLS
        with self._lock:
            self._calls += is_call
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
            self._count_impact(comparison)
        if first and not quiet:
            _log.warning(
                "%s: the candidate decides differently: %s (%s, tool %r, request %s); "
                "counted from now on",
                self.name,
                comparison.signature,
                comparison.call.hook.value,
                _shown_tool(comparison.call.tool),
                hashed(comparison.call.request_id),
            )

    def _count_impact(self, comparison: Comparison) -> None:
        name = _shown_tool(comparison.call.tool)
        if name not in self._impact and len(self._impact) >= _MOST_NAMES:
            name = _OTHER
        kinds = self._impact.setdefault(name, Counter())
        for difference in comparison.unexplained:
            kinds[difference.kind.value] += 1

    def candidate_error(self, name: str, error: BaseException | None = None) -> None:
        """Count an error of the candidate; log each new name once."""
        with self._lock:
            first = _count(self._candidate_errors, name)
        if first:
            _log.warning(
                "%s: the candidate failed: %s%s",
                self.name,
                name,
                f" ({where(error)})" if error else "",
            )

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
                "%s: the comparison failed in step %s; answers are not affected (%s)",
                self.name,
                step.value,
                where(error),
            )

    def counts(self) -> Counts:
        """Copy the counters."""
        with self._lock:
            at_a_glance, sampled_out = self.book.matches, self.book.sampled_out
            ignored = dict(self._ignored)
            if sampled_out:
                ignored[SAMPLED_OUT] = sampled_out
            return Counts(
                calls=self._calls + at_a_glance + sampled_out,
                matches=self._matches + at_a_glance,
                accepted_calls=self._accepted_calls,
                accepted=dict(sorted(self._accepted.items())),
                divergent=dict(sorted(self._divergent.items())),
                ignored=dict(sorted(ignored.items())),
                candidate_errors=dict(sorted(self._candidate_errors.items())),
                harness_errors=dict(sorted(self._harness_errors.items())),
            )

    def decisions(self) -> dict[tuple[Side, str], int]:
        """Give the answers that callers got, by who decided and what it was."""
        return _by_side(self.book.decisions)

    def outcomes(self) -> dict[tuple[Side, str], int]:
        """Give what each side did, whether it decided or not."""
        return _by_side(self.book.outcomes)

    def strata(self) -> dict[str, dict[str, int]]:
        """Give the comparisons by stratum and what became of them."""
        found: dict[str, dict[str, int]] = {}
        for row in self.book.strata():
            verdict, count = row[5:]
            found.setdefault(str(stratum_of(*row[:5])), {})[_VERDICTS[verdict]] = count
        return found

    def live(self) -> dict[Side, int]:
        """Give the chains that each side holds; one that is not loaded is left out."""
        return {side: holder.live_chains() for side, holder in _holders().items()}

    def impact(self) -> dict[str, dict[str, int]]:
        """Give the unexplained differences by tool and kind."""
        with self._lock:
            return {tool: dict(kinds) for tool, kinds in sorted(self._impact.items())}

    def memory(self) -> dict[Side, Memory]:
        """Look at what the chains take now, and give the look at which there were most of them.

        The two figures are of one moment: a store keeps room that chains took before, and bytes of
        one moment divided by chains of another say nothing.
        """
        for side, holder in _holders().items():
            now = Memory(holder.live_chains(), holder.store_bytes())
            if now >= self._most.get(side, Memory()):
                self._most[side] = now
        return dict(self._most)

    def evicted(self) -> dict[str, int]:
        """Give the chains dropped for want of room, by holder."""
        found = {"owners": _native.evicted_chains()}
        if (core := sys.modules.get("retry_with_backoff._core")) is not None:
            found["candidate"] = core.evicted_chains()
        return found

    def wants_sample(self, signature: str) -> bool:
        """Say whether another sample of a signature is wanted, and count it as taken."""
        with self._lock:
            if self._sampled[signature] >= _SAMPLES_PER_SIGNATURE:
                return False
            if len(self._sampled) > _MOST_NAMES:
                return False
            self._sampled[signature] += 1
            return True

    def add_sample(self, sample: Mapping[str, object]) -> None:
        """Keep a sample until it is written."""
        if self.complete is not None:
            sample = self.complete(sample)
        with self._lock:
            if len(self._samples) < _MOST_SAMPLES:
                self._samples.append(sample)
                return
        self.drop("memory full")

    def take_samples(self) -> list[Mapping[str, object]]:
        """Give the samples that wait, and forget them."""
        with self._lock:
            taken = list(self._samples)
            self._samples.clear()
            return taken

    def drop(self, reason: str, count: int = 1) -> None:
        """Count evidence that could not be kept; log each new reason once."""
        with self._lock:
            first = _count(self._dropped, reason, count)
        if first:
            _log.warning(
                "%s: evidence cannot be kept: %s; counting goes on, answers are not affected",
                self.name,
                reason,
            )

    def dropped(self) -> dict[str, int]:
        """Give what could not be kept, by reason."""
        with self._lock:
            return dict(self._dropped)


_by_plugin: dict[str, Evidence] = {}
_by_plugin_lock = threading.Lock()

#: The chains whose counts differ. One set per process, as both sides share their chains among all
#: plugin objects.
CHAINS: Final = Chains()


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
    _native.forget_chains()


def _shown_tool(tool: object) -> str:
    return tool[:_LONGEST_NAME] if isinstance(tool, str) else _NAMELESS


def where(error: BaseException) -> str:
    """Say what an exception is and where it came from, and nothing that it says itself.

    A message may repeat what a tool gave; a place in the code does not.
    """
    try:
        frames = traceback.extract_tb(error.__traceback__)
        place = "".join(f" at {Path(each.filename).name}:{each.lineno}" for each in frames[-3:])
    except Exception:  # noqa: BLE001 - an exception's own code may fail as any other
        place = " at an unknown place"
    return f"{class_name(type(error))}{place}"


def _holders() -> dict[Side, Any]:
    """Give the modules that hold chains, as far as they are loaded."""
    names = {Side.REFERENCE: "retry_legacy", Side.CANDIDATE: "retry_with_backoff._core"}
    found = ((side, sys.modules.get(name)) for side, name in names.items())
    return {side: module for side, module in found if module is not None}


def _by_side(counts: Sequence[Sequence[int]]) -> dict[tuple[Side, str], int]:
    return {
        (side, act): count
        for side, acts in zip(_SIDES, counts, strict=True)
        for act, count in zip(ACTS, acts, strict=True)
    }


def hashed(request_id: object) -> str | None:
    """Give the salted hash by which a request is known in samples and log lines.

    A client may choose the id, and put anything in it.
    """
    return _native.salted_hash(request_id) if isinstance(request_id, str) else None


def begin_anew() -> None:
    """Count from zero in a child of a fork, with locks that nobody holds."""
    global _by_plugin_lock  # noqa: PLW0603 - one per process
    _by_plugin_lock = threading.Lock()
    for evidence in _by_plugin.values():
        evidence.begin_anew()


def _count(counter: Counter[str], name: str, count: int = 1) -> bool:
    """Count a name; say whether it is new. Beyond the limit, new names count together."""
    if name not in counter and len(counter) >= _MOST_NAMES:
        name = _OTHER
    counter[name] += count
    return counter[name] == count
