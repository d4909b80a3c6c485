"""Numbers on a command line, for every command: nothing of any plugin's."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import Final

#: Processes, or shares of what is read: each share reads all of it.
MOST_WORKERS: Final = 10_000


def whole_number(text: str) -> int:
    """Read a whole number from 1; for argparse.

    Raises:
        ArgumentTypeError: It is something else.
    """
    with suppress(ValueError):
        number = int(text)
        if number >= 1:
            return number
    message = f"{text} given, a whole number from 1 is allowed"
    raise argparse.ArgumentTypeError(message)


def worker_count(text: str) -> int:
    """Read a number of workers or parts; for argparse.

    Raises:
        ArgumentTypeError: It is no whole number, or more than `MOST_WORKERS`.
    """
    number = whole_number(text)
    if number > MOST_WORKERS:
        message = f"{text} given, a whole number from 1 to {MOST_WORKERS:,} is allowed"
        raise argparse.ArgumentTypeError(message)
    return number
