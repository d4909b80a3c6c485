"""What a value of evidence may be: counts, times, and nesting that can be written again."""

from __future__ import annotations

from typing import Final, TypeGuard

#: The largest count: beyond it JSON's numbers are no longer exact everywhere.
LARGEST: Final = 2**53
#: The year 10000 begins.
_LAST_TIME: Final = 253_402_300_800
#: The nesting of what the harness writes stays far below it.
_DEEPEST: Final = 32
_CONTAINERS: Final = frozenset({dict, list})


def is_count(value: object) -> TypeGuard[int]:
    """Whether it is an integer, 0 to `LARGEST`."""
    return type(value) is int and 0 <= value <= LARGEST


def is_time(value: object) -> TypeGuard[float]:
    """Whether it is seconds of the epoch, of a year that a calendar has."""
    return type(value) in (int, float) and 0 <= value < _LAST_TIME  # type: ignore[operator] # a number


def is_shallow(data: object, deepest: int = _DEEPEST) -> bool:
    """Whether JSON's data is nested no deeper than anything that can be written again."""
    level = [data] if type(data) in _CONTAINERS else []
    for _ in range(deepest):
        # Level by level: most of what is in a level is no container, and is left out at once.
        inner: list[object] = []
        for each in level:
            values = each.values() if isinstance(each, dict) else each
            inner += [value for value in values if type(value) in _CONTAINERS]  # type: ignore[attr-defined] # a list
        level = inner
        if not level:
            return True
    return not level
