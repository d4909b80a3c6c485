"""The delay before a retry on the Python path."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retry_legacy.config import RetryConfig


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
        return math.ceil(random.uniform(0, ceiling))  # noqa: S311 - spreads load, guards nothing
    return ceiling
