"""`retry-parity compare`: two builds by name, from their environments to the outcome."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from retry_parity.differential.builds import BuildError, find_build, with_interpreter
from retry_parity.differential.campaign import Campaign, Limits, Outcome
from retry_parity.differential.clock import NoClockError, clock_library
from retry_parity.differential.court import Apart, Together
from retry_parity.differential.lane import STEP_LIMIT_S, Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from retry_parity.differential.builds import Build
    from retry_parity.differential.court import Court
    from retry_parity.differential.environments import Environments
    from retry_parity.differential.lane import About
    from retry_parity.differential.subject import Subject

SIDES: Final = ("reference", "candidate")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compare, and how long.

    Attributes:
        reference: Name of the build that is right by definition.
        candidate: Name of the other one.
        limits: When to stop.
        seed: Names the series of scenarios.
        only: Run just the scenario of this number; ``None`` runs all.
        one_process: Run both builds in one interpreter: faster, and a build that dies ends it.
        step_limit_s: Seconds that one step may take.
        strict: Whether what the ledger accepts counts too.
    """

    reference: str
    candidate: str
    limits: Limits
    seed: str
    only: int | None = None
    one_process: bool = False
    step_limit_s: float = STEP_LIMIT_S
    strict: bool = False


def compare_builds(
    plan: Plan,
    subject: Subject,
    environments: Environments,
    advance: Callable[[Outcome, str], None] = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Outcome, dict[str, About]]:
    """Run a campaign.

    Returns:
        What it has shown, and what the two interpreters said of their builds.

    Raises:
        BuildError: A build cannot be found, made, started or imported.
    """
    specs = (plan.reference, plan.candidate)
    builds = [find_build(spec, subject, environments) for spec in specs]
    court: Court
    if plan.one_process:
        court = Together(subject, *builds)
    else:
        builds = [with_interpreter(build, environments) for build in builds]
        court = Apart(subject, *_lanes(plan, builds, subject, say))
    # What is logged is no decision; this process runs the reference too, to judge.
    logging.disable(logging.CRITICAL)
    try:
        abouts = court.open()
        campaign = Campaign(subject, court, abouts, plan.seed, advance=advance)
        campaign.outcome.strict = plan.strict
        try:
            campaign.run(plan.limits, plan.only)
        except (KeyboardInterrupt, BuildError) as error:
            # What was found until then is shown, and then what has ended it is told.
            campaign.outcome.ended = error
            campaign.outcome.stopped_early = str(error) or "interrupted"
    finally:
        court.close()
        logging.disable(logging.NOTSET)
    return campaign.outcome, dict(zip(SIDES, abouts, strict=True))


def _lanes(
    plan: Plan, builds: Sequence[Build], subject: Subject, say: Callable[[str], None]
) -> list[Lane]:
    preload: Path | None = None
    try:
        preload = clock_library()
    except NoClockError as error:
        say(f"{error}; builds without a clock of their own are compared without time")
    return [
        Lane(build, subject.driver, subject.packages, preload, plan.step_limit_s)
        for build in builds
    ]
