"""`retry-parity guard FOLDER`: show tripped guards, and reset them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retry_parity import arguments
from retry_parity.guard import guard_file, mark_reset, stored_trips
from retry_parity.output import OutputError, console

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from retry_parity.guard import Trip


def add_guard(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "guard",
        help="show whether the guard holds the decision at the hybrid, or reset it",
        description=(
            "Show the guards that have tripped, with the reason. Exit status: 0 = none has, or it "
            "has been reset, 1 = some have, 2 = bad input. Every worker follows within a second."
        ),
    )
    command.add_argument(
        "folder", type=arguments.path, metavar="FOLDER", help="migration.evidence.directory"
    )
    command.add_argument("--reset", metavar="PLUGIN", help="let the flag decide again")


def guard_command(options: argparse.Namespace) -> bool:
    """Run the command.

    Returns:
        Whether no guard is tripped, or the one that is named has been reset.

    Raises:
        OutputError: The folder cannot be read or written, or no such guard is tripped.
    """
    say = console(stderr=False)
    try:
        stored = stored_trips(options.folder)
        tripped = {name: trip for name, trip in stored.items() if not trip.reset}
        if options.reset is not None:
            if options.reset not in tripped:
                known = ", ".join(tripped) or "none"
                message = (
                    f"--reset {options.reset}: not tripped; tripped in {options.folder}: {known}"
                )
                raise OutputError(message)
            _reset(guard_file(options.folder, options.reset), tripped[options.reset])
            line = (
                f"{options.reset}: reset; every worker lets the flag decide within a second; a "
                "worker that has not read this mark when it is removed trips the guard again"
            )
            say.print(line, highlight=False, markup=False, soft_wrap=True)
            return True
    except OSError as error:
        message = f"{options.folder}: {(error.strerror or 'cannot be read').lower()}"
        raise OutputError(message) from error
    for name, trip in stored.items():
        state = f"tripped since {trip.since}"
        if trip.reset:
            state = f"reset at {trip.reset}, had tripped at {trip.since}"
        say.print(
            f"{name}: {state} (worker {trip.worker}): {trip.why}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if not tripped:
        line = f"no guard is tripped in {options.folder}"
        say.print(line, highlight=False, markup=False, soft_wrap=True)
    return not tripped


def _reset(path: Path, trip: Trip) -> None:
    try:
        mark_reset(path, trip)
    except OSError as error:
        why = (error.strerror or "error").lower()
        message = (
            f"{path}: cannot be written: {why}; still tripped: a regular file is allowed there, "
            f"mend that and reset again"
        )
        raise OutputError(message) from error
