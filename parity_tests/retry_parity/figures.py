"""The figures of one plugin name in one process at one moment: what metrics and evidence show."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retry_parity._native import Latency
    from retry_parity.evidence import Memory
    from retry_parity.flag import Implementation
    from retry_parity.observation import Side


class ServiceState(StrEnum):
    """How the feature-flag service is doing; only under ``READY`` is a current value in force.

    ``STALE``: it answers, with a value that is not taken; an older one holds, if there is any.
    """

    ABSENT = "absent"
    NOT_READY = "not ready"
    READY = "ready"
    STALE = "stale"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts since the process began, and states. Every label has a bounded set of values.

    Attributes:
        implementation: The value of the flag in force, before the guard.
        source: Where that came from: ``flag service``, ``RETRY_IMPLEMENTATION``,
            ``migration.implementation`` or ``default``.
        canary_percent: The share in force.
        service: How the feature-flag service is doing.
        rejected_flags: Values of the service that were not taken.
        guard_tripped: Whether the guard holds the decision at the hybrid.
        guard_trips: How often it tripped in this process.
        guard_trouble: Name of what tripped it, while it is tripped; else empty.
        decisions: Answers that callers got, by the side that decided and the outcome (``retry``,
            ``no retry``, ``raised``).
        outcomes: What each side did, whether it decided or not, by side and outcome.
        fallbacks: Answers of the hybrid in place of the Rust core's, which was to decide.
        matches: Comparisons that were equal.
        accepted_calls: Comparisons that differed and were explained completely.
        accepted: Explanations by ledger id.
        divergent: Comparisons not explained, by signature.
        not_compared: Calls not compared, by reason.
        candidate_errors: Exceptions and internal errors of the candidate, by name.
        harness_errors: Failures of the harness itself, by step.
        impact: Unexplained differences by tool and kind.
        memory: What the chains of a side took when there were most of them.
        configs: Different plugin configs of the plugin objects so far.
        strata: Comparisons by stratum and what became of them.
        latency: Time of the hook, by side.
        live: Chains held, by side; a side that is not loaded is left out.
        evicted: Chains dropped for want of room, by holder (``candidate``, ``owners``).
        evidence_dropped: Evidence that could not be kept, by reason.
        evidence_bytes: What this worker has on disk.
    """

    implementation: Implementation
    source: str
    canary_percent: float
    service: ServiceState
    rejected_flags: int
    guard_tripped: bool
    guard_trips: int
    decisions: Mapping[tuple[Side, str], int]
    outcomes: Mapping[tuple[Side, str], int]
    fallbacks: int
    matches: int
    accepted_calls: int
    accepted: Mapping[str, int]
    divergent: Mapping[str, int]
    not_compared: Mapping[str, int]
    candidate_errors: Mapping[str, int]
    harness_errors: Mapping[str, int]
    latency: Mapping[Side, Latency]
    live: Mapping[Side, int]
    evicted: Mapping[str, int]
    configs: int = 1
    impact: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    memory: Mapping[Side, Memory] = field(default_factory=dict)
    strata: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    evidence_dropped: Mapping[str, int] = field(default_factory=dict)
    evidence_bytes: int = 0
    guard_trouble: str = ""
