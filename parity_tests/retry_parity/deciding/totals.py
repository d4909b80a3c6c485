"""Runs of evidence added up. The sum does not depend on order or grouping."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from retry_parity._native import Latency
from retry_parity.deciding.values import LARGEST, is_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: The sides as evidence names them.
SIDES: Final = ("legacy", "rust")


@dataclass(frozen=True, order=True, slots=True)
class Memory:
    """What the chains of one side took at most, in one process.

    Attributes:
        chains: The most that were held at once.
        store_bytes: The most bytes that the store of chains took.
    """

    chains: int = 0
    store_bytes: int = 0

    @property
    def per_chain(self) -> Fraction:
        """Bytes per chain."""
        return Fraction(self.store_bytes, self.chains)


@dataclass(frozen=True, order=True, slots=True)
class Stores:
    """What the chains of both sides took in one process; nothing in it is 0.

    Attributes:
        reference: The hybrid's.
        candidate: The candidate's.
    """

    reference: Memory
    candidate: Memory

    @property
    def fewest(self) -> int:
        """Chains that both sides had."""
        return min(self.reference.chains, self.candidate.chains)

    @property
    def ratio(self) -> Fraction:
        """The candidate's bytes per chain, as a multiple of the hybrid's."""
        return self.candidate.per_chain / self.reference.per_chain

    def says_no_less_than(self, other: Stores) -> bool:
        """Whether what the other one shows against the candidate is shown by this one as well."""
        if self.fewest < other.fewest or self.ratio < other.ratio:
            return False
        return (self.fewest, self.ratio, self) >= (other.fewest, other.ratio, other)


@dataclass(slots=True)
class Totals:
    """The sum of runs.

    INVARIANT: every field is a sum, or a maximum (`memory`, `largest_store`; `stores` are the
    maximal ones of a partial order), so that the totals of parts add up to
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
        memory: What the chains took in the process that held most of them, by side.
        stores: What they took in the processes that show most against the candidate: no other one
            has both as many chains and as high a ratio.
        largest_store: The most bytes that the candidate's store took in any process.
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
    stores: frozenset[Stores] = frozenset()
    largest_store: int = 0

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
            ValueError: The latency is no histogram, a count is negative or larger than any can be,
                or cells have more comparisons than there were.
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
        self._note_memory(run.memory)
        if all(side in run.memory for side in SIDES):
            self._note_stores([Stores(*(run.memory[side] for side in SIDES))])

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
        self._note_memory(other.memory)
        self._note_stores(other.stores)
        self.largest_store = max(self.largest_store, other.largest_store)

    def _add_latency(self, source: str, side: str, latency: Latency) -> None:
        for by_side in (self.latency, self.latency_of.setdefault(source, {})):
            mine = by_side.get(side)
            if mine is None:
                mine = by_side[side] = Latency()
            mine.merge(latency)

    def _note_memory(self, memory: Mapping[str, Memory]) -> None:
        for side, taken in memory.items():
            self.memory[side] = max(self.memory.get(side, taken), taken)
        if SIDES[1] in memory:
            self.largest_store = max(self.largest_store, memory[SIDES[1]].store_bytes)

    def _note_stores(self, stores: Iterable[Stores]) -> None:
        for new in stores:
            if not any(each.says_no_less_than(new) for each in self.stores):
                kept = (each for each in self.stores if not new.says_no_less_than(each))
                self.stores = frozenset((new, *kept))


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
_INTEGER: Final = frozenset({int})
#: What becomes of a comparison, as cells name it.
_VERDICTS: Final = ("match", "accepted", "divergent")


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
    memory: dict[str, Memory]


def _checked(counts: Mapping[str, Any]) -> _Run:
    flat = {name: counts[name] for name in _FLAT}
    nested = {name: counts[name] for name in _NESTED}
    inner = [named for by_key in nested.values() for named in by_key.values()]
    _check(chain.from_iterable(named.values() for named in (*flat.values(), *inner)))
    guard = counts["guard"]
    if type(guard["tripped"]) is not bool:
        message = f"guard.tripped is {guard['tripped']!r:.60}, true and false are allowed"
        raise TypeError(message)
    whole = (counts["matches"], counts["accepted_calls"], counts["fallbacks"], guard["trips"])
    _check(whole)
    there = (*whole[:2], sum(flat["divergent"].values()))
    _check_strata(nested["strata"], dict(zip(_VERDICTS, there, strict=True)))
    latency = {
        side: each
        for side, encoded in counts.get("latency", {}).items()
        if _has_times(each := Latency.decoded(encoded))
    }
    return _Run(*whole, guard["tripped"], flat, nested, latency, _memory(counts["memory"]))


def _memory(told: Mapping[str, Mapping[str, int]]) -> dict[str, Memory]:
    """Give the figures; where there are no chains, or they take nothing, there are none."""
    memory = {side: Memory(each["chains"], each["store_bytes"]) for side, each in told.items()}
    for each in memory.values():
        _check((each.chains, each.store_bytes))
    return {side: each for side, each in memory.items() if each.chains and each.store_bytes}


def _has_times(latency: Latency) -> bool:
    """Whether anything was measured: where all times are 0, a clock stood still."""
    return (latency.quantile_ns(1.0) or 0) > 1


def _check_strata(strata: Mapping[str, Mapping[str, int]], there: Mapping[str, int]) -> None:
    """Refuse cells that have more than the run has; they may have less.

    Calls whose setting cannot be read are in no cell.
    """
    found: Counter[str] = Counter()
    for counted in strata.values():
        _add(found, counted)
    for verdict, count in found.items():
        if verdict not in there:
            message = f"{verdict!r:.60} in a cell, {', '.join(there)} are allowed"
            raise ValueError(message)
        if count > there[verdict]:
            message = f"cells have {count:,} of {verdict}, the run has {there[verdict]:,}"
            raise ValueError(message)


def _check(counted: Iterable[Any]) -> None:
    counted = tuple(counted)
    # All at once first: of a fleet's counts there are millions.
    are_integers = set(map(type, counted)) <= _INTEGER
    if are_integers and min(counted, default=0) >= 0 and max(counted, default=0) <= LARGEST:
        return
    for count in counted:
        if type(count) is not int:
            message = f"{count!r:.60} is no count"
            raise TypeError(message)
        if not is_count(count):
            message = f"{'below 0' if count < 0 else f'above {LARGEST:,}'}, which no count is"
            raise ValueError(message)
