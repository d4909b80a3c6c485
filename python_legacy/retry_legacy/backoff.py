"""The delay before a retry on the Python path."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from retry_legacy import native

if TYPE_CHECKING:
    from collections.abc import Callable

    from retry_legacy.config import RetryConfig


class _Random:
    """Holds what draws, so that replacing it reaches every draw."""

    def __init__(self) -> None:
        self.draw: Callable[[], float] = random.random


_random = _Random()


def set_random(source: Callable[[], float] | None) -> None:
    """Replace the random source of both paths; for tests and replay.

    Args:
        source: Draws from [0, 1). None restores the real one.
    """
    _random.draw = random.random if source is None else source
    native.set_random(source)


def delay_ms(attempt: int, config: RetryConfig) -> int:
    """Compute base * 2^attempt, capped; with jitter a uniform draw up to that, rounded up.

    Args:
        attempt: The retry's number, from 0.
        config: The effective config.

    Returns:
        Milliseconds.
    """
    ceiling = min(config.max_backoff_ms, config.backoff_base_ms << attempt)
    if config.jitter:
        return math.ceil(ceiling * _random.draw())
    return ceiling
