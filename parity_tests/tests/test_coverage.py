"""The strata: which can occur, which are missing, and how they are shown; see test_full_run.py."""

from __future__ import annotations

import pytest
from laboratory import FAILURE, SUCCESS

from retry_parity.recipes import Unreadable
from retry_parity.strata import (
    Coverage,
    Outcome,
    Position,
    Signal,
    Stratum,
    reachable,
    signal_of,
    table,
)


def test_a_stratum_that_is_not_met_is_named() -> None:
    """An empty coverage lacks everything that can occur, and nothing else."""
    missing = Coverage().missing()
    assert missing == reachable()
    names = {str(stratum) for stratum in missing}
    assert "isError | no chain | base | structured | retry" in names
    assert not {stratum for stratum in missing if stratum.signal is Signal.NO_RESULT} & {
        stratum
        for stratum in missing
        if stratum.outcome is Outcome.RAISED and stratum.position is not Position.NEW
    }


def test_a_stratum_that_was_met_is_not_missing() -> None:
    """One count is enough, and a count of what cannot occur is told apart."""
    first, *others = reachable()
    harmless = Stratum(Signal.NONE, Position.NEW, False, False, Outcome.RETRY)  # noqa: FBT003 - a cell
    coverage = Coverage({first: 1, harmless: 1})
    assert coverage.missing() == tuple(others)
    assert coverage.impossible() == (harmless,)


@pytest.mark.parametrize(
    "result",
    [Unreadable(), SUCCESS | {"structuredContent": Unreadable()}],
    ids=["result", "structured content"],
)
def test_what_raises_when_it_is_read_is_a_signal_of_its_own(result: object) -> None:
    """The hybrid raises on it, whatever else it says, and on either path."""
    assert signal_of(result, [503]) is Signal.UNREADABLE
    strata = [each for each in reachable() if each.signal is Signal.UNREADABLE]
    assert {each.outcome for each in strata} == {Outcome.RAISED}
    assert len(strata) == 12


def test_the_table_shows_the_rarest_first_and_a_dot_for_what_cannot_occur() -> None:
    """A line for each signal and position; a reader sees at once what is hardly reached."""
    counts = dict.fromkeys(reachable(), 1_000)
    rare = next(each for each in reachable() if each.signal is signal_of(FAILURE, [503]))
    groups, outcomes, *lines = table(Coverage(counts | {rare: 7}))
    assert len(lines) == len(Signal) * len(Position)
    assert lines[0].startswith(f"{rare.signal} ")
    assert sum(line.split().count("1,000") for line in lines) == len(reachable()) - 1
    assert sum(line.count(" .") for line in lines) == 12 * len(lines) - len(reachable())
    assert groups.split(", ")[0].strip() == "base"
    assert outcomes.split()[-1] == "raised"
