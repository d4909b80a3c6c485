"""What the fast path accepts as config, checked where it does not do so itself.

The fast path takes its numbers strictly, so it refuses at load what Pydantic would have let
through. Without it the same configs have to be refused with the same exceptions, or a config would
load on one machine and not on the other.
"""

from __future__ import annotations

import operator
from types import MappingProxyType
from typing import Any

UNSIGNED_32 = range(2**32)
UNSIGNED_64 = range(2**64)
SIGNED_32 = range(-(2**31), 2**31)


def check_limits(
    max_retries: Any,
    base_ms: Any,
    max_ms: Any,
    jitter: Any,
    retry_on_status: Any,
) -> None:
    """Raise what `RetryStateManager` raises for these arguments.

    Raises:
        TypeError: A value is of the wrong type.
        OverflowError: A number does not fit.
    """
    _check_integer(max_retries, UNSIGNED_32)
    _check_integer(base_ms, UNSIGNED_64)
    _check_integer(max_ms, UNSIGNED_64)
    if not isinstance(jitter, bool) and not _is_numpy_bool(jitter):
        msg = f"jitter: {type(jitter).__name__} given, a bool is allowed"
        raise TypeError(msg)
    if not _is_sequence(retry_on_status):
        msg = f"retry_on_status: {type(retry_on_status).__name__} given, a sequence is allowed"
        raise TypeError(msg)
    for status in retry_on_status:
        _check_integer(status, SIGNED_32)


def _check_integer(value: Any, allowed: range) -> None:
    if operator.index(value) not in allowed:
        msg = f"integer out of range: {allowed.start} to {allowed.stop - 1} is allowed"
        raise OverflowError(msg)


def _is_sequence(value: object) -> bool:
    """Tell what the extension iterates: any type with items by index, text and dicts excepted."""
    excepted = (str, dict, MappingProxyType)
    return hasattr(type(value), "__getitem__") and not isinstance(value, excepted)


def _is_numpy_bool(value: object) -> bool:
    kind = type(value)
    return kind.__module__ == "numpy" and kind.__name__ in {"bool", "bool_"}
