"""`retry-parity verdict EVIDENCE...`: whether the Rust core may take over, and what is missing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from retry_parity.deciding.certificate import CertificateError, certificate, write_certificate
from retry_parity.deciding.judging_evidence import judge
from retry_parity.deciding.progress import reading_progress
from retry_parity.deciding.reading import read_evidence
from retry_parity.deciding.run_files import EvidenceError
from retry_parity.deciding.thresholds import ThresholdsError, read_thresholds
from retry_parity.deciding.verdict import Answer
from retry_parity.deciding.verdict_table import as_json, show
from retry_parity.evidence_files import config_hash
from retry_parity.flag import without_section
from retry_parity.output import STDOUT, OutputError, check_json_target, console, write_json
from retry_parity.replay import ReplayError, read_plugin_config

if TYPE_CHECKING:
    import argparse

BAD_INPUT: Final = 3
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
    command.add_argument(
        "evidence",
        type=Path,
        nargs="+",
        metavar="EVIDENCE",
        help="evidence folders (all of it, a plugin's, a run's) and merged files",
    )
    command.add_argument(
        "--thresholds", type=Path, metavar="FILE", help="what differs from the defaults, TOML"
    )
    command.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="plugins file; evidence under another config of the retry plugin does not count",
    )
    command.add_argument("--plugin", metavar="NAME", help="whose evidence, where there are several")
    command.add_argument(
        "--certificate", type=Path, metavar="FILE", help="write a certificate, if ready"
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
        sys.stderr.write(f"retry-parity: {error}\n")
        return BAD_INPUT


def _verdict(options: argparse.Namespace) -> int:
    check_json_target(options.json)
    if options.certificate is not None:
        check_json_target(str(options.certificate))
    thresholds = read_thresholds(options.thresholds)
    stderr = console(stderr=True)
    with reading_progress(stderr) as advance:
        reading = read_evidence(
            options.evidence,
            plugin=options.plugin,
            config=None if options.config is None else _config(options.config),
            versions=thresholds.versions,
            advance=advance,
        )
    verdict = judge(reading, thresholds)
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


def _config(path: Path) -> str:
    return config_hash(without_section(read_plugin_config(path).config))
