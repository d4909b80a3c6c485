"""From what was found to the smallest scenario that shows it, and to a fixture."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from retry_parity.compare import Outcome
from retry_parity.differential.reducing import Effort, Reducer, Sample
from retry_parity.minimizing.fixtures import Accepted, Decision, Fixture
from retry_parity.minimizing.redaction import variants
from retry_parity.minimizing.rehearsal import MinimizeError, judge, rehearse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from retry_parity.differential.subject import Finding, Judgement
    from retry_parity.minimizing.finding import Found
    from retry_parity.minimizing.rehearsal import Deed
    from retry_parity.scenarios import Scenario

#: Runs of variants. Not seconds: the same input has to give the same test on a slower machine.
_MOST_RUNS: Final = 12_000


def reproduce(found: Found, candidate: str) -> Sample | None:
    """Give the first of its scenarios that shows what was found, without what came after.

    Args:
        found: What was found.
        candidate: A name of `candidates.NAMES`.

    Returns:
        ``None`` where no scenario shows it.
    """
    for scenario in found.scenarios:
        shown = [each for each in judge(scenario, candidate).findings if _is_it(each, found)]
        if shown:
            finding = max(shown, key=lambda each: each.step)
            return Sample(found.place, _until(scenario, finding.step), finding)
    return None


def reduce(sample: Sample, candidate: str) -> tuple[Sample, bool]:
    """Reduce a scenario, keeping what differs and where.

    Returns:
        The smallest scenario that was found, and whether nothing simpler is left to try.
    """

    def judged(scenarios: Sequence[Scenario]) -> Sequence[Judgement]:
        return [judge(scenario, candidate) for scenario in scenarios]

    # All run here and in turn: a batch would only run what is not needed.
    effort = Effort(_MOST_RUNS, math.inf, batch=1)
    smallest, reduced = Reducer(variants, judged).reduce(sample, sample.finding.where, effort)
    step = smallest.finding.step
    return Sample(smallest.name, _until(smallest.scenario, step), smallest.finding), reduced


def fixture_of(sample: Sample, candidate: str, origin: str) -> Fixture:
    """Give the fixture: the scenario, with what the reference decides in it.

    Args:
        sample: A scenario that shows a finding.
        candidate: The candidate that shows it.
        origin: SHA-256 of what it is from.

    Raises:
        MinimizeError: The scenario shows it no longer.
    """
    deeds = [deed for run in rehearse(sample.scenario, candidate) for deed in run]
    if all(deed.signature != sample.finding.what for deed in deeds):
        message = f"{sample.finding.what}: does not show each time"
        raise MinimizeError(message)
    calls = [deed for deed in deeds if deed.step >= 0]
    return Fixture(
        signature=sample.finding.what,
        candidate=candidate,
        origin=origin,
        scenario=sample.scenario,
        step=sample.finding.step,
        expected={deed.step: _expected(deed) for deed in calls},
        accepted=_accepted(calls),
        load=_refusal(deeds),
    )


def _expected(deed: Deed) -> Decision:
    reference = deed.comparison.reference
    return Decision.of(None if reference is None else reference.outcome, drawn=deed.drawn)


def _accepted(deeds: Iterable[Deed]) -> dict[int, Accepted]:
    found: dict[int, Accepted] = {}
    for deed in deeds:
        comparison = deed.comparison
        if comparison.outcome is Outcome.MISMATCH and not comparison.unexplained:
            theirs = comparison.candidate
            instead = Decision.of(None if theirs is None else theirs.outcome)
            found[deed.step] = Accepted(comparison.accepted, instead)
    return found


def _refusal(deeds: Iterable[Deed]) -> str:
    """Give the family of what the reference raises when it is loaded."""
    for deed in deeds:
        if deed.refusal is not None:
            return deed.refusal.family
    return ""


def _is_it(finding: Finding, found: Found) -> bool:
    return finding.what == found.signature and found.where in {finding.where, ""}


def _until(scenario: Scenario, step: int) -> Scenario:
    return replace(scenario, steps=scenario.steps[: step + 1])
