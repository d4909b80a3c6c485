"""After a fork: the state is a sound copy, and every process draws its own jitter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from alone import told
from spread import FALSE_ALARM, herds

if TYPE_CHECKING:
    from collections.abc import Callable

    Record = Callable[[str, object], None]

CEILING_MS = 2**40
BUDGET = [10, 20, 40, 0]
SETTINGS: dict[str, Any] = {}


@pytest.fixture(scope="module")
def forks() -> dict[str, Any]:
    """What became of the forks."""
    came: dict[str, Any] = told("forking", SETTINGS)
    return came


def test_every_process_draws_its_own_jitter(forks: dict[str, Any], record_property: Record) -> None:
    """Children, their children, those of multiprocessing and of a thread; a parent goes on.

    Ledger fork-jitter: the hybrid's workers, forked after a first draw, all drew the same. Of 2^40
    delays no two are the same by chance.
    """
    drawn = [delay for process in forks["draws"] for delay in process]
    record_property("tried", len(drawn))
    record_property("lost", len(drawn) - len(set(drawn)))
    assert len(set(drawn)) == len(drawn)
    assert list(herds(forks["draws"], CEILING_MS, FALSE_ALARM)) == []


def test_a_chain_is_copied(forks: dict[str, Any]) -> None:
    """A child takes a chain further from where it was, and the parent does not notice."""
    assert forks["copies"] == [[10, 20], [40, 0, 10], [40, 0, 10]]


def test_a_fork_while_threads_are_calling_inherits_no_lock(
    forks: dict[str, Any], record_property: Record
) -> None:
    """The threads are not there to give a lock back; the child decides all the same, exactly."""
    lost = sum(told != BUDGET * 2 for told in forks["loaded"])
    record_property("tried", len(forks["loaded"]))
    record_property("lost", lost)
    assert lost == 0
