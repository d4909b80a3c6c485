"""Whether two sides draw their delays from one distribution: a two-sample test on binned draws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Chance that a whole run raises an alarm although both sides draw alike.
FALSE_ALARM: Final = 1e-9

_BINS: Final = 256
_MOST_CEILINGS: Final = 64
#: With fewer pairs not even two sides that never agree are beyond chance.
_FEWEST: Final = 32


def allowed_gap(left: int, right: int, false_alarm: float = FALSE_ALARM) -> float:
    """Give the gap that samples of one distribution exceed with this chance only.

    The Kolmogorov-Smirnov bound (Smirnov's asymptotic form). For binned or discrete draws the true
    chance is lower still.

    Args:
        left: Size of one sample.
        right: Size of the other.
        false_alarm: The chance.
    """
    return math.sqrt(-math.log(false_alarm / 2) / 2 * (left + right) / (left * right))


class Draws:
    """Pairs of delays drawn in the same place by two sides, binned by ceiling. Bounded."""

    def __init__(self) -> None:
        """Start without draws."""
        self._bins: dict[int, tuple[list[int], list[int]]] = {}

    def add(self, ceiling_ms: int, ours: int, theirs: int) -> None:
        """Count a pair of draws from 0 to a ceiling, both included, milliseconds."""
        bins = self._bins_of(ceiling_ms)
        if bins is None:
            return
        for counts, delay_ms in zip(bins, (ours, theirs), strict=True):
            # A draw of 0 has a bin of its own: it asks for no retry.
            counts[0 if delay_ms == 0 else 1 + (delay_ms - 1) * _BINS // ceiling_ms] += 1

    def merge(self, other: Draws) -> None:
        """Add the draws of another."""
        for ceiling_ms, theirs in other._bins.items():
            bins = self._bins_of(ceiling_ms)
            for mine, added in zip(bins or (), theirs, strict=bool(bins)):
                mine[:] = map(sum, zip(mine, added, strict=True))

    def _bins_of(self, ceiling_ms: int) -> tuple[list[int], list[int]] | None:
        """Give both sides' counts at a ceiling; ``None`` where no more ceilings are kept."""
        bins = self._bins.get(ceiling_ms)
        if bins is None and len(self._bins) < _MOST_CEILINGS:
            bins = self._bins[ceiling_ms] = ([0] * (_BINS + 1), [0] * (_BINS + 1))
        return bins

    def apart(self) -> Iterator[tuple[int, int, float, float]]:
        """Give the ceilings at which the two sides draw unlike.

        Yields:
            Ceiling (milliseconds), pairs, the largest gap of the two distributions, and the gap
            that chance explains.
        """
        tested = {ceiling: bins for ceiling, bins in self._bins.items() if sum(bins[0]) >= _FEWEST}
        for ceiling, (ours, theirs) in tested.items():
            size = sum(ours)
            # The chance is shared among the tests of the run.
            allowed = allowed_gap(size, size, FALSE_ALARM / len(tested))
            gap = largest = 0
            for left, right in zip(ours, theirs, strict=True):
                gap += left - right
                largest = max(largest, abs(gap))
            if largest / size > allowed:
                yield ceiling, size, largest / size, allowed
