"""The input space as a map: a row for each signal and position, a column for each kind of tool."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING, Final

from retry_parity.strata import Outcome, Position, Signal, Stratum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retry_parity.deciding.verdict import StratumRow


class State(StrEnum):
    """What a cell says; the first that holds."""

    NEVER = "cannot occur"
    DIVERGENT = "differs"
    UNFORESEEN = "met, though it cannot be"
    RULED_OUT = "out of this config's reach"
    REACHED = "reached"
    WAIVED = "waived"
    SHORT = "not enough"
    EMPTY = "not reached"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        stratum: Text of `strata.Stratum`.
        state: What it says.
        compared: Comparisons.
        accepted: Of these, differences that the ledger explains.
        divergent: Of these, unexplained.
        bound: Upper bound on the rate of unexplained ones, 0 to 1; 1 where nothing was compared.
        required: Comparisons that are required.
        waived: Why it needs not be reached; empty without a reason.
    """

    stratum: str
    state: State
    compared: int = 0
    accepted: int = 0
    divergent: int = 0
    bound: float = 1.0
    required: int = 0
    waived: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A kind of tool, and what the reference decided.

    Attributes:
        override: Whether the tool has settings of its own.
        text_check: Whether texts are searched for signals.
        outcome: What the reference decided.
    """

    override: bool
    text_check: bool
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the map.

    Attributes:
        signal: What the result says.
        position: Where in its chain the call stands.
        cells: One for each column.
    """

    signal: Signal
    position: Position
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """The map.

    Attributes:
        columns: The kinds of tools that the config makes possible, and the outcomes.
        lines: In the order of `Signal` and `Position`.
        left_out: Kinds of tools (override, text check) that no tool of this config has.
        unknown: Rows about strata that this version does not know.
        reached: Cells that are reached, of those that have to be.
        wanted: Cells that have to be reached.
    """

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    left_out: tuple[tuple[bool, bool], ...]
    unknown: tuple[Cell, ...]
    reached: int
    wanted: int

    def short(self) -> tuple[Cell, ...]:
        """Give the cells that have to be reached and are not, the emptiest first."""
        cells = [
            cell
            for line in self.lines
            for cell in line.cells
            if cell.state in _MISSED
            or (cell.divergent and not cell.waived and cell.compared < cell.required)
        ]
        return tuple(sorted(cells, key=lambda cell: (cell.compared, -cell.required)))


_MISSED: Final = frozenset({State.SHORT, State.EMPTY})
_KINDS: Final = tuple(product((False, True), (False, True)))


def coverage_of(rows: Sequence[StratumRow]) -> Coverage:
    """Lay out a verdict's rows as a map."""
    by_name = {row.stratum: row for row in rows}
    possible = {
        kind for kind in _KINDS if any(_is_seen(by_name, stratum) for stratum in _strata(kind))
    }
    # Nothing at all is no reason to show nothing.
    kinds = [kind for kind in _KINDS if kind in possible] or list(_KINDS)
    columns = tuple(Column(*kind, outcome) for kind in kinds for outcome in Outcome)
    lines = tuple(
        Line(signal, position, tuple(_cell(by_name, signal, position, each) for each in columns))
        for signal, position in product(Signal, Position)
    )
    known = {str(stratum) for kind in _KINDS for stratum in _strata(kind)}
    required = [row for row in rows if row.required > 0 and row.possible and not row.waived]
    return Coverage(
        columns=columns,
        lines=lines,
        left_out=tuple(kind for kind in _KINDS if kind not in kinds),
        unknown=tuple(_told(row) for row in rows if row.stratum not in known),
        reached=sum(row.reached for row in required),
        wanted=len(required),
    )


def _strata(kind: tuple[bool, bool]) -> list[Stratum]:
    return [
        Stratum(signal, position, *kind, outcome)
        for signal, position, outcome in product(Signal, Position, Outcome)
    ]


def _is_seen(by_name: dict[str, StratumRow], stratum: Stratum) -> bool:
    row = by_name.get(str(stratum))
    return row is not None and (row.possible or row.compared > 0)


def _cell(
    by_name: dict[str, StratumRow], signal: Signal, position: Position, column: Column
) -> Cell:
    stratum = str(Stratum(signal, position, column.override, column.text_check, column.outcome))
    row = by_name.get(stratum)
    return Cell(stratum, State.NEVER) if row is None else _told(row)


def _told(row: StratumRow) -> Cell:
    return Cell(
        stratum=row.stratum,
        state=_state(row),
        compared=row.compared,
        accepted=row.accepted,
        divergent=row.divergent,
        bound=row.bound,
        required=row.required,
        waived=row.waived,
    )


def _state(row: StratumRow) -> State:
    if row.divergent:
        return State.DIVERGENT
    if not row.possible:
        return State.UNFORESEEN if row.compared else State.RULED_OUT
    if row.compared >= row.required:
        return State.REACHED
    if row.waived:
        return State.WAIVED
    return State.SHORT if row.compared else State.EMPTY
