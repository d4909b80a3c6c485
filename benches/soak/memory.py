"""Resident memory over time: samples, and the line through them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
#: Samples that follow one another are alike, so the line is drawn through the means of so many
#: stretches, whose errors are about independent.
_STRETCHES: Final = 20
#: Student's t, 95 %, two-sided, for `_STRETCHES` - 2 degrees of freedom.
_STUDENT_T: Final = 2.101
_HOUR_S: Final = 3600.0


def resident_bytes() -> int:
    """Give what the process holds of memory now."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel
        return int(file.read().split()[1]) * _PAGE


@dataclass(frozen=True, slots=True)
class Slope:
    """How memory grows.

    Attributes:
        bytes_per_hour: The least-squares line's.
        plus_minus: Half the width of its 95 % confidence interval; ``None`` for fewer samples than
            it takes.
    """

    bytes_per_hour: float
    plus_minus: float | None


def slope(samples: Sequence[tuple[float, int]]) -> Slope | None:
    """Draw the line through samples of (seconds, bytes); ``None`` through fewer than two."""
    if len(samples) < 2:  # noqa: PLR2004 - two points make a line
        return None
    count = min(_STRETCHES, len(samples))
    stretches = [
        samples[number * len(samples) // count : (number + 1) * len(samples) // count]
        for number in range(count)
    ]
    times = [fmean(second for second, _ in each) for each in stretches]
    sizes = [fmean(size for _, size in each) for each in stretches]
    middle_time, middle_size = fmean(times), fmean(sizes)
    spread = sum((time - middle_time) ** 2 for time in times)
    if not spread:
        return None
    pairs = list(zip(times, sizes, strict=True))
    rise = sum((time - middle_time) * (size - middle_size) for time, size in pairs) / spread
    if count < _STRETCHES:
        return Slope(rise * _HOUR_S, None)
    residue = sum((size - middle_size - rise * (time - middle_time)) ** 2 for time, size in pairs)
    error: float = (residue / (count - 2) / spread) ** 0.5
    return Slope(rise * _HOUR_S, _STUDENT_T * error * _HOUR_S)
