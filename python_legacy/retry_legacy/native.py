"""The fast path's extension module, or what stands in where it cannot be imported."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

try:
    from retry_legacy import _native as extension
except ImportError:
    NATIVE_AVAILABLE = False
else:
    NATIVE_AVAILABLE = True

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retry_legacy._native import RetryStateManager

MISSING = "the fast path is asked for, but retry_legacy._native cannot be imported"


def manager(
    max_retries: int,
    base_ms: int,
    max_ms: int,
    jitter: bool,  # noqa: FBT001 - the extension's own order of arguments
    retry_on_status: Sequence[int],
) -> RetryStateManager:
    """Make a manager of the fast path.

    Raises:
        ImportError: The extension module is not there.
        TypeError: A value is of the wrong type.
        OverflowError: A number does not fit.
    """
    if not NATIVE_AVAILABLE:
        raise ImportError(MISSING)
    return extension.RetryStateManager(max_retries, base_ms, max_ms, jitter, retry_on_status)


def set_clock(clock: Callable[[], float] | None) -> None:
    """Replace the fast path's clock; None restores the real one."""
    if NATIVE_AVAILABLE:
        extension.set_clock(clock)


def set_random(source: Callable[[], float] | None) -> None:
    """Replace the fast path's random source; None restores the real one."""
    if NATIVE_AVAILABLE:
        extension.set_random(source)


def store_bytes() -> int:
    """Give the bytes that the fast path's chains take."""
    return extension.store_bytes() if NATIVE_AVAILABLE else 0


def clear_state() -> None:
    """Forget the fast path's chains."""
    if NATIVE_AVAILABLE:
        extension.clear_state()


def live_chains() -> int:
    """Count the fast path's chains."""
    return extension.live_chains() if NATIVE_AVAILABLE else 0


def chain_failures(tool: str, request_id: str) -> int:
    """Count the failures of one of the fast path's chains."""
    if not NATIVE_AVAILABLE:
        return 0
    return reader().get_failures(tool, request_id)


@cache
def reader() -> RetryStateManager:
    """Give a manager that is only there to be asked for counts.

    Any manager reads the one store of the process; the config it is made with plays no part.
    """
    return manager(0, 1, 1, False, [])  # noqa: FBT003 - positional only
