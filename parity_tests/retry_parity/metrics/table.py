"""Every metric of the migration: this table is the one home of its name, type, help and labels.

No label holds what a caller sent. A label's values are few by their nature, or `reader` bounds
them. The counts by stratum are evidence and no metric: there are hundreds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

from retry_parity.evidence import Step
from retry_parity.figures import ServiceState
from retry_parity.observation import Side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from retry_parity.figures import Figures

#: Upper bounds of the latency buckets: 1 us to 100 ms, nanoseconds.
BOUNDS_NS: Final = (
    *(step * 10**power for power in range(3, 8) for step in (1, 2, 3, 5, 7)),
    10**8,
)
#: Longer than anything that was measured, so that one reading gives the buckets and their total.
_ALL_NS: Final = 2**62
BUCKET: Final = "le"
_BOUNDS: Final = (*(repr(bound / 1e9) for bound in BOUNDS_NS), "+Inf")

_OUTCOMES: Final = ("retry", "no retry", "raised")

#: The values of a metric's labels, in the table's order, and the number they have.
Rows: TypeAlias = "Mapping[tuple[str, ...], float]"


class Kind(StrEnum):
    """The types of metrics, by Prometheus's names."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Workers(StrEnum):
    """What several processes' gauges become on one page, by prometheus_client's names.

    All are of living processes only. Counters and histograms are always sums, the dead included.
    """

    SUM = "livesum"
    MOST = "livemax"
    EACH = "liveall"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        name: As queries write it; a histogram's without its endings.
        kind: Its type.
        help: What it tells, for whoever reads the page.
        labels: Its labels, without ``le``.
        rows: Reads its numbers; ``None`` for what is the process's and no plugin's. Of a
            histogram the rows that end with ``le`` are calls in this bucket alone, the others sums.
        workers: How several processes' gauges add up.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    rows: Callable[[Figures], Rows] | None
    workers: Workers = Workers.SUM

    @property
    def family(self) -> str:
        """The name as prometheus_client keeps it."""
        return self.name.removesuffix("_total")


def _one(value: float) -> Rows:
    return {(): value}


def _by(counts: Mapping[str, float], always: Iterable[str] = ()) -> Rows:
    """Give a row for each name. Those of `always` begin at 0, so that a rise from 0 is seen."""
    return {(name,): counts.get(name, 0) for name in (*always, *counts)}


def _by_side(counts: Mapping[tuple[Side, str], float]) -> Rows:
    always = [(side, outcome) for side in Side for outcome in _OUTCOMES]
    return {
        (side.implementation, outcome): counts.get((side, outcome), 0)
        for side, outcome in (*always, *counts)
    }


def _comparisons(figures: Figures) -> Rows:
    return {
        ("match",): figures.matches,
        ("accepted",): figures.accepted_calls,
        ("divergent",): sum(figures.divergent.values()),
        ("not compared",): sum(figures.not_compared.values()),
    }


def _latency(figures: Figures) -> Rows:
    rows: dict[tuple[str, ...], float] = {}
    for side, latency in figures.latency.items():
        up_to = latency.cumulative((*BOUNDS_NS, _ALL_NS))
        for bound, (before, until) in zip(_BOUNDS, pairwise((0, *up_to)), strict=True):
            rows[side.implementation, bound] = until - before
        rows[(side.implementation,)] = latency.sum_ns / 1e9
    return rows


BUILD: Final = Metric(
    "retry_migration_build_info",
    Kind.GAUGE,
    "1 for each package of the migration and the version that is installed.",
    ("package", "version"),
    None,
    Workers.MOST,
)
READ_ERRORS: Final = Metric(
    "retry_migration_read_errors_total",
    Kind.COUNTER,
    "Failures to read figures for this page; what could not be read is missing from it.",
    (),
    None,
)

TABLE: Final = (
    Metric(
        "retry_migration_decisions_total",
        Kind.COUNTER,
        "Answers that callers got, by the implementation that decided and the outcome.",
        ("plugin", "implementation", "outcome"),
        lambda figures: _by_side(figures.decisions),
    ),
    Metric(
        "retry_migration_outcomes_total",
        Kind.COUNTER,
        "What each implementation did with a call, whether it decided or not.",
        ("plugin", "implementation", "outcome"),
        lambda figures: _by_side(figures.outcomes),
    ),
    Metric(
        "retry_migration_comparisons_total",
        Kind.COUNTER,
        "Calls by what comparing them gave: match, accepted, divergent, not compared.",
        ("plugin", "result"),
        _comparisons,
    ),
    Metric(
        "retry_migration_accepted_total",
        Kind.COUNTER,
        "Differences that the ledger explains, by its entry.",
        ("plugin", "entry"),
        lambda figures: _by(figures.accepted),
    ),
    Metric(
        "retry_migration_divergences_total",
        Kind.COUNTER,
        "Comparisons that no entry of the ledger explains, by signature.",
        ("plugin", "signature"),
        lambda figures: _by(figures.divergent),
    ),
    Metric(
        "retry_migration_not_compared_total",
        Kind.COUNTER,
        "Calls that were not compared, by reason.",
        ("plugin", "reason"),
        lambda figures: _by(figures.not_compared),
    ),
    Metric(
        "retry_migration_candidate_errors_total",
        Kind.COUNTER,
        "Exceptions and internal errors of the Rust core, by name.",
        ("plugin", "error"),
        lambda figures: _by(figures.candidate_errors),
    ),
    Metric(
        "retry_migration_harness_errors_total",
        Kind.COUNTER,
        "Failures of the comparison itself, by step; answers are not affected.",
        ("plugin", "step"),
        lambda figures: _by(figures.harness_errors, (step.value for step in Step)),
    ),
    Metric(
        "retry_migration_fallbacks_total",
        Kind.COUNTER,
        "Answers of the hybrid in place of the Rust core's, which was to decide.",
        ("plugin",),
        lambda figures: _one(figures.fallbacks),
    ),
    Metric(
        "retry_migration_guard_tripped",
        Kind.GAUGE,
        "1 while the guard holds the decision at the hybrid.",
        ("plugin",),
        lambda figures: _one(figures.guard_tripped),
        Workers.MOST,
    ),
    Metric(
        "retry_migration_guard_info",
        Kind.GAUGE,
        "1 while the guard is tripped, with the trouble that tripped it.",
        ("plugin", "trouble"),
        lambda figures: {(figures.guard_trouble,): 1} if figures.guard_trouble else {},
        Workers.MOST,
    ),
    Metric(
        "retry_migration_guard_trips_total",
        Kind.COUNTER,
        "How often the guard took the decision back to the hybrid.",
        ("plugin",),
        lambda figures: _one(figures.guard_trips),
    ),
    Metric(
        "retry_migration_flag_info",
        Kind.GAUGE,
        "Workers by the value of the flag in force and where it came from, before the guard.",
        ("plugin", "implementation", "source"),
        lambda figures: {(figures.implementation.value, figures.source): 1},
    ),
    Metric(
        "retry_migration_canary_ratio",
        Kind.GAUGE,
        "Share of chains, 0 to 1, that the Rust core decides under the flag value canary.",
        ("plugin",),
        lambda figures: _one(figures.canary_percent / 100),
        Workers.EACH,
    ),
    Metric(
        "retry_migration_flag_service_state",
        Kind.GAUGE,
        "Workers by how their flag service is doing: absent, not ready, ready, stale, gone.",
        ("plugin", "state"),
        lambda figures: {(state.value,): state is figures.service for state in ServiceState},
    ),
    Metric(
        "retry_migration_rejected_flags_total",
        Kind.COUNTER,
        "Values of the feature-flag service that were not taken; the last good one holds.",
        ("plugin",),
        lambda figures: _one(figures.rejected_flags),
    ),
    Metric(
        "retry_migration_hook_duration_seconds",
        Kind.HISTOGRAM,
        "Time of one hook call, by implementation.",
        ("plugin", "implementation"),
        _latency,
    ),
    Metric(
        "retry_migration_live_chains",
        Kind.GAUGE,
        "Chains that an implementation holds; one that is not loaded has no series.",
        ("plugin", "implementation"),
        lambda figures: {(side.implementation,): number for side, number in figures.live.items()},
    ),
    Metric(
        "retry_migration_evictions_total",
        Kind.COUNTER,
        "Chains dropped for want of room, by what held them.",
        ("plugin", "holder"),
        lambda figures: _by(figures.evicted),
    ),
    Metric(
        "retry_migration_evidence_dropped_total",
        Kind.COUNTER,
        "Evidence that could not be kept, by reason.",
        ("plugin", "reason"),
        lambda figures: _by(figures.evidence_dropped),
    ),
    Metric(
        "retry_migration_evidence_bytes",
        Kind.GAUGE,
        "Evidence on disk.",
        ("plugin",),
        lambda figures: _one(figures.evidence_bytes),
    ),
    BUILD,
    READ_ERRORS,
)
