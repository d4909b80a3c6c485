"""From what evidence says to a verdict: each requirement by itself, then all together.

What is missing never passes: a requirement that cannot be judged makes the evidence insufficient.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from retry_parity import candidates
from retry_parity._native import binomial_upper_bound
from retry_parity.compare import Kind
from retry_parity.deciding.costs import check_latency, check_memory, quantiles_by_side
from retry_parity.deciding.problems import shown
from retry_parity.deciding.values import LARGEST
from retry_parity.deciding.verdict import Answer, Check, ImpactRow, StratumRow, Verdict
from retry_parity.evidence import SAMPLED_OUT
from retry_parity.evidence_files import Source
from retry_parity.ledger import today as this_day
from retry_parity.strata import reachable

if TYPE_CHECKING:
    import datetime as dt
    from collections import Counter
    from collections.abc import Iterable, Mapping, Sequence

    from retry_parity.deciding.reading import Reading
    from retry_parity.deciding.thresholds import ImpactThresholds, Thresholds
    from retry_parity.deciding.totals import Totals

#: Kinds by which a tool may be called once more.
_CALLS_AGAIN: Final = frozenset({Kind.RETRY_EXTRA, Kind.POLICY})
#: Stands for the tool of a divergence that no impact tells of.
_UNKNOWN: Final = "(unknown)"


def judge(reading: Reading, thresholds: Thresholds, today: dt.date | None = None) -> Verdict:
    """Say what evidence amounts to.

    Args:
        reading: The evidence.
        thresholds: What it has to show.
        today: The day by which waivers are judged; ``None`` means this one.

    Returns:
        The verdict: not ready if any requirement says so, otherwise insufficient if any does.
    """
    totals = reading.totals
    bound = binomial_upper_bound(totals.divergences, totals.comparisons, thresholds.confidence)
    strata = _strata(reading, thresholds, today or this_day())
    impact = _impact(totals, thresholds.impact)
    checks = (
        _check_evidence(reading),
        _check_candidate(reading),
        _check_divergences(totals, bound, thresholds),
        _check_impact(impact, thresholds.impact),
        _check_guard(reading),
        _check_trouble(
            "candidate errors",
            totals.candidate_errors,
            thresholds.trouble.candidate_errors,
            Answer.NOT_READY,
        ),
        _check_trouble(
            "harness errors",
            totals.harness_errors,
            thresholds.trouble.harness_errors,
            Answer.INSUFFICIENT,
        ),
        _check_trouble(
            "evidence dropped", totals.dropped, thresholds.trouble.dropped, Answer.INSUFFICIENT
        ),
        _check_coverage(strata, thresholds, today or this_day()),
        _check_live(totals, thresholds.coverage.live_comparisons),
        _check_not_compared(totals, thresholds.coverage.most_not_compared),
        check_latency(totals, thresholds.latency),
        check_memory(totals, thresholds.memory),
    )
    answers = {check.answer for check in checks}
    order = (Answer.NOT_READY, Answer.INSUFFICIENT, Answer.READY)
    return Verdict(
        answer=next(answer for answer in order if answer in answers),
        checks=checks,
        strata=strata,
        impact=impact,
        bound=bound,
        latency=quantiles_by_side(totals, thresholds.latency.calls),
        totals=totals,
        problems=reading.problems,
        identity=reading.identity,
    )


def _passes(name: str, said: str) -> Check:
    return Check(name, Answer.READY, said)


def _check_evidence(reading: Reading) -> Check:
    runs = reading.totals.runs
    counted = ", ".join(f"{count:,} {source}" for source, count in sorted(runs.items()))
    left_out = sum(reading.left_out.values())
    said = f"{runs.total():,} runs count ({counted or 'none'}), {left_out:,} do not"
    if reading.unreadable:
        return Check(
            "evidence",
            Answer.INSUFFICIENT,
            f"{said}; {reading.unreadable:,} cannot be read and might show anything",
            ("repair the files that are named, or remove them knowing that they are lost",),
        )
    if not runs:
        return Check("evidence", Answer.INSUFFICIENT, said, ("runs that count",))
    return _passes("evidence", said)


def _check_candidate(reading: Reading) -> Check:
    candidate = str(reading.identity["candidate"])
    if candidate == candidates.RUST:
        return _passes("candidate", f"the evidence is about {candidate}")
    said = f"the evidence is about {shown(candidate)}, which is for drills; only {candidates.RUST}"
    return Check("candidate", Answer.NOT_READY, f"{said} can be ready")


def _check_divergences(totals: Totals, bound: float, thresholds: Thresholds) -> Check:
    name, most = "divergences", thresholds.coverage.most_rate
    said = (
        f"{totals.divergences:,} unexplained of {totals.comparisons:,}; rate below {bound:.3g} "
        f"({thresholds.confidence:.0%} confidence), allowed {most:.3g}"
    )
    if bound <= most:
        return _passes(name, said)
    if totals.divergences and totals.divergences > most * totals.comparisons:
        return Check(name, Answer.NOT_READY, said)
    needed = _comparisons_needed(totals.divergences, most, thresholds.confidence)
    more = "more comparisons than anybody can make"
    if needed is not None:
        more = f"{needed - totals.comparisons:,} more comparisons"
    missing = (more,) if most > 0 else ()
    return Check(name, Answer.INSUFFICIENT, said, missing)


def _comparisons_needed(failures: int, most: float, confidence: float) -> int | None:
    """Give how many comparisons bound the rate if no more of them fail; ``None`` for none."""
    if most <= 0:
        return None
    low, high = failures, max(failures, 1)
    while binomial_upper_bound(failures, high, confidence) > most:
        low, high = high, high * 2
        if high > LARGEST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if binomial_upper_bound(failures, middle, confidence) > most:
            low = middle
        else:
            high = middle
    return high


def _impact(totals: Totals, thresholds: ImpactThresholds) -> tuple[ImpactRow, ...]:
    rows = []
    for tool, kinds in totals.impact.items():
        idempotent = thresholds.is_idempotent(tool)
        for kind, count in kinds.items():
            weight = _weight(kind, thresholds, idempotent=idempotent)
            rows.append(ImpactRow(kind, tool, idempotent, count, weight))
    told = sum(row.count for row in rows)
    if told < totals.divergences:
        # Nothing that diverged goes without weight, whatever a run says of it.
        unknown = totals.divergences - told
        weight = _weight(_UNKNOWN, thresholds, idempotent=False)
        rows.append(ImpactRow(_UNKNOWN, _UNKNOWN, idempotent=False, count=unknown, weight=weight))
    return tuple(sorted(rows, key=lambda row: (-row.count * row.weight, row.tool, row.kind)))


def _weight(kind: str, thresholds: ImpactThresholds, *, idempotent: bool) -> float:
    if kind not in set(Kind):
        # What nobody knows may be the worst that there is.
        return max(_weight(each, thresholds, idempotent=False) for each in Kind)
    known = Kind(kind)
    again = known in _CALLS_AGAIN and not idempotent
    return thresholds.weights[known] * (thresholds.not_idempotent_factor if again else 1.0)


def _check_impact(rows: Sequence[ImpactRow], thresholds: ImpactThresholds) -> Check:
    found = sum(row.count * row.weight for row in rows)
    said = f"unexplained divergences weigh {found:,.4g}, allowed {thresholds.most:,.4g}"
    if found <= thresholds.most:
        return _passes("impact", said)
    return Check("impact", Answer.NOT_READY, said)


def _check_guard(reading: Reading) -> Check:
    """Look at the counts of the runs and at the guard's file: a worker may die between the two."""
    totals = reading.totals
    said = (
        f"it tripped {totals.guard_trips:,} times, "
        f"{totals.guard_tripped:,} runs ended while it was tripped"
    )
    holding = [trip for trip in reading.trips if not trip.reset]
    if holding:
        since = shown(holding[0].since)
        return Check("guard", Answer.NOT_READY, f"{said}; its file says tripped since {since}")
    if totals.guard_trips or totals.guard_tripped:
        return Check("guard", Answer.NOT_READY, said)
    if reading.trips:
        last = max(reading.trips, key=lambda trip: trip.at_s)
        reset = shown(last.reset)
        if last.at_s >= _begun_s(reading):
            since = shown(last.since)
            said = f"it tripped while these runs went on, at {since}; it was reset at {reset}"
            return Check("guard", Answer.NOT_READY, said)
        return _passes("guard", f"it tripped in none of these runs; it was reset at {reset}")
    return _passes("guard", "it never tripped")


def _begun_s(reading: Reading) -> float:
    """Give when the first run in a gateway began, in whole seconds as a trip's time is."""
    live = [run.started or 0.0 for run in reading.runs if run.source == Source.LIVE]
    return math.floor(min(live)) if live else math.inf


def _check_trouble(name: str, counts: Counter[str], most: int, otherwise: Answer) -> Check:
    found = counts.total()
    worst = ", ".join(f"{shown(each)} {count:,}" for each, count in counts.most_common(3))
    said = f"{found:,}{f' ({worst})' if worst else ''}, allowed {most:,}"
    return _passes(name, said) if found <= most else Check(name, otherwise, said)


def _strata(reading: Reading, thresholds: Thresholds, today: dt.date) -> tuple[StratumRow, ...]:
    shapes = reading.identity["shapes"]
    counted = reading.totals.strata
    rows = []
    known = set()
    for stratum in reachable():
        name = str(stratum)
        known.add(name)
        waived = ""
        for waiver in thresholds.waive:
            if waiver.covers(name) and waiver.review_by >= today:
                waived = waiver.reason
        possible = not isinstance(shapes, list) or (stratum.override, stratum.text_check) in shapes
        rows.append(_row(name, counted.get(name, {}), thresholds, waived, possible=possible))
    rows += [
        _row(name, counted[name], thresholds, "", possible=False)
        for name in sorted(counted)
        if name not in known
    ]
    return tuple(rows)


def _row(
    name: str, counts: Mapping[str, int], thresholds: Thresholds, waived: str, *, possible: bool
) -> StratumRow:
    compared, divergent = sum(counts.values()), counts.get("divergent", 0)
    return StratumRow(
        stratum=name,
        compared=compared,
        accepted=counts.get("accepted", 0),
        divergent=divergent,
        bound=binomial_upper_bound(divergent, compared, thresholds.confidence),
        required=thresholds.coverage.per_stratum if possible else 0,
        waived=waived,
        possible=possible,
    )


def _check_coverage(rows: Iterable[StratumRow], thresholds: Thresholds, today: dt.date) -> Check:
    possible = [row for row in rows if row.possible]
    short = [row for row in possible if not row.reached]
    waived = sum(bool(row.waived) and row.compared < row.required for row in possible)
    said = (
        f"{len(possible) - len(short) - waived:,} of {len(possible):,} cells have "
        f"{thresholds.coverage.per_stratum:,} comparisons or more"
        f"{f', {waived:,} are waived' if waived else ''}"
    )
    if not short:
        return _passes("coverage", said)
    lapsed = [waiver for waiver in thresholds.waive if waiver.review_by < today]
    missing = []
    for row in short:
        ended = "".join(
            f" (the waiver ended on {waiver.review_by})"
            for waiver in lapsed
            if waiver.covers(row.stratum)
        )
        missing.append(f"{row.stratum}: {row.compared:,} of {row.required:,}{ended}")
    return Check("coverage", Answer.INSUFFICIENT, said, tuple(missing))


def _check_live(totals: Totals, required: int) -> Check:
    found = totals.compared[Source.LIVE]
    said = f"{found:,} comparisons on real traffic, required {required:,}"
    if found >= required:
        return _passes("live traffic", said)
    missing = (f"{required - found:,} more in a gateway, under shadow or canary",)
    return Check("live traffic", Answer.INSUFFICIENT, said, missing)


def _check_not_compared(totals: Totals, most: float) -> Check:
    reasons = {name: n for name, n in totals.not_compared.items() if name != SAMPLED_OUT}
    found = sum(reasons.values())
    # Nothing at all is for other requirements to say.
    share = found / (found + totals.comparisons) if found else 0.0
    worst = sorted(reasons.items(), key=lambda each: -each[1])[:3]
    told = ", ".join(f"{shown(name)} {count:,}" for name, count in worst)
    said = f"{share:.3%} of the calls{f' ({told})' if told else ''}, allowed {most:.3%}"
    if share <= most:
        return _passes("not compared", said)
    return Check("not compared", Answer.INSUFFICIENT, said)
