"""Whether the candidate costs more than the hybrid: time of the hook, memory of the chains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from retry_parity.deciding.totals import SIDES
from retry_parity.deciding.verdict import Answer, Check, Quantiles
from retry_parity.evidence_files import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retry_parity._native import Latency
    from retry_parity.deciding.thresholds import LatencyThresholds, MemoryThresholds
    from retry_parity.deciding.totals import Totals

_REFERENCE, _CANDIDATE = SIDES
#: Whose times decide: the first one that has enough of both sides. A replay is often on another
#: machine, and alone on it.
_SOURCES: Final = tuple(Source)
_NS_PER_US: Final = 1000


def deciding_source(totals: Totals, calls: int) -> str | None:
    """Name the source of the times that decide; ``None`` where none has enough calls."""
    for source in _SOURCES:
        by_side = totals.latency_of.get(source, {})
        if all(side in by_side and by_side[side].count >= calls for side in SIDES):
            return source
    return None


def quantiles_by_side(totals: Totals, calls: int) -> dict[str, Quantiles]:
    """Give the times that decide; those of all sources where none does."""
    source = deciding_source(totals, calls)
    chosen: Mapping[str, Latency] = totals.latency if source is None else totals.latency_of[source]
    return {
        side: Quantiles(
            median_ns=latency.quantile_ns(0.5),
            p99_ns=latency.quantile_ns(0.99),
            p999_ns=latency.quantile_ns(0.999),
            count=latency.count,
        )
        for side, latency in sorted(chosen.items())
    }


def check_latency(totals: Totals, thresholds: LatencyThresholds) -> Check:
    """Compare median and 99th percentile of both sides."""
    source = deciding_source(totals, thresholds.calls)
    quantiles = quantiles_by_side(totals, thresholds.calls)
    if source is None:
        found = ", ".join(
            f"{side} {quantiles[side].count if side in quantiles else 0:,}" for side in SIDES
        )
        said = f"too few times to compare ({found}), {thresholds.calls:,} of each are required"
        missing = ("a gateway under shadow or canary, or a replay, that measures both sides",)
        return Check("latency", Answer.INSUFFICIENT, said, missing)
    reference, candidate = quantiles[_REFERENCE], quantiles[_CANDIDATE]
    medians = _compared("median", reference.median_ns, candidate.median_ns, thresholds.median_ratio)
    p99s = _compared("p99", reference.p99_ns, candidate.p99_ns, thresholds.p99_ratio)
    said = f"{medians[0]}; {p99s[0]}; {source}"
    passes = medians[1] and p99s[1]
    return Check("latency", Answer.READY if passes else Answer.NOT_READY, said)


def _compared(
    name: str, reference: int | None, candidate: int | None, ratio: float
) -> tuple[str, bool]:
    hybrid, core = reference or 0, candidate or 0
    said = (
        f"{name} {core / _NS_PER_US:,.1f} us, allowed {ratio:g} x hybrid {hybrid / _NS_PER_US:,.1f}"
    )
    return said, core <= hybrid * ratio


def check_memory(totals: Totals, thresholds: MemoryThresholds) -> Check:
    """Compare what a chain takes on either side, in the process where the candidate does worst.

    With few chains the fixed size of a store is most of it, and a ratio says nothing. That few
    chains are open at once is how most gateways are, so it passes where the whole store is small.
    """
    if not totals.stores:
        said = "no figures of both sides"
        missing = ("a run under shadow or canary in which calls fail",)
        return Check("memory", Answer.INSUFFICIENT, said, missing)
    enough = [each for each in totals.stores if each.fewest >= thresholds.chains]
    if not enough:
        fewest = max(each.fewest for each in totals.stores)
        largest = totals.largest_store
        small = largest <= thresholds.small_bytes
        said = (
            f"{fewest:,} chains at once, {thresholds.chains:,} are needed to tell what one takes; "
            f"the whole store has {largest:,} bytes, allowed "
            f"{thresholds.small_bytes:,}"
        )
        return Check("memory", Answer.READY if small else Answer.NOT_READY, said)
    worst = max(enough, key=lambda each: (each.ratio, each))
    core, hybrid = float(worst.candidate.per_chain), float(worst.reference.per_chain)
    said = f"{core:,.0f} bytes per chain, allowed {thresholds.ratio:g} x hybrid {hybrid:,.0f}"
    passes = worst.ratio <= thresholds.ratio
    return Check("memory", Answer.READY if passes else Answer.NOT_READY, said)
