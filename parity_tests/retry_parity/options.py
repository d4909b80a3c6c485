"""Options of the commands that compare a candidate with the hybrid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retry_parity import arguments, candidates
from retry_parity.arguments import worker_count

if TYPE_CHECKING:
    import argparse


def add_candidate(command: argparse.ArgumentParser) -> None:
    """Add the question what is compared to the hybrid."""
    command.add_argument(
        "--candidate",
        choices=candidates.NAMES,
        default=candidates.RUST,
        help="what is compared to the hybrid (default: %(default)s)",
    )


def add_comparison(command: argparse.ArgumentParser) -> None:
    """Add what a command asks that compares a candidate with the hybrid and leaves evidence."""
    command.add_argument(
        "--out",
        type=arguments.path,
        required=True,
        metavar="FOLDER",
        help="evidence directory to write to",
    )
    add_candidate(command)
    command.add_argument(
        "--workers",
        type=worker_count,
        metavar="COUNT",
        help="processes (default: one for each core)",
    )
