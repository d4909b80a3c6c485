"""Latencies in a fixed amount of memory."""

from __future__ import annotations

from typing import Final

#: Sub-buckets per power of two: a value is known to within 1/32, about 3 %.
_SUB_BITS: Final = 5
_SUB_BUCKETS: Final = 1 << _SUB_BITS
_LONGEST_BITS: Final = 40
_BUCKETS: Final = (_LONGEST_BITS - _SUB_BITS + 1) * _SUB_BUCKETS


class Latency:
    """A histogram of durations in nanoseconds, from 1 ns to about 18 minutes.

    Durations beyond that count in the last bucket.
    """

    __slots__ = ("_buckets", "count")

    def __init__(self) -> None:
        """Start empty."""
        self._buckets = [0] * _BUCKETS
        self.count = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration."""
        self._buckets[min(_bucket(duration_ns), _BUCKETS - 1)] += 1
        self.count += 1

    def quantile_ns(self, share: float) -> int | None:
        """Give the duration that a share (0 to 1) of all calls did not exceed.

        Returns:
            Nanoseconds, rounded down to the bucket; ``None`` when nothing was counted.
        """
        if self.count == 0:
            return None
        wanted = max(1, -(-int(share * self.count * 1000) // 1000))
        seen = 0
        for position, number in enumerate(self._buckets):
            seen += number
            if seen >= wanted:
                return _lower_bound(position)
        return _lower_bound(_BUCKETS - 1)


def _bucket(duration_ns: int) -> int:
    shift = max(duration_ns.bit_length() - _SUB_BITS - 1, 0)
    return shift * _SUB_BUCKETS + (duration_ns >> shift)


def _lower_bound(position: int) -> int:
    if position < 2 * _SUB_BUCKETS:
        return position
    shift = position // _SUB_BUCKETS - 1
    return (position - shift * _SUB_BUCKETS) << shift
