"""One scenario through the hybrid and a candidate, judged as a gateway under shadow would."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from retry_parity.compare import Outcome
from retry_parity.trial import Trial
from retry_parity.wording import setting, told

if TYPE_CHECKING:
    from retry_parity.evidence import Comparison
    from retry_parity.scenarios import Scenario


class FindingError(Exception):
    """The two decide differently, and no ledger entry says why; or the harness failed."""


@dataclass
class Tally:
    """What was looked at.

    Attributes:
        scenarios: Scenarios that were run.
        compared: Decisions, loads and policies of which both sides' were compared.
        findings: What was found, each in words.
    """

    scenarios: int = 0
    compared: int = 0
    findings: list[str] = field(default_factory=list)


def check(scenario: Scenario, candidate: str, tally: Tally) -> None:
    """Run a scenario.

    Raises:
        FindingError: Something is to be looked at; the message tells the scenario.
    """
    found: list[str] = []

    def note(step: int, comparison: Comparison) -> None:
        if comparison.outcome is not Outcome.IGNORED:
            tally.compared += 1
        if comparison.unexplained:
            found.append(f"step {step}: {comparison.signature}")

    counts = Trial(scenario, candidate, observer=note).run()
    tally.scenarios += 1
    found.extend(f"the harness failed: {step}" for step in counts.harness_errors)
    if found:
        raise FindingError("\n".join([*found, setting(scenario), *map(told, scenario.steps)]))
