"""One full run: every stratum and every ledger entry is met, and nothing is left unexplained.

An entry that no run meets accepts something that nobody can see any longer. It is met by what is
generated; that its own example shows it is a rule of its own.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from neighbourhoods import EXAMPLES, around
from summary import LEDGER, STRATA

from retry_parity.ledger import Scope, shipped_ledger
from retry_parity.process_probes import PROCESS_PROBES, Shown
from retry_parity.source import Seeded
from retry_parity.strata import Coverage, table
from retry_parity.strategies import scenario
from retry_parity.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from retry_parity.evidence import Comparison
    from retry_parity.ledger import Entry
    from retry_parity.scenarios import Scenario

SCENARIOS = 8_000
NEIGHBOURS = 40


@dataclass
class FullRun:
    """What a full run has met.

    Attributes:
        coverage: Strata, by how often they were met.
        hits: Ledger entries, by how often they explained something; generated scenarios only.
        examples: The entries that each entry's example met.
        shown: What the probes of process scope saw, by entry.
        unexplained: Divergences that no entry explains, with their scenario.
        failures: Failures of the harness, likewise.
    """

    coverage: Coverage = field(default_factory=Coverage)
    hits: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Counter[str]] = field(default_factory=dict)
    shown: dict[str, Shown] = field(default_factory=dict)
    unexplained: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def take(self, name: str, made: Scenario, coverage: Coverage | None = None) -> Counter[str]:
        """Run a scenario; give the entries it met."""
        met: Counter[str] = Counter()

        def note(step: int, comparison: Comparison) -> None:
            met.update(comparison.accepted)
            if comparison.unexplained:
                self.unexplained.append(f"{name}, step {step}: {comparison.signature}")

        counts = Trial(made, observer=note, coverage=coverage).run()
        self.failures += [f"{name}: {step}" for step in counts.harness_errors]
        return met

    def met(self, entry: str) -> int:
        """Say how often an entry was met; a probe that shows it counts once."""
        shown = self.shown.get(entry)
        return self.hits[entry] if shown is None else int(shown.differs)

    def table(self) -> list[str]:
        """Give each entry with its hits, the rarest first."""
        rows = sorted((self.met(entry.id), entry.id, entry) for entry in shipped_ledger().entries)
        return [
            f"{entry.id:<22}{entry.scope:<10}{hits:>7,} {'shown' if name in self.shown else 'met'}"
            for hits, name, entry in rows
        ]


def full_run() -> FullRun:
    """Run everything."""
    run = FullRun()
    for seed in range(SCENARIOS):
        run.hits += run.take(f"seed {seed}", scenario(Seeded(seed)), run.coverage)
    for name, example in EXAMPLES.items():
        run.examples[name] = run.take(f"example of {name}", example)
        for number in range(NEIGHBOURS):
            near = around(name, Seeded(f"{name} {number}"))
            run.hits += run.take(f"around {name}, {number}", near)
    for entry in process_entries():
        run.shown[entry.id] = PROCESS_PROBES[entry.predicate]()
    return run


def process_entries() -> list[Entry]:
    """The entries that a probe shows."""
    return [entry for entry in shipped_ledger().entries if entry.scope is Scope.PROCESS]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # two entries are about forking
def test_a_full_run(
    subtests: pytest.Subtests,
    caplog: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
) -> None:
    """One run, so that what one worker of xdist has met need not be told to the others."""
    caplog.set_level(logging.CRITICAL)
    run = full_run()
    entries = {entry.id for entry in shipped_ledger().entries}
    record_property(LEDGER, "\n".join(run.table()))
    record_property(STRATA, "\n".join(table(run.coverage)))
    with subtests.test("every difference is explained"):
        assert run.unexplained == []
    with subtests.test("the harness never fails"):
        assert run.failures == []
    with subtests.test("no stratum is empty"):
        assert [str(stratum) for stratum in run.coverage.missing()] == []
    with subtests.test("what cannot occur does not occur"):
        assert [str(stratum) for stratum in run.coverage.impossible()] == []
    with subtests.test("every entry is met, or shown by its probe"):
        assert {entry for entry in entries if not run.met(entry)} == set()
    with subtests.test("the example of each entry shows it, and no other"):
        assert {entry: set(met) for entry, met in run.examples.items()} == {
            entry: {entry} for entry in entries - set(run.shown)
        }


def test_an_entry_that_is_not_met_is_named() -> None:
    """A run that has met nothing lacks every entry, and says so first."""
    run = FullRun(shown={"fork-jitter": Shown(reference=True, candidate=False, seen="")})
    assert not any(run.met(entry.id) for entry in shipped_ledger().entries)
    assert run.table()[0].split()[-2] == "0"
