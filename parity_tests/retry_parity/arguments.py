"""Values and options that several commands take alike."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Final

from retry_parity import candidates

#: Processes, or shares of a trace: each share reads all of it.
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


def add_comparison(command: argparse.ArgumentParser) -> None:
    """Add what a command asks that compares a candidate with the hybrid and leaves evidence."""
    command.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="evidence directory to write to"
    )
    command.add_argument(
        "--candidate",
        choices=candidates.NAMES,
        default=candidates.RUST,
        help="what is compared to the hybrid (default: %(default)s)",
    )
    command.add_argument(
        "--workers",
        type=worker_count,
        metavar="COUNT",
        help="processes (default: one for each core)",
    )
