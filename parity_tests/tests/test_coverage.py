"""The generated scenarios reach every stratum: a suite that looks elsewhere proves nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from retry_parity.source import Seeded
from retry_parity.strata import Coverage, Outcome, Position, Signal, reachable
from retry_parity.strategies import scenario
from retry_parity.trial import Trial

if TYPE_CHECKING:
    import pytest

SCENARIOS = 8_000


def table(coverage: Coverage) -> str:
    """Each stratum that can occur and how often it was met, the rarest first."""
    rows = sorted((coverage.counts[stratum], str(stratum)) for stratum in reachable())
    return "\n".join(f"{count:>7,}  {stratum}" for count, stratum in rows)


def test_every_stratum_is_reached(caplog: pytest.LogCaptureFixture) -> None:
    """No stratum that can occur is empty, none that cannot is met, and nothing is unexplained."""
    caplog.set_level(logging.CRITICAL)
    coverage = Coverage()
    divergent: dict[str, int] = {}
    for seed in range(SCENARIOS):
        counts = Trial(scenario(Seeded(seed)), coverage=coverage).run()
        assert not counts.harness_errors, f"seed {seed}"
        divergent |= {f"seed {seed}: {name}": count for name, count in counts.divergent.items()}
    print(table(coverage))  # noqa: T201 - pytest shows it where the test fails, or with -s
    assert divergent == {}
    assert coverage.missing() == ()
    assert set(coverage.counts) <= set(reachable())


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
