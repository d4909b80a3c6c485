"""The one clock of the package: monotonic seconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from retry_legacy import native

if TYPE_CHECKING:
    from collections.abc import Callable


class _Clock:
    """Holds what reads the time, so that replacing it reaches every reader."""

    def __init__(self) -> None:
        self.read: Callable[[], float] = time.monotonic


_clock = _Clock()


def now_s() -> float:
    """Read the clock in seconds since an arbitrary start."""
    return _clock.read()


def set_clock(clock: Callable[[], float] | None) -> None:
    """Replace the clock of both paths; for tests and replay.

    Chains keep the times they have. A clock with another start than the last one makes them older
    or younger than they are, so a change usually goes with `clear_state()`.

    Args:
        clock: Returns monotonic seconds. None restores the real clock.
    """
    _clock.read = time.monotonic if clock is None else clock
    native.set_clock(clock)
