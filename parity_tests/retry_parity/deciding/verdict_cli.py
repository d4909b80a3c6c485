"""`retry-parity verdict EVIDENCE...`: whether the Rust core may take over, and what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from retry_parity import arguments
from retry_parity.deciding.asking import BAD_INPUT, add_evidence, judged
from retry_parity.deciding.certificate import CertificateError, certificate, write_certificate
from retry_parity.deciding.run_files import EvidenceError
from retry_parity.deciding.thresholds import ThresholdsError
from retry_parity.deciding.verdict import Answer
from retry_parity.deciding.verdict_table import as_json, show
from retry_parity.output import STDOUT, OutputError, check_json_target, console, refuse, write_json
from retry_parity.replay import ReplayError

if TYPE_CHECKING:
    import argparse

_STATUS: Final = {Answer.READY: 0, Answer.NOT_READY: 1, Answer.INSUFFICIENT: 2}


def add_verdict(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "verdict",
        help="say whether the Rust core may take over",
        description=(
            "Judge evidence against thresholds. Exit status: 0 = ready, 1 = not ready, "
            "2 = insufficient evidence, 3 = bad input."
        ),
    )
    add_evidence(command)
    command.add_argument(
        "--certificate", type=arguments.path, metavar="FILE", help="write a certificate, if ready"
    )
    command.add_argument(
        "--json",
        metavar="FILE",
        help="write everything as JSON; - writes it to stdout, and the table to stderr",
    )
    command.add_argument(
        "--all",
        action="store_true",
        help="show all cells, divergences and runs, not just a summary",
    )


def verdict_command(options: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit status.
    """
    try:
        return _verdict(options)
    except (
        CertificateError,
        EvidenceError,
        OutputError,
        ReplayError,
        ThresholdsError,
    ) as error:
        return refuse(str(error), BAD_INPUT)


def _verdict(options: argparse.Namespace) -> int:
    check_json_target(options.json)
    if options.certificate is not None:
        check_json_target(str(options.certificate))
    reading, verdict, thresholds = judged(options)
    stderr = console(stderr=True)
    table = stderr if options.json == STDOUT else console(stderr=False)
    show(verdict, reading.runs, table, in_full=options.all)
    write_json(options.json, as_json(verdict, reading))
    if options.certificate is not None:
        line = f"{options.certificate}: not written, the verdict is {verdict.answer}"
        if options.certificate.exists():
            line += "; the one that is there is of an earlier verdict"
        if verdict.answer is Answer.READY:
            made = certificate(verdict, thresholds)
            write_certificate(options.certificate, made)
            line = f"{options.certificate}: certificate, valid until {made['valid_until']}"
        table.print(line, highlight=False, markup=False, soft_wrap=True)
    return _STATUS[verdict.answer]
