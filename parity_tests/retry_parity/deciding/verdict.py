"""What a verdict says. How it is reached is in `judging_evidence`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from retry_parity.deciding.totals import Totals


class Answer(StrEnum):
    """What the evidence says."""

    READY = "ready"
    NOT_READY = "not ready"
    INSUFFICIENT = "insufficient evidence"


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement.

    Attributes:
        name: Short stable name ("coverage", "divergences", "impact", "latency", "memory", ...).
        answer: What it says by itself.
        said: One line for a person: what was found, what is required.
        missing: What would have to be done or seen for it to pass; empty where it passes.
    """

    name: str
    answer: Answer
    said: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StratumRow:
    """One cell of the input space.

    Attributes:
        stratum: Text of `strata.Stratum`.
        compared: Comparisons in it.
        accepted: Of these, differences that the ledger explains.
        divergent: Of these, unexplained.
        bound: Upper bound on the rate of unexplained divergences (exact binomial, confidence of
            the thresholds), 0 to 1; 1 where nothing was compared.
        required: Comparisons that are required.
        waived: Reason why the cell needs not be reached; empty without one.
        possible: Whether the config can reach it at all.
    """

    stratum: str
    compared: int
    accepted: int
    divergent: int
    bound: float
    required: int
    waived: str = ""
    possible: bool = True

    @property
    def reached(self) -> bool:
        """Whether the required number was compared, or nothing is required."""
        return self.compared >= self.required or bool(self.waived) or not self.possible


@dataclass(frozen=True, slots=True)
class ImpactRow:
    """What unexplained differences of one kind on one tool amount to.

    Attributes:
        kind: Value of `compare.Kind`.
        tool: Tool name.
        idempotent: Whether the thresholds mark the tool as idempotent.
        count: How many.
        weight: Weight of one of them, the tool's factor included.
    """

    kind: str
    tool: str
    idempotent: bool
    count: int
    weight: float


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Time of one side's hook, nanoseconds; ``None`` without calls."""

    median_ns: int | None
    p99_ns: int | None
    p999_ns: int | None
    count: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision and all that it rests on.

    Attributes:
        answer: The decision: not ready if any check says so, else insufficient if any says so.
        checks: All requirements, in a fixed order.
        strata: All cells, in the order of `strata.Stratum`.
        impact: The heaviest first.
        bound: Upper bound on the rate of unexplained divergences over all comparisons.
        latency: By side.
        totals: What was added up.
        problems: One line for each piece of input that was left out or looks wrong.
        identity: What the evidence is about: ``config``, ``ledger`` (SHA-256), ``versions``,
            ``candidate``, ``seeds``, ``traces`` and ``evidence`` (digest of all runs).
    """

    answer: Answer
    checks: Sequence[Check]
    strata: Sequence[StratumRow]
    impact: Sequence[ImpactRow]
    bound: float
    latency: Mapping[str, Quantiles]
    totals: Totals
    problems: Sequence[str]
    identity: Mapping[str, object]
