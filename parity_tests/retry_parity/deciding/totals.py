"""Runs of evidence added up. The sum does not depend on order or grouping."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from retry_parity._native import Latency

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: The sides as evidence names them.
SIDES: Final = ("legacy", "rust")


@dataclass(slots=True)
class Memory:
    """What the chains of one side took at most, in one process.

    Attributes:
        chains: The most that were held at once.
        store_bytes: The most bytes that the store of chains took.
    """

    chains: int = 0
    store_bytes: int = 0


@dataclass(slots=True)
class Totals:
    """The sum of runs.

    INVARIANT: every field is a sum, or a maximum (`memory`), so that the totals of parts add up to
    those of the whole.

    Attributes:
        runs: Runs by source: ``live`` (a gateway's worker), ``replay``, ``generated``.
        compared: Comparisons by source of the run.
        decisions: Answers that callers got, by side and outcome.
        outcomes: What each side did, by side and outcome.
        matches: Comparisons that were equal.
        accepted_calls: Comparisons that differed and were explained completely.
        accepted: Explanations, by ledger id.
        divergent: Comparisons not explained, by signature.
        impact: Unexplained differences by tool and `compare.Kind`.
        not_compared: By reason.
        candidate_errors: By name.
        harness_errors: By step.
        strata: By stratum (text of `strata.Stratum`) and ``match``, ``accepted``, ``divergent``.
        fallbacks: Answers of the hybrid in place of the candidate's.
        guard_trips: How often the guard tripped.
        guard_tripped: Runs at whose end it was tripped.
        evicted: Chains dropped for want of room, by holder.
        dropped: Evidence that could not be kept, by reason.
        latency: Time of the hook, by side.
        latency_of: The same by source of the run, then by side.
        memory: What the chains took in the process in which they took most, by side.
    """

    runs: Counter[str] = field(default_factory=Counter)
    compared: Counter[str] = field(default_factory=Counter)
    decisions: dict[str, Counter[str]] = field(default_factory=dict)
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    matches: int = 0
    accepted_calls: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    divergent: Counter[str] = field(default_factory=Counter)
    impact: dict[str, Counter[str]] = field(default_factory=dict)
    not_compared: Counter[str] = field(default_factory=Counter)
    candidate_errors: Counter[str] = field(default_factory=Counter)
    harness_errors: Counter[str] = field(default_factory=Counter)
    strata: dict[str, Counter[str]] = field(default_factory=dict)
    fallbacks: int = 0
    guard_trips: int = 0
    guard_tripped: int = 0
    evicted: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    latency: dict[str, Latency] = field(default_factory=dict)
    latency_of: dict[str, dict[str, Latency]] = field(default_factory=dict)
    memory: dict[str, Memory] = field(default_factory=dict)

    @property
    def comparisons(self) -> int:
        """All comparisons."""
        return self.matches + self.accepted_calls + self.divergences

    @property
    def divergences(self) -> int:
        """All unexplained ones."""
        return self.divergent.total()

    def add_run(self, source: str, counts: Mapping[str, Any]) -> None:
        """Add one run; where it cannot be added, nothing of it is.

        Args:
            source: Of the run's first line.
            counts: Its last line of counts (`evidence_files.told_figures`).

        Raises:
            ValueError: The latency is no histogram, or a count is negative.
            TypeError: A count is none.
            KeyError: A count is missing.
            AttributeError: Counts by name have no names.
        """
        run = _checked(counts)
        self.runs[source] += 1
        self.compared[source] += (
            run.matches + run.accepted_calls + sum(run.flat["divergent"].values())
        )
        self.matches += run.matches
        self.accepted_calls += run.accepted_calls
        self.fallbacks += run.fallbacks
        self.guard_trips += run.guard_trips
        self.guard_tripped += run.guard_tripped
        for name, counted in run.flat.items():
            _add(getattr(self, name), counted)
        for name, nested in run.nested.items():
            _add_nested(getattr(self, name), nested)
        for side, latency in run.latency.items():
            self._add_latency(source, side, latency)
        for side, (chains, store_bytes) in run.memory.items():
            self._note_memory(side, chains, store_bytes)

    def add(self, other: Totals) -> None:
        """Add the totals of other runs."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("runs", "compared", *_FLAT):
            _add(getattr(self, name), getattr(other, name))
        for name in _NESTED:
            _add_nested(getattr(self, name), getattr(other, name))
        for source, by_side in other.latency_of.items():
            for side, latency in by_side.items():
                self._add_latency(source, side, latency)
        for side, memory in other.memory.items():
            self._note_memory(side, memory.chains, memory.store_bytes)

    def _add_latency(self, source: str, side: str, latency: Latency) -> None:
        for by_side in (self.latency, self.latency_of.setdefault(source, {})):
            mine = by_side.get(side)
            if mine is None:
                mine = by_side[side] = Latency()
            mine.merge(latency)

    def _note_memory(self, side: str, chains: int, store_bytes: int) -> None:
        most = self.memory.setdefault(side, Memory())
        most.chains = max(most.chains, chains)
        most.store_bytes = max(most.store_bytes, store_bytes)


_SUMS: Final = ("matches", "accepted_calls", "fallbacks", "guard_trips", "guard_tripped")
_FLAT: Final = (
    "accepted",
    "divergent",
    "not_compared",
    "candidate_errors",
    "harness_errors",
    "evicted",
    "dropped",
)
_NESTED: Final = ("decisions", "outcomes", "strata", "impact")


def _add(mine: Counter[str], counted: Mapping[str, int]) -> None:
    # As Counter.update does, which is slower for the few names that there are.
    for name, count in counted.items():
        mine[name] += count


def _add_nested(mine: dict[str, Counter[str]], nested: Mapping[str, Mapping[str, int]]) -> None:
    for key, counted in nested.items():
        found = mine.get(key)
        if found is None:
            found = mine[key] = Counter()
        _add(found, counted)


class _Run(NamedTuple):
    """A run's counts, each of its type."""

    matches: int
    accepted_calls: int
    fallbacks: int
    guard_trips: int
    guard_tripped: bool
    flat: dict[str, Mapping[str, int]]
    nested: dict[str, Mapping[str, Mapping[str, int]]]
    latency: dict[str, Latency]
    memory: dict[str, tuple[int, int]]


def _checked(counts: Mapping[str, Any]) -> _Run:
    flat = {name: counts[name] for name in _FLAT}
    nested = {name: counts[name] for name in _NESTED}
    for named in flat.values():
        _check(named.values())
    for by_key in nested.values():
        for named in by_key.values():
            _check(named.values())
    guard = counts["guard"]
    whole = (counts["matches"], counts["accepted_calls"], counts["fallbacks"], guard["trips"])
    memory = {
        side: (told["chains"], told["store_bytes"]) for side, told in counts["memory"].items()
    }
    _check(whole)
    for pair in memory.values():
        _check(pair)
    latency = {
        side: Latency.decoded(encoded) for side, encoded in counts.get("latency", {}).items()
    }
    return _Run(*whole, bool(guard["tripped"]), flat, nested, latency, memory)


def _check(counted: Iterable[object]) -> None:
    for count in counted:
        if type(count) is not int:
            message = f"{count!r:.60} is no count"
            raise TypeError(message)
        if count < 0:
            message = f"{count} is below 0"
            raise ValueError(message)
