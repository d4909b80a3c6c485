"""All that a report shows, as plain data. The page, the Markdown and the JSON say the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from retry_parity.deciding.report import reasons
from retry_parity.deciding.report.coverage import Coverage, coverage_of
from retry_parity.deciding.report.formats import counted, percent
from retry_parity.deciding.report.steps import Chain, chain_of
from retry_parity.deciding.report.tail import Tail, tail_of
from retry_parity.deciding.totals import SIDES
from retry_parity.deciding.verdict import Answer
from retry_parity.evidence_files import ledger_hash
from retry_parity.ledger import shipped_ledger

if TYPE_CHECKING:
    from retry_parity._native import Latency
    from retry_parity.deciding.reading import Reading
    from retry_parity.deciding.totals import Memory
    from retry_parity.deciding.verdict import Check, ImpactRow, Quantiles, Verdict

#: Of `as_json`; a key that goes or changes its meaning makes it another one.
FORMAT: Final = 1

_LIVE: Final = "live"


@dataclass(frozen=True, slots=True)
class Divergence:
    """Unexplained differences of one form.

    Attributes:
        signature: The form's name.
        count: Comparisons.
        means: What it means for callers, a sentence for each kind that is known.
        chain: The smallest sample; ``None`` where none was kept.
    """

    signature: str
    count: int
    means: tuple[str, ...]
    chain: Chain | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """An entry of the ledger, and how often it explained a difference.

    Attributes:
        id: Its name.
        count: Explanations.
        known: Whether the ledger that ships with this version has it; the rest is empty otherwise.
        scope: Where it can be seen.
        reference: What the hybrid does.
        candidate: What the candidate does.
        reason: Why that is accepted.
        review_by: Day of its next review, as ISO 8601.
        overdue: Whether that day is over.
    """

    id: str
    count: int
    known: bool = True
    scope: str = ""
    reference: str = ""
    candidate: str = ""
    reason: str = ""
    review_by: str = ""
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that is counted by its name.

    Attributes:
        name: As in the evidence.
        count: How often.
        means: In words; empty where this version does not know it.
    """

    name: str
    count: int
    means: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A report.

    Attributes:
        answer: The decision.
        why: One line.
        made: When, as ISO 8601 in UTC.
        candidate: The candidate's name for a person.
        checks: All requirements, in the verdict's order.
        comparisons: All of them.
        matches: Of these, equal.
        accepted_calls: Of these, explained completely by the ledger.
        divergences: Of these, unexplained.
        bound: Upper bound on the rate of unexplained ones, 0 to 1.
        first: When the first run on real traffic began, as ISO 8601; empty where nothing says so.
        last: When the last counts of such a run were taken; likewise.
        runs: Runs by source.
        compared: Comparisons by source.
        coverage: The input space as a map.
        by_signature: Unexplained differences, the most frequent first.
        impact: What they amount to, the heaviest first.
        accepted: Entries of the ledger: those that explained something, the most frequent first,
            then the others in the ledger's order.
        ledger_matches: Whether the evidence was made with the ledger that ships here; ``None``
            where it does not say.
        latency: Quantiles by side, as the verdict judged them.
        latency_source: The source of the runs whose times these are; empty for all.
        tails: Distributions by side.
        memory: The most that the chains of a side took in one process.
        evicted: Chains dropped for want of room.
        not_compared: Calls that were not compared.
        candidate_errors: Errors of the candidate.
        harness_errors: Failures of the harness itself.
        dropped: Evidence that could not be kept.
        fallbacks: Answers of the hybrid in place of the candidate's.
        guard_trips: How often the guard tripped.
        decisions: Answers that callers got, by side and outcome.
        outcomes: What each side did, by side and outcome.
        left_out: Runs that do not count, by reason.
        problems: What was left out of the input or looks wrong.
        identity: What the evidence is about.
    """

    answer: Answer
    why: str
    made: str
    candidate: str
    checks: tuple[Check, ...]
    comparisons: int
    matches: int
    accepted_calls: int
    divergences: int
    bound: float
    first: str
    last: str
    runs: Mapping[str, int]
    compared: Mapping[str, int]
    coverage: Coverage
    by_signature: tuple[Divergence, ...]
    impact: tuple[ImpactRow, ...]
    accepted: tuple[Accepted, ...]
    ledger_matches: bool | None
    latency: Mapping[str, Quantiles]
    latency_source: str
    tails: tuple[Tail, ...]
    memory: Mapping[str, Memory]
    evicted: tuple[Reason, ...]
    not_compared: tuple[Reason, ...]
    candidate_errors: tuple[Reason, ...]
    harness_errors: tuple[Reason, ...]
    dropped: tuple[Reason, ...]
    fallbacks: int
    guard_trips: int
    decisions: Mapping[str, Mapping[str, int]]
    outcomes: Mapping[str, Mapping[str, int]]
    left_out: tuple[Reason, ...]
    problems: tuple[str, ...]
    identity: Mapping[str, object]


def report_of(reading: Reading, verdict: Verdict, made: dt.datetime) -> Report:
    """Put a report together.

    Args:
        reading: The evidence, with its samples.
        verdict: What it amounts to.
        made: The report's own time, with a time zone.
    """
    totals, samples = verdict.totals, reading.samples
    source, latency = _judged(verdict)
    first, last = _period(reading)
    return Report(
        answer=verdict.answer,
        why=_why(verdict),
        made=made.astimezone(dt.UTC).isoformat(timespec="seconds"),
        candidate=reasons.candidate(verdict.identity.get("candidate")),
        checks=tuple(verdict.checks),
        comparisons=totals.comparisons,
        matches=totals.matches,
        accepted_calls=totals.accepted_calls,
        divergences=totals.divergences,
        bound=verdict.bound,
        first=first,
        last=last,
        runs=dict(sorted(totals.runs.items())),
        compared=dict(sorted(totals.compared.items())),
        coverage=coverage_of(verdict.strata),
        by_signature=tuple(
            _divergence(each, count, samples) for each, count in _ranked(totals.divergent)
        ),
        impact=tuple(verdict.impact),
        accepted=_accepted(totals.accepted, made.date()),
        ledger_matches=_ledger_matches(verdict.identity.get("ledger")),
        latency=dict(verdict.latency),
        latency_source=source,
        tails=tuple(tail_of(side, latency[side]) for side in SIDES if side in latency),
        memory=dict(totals.memory),
        evicted=_reasons(totals.evicted),
        not_compared=tuple(
            Reason(each, count, reasons.not_compared(each))
            for each, count in _ranked(totals.not_compared)
        ),
        candidate_errors=tuple(
            Reason(each, count, reasons.error(each))
            for each, count in _ranked(totals.candidate_errors)
        ),
        harness_errors=_reasons(totals.harness_errors),
        dropped=_reasons(totals.dropped),
        fallbacks=totals.fallbacks,
        guard_trips=totals.guard_trips,
        decisions={side: dict(acts) for side, acts in sorted(totals.decisions.items())},
        outcomes={side: dict(acts) for side, acts in sorted(totals.outcomes.items())},
        left_out=_reasons(reading.left_out),
        problems=tuple(verdict.problems),
        identity=dict(verdict.identity),
    )


def as_json(report: Report) -> dict[str, Any]:
    """Give a report as plain data: the attributes of `Report` and what is in it, and ``format``.

    Nothing is cut here, and names are as they were.
    """
    return {"format": FORMAT, **asdict(report)}


def _why(verdict: Verdict) -> str:
    """Give the decisive check's line; where all pass, what they passed with."""
    decisive = [check for check in verdict.checks if check.answer is verdict.answer]
    if verdict.answer is Answer.READY or not decisive:
        return (
            f"All {counted(len(verdict.checks), 'check')} pass, over "
            f"{counted(verdict.totals.comparisons, 'comparison')}. Unexplained differences are at "
            f"most {percent(verdict.bound)} of calls."
        )
    others = len(decisive) - 1
    more = f" ({counted(others, 'more check')} {'says' if others == 1 else 'say'} so too)"
    return f"{decisive[0].name.capitalize()}: {decisive[0].said}{more if others else ''}."


def _period(reading: Reading) -> tuple[str, str]:
    """Give the time in which traffic was met, in whole seconds of UTC."""
    live = [run for run in reading.runs if run.source == _LIVE]
    begun = [run.started for run in live if run.started is not None]
    ended = [run.at for run in live if run.at is not None]
    return _time(min(begun, default=None)), _time(max(ended, default=None))


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):  # no clock shows such a time
        return ""


def _judged(verdict: Verdict) -> tuple[str, Mapping[str, Latency]]:
    """Give the times that the verdict judged, and the source of their runs; empty for all."""
    counts = {side: each.count for side, each in verdict.latency.items()}
    for source, by_side in verdict.totals.latency_of.items():
        if {side: latency.count for side, latency in by_side.items()} == counts:
            return source, by_side
    return "", verdict.totals.latency


def _divergence(
    signature: str, count: int, samples: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Divergence:
    kept = samples.get(signature, ())
    return Divergence(
        signature, count, reasons.signature(signature), chain_of(kept[0]) if kept else None
    )


def _accepted(counts: Mapping[str, int], today: dt.date) -> tuple[Accepted, ...]:
    entries = {entry.id: entry for entry in shipped_ledger().entries}
    names = [each for each, _ in _ranked(counts)]
    rows = []
    for each in (*names, *(entry for entry in entries if entry not in counts)):
        entry = entries.get(each)
        count = counts.get(each, 0)
        if entry is None:
            rows.append(Accepted(each, count, known=False))
            continue
        rows.append(
            Accepted(
                each,
                count,
                scope=entry.scope.value,
                reference=entry.reference,
                candidate=entry.candidate,
                reason=entry.reason,
                review_by=entry.review_by.isoformat(),
                overdue=entry.review_by < today,
            )
        )
    return tuple(rows)


def _ledger_matches(told: object) -> bool | None:
    hashes = [told] if isinstance(told, str) else told
    if not isinstance(hashes, Sequence) or not hashes or hashes == [""]:
        return None
    return set(hashes) == {ledger_hash()}


def _reasons(counts: Mapping[str, int]) -> tuple[Reason, ...]:
    return tuple(Reason(each, count) for each, count in _ranked(counts) if count)


def _ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Give counts, the highest first and equal ones by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
