"""The reduction of a scenario: simpler variants, as long as one of them shows the same."""

from __future__ import annotations

import hashlib
import pickle
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from retry_parity.differential.subject import Finding, Judgement, Scenario

#: A ``where`` that all findings have.
ANYWHERE: Final = ""

#: Variants that are run at once, at most.
BATCH: Final = 32


@dataclass(frozen=True, slots=True)
class Sample:
    """A scenario that shows a finding.

    Attributes:
        name: Seed and number of the scenario that was generated, or where else it is from.
        scenario: The scenario.
        finding: What it shows.
    """

    name: str
    scenario: Scenario
    finding: Finding


@dataclass(frozen=True, slots=True)
class Effort:
    """How much work a reduction may be.

    Attributes:
        most_runs: Variants that are run.
        end: When it ends, by `time.monotonic`, seconds.
        batch: Variants that are run at once, at most.
    """

    most_runs: int
    end: float
    batch: int = BATCH


class Reducer:
    """Takes simpler variants as long as one of them shows the same.

    Args:
        simpler: Gives variants of a scenario, each simpler than it, the boldest first.
        judge: Runs scenarios; gives one judgement for each.
    """

    def __init__(
        self,
        simpler: Callable[[Scenario], Iterable[Scenario]],
        judge: Callable[[Sequence[Scenario]], Sequence[Judgement]],
    ) -> None:
        """Reduce with these."""
        self._simpler = simpler
        self._judge = judge

    def reduce(self, sample: Sample, where: str, effort: Effort) -> tuple[Sample, bool]:
        """Reduce a sample, keeping what its finding says.

        Args:
            sample: The scenario to begin with.
            where: The ``where`` that a finding must have to count as the same; `ANYWHERE` takes
                any.
            effort: When to stop.

        Returns:
            The smallest scenario that was found, and whether nothing simpler is left to try.
        """
        tried = {_identity(sample.scenario)}
        runs = 0
        while True:
            fresh = (
                each for each in self._simpler(sample.scenario) if _identity(each) not in tried
            )
            simpler = None
            size = 1
            while variants := list(islice(fresh, size)):
                size = min(2 * size, effort.batch)
                if runs >= effort.most_runs or time.monotonic() >= effort.end:
                    return sample, False
                tried.update(map(_identity, variants))
                runs += len(variants)
                simpler = self._first_alike(variants, sample, where)
                if simpler is not None:
                    break
            if simpler is None:
                return sample, True
            sample = simpler

    def _first_alike(
        self, variants: Sequence[Scenario], sample: Sample, where: str
    ) -> Sample | None:
        for variant, judgement in zip(variants, self._judge(variants), strict=True):
            for finding in judgement.findings:
                if finding.what == sample.finding.what and where in {finding.where, ANYWHERE}:
                    return Sample(sample.name, variant, finding)
        return None


def _identity(scenario: Scenario) -> bytes:
    """Tell scenarios apart, types included: to Python 0, 0.0 and False are equal."""
    # Thousands are remembered, and one with recorded results may be large.
    return hashlib.sha256(pickle.dumps(scenario, pickle.HIGHEST_PROTOCOL)).digest()
