"""The time of a side's hook as a curve: how slow the slowest calls are."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from retry_parity._native import Latency

#: Shares of calls by which a distribution is told.
SHARES: Final = (0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0)
#: Points of the curve for each factor of ten in the share of slower calls.
_POINTS: Final = 24
_MOST_POINTS: Final = 24 * 9


@dataclass(frozen=True, slots=True)
class Tail:
    """The distribution of one side's times.

    Attributes:
        side: ``legacy`` or ``rust``.
        count: Calls.
        mean_ns: Nanoseconds; ``None`` without calls.
        quantiles: Pairs of a share (0 to 1) and the nanoseconds that this share of calls did not
            exceed.
        curve: Pairs of "one call in so many is slower" (1, then more) and nanoseconds; ends where
            a single call is left.
    """

    side: str
    count: int
    mean_ns: int | None
    quantiles: tuple[tuple[float, int], ...]
    curve: tuple[tuple[float, int], ...]


def tail_of(side: str, latency: Latency) -> Tail:
    """Read a histogram."""
    buckets = latency.buckets()
    seen = list(accumulate(count for _, count in buckets))
    total = seen[-1] if seen else 0
    if not total:
        return Tail(side, 0, None, (), ())

    def at(share: float) -> int:
        """Give the time that a share of the calls did not exceed."""
        return buckets[min(bisect_left(seen, share * total), len(seen) - 1)][0]

    steps = (10 ** (number / _POINTS) for number in range(_MOST_POINTS))
    curve = [(round(rarity, 4), at(1 - 1 / rarity)) for rarity in steps if rarity < total]
    return Tail(
        side,
        total,
        latency.sum_ns // total,
        tuple((share, at(share)) for share in SHARES),
        (*curve, (float(total), buckets[-1][0])),
    )
