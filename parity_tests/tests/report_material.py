"""Verdicts and samples to report on, made to measure."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from evidence_material import COMMON, LEDGER_HASH, VERSIONS, sample_line

from retry_parity._native import Latency
from retry_parity.deciding.reading import Reading, RunSummary
from retry_parity.deciding.report.model import Report, report_of
from retry_parity.deciding.totals import Memory, Totals
from retry_parity.deciding.verdict import (
    Answer,
    Check,
    ImpactRow,
    Quantiles,
    StratumRow,
    Verdict,
)
from retry_parity.strata import Position, Signal, Stratum, reachable

MADE: Final = dt.datetime(2026, 11, 26, 9, 30, tzinfo=dt.UTC)
STARTED: Final = dt.datetime(2026, 11, 19, 9, 30, tzinfo=dt.UTC).timestamp()
DAY_S: Final = 86_400

#: Names as an attacker would choose them.
HOSTILE: Final = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "\"><svg onload='document.title=1'>",
    "it's `code` | a **table** [link](javascript:alert(1)) @everyone #1 www.example.com",
    "right\u202eto left\u2066\u2069\u200b",
    "\ud800 alone",
    "line\nfeed\r\ttab\x00\x1b[31m",
    "{{ 7 * 7 }} {% raw %}",
    "--></style><!--",
    "long " * 20_000,
    "",
)


def latency(median_ns: int, calls: int = 20_000) -> Latency:
    """Make a distribution with a long tail."""
    made = Latency()
    for number in range(1, calls + 1):
        made.add(int(median_ns * (0.7 + 0.3 * (calls / number) ** 0.45)))
    return made


def row(stratum: Stratum, compared: int, divergent: int = 0, **others: Any) -> StratumRow:
    """Make a cell of the input space."""
    name = str(stratum)
    bound = min(1.0, (3 + 2 * divergent) / compared) if compared else 1.0
    return StratumRow(name, compared, others.pop("accepted", 0), divergent, bound, 100, **others)


def _compared(number: int, stratum: Stratum) -> int:
    """Spread counts over some powers of ten, as traffic does."""
    common = 250_000 if str(stratum) in COMMON else 0
    return common + 100 + (number * 7919) % 97 * (1, 10, 100, 1000)[number * 13 % 4]


def strata(answer: Answer) -> list[StratumRow]:
    """Make all cells: well met, or with holes, or with divergences."""
    rows = []
    for number, stratum in enumerate(reachable()):
        compared, divergent = _compared(number, stratum), 0
        others: dict[str, Any] = {}
        if stratum.signal is Signal.FLAG_AND_RETRYABLE and stratum.outcome.value == "retry":
            others["accepted"] = compared // 40
        if stratum.signal is Signal.UNREADABLE and stratum.override:
            others["waived"] = "no tool of ours answers with what cannot be read"
            compared = 0
        elif answer is Answer.INSUFFICIENT and stratum.position is Position.LATER:
            compared = number % 3 * 31
        if answer is Answer.NOT_READY and number in {14, 37, 38}:
            divergent = number % 5 + 2
        rows.append(row(stratum, compared, divergent, **others))
    return rows


def totals(answer: Answer) -> Totals:
    """Make the sum of some runs."""
    made = Totals()
    made.runs.update({"live": 8, "replay": 1, "generated": 2})
    made.compared.update({"live": 1_204_332, "replay": 88_120, "generated": 400_000})
    made.matches, made.accepted_calls = 1_688_321, 4_118
    made.accepted.update({"status-range": 3_992, "jitter-zero": 120, "trace-metrics": 6})
    if answer is Answer.NOT_READY:
        made.divergent.update(
            {"retry-lost": 9, "delay+metadata": 3, "raised-only-by-candidate:ValueError": 1}
        )
        made.candidate_errors.update({"internal": 2, "raised:ValueError": 1})
        made.guard_trips, made.fallbacks = 1, 12
    made.not_compared.update({"sampled-out": 12_004, "chain-began-unseen": 31, "too-large": 2})
    made.evicted.update({"owners": 0, "candidate": 0})
    made.dropped.update({"disk limit": 4} if answer is Answer.NOT_READY else {})
    made.latency = {"legacy": latency(24_000), "rust": latency(6_500)}
    made.memory = {"legacy": Memory(9_120, 5_836_800), "rust": Memory(9_118, 1_367_700)}
    return made


_CHECKS: Final = {
    Answer.READY: (
        Check("coverage", Answer.READY, "all 192 cells have the 100 comparisons that are required"),
        Check(
            "divergences",
            Answer.READY,
            "none; their rate is at most 0.00018 %, 0.001 % is required",
        ),
        Check("impact", Answer.READY, "0, at most 0 is allowed"),
        Check(
            "latency",
            Answer.READY,
            "the candidate's p99 is 0.27 of the hybrid's, at most 1.1 is allowed",
        ),
        Check("memory", Answer.READY, "150 bytes a chain instead of 640"),
        Check("time", Answer.READY, "7.0 days of live traffic, 7 are required"),
    ),
    Answer.NOT_READY: (
        Check("coverage", Answer.READY, "all 192 cells have the 100 comparisons that are required"),
        Check(
            "divergences",
            Answer.NOT_READY,
            "13 comparisons differ without an entry in the ledger, 0 are allowed",
            ("explain or mend retry-lost (9)", "explain or mend delay+metadata (3)"),
        ),
        Check("impact", Answer.NOT_READY, "104, at most 0 is allowed", ("see the tools below",)),
        Check(
            "latency",
            Answer.READY,
            "the candidate's p99 is 0.27 of the hybrid's, at most 1.1 is allowed",
        ),
        Check("memory", Answer.READY, "150 bytes a chain instead of 640"),
        Check(
            "time",
            Answer.INSUFFICIENT,
            "3.5 days of live traffic, 7 are required",
            ("3.5 days more",),
        ),
    ),
    Answer.INSUFFICIENT: (
        Check(
            "coverage",
            Answer.INSUFFICIENT,
            "53 of 192 cells have less than the 100 comparisons that are required",
            tuple(
                f"{each}: {n % 3 * 31} of 100"
                for n, each in enumerate(reachable())
                if each.position is Position.LATER
            ),
        ),
        Check("divergences", Answer.READY, "none; their rate is at most 0.00018 %"),
        Check("latency", Answer.READY, "the candidate's p99 is 0.27 of the hybrid's"),
        Check(
            "time",
            Answer.INSUFFICIENT,
            "3.5 days of live traffic, 7 are required",
            ("3.5 days more",),
        ),
    ),
}


def verdict(answer: Answer, **others: Any) -> Verdict:
    """Make a verdict."""
    made = {
        "answer": answer,
        "checks": _CHECKS[answer],
        "strata": strata(answer),
        "impact": impact() if answer is Answer.NOT_READY else (),
        "bound": 1.8e-6 if answer is not Answer.NOT_READY else 1.3e-5,
        "latency": {
            side: Quantiles(20_000, 90_000, 400_000, 20_000) for side in ("legacy", "rust")
        },
        "totals": totals(answer),
        "problems": ["a run of other versions (cpex 0.1.1 instead of 0.1.2), left out: gateway-7"]
        if answer is Answer.NOT_READY
        else [],
        "identity": identity(),
    }
    return Verdict(**{**made, **others})


def impact() -> tuple[ImpactRow, ...]:
    """Make what divergences amount to."""
    return (
        ImpactRow("retry-lost", "create_ticket", idempotent=False, count=6, weight=10.0),
        ImpactRow("retry-lost", "search", idempotent=True, count=3, weight=5.0),
        ImpactRow("raised-only-by-candidate", "search", idempotent=True, count=1, weight=10.0),
        ImpactRow("delay", "search", idempotent=True, count=3, weight=1.0),
        ImpactRow("metadata", "search", idempotent=True, count=3, weight=0.1),
    )


def identity() -> dict[str, object]:
    """Tell what evidence is about."""
    return {
        "plugin": "RetryWithBackoff",
        "config": "9f" * 32,
        "ledger": LEDGER_HASH,
        "versions": dict(VERSIONS),
        "candidate": "rust",
        "shapes": None,
        "seeds": ["7", "8"],
        "traces": [{"sha256": "ab" * 32, "calls": 88_120, "lost": {}, "cut_off": []}],
        "evidence": "c0" * 32,
    }


def reading(answer: Answer, **others: Any) -> Reading:
    """Make what was read."""
    runs = [
        RunSummary(
            f"gateway-{number}-1795600000000-0a0b0c",
            "live",
            "gateway",
            STARTED,
            STARTED + 7 * DAY_S,
            150_541,
            0,
        )
        for number in range(8)
    ]
    policy = {
        "max_retries": 2,
        "backoff_base_ms": 100,
        "max_backoff_ms": 5000,
        "retry_on_status": [429, 503],
    }
    other = {**policy, "max_retries": 3}
    told = {"other_fields": [], "internal_errors": 0, "duration_ns": 9000}
    samples = {
        "retry-lost": [sample_line("retry-lost", 2)],
        "delay+metadata": [
            sample_line(
                "delay+metadata",
                1,
                legacy={"delay_ms": 200, "policy": policy, **told},
                rust={"delay_ms": 400, "policy": other, **told},
                accepted=["trace-metrics"],
                seq=71_022,
            )
        ],
        "raised-only-by-candidate:ValueError": [
            sample_line(
                "raised-only-by-candidate:ValueError",
                rust={"raised": "ValueError", "duration_ns": 9},
            )
        ],
    }
    made = {
        "totals": totals(answer),
        "runs": runs,
        "problems": (),
        "samples": samples if answer is Answer.NOT_READY else {},
        "identity": identity(),
    }
    return Reading(**{**made, **others})


def report(answer: Answer) -> Report:
    """Make a whole report."""
    return report_of(reading(answer), verdict(answer), MADE)


def adversarial(amount: int = 256) -> Report:
    """Make a report on as much as evidence can hold, all names hostile and long."""
    hard = [f"{HOSTILE[number % len(HOSTILE)]}{number}" for number in range(amount)]
    tail = '<&"' * 40_000
    long = [f"{number}{tail}" for number in range(amount)]
    made = totals(Answer.NOT_READY)
    for counter in (made.divergent, made.accepted, made.not_compared, made.candidate_errors):
        counter.update(dict.fromkeys(hard, 3) | dict.fromkeys(long, 2))
    for counter in (made.harness_errors, made.dropped, made.evicted, made.runs):
        counter.update(dict.fromkeys(hard, 1))
    facts = {
        "isError": "\"'<b>" * 99,
        "status_code": "<i>" * 999,
        "items": "&" * 999,
        "content": "<" * 999,
    }
    policy = {f"<{number}&>" * 99: "&" * 999 for number in range(50)}
    step = {
        "at_s": 1e300,
        "result": facts,
        "decided_by": "<b>" * 99,
        "legacy": "<s>" * 99,
        "rust": "retry",
        "rust_delay_ms": 10**40,
    }
    sample = sample_line(
        chain=0,
        tool="<tool>" * 999,
        request="&" * 999,
        result=facts,
        legacy={
            "delay_ms": "<" * 999,
            "policy": policy,
            "other_fields": ["<x>"] * 999,
            "internal_errors": 1,
        },
        rust={"raised": "&lt;" * 999},
        chain_forgotten=10**30,
        accepted=["<id>" * 99] * 99,
        captured="<script>" * 9999,
    )
    sample["chain"] = [step] * 40
    rows = [
        StratumRow(each.stratum, 50, 3, 2, 0.1, 10**9, waived="&" * 50_000)
        for each in strata(Answer.READY)
    ] + [StratumRow(each, 1, 0, 1, 0.5, 10) for each in hard]
    return report_of(
        reading(
            Answer.NOT_READY,
            totals=made,
            samples={each: [sample] for each in (*hard, *long)},
        ),
        verdict(
            Answer.NOT_READY,
            totals=made,
            strata=rows,
            checks=[Check(each, Answer.NOT_READY, each * 2, tuple(hard)) for each in hard[:20]],
            impact=[
                ImpactRow(each, each, idempotent=False, count=10**18, weight=1e9)
                for each in [*hard, *long]
            ],
            problems=[*hard, *long],
            identity={
                "versions": dict.fromkeys(hard, "<v>"),
                "traces": [{"lost": dict.fromkeys(hard, 1)}] * 99,
            }
            | dict.fromkeys(long, "&" * 9999),
        ),
        MADE,
    )
