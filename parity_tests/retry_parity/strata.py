"""The cells of the input space, and which of them a run has reached.

A stratum is signal kind x chain position x override x text check x outcome. What cannot occur is
no stratum: the table of those that can is here, and a run that leaves one of them empty has not
looked everywhere.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from retry_parity import _native
from retry_parity.observation import Hook, Raised, Returned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from retry_parity.evidence import Comparison
    from retry_parity.reference import Traits


class Signal(StrEnum):
    """What a result says, by the first of its signals that decides."""

    NO_RESULT = "no result object"
    NONE = "no signal"
    FLAG = "isError"
    FLAG_AND_RETRYABLE = "isError, retryable status"
    FLAG_AND_OTHER = "isError, other status"
    INNER_FLAG = "structured isError"
    STATUS_RETRYABLE = "retryable status"
    STATUS_OTHER = "other status"
    TEXT = "text only"
    UNREADABLE = "unreadable"


class Position(StrEnum):
    """Where in its chain a call stands, by the reference's count before it."""

    NEW = "no chain"
    FIRST = "after 1 failure"
    LATER = "after more failures"


class Outcome(StrEnum):
    """What the reference decided."""

    RETRY = "retry"
    NO_RETRY = "no retry"
    RAISED = "raised"


class Stratum(NamedTuple):
    """One cell."""

    signal: Signal
    position: Position
    override: bool
    text_check: bool
    outcome: Outcome

    def __str__(self) -> str:
        """Give the cell as a person reads it."""
        return (
            f"{self.signal} | {self.position} | {'override' if self.override else 'base'} | "
            f"{'text check' if self.text_check else 'structured'} | {self.outcome}"
        )


@dataclass(frozen=True, slots=True)
class Setting:
    """What a stratum needs to know of a tool's config.

    Attributes:
        traits: Jitter and path.
        override: Whether the tool has overrides.
        retryable: Its retryable status codes.
    """

    traits: Traits
    override: bool
    retryable: frozenset[int]


#: The outcomes as words, in the order of the extension module.
ACTS: Final = tuple(outcome.value for outcome in Outcome)

_BEYOND: Final = 2**63
_SIGNALS: Final = tuple(Signal)
_POSITIONS: Final = tuple(Position)
_OUTCOMES: Final = tuple(Outcome)


def stratum_of(
    signal: int,
    position: int,
    override: bool,  # noqa: FBT001 - as above
    text_check: bool,  # noqa: FBT001 - as above
    outcome: int,
) -> Stratum:
    """Give the cell of the numbers by which the extension module counts it."""
    return Stratum(_SIGNALS[signal], _POSITIONS[position], override, text_check, _OUTCOMES[outcome])


def comparable(statuses: Iterable[int]) -> list[int]:
    """Leave out the status codes that no 64-bit integer can be."""
    return [status for status in statuses if -_BEYOND <= status < _BEYOND]


def signal_of(result: object, retryable: Iterable[int]) -> Signal:
    """Name what a result says, by the rules of BEHAVIOUR.md, "Is it a failure?"."""
    return _SIGNALS[_native.signal_of(result, comparable(retryable))]


class Coverage:
    """How often each stratum was met. Counts of parts add up to those of the whole."""

    def __init__(self, counts: Mapping[Stratum, int] | None = None) -> None:
        """Start with what was met before."""
        self.counts: Counter[Stratum] = Counter(counts or {})

    def add(self, comparison: Comparison, setting: Setting, failures_before: int) -> None:
        """Count a comparison of a tool call; others have no stratum."""
        call = comparison.call
        if call.hook is not Hook.TOOL_POST_INVOKE or comparison.reference is None:
            return
        decided = comparison.reference.outcome
        outcome = Outcome.NO_RETRY
        if isinstance(decided, Raised):
            outcome = Outcome.RAISED
        elif isinstance(decided, Returned) and decided.retries:
            outcome = Outcome.RETRY
        self.counts[
            Stratum(
                signal_of(call.result, setting.retryable),
                tuple(Position)[min(failures_before, 2)],
                setting.override,
                setting.traits.text_path,
                outcome,
            )
        ] += 1

    def missing(self) -> tuple[Stratum, ...]:
        """Give the strata that can occur and were not met."""
        return tuple(stratum for stratum in reachable() if not self.counts[stratum])

    def impossible(self) -> tuple[Stratum, ...]:
        """Give the strata that were met and cannot occur: `reachable` is wrong about them."""
        possible = set(reachable())
        return tuple(stratum for stratum in self.counts if stratum not in possible)


def table(coverage: Coverage) -> list[str]:
    """Give every stratum with its count, a line for each signal and position, the rarest first.

    A dot stands for what cannot occur.
    """
    possible = set(reachable())
    names = [each.value for each in Outcome]
    width = max(len(signal) for signal in Signal), max(len(position) for position in Position)
    columns = list(product((False, True), (False, True), Outcome))
    lines = []
    for signal, position in product(Signal, Position):
        strata = [Stratum(signal, position, *column) for column in columns]
        counts = [coverage.counts[each] if each in possible else None for each in strata]
        known = [count for count in counts if count is not None]
        cells = "".join("       ." if count is None else f"{count:>8,}" for count in counts)
        lines.append((min(known), f"{signal:<{width[0]}} {position:<{width[1]}}{cells}"))
    indent = " " * (sum(width) + 1)
    groups = [
        f"{'override' if override else 'base'}, {'text check' if text else 'structured'}"
        for override, text in product((False, True), (False, True))
    ]
    heads = [
        indent + "".join(f"{group:>{8 * len(names)}}" for group in groups),
        indent + "".join(f"{name.replace('retry', 'r.'):>8}" for _ in groups for name in names),
    ]
    return heads + [line for _, line in sorted(lines, key=itemgetter(0))]


def reachable() -> tuple[Stratum, ...]:
    """Give every stratum that can occur."""
    every = product(Signal, Position, (False, True), (False, True), Outcome)
    return tuple(stratum for stratum in map(Stratum._make, every) if _can_occur(stratum))


#: Signals that no config makes a failure.
_HARMLESS = frozenset({Signal.NONE, Signal.STATUS_OTHER, Signal.FLAG_AND_OTHER, Signal.NO_RESULT})
#: Signals beside which the text path reads the content, which can raise.
_TEXT_IS_READ = frozenset({Signal.TEXT, Signal.NONE})
#: Signals whose status may be outside 32 bits, which raises on the fast path.
_STATUS_MAY_RAISE = frozenset({Signal.STATUS_OTHER, Signal.FLAG_AND_OTHER, Signal.INNER_FLAG})


def _can_occur(stratum: Stratum) -> bool:
    if stratum.signal is Signal.UNREADABLE:
        return stratum.outcome is Outcome.RAISED
    if stratum.outcome is Outcome.RETRY:
        return stratum.signal not in _HARMLESS and (
            stratum.text_check or stratum.signal is not Signal.TEXT
        )
    if stratum.outcome is Outcome.NO_RETRY:
        return True
    if stratum.text_check:
        return stratum.signal in _TEXT_IS_READ
    # A name that raises on the fast path never has a chain.
    return stratum.position is Position.NEW or stratum.signal in _STATUS_MAY_RAISE
