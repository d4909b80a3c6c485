"""Many callers at once on failing tools: no attempt too few and none too many, whatever happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from gateway import load
from gateway.load import Load, Told
from gateway.stack import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.stack import Stack

#: ``python -m gateway.load --seconds 300`` is the longer form.
_CALLS: Final = 60
#: One round of the drill takes about as long.
_DRILL_S: Final = 10.0
_PATIENCE_S: Final = 120.0


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a gateway of two workers that is there for this alone."""
    folder = tmp_path_factory.mktemp("load")
    with running(load.settings(folder), folder) as stack:
        yield stack


def tell(told: Told, record_property: Callable[[str, object], None]) -> None:
    """Count what was tried and what was lost."""
    record_property("tried", told.answered + told.in_flight)
    record_property("attempts", told.attempts)
    record_property("lost", len(told.wrong))
    assert told.wrong == []


def test_every_call_has_the_attempts_that_it_has_to_have(
    loaded: Stack, record_property: Callable[[str, object], None]
) -> None:
    """As many as it fails, up to the budget, and one more; the caller sees only what is beyond."""
    told = Load(loaded).run(_PATIENCE_S, drill=False, most_calls=_CALLS)
    tell(told, record_property)
    assert told.answered >= _CALLS
    assert told.broken == []


def test_kills_flips_and_a_lost_flag_service_cost_only_calls_in_flight(
    loaded: Stack, record_property: Callable[[str, object], None]
) -> None:
    """A call fails only if its own worker is killed under it; all others keep their budgets.

    Meanwhile the flag takes every value, its file goes and comes back, and two workers are killed
    and replaced.
    """
    told = Load(loaded).run(_DRILL_S)
    tell(told, record_property)
    assert (len(told.kills), told.losses) >= (2, 1)
    assert told.flips >= 5
    assert told.answered > 0
    said = "\n".join(loaded.said())
    assert all(f": {value} decides from now on" in said for value in ("shadow", "canary", "rust"))
    assert "is gone" in said


def test_a_lost_attempt_would_be_found(loaded: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with one retry more in mind, every call beyond the budget has one too few."""
    monkeypatch.setattr(load, "BUDGET", load.BUDGET + 1)
    monkeypatch.setattr(load, "_FAILURES", (load.BUDGET,))
    told = Load(loaded, callers=2).run(_PATIENCE_S, drill=False, most_calls=4)
    assert told.wrong
    assert "4 attempts, 5 have to be" in told.wrong[0]
