"""`retry-parity report EVIDENCE...`: the evidence and its verdict for people, in one file."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from retry_parity.deciding.asking import BAD_INPUT, add_evidence, judged
from retry_parity.deciding.report.markdown import as_markdown
from retry_parity.deciding.report.model import as_json, report_of
from retry_parity.deciding.report.page import as_page
from retry_parity.deciding.run_files import EvidenceError
from retry_parity.deciding.thresholds import ThresholdsError
from retry_parity.output import STDOUT, OutputError, check_json_target, console, refuse, write_whole
from retry_parity.replay import ReplayError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from retry_parity.deciding.report.model import Report


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
    add_evidence(command)
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


def report_command(options: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit status.
    """
    try:
        _report(options)
    except (EvidenceError, OutputError, ReplayError, ThresholdsError) as error:
        return refuse(str(error), BAD_INPUT)
    return 0


def _report(options: argparse.Namespace) -> None:
    targets = _targets(options)
    reading, verdict, _ = judged(options, with_samples=True)
    stderr = console(stderr=True)
    report = report_of(reading, verdict, dt.datetime.now(dt.UTC))
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
