"""No entry of the ledger is so broad that it covers a fault as well."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from faults import FAULTS
from hunting import NO_ENTRY, hunt
from neighbourhoods import EXAMPLES, around
from summary import FAULT

from retry_parity import ledger
from retry_parity.ledger import Scope, shipped_ledger
from retry_parity.source import Seeded
from retry_parity.strategies import scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from faults import Fault

    from retry_parity.scenarios import Scenario

#: Scenarios around each entry, and scenarios of no entry, that each fault meets.
NEIGHBOURS = 16
OTHERS = 40

ENTRIES = [entry for entry in shipped_ledger().entries if entry.scope is not Scope.PROCESS]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Keep thousands of expected warnings out of the report."""
    caplog.set_level(logging.CRITICAL)


@cache
def neighbourhood(entry: str) -> Mapping[str, Scenario]:
    """The example of an entry and scenarios around it, by name."""
    near = {
        f"around {entry}, {n}": around(entry, Seeded(f"{entry} {n}")) for n in range(NEIGHBOURS)
    }
    return {f"example of {entry}": EXAMPLES[entry], **near}


@cache
def others() -> dict[str, Scenario]:
    """Scenarios that are made for no entry, by name."""
    return {f"seed {n}": scenario(Seeded(f"fault {n}")) for n in range(OTHERS)}


def neighbourhoods() -> dict[str, Scenario]:
    """All neighbourhoods in one."""
    return {name: made for entry in EXAMPLES for name, made in neighbourhood(entry).items()}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_ledger_accepts_no_fault(
    fault: Fault, record_property: Callable[[str, object], None]
) -> None:
    """Wherever a fault changed the answer, it is the reference's answer or is left unexplained."""
    # Other scenarios have more than one wrong setting, so that more than one refusal is right.
    catch = hunt(fault, neighbourhoods() if fault.load else neighbourhoods() | others())
    record_property(FAULT, [catch.changed, catch.found, catch.equal])
    assert not catch.holes, f"{dict(catch.holes)}, first seen in {catch.examples}"
    assert catch.changed >= fault.least, "the fault was hardly ever there: nothing is shown"
    assert catch.found >= fault.least // 2, "the fault was hardly ever found"


@pytest.mark.parametrize("fault", [fault for fault in FAULTS.values() if fault.everywhere], ids=str)
def test_a_fault_that_can_be_anywhere_meets_every_entry_that_explains_a_decision(
    fault: Fault,
) -> None:
    """Where the ledger explains the right answer, the wrong one was tried too."""
    exposed = hunt(fault, neighbourhoods()).exposed
    expected = {entry.id for entry in ENTRIES if entry.scope is Scope.DECISION}
    assert expected | {NO_ENTRY} <= set(exposed)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_an_entry_that_always_holds_is_found_out(
    entry: ledger.Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a predicate that is true of everything, some fault is accepted by just this entry."""
    tables = {
        Scope.DECISION: "DECISION_PREDICATES",
        Scope.LOAD: "LOAD_PREDICATES",
        Scope.POLICY: "POLICY_PREDICATES",
    }
    table: Mapping[str, Any] = getattr(ledger, tables[entry.scope])
    broad = {**table, entry.predicate: lambda *_: True}
    monkeypatch.setattr(ledger, tables[entry.scope], broad)
    assert any(
        entry.id in hole.split("+")
        for fault in FAULTS.values()
        for hole in hunt(fault, neighbourhood(entry.id)).holes
    )
