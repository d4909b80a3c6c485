"""`retry-parity report EVIDENCE...`: the evidence and its verdict for people, in one file."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from retry_parity.deciding.judging_evidence import judge
from retry_parity.deciding.progress import reading_progress
from retry_parity.deciding.reading import read_evidence
from retry_parity.deciding.report.markdown import as_markdown
from retry_parity.deciding.report.model import as_json, report_of
from retry_parity.deciding.report.page import as_page
from retry_parity.deciding.run_files import EvidenceError
from retry_parity.deciding.thresholds import ThresholdsError, read_thresholds
from retry_parity.evidence_files import config_hash
from retry_parity.flag import without_section
from retry_parity.output import STDOUT, OutputError, check_json_target, console
from retry_parity.replay import ReplayError, read_plugin_config

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from retry_parity.deciding.report.model import Report

BAD_INPUT: Final = 3


def _json(report: Report) -> str:
    return json.dumps(as_json(report), indent=2) + "\n"


#: What can be written, by the name of its option.
_FORMS: Final[dict[str, Callable[[Report], str]]] = {
    "html": as_page,
    "markdown": as_markdown,
    "json": _json,
}


def add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "report",
        help="show evidence and its verdict as a page, Markdown or JSON",
        description=(
            "Report on evidence. At least one of --html, --markdown and --json is needed; all say "
            "the same. Exit status: 0 = written, whatever the verdict is; 3 = bad input."
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
        "--html", metavar="FILE", help="write a page that needs nothing else, below 1 MB"
    )
    command.add_argument(
        "--markdown",
        metavar="FILE",
        help="write a summary for a pull request or a CI job; - writes it to stdout",
    )
    command.add_argument(
        "--json", metavar="FILE", help="write everything as JSON; - writes it to stdout"
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


def report_command(options: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit status.
    """
    try:
        _report(options)
    except (EvidenceError, OutputError, ReplayError, ThresholdsError) as error:
        sys.stderr.write(f"retry-parity: {error}\n")
        return BAD_INPUT
    return 0


def _report(options: argparse.Namespace) -> None:
    targets = _targets(options)
    thresholds = read_thresholds(options.thresholds)
    config = None
    if options.config is not None:
        config = config_hash(without_section(read_plugin_config(options.config).config))
    stderr = console(stderr=True)
    with reading_progress(stderr) as advance:
        reading = read_evidence(
            options.evidence,
            plugin=options.plugin,
            config=config,
            versions=thresholds.versions,
            with_samples=True,
            advance=advance,
        )
    report = report_of(reading, judge(reading, thresholds), dt.datetime.now(dt.UTC))
    # What is made for standard output must not stand among lines about files.
    say = stderr if STDOUT in targets.values() else console(stderr=False)
    for form, target in targets.items():
        text = _FORMS[form](report)
        if target == STDOUT:
            sys.stdout.write(text)
            continue
        write_whole(Path(target), text)
        line = f"{target}: the verdict is {report.answer}"
        say.print(line, highlight=False, markup=False, soft_wrap=True)


def _targets(options: argparse.Namespace) -> dict[str, str]:
    """Give what has to be written, and where, before the work is done.

    Raises:
        OutputError: Nothing is to be written, or it cannot be written there.
    """
    targets = {form: getattr(options, form) for form in _FORMS if getattr(options, form)}
    if not targets:
        message = "nothing to write: give --html FILE, --markdown FILE or --json FILE (or several)"
        raise OutputError(message)
    if targets.get("html") == STDOUT:
        message = "--html -: a page is no text for a terminal, a file is allowed"
        raise OutputError(message)
    places = [each if each == STDOUT else str(Path(each).absolute()) for each in targets.values()]
    for place in places:
        check_json_target(place)
        if places.count(place) > 1:
            message = f"{place}: given twice, each form needs a place of its own"
            raise OutputError(message)
    return targets


def write_whole(path: Path, text: str) -> None:
    """Write a file as a whole: whoever reads meanwhile has the old one or the new one.

    A device or a pipe is written to; a link goes on pointing where it does.

    Raises:
        OutputError: It cannot be written.
    """
    path = path.resolve()
    part = path.with_name(f".{path.name[:100]}.{os.getpid()}.part")
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8", newline="\n")
            return
        try:
            part.write_text(text, encoding="utf-8", newline="\n")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror or error}"
        raise OutputError(message) from error
