"""What a herd looks like in numbers: tests of draws that anybody can do on paper.

Every test has a chance of its own to raise an alarm although nothing is wrong; a caller shares one
chance among all that it makes. No bound here is an approximation that errs on the loud side.
"""

from __future__ import annotations

import itertools
import math
import operator
from bisect import bisect_right
from collections import Counter
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Chance that a whole simulation raises an alarm although every retry is drawn as it should be.
FALSE_ALARM: Final = 1e-6
#: The window is cut so that each span of a hundredth is at most half a step from one that is looked
#: at.
_STEPS: Final = 200
#: Spans of a hundredth that start at a step.
_SPANS: Final = _STEPS - 1
_SPAN_STEPS: Final = 2


def herds(groups: Sequence[Sequence[int]], ceiling_ms: int, chance: float) -> Iterator[str]:
    """Say where delays of callers that failed at once are not spread over their window.

    Args:
        groups: The delays (milliseconds) that each worker drew, in its own order.
        ceiling_ms: The window is 1 to here.
        chance: That of a false alarm.

    Yields:
        One line for each thing that is wrong.
    """
    delays = [delay for group in groups for delay in group]
    outside = [delay for delay in delays if not 1 <= delay <= ceiling_ms]
    if outside:
        yield f"{len(outside)} of {len(delays)} are outside of 1 to {ceiling_ms}: {outside[:3]}"
        return
    yield from _uneven(delays, ceiling_ms, chance / 3)
    yield from _crowded(delays, ceiling_ms, chance / 3)
    yield from _alike(groups, ceiling_ms, chance / 3)


def _uneven(delays: Sequence[int], ceiling_ms: int, chance: float) -> Iterator[str]:
    """Kolmogorov and Smirnov against the uniform distribution, by Massart's bound.

    The bound holds for every size of sample and every distribution, discrete ones included.
    """
    allowed = math.sqrt(math.log(2 / chance) / 2 / len(delays))
    below = gap = 0.0
    for delay, count in sorted(Counter(delays).items()):
        gap = max(gap, abs(below / len(delays) - (delay - 1) / ceiling_ms))
        below += count
        gap = max(gap, abs(below / len(delays) - delay / ceiling_ms))
    if gap > allowed:
        yield f"the distribution is {gap:.4f} away from the uniform one, {allowed:.4f} is chance"


def _crowded(delays: Sequence[int], ceiling_ms: int, chance: float) -> Iterator[str]:
    """No hundredth of the window, both ends included, holds more retries than chance explains."""
    ordered = sorted(delays)
    for step in range(_SPANS):
        first = math.floor(ceiling_ms * step / _STEPS)
        last = max(first + 1, math.ceil(ceiling_ms * (step + _SPAN_STEPS) / _STEPS))
        inside = bisect_right(ordered, last) - bisect_right(ordered, first)
        share = (last - first) / ceiling_ms
        if at_least(inside, len(delays), share) < chance / _SPANS:
            yield (
                f"{inside} of {len(delays)} retries come from {first + 1} to {last} ms, "
                f"which is {share:.2%} of the window"
            )


def _alike(groups: Sequence[Sequence[int]], ceiling_ms: int, chance: float) -> Iterator[str]:
    """No two workers draw the same, nor does one's order of draws follow that of another."""
    size = min(map(len, groups))
    groups = [group[:size] for group in groups]
    scaled = [_scaled(group) for group in groups]
    pairs = list(itertools.combinations(range(len(groups)), 2))
    # Of independent draws the correlation is about normal, with 1 / sqrt(size) as its deviation.
    allowed = NormalDist().inv_cdf(1 - chance / 4 / len(pairs)) / math.sqrt(size)
    for left, right in pairs:
        same = sum(map(operator.eq, groups[left], groups[right]))
        if at_least(same, size, 1 / ceiling_ms) < chance / 2 / len(pairs):
            yield f"workers {left} and {right} draw alike: {same} of {size} times"
        correlation = sum(map(operator.mul, scaled[left], scaled[right]))
        if abs(correlation) > allowed:
            yield f"workers {left} and {right}: correlation {correlation:.3f}"


def _scaled(group: Sequence[int]) -> list[float]:
    """Deviations from the middle; the product of two such lists is their correlation."""
    middle = sum(group) / len(group)
    deviations = [value - middle for value in group]
    length = math.hypot(*deviations) or 1.0
    return [value / length for value in deviations]


def at_least(hits: int, tries: int, share: float) -> float:
    """An upper bound on the chance of so many hits or more among independent tries."""
    if hits <= tries * share or share >= 1:
        return 1.0
    logarithm = (
        math.lgamma(tries + 1)
        - math.lgamma(hits + 1)
        - math.lgamma(tries - hits + 1)
        + hits * math.log(share)
        + (tries - hits) * math.log1p(-share)
    )
    # Each term of the tail is this much of the one before, or less.
    ratio = (tries - hits) * share / ((hits + 1) * (1 - share))
    return min(1.0, math.exp(logarithm) / (1 - ratio))
