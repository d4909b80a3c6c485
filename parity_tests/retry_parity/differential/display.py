"""What a campaign has shown, for a person and as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.markup import escape

from retry_parity.output import printable

if TYPE_CHECKING:
    from rich.console import Console

    from retry_parity.differential.campaign import Cause, Outcome
    from retry_parity.differential.lane import About
    from retry_parity.differential.reducing import Sample
    from retry_parity.differential.subject import Subject

_MOST_CAUSES: Final = 40


def show(
    outcome: Outcome,
    subject: Subject,
    abouts: dict[str, About],
    seed: str,
    console: Console,
) -> None:
    """Print everything, the causes first and the verdict last."""
    for number, cause in enumerate(outcome.causes[:_MOST_CAUSES], start=1):
        _show_cause(number, cause, subject, console)
    if len(outcome.causes) > _MOST_CAUSES:
        _say(console, f"and {len(outcome.causes) - _MOST_CAUSES:,} more causes (--json has all)")
    for finding in outcome.aggregate:
        _say(console, f"{finding.what}, {finding.where}: {finding.candidate}")
    for entry, count in sorted(outcome.accepted.items()):
        _say(console, f"accepted by the ledger: {entry}, {count:,} times")
    for side, about in abouts.items():
        cpex = about.versions.get("cpex", "unknown")
        _say(console, f"{side}: {about.plugin}, cpex {cpex}, Python {about.python}")
    if not outcome.with_time:
        _say(console, "no time passed in the scenarios: a build's clock cannot be set here")
    if outcome.stopped_early:
        _say(console, f"stopped early: {outcome.stopped_early}")
    rate = outcome.decisions / outcome.seconds if outcome.seconds else 0
    _say(
        console,
        f"seed {seed}: {outcome.scenarios:,} scenarios, {outcome.decisions:,} decisions, "
        f"{rate:,.0f} a second",
    )
    style = "bold green" if outcome.equal else "bold red"
    console.print(f"verdict: [{style}]{escape(verdict(outcome))}[/]", highlight=False)


def verdict(outcome: Outcome) -> str:
    """Give the result in one line."""
    if not outcome.scenarios:
        return "nothing was compared"
    if outcome.divergent:
        total = sum(outcome.divergent.values())
        causes = len(outcome.causes) + len(outcome.aggregate)
        return f"divergent: {total:,} unexplained differences, {causes:,} causes"
    if outcome.not_compared:
        return f"not enough to say: a build did not answer in {outcome.not_compared:,} scenarios"
    if outcome.accepted and outcome.strict:
        return "divergent: the ledger accepts differences, and none was to be"
    if outcome.accepted:
        return "equal but for differences the ledger accepts"
    return "equal"


def as_json(
    outcome: Outcome, subject: Subject, abouts: dict[str, About], seed: str
) -> dict[str, Any]:
    """Give everything as plain data."""
    return {
        "verdict": verdict(outcome),
        "equal": outcome.equal,
        "seed": seed,
        "scenarios": outcome.scenarios,
        "decisions": outcome.decisions,
        "seconds": round(outcome.seconds, 3),
        "with_time": outcome.with_time,
        "stopped_early": outcome.stopped_early,
        "not_compared": outcome.not_compared,
        "accepted": dict(sorted(outcome.accepted.items())),
        "divergent": dict(sorted(outcome.divergent.items())),
        "aggregate": [
            {"what": each.what, "where": each.where, "candidate": each.candidate}
            for each in outcome.aggregate
        ],
        "causes": [_cause_as_json(cause, subject) for cause in outcome.causes],
        "builds": {
            side: {
                "plugin": about.plugin,
                "python": about.python,
                "versions": dict(sorted(about.versions.items())),
            }
            for side, about in abouts.items()
        },
    }


def _cause_as_json(cause: Cause, subject: Subject) -> dict[str, Any]:
    finding = cause.smallest.finding
    return {
        "what": finding.what,
        "occurrences": cause.occurrences,
        "smallest": list(subject.show(cause.smallest.scenario, finding.step)),
        "step": finding.step,
        "reference": finding.reference,
        "candidate": finding.candidate,
        "found_in": cause.smallest.name,
        "reduced": cause.reduced,
    }


def _show_cause(number: int, cause: Cause, subject: Subject, console: Console) -> None:
    sample: Sample = cause.smallest
    finding = sample.finding
    console.print(f"[bold]{number}. {escape(printable(finding.what))}[/]", highlight=False)
    setting, *steps = subject.show(sample.scenario, finding.step)
    _say(console, f"     {setting}")
    for position, step in enumerate(steps, start=1):
        _say(console, f"  {position:>2}. {step}")
    _say(console, f"     reference: {finding.reference}")
    _say(console, f"     candidate: {finding.candidate}")
    smallest = "" if cause.reduced else "; not reduced to the end"
    _say(console, f"     {cause.occurrences:,} such differences, first in {sample.name}{smallest}")
    _say(console, "")


def _say(console: Console, line: str) -> None:
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
