"""`retry-parity merge EVIDENCE... --out FILE`: the evidence of a fleet in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from retry_parity import arguments
from retry_parity.deciding.merging import merge
from retry_parity.deciding.progress import reading_progress
from retry_parity.deciding.run_files import EvidenceError, evidence_paths
from retry_parity.output import STDOUT, OutputError, check_json_target, console, refuse

if TYPE_CHECKING:
    import argparse

BAD_INPUT: Final = 2


def add_merge(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "merge",
        help="put the evidence of many gateways into one file",
        description=(
            "Merge evidence into one file that verdict, report and merge take like a folder. Each "
            "run is there once, in whatever order and how often it is given; equal evidence makes "
            "equal files. Exit status: 0 = merged, 2 = bad input."
        ),
    )
    command.add_argument(
        "evidence",
        nargs="+",
        metavar="EVIDENCE",
        help="evidence folders (all of it, a plugin's, a run's) and merged files",
    )
    command.add_argument(
        "--out", type=arguments.path, required=True, metavar="FILE", help="the merged file"
    )
    command.add_argument(
        "--without-unreadable",
        action="store_true",
        help="leave out runs that cannot be read; what they showed is lost then",
    )


def merge_command(options: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit status.
    """
    stderr = console(stderr=True)
    try:
        _check_target(str(options.out))
        with reading_progress(stderr) as advance:
            merged = merge(
                evidence_paths(options.evidence),
                options.out,
                without_unreadable=options.without_unreadable,
                advance=advance,
            )
    except (EvidenceError, OutputError) as error:
        return refuse(str(error), BAD_INPUT)
    for line in merged.problems:
        stderr.print(line, highlight=False, markup=False, soft_wrap=True)
    line = f"{options.out}: {merged.runs:,} runs"
    console(stderr=False).print(line, highlight=False, markup=False, soft_wrap=True)
    return 0


def _check_target(out: str) -> None:
    """Refuse a file before the work is done.

    Raises:
        OutputError: It is none, or its folder does not exist.
    """
    if out == STDOUT:
        message = "--out -: a merged file is not written to standard output, name a file"
        raise OutputError(message)
    check_json_target(out)
