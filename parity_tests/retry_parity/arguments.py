"""Numbers and paths on a command line, for every command: nothing of any plugin's."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

#: Processes, or shares of what is read: each share reads all of it.
MOST_WORKERS: Final = 10_000


def refuse_with(command: argparse.ArgumentParser, status: int) -> None:
    """Let wrong usage of a command end with another status than argparse's own 2."""

    def refuse(message: str) -> NoReturn:
        command.print_usage(sys.stderr)
        command.exit(status, f"{command.prog}: error: {message}\n")

    command.set_defaults(parser=command)
    command.error = refuse  # type: ignore[method-assign] # there is no other way to say it


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


def path(text: str) -> Path:
    """Read a path; for argparse.

    Raises:
        ArgumentTypeError: It is blank, which would stand for the current folder.
    """
    if not text.strip():
        message = f"{text!r} given, which is no path (a variable that is not set?)"
        raise argparse.ArgumentTypeError(message)
    return Path(text)


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
