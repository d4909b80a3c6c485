"""`retry-parity compare`: two builds by name, from their environments to the outcome."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from retry_parity.differential.builds import Build, BuildError, find_build
from retry_parity.differential.campaign import Campaign, Limits, Outcome
from retry_parity.differential.clock import NoClockError, clock_library
from retry_parity.differential.lane import STEP_LIMIT_S, About, Lane, LocalLane

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from retry_parity.differential.environments import Environments
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
        one_process: Run both builds in this process: faster, and a build that dies ends it.
        step_limit_s: Seconds that one step may take.
    """

    reference: str
    candidate: str
    limits: Limits
    seed: str
    only: int | None = None
    one_process: bool = False
    step_limit_s: float = STEP_LIMIT_S


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
    builds = [find_build(spec, subject, environments) for spec in (plan.reference, plan.candidate)]
    with ExitStack() as stack:
        lanes = _local(builds, subject) if plan.one_process else _apart(plan, builds, subject, say)
        for lane in lanes:
            stack.callback(lane.stop)
        abouts = [lane.start() for lane in lanes]
        campaign = Campaign(
            subject, (lanes[0], lanes[1]), (abouts[0], abouts[1]), plan.seed, advance=advance
        )
        campaign.run(plan.limits, plan.only)
    return campaign.outcome, dict(zip(SIDES, abouts, strict=True))


def _apart(
    plan: Plan, builds: list[Build], subject: Subject, say: Callable[[str], None]
) -> list[Lane | LocalLane]:
    preload: Path | None = None
    try:
        preload = clock_library()
    except NoClockError as error:
        say(f"{error}; builds without a clock of their own are compared without time")
    return [
        Lane(build, subject.driver, subject.packages, preload, plan.step_limit_s)
        for build in builds
    ]


def _local(builds: list[Build], subject: Subject) -> list[Lane | LocalLane]:
    for build in builds:
        if build.packages or build.spec.partition(":")[0] not in {*subject.named_builds, "python"}:
            message = f"{build.spec}: --one-process takes builds of this environment only"
            raise BuildError(message)
    if builds[0].top == builds[1].top:
        message = (
            f"--one-process: {builds[0].spec} and {builds[1].spec} share a package, and so chains"
        )
        raise BuildError(message)
    return [LocalLane(build, subject.driver) for build in builds]
