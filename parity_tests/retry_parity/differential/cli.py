"""The command line of `compare`, for any subject."""

from __future__ import annotations

import argparse
import random
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from retry_parity.arguments import path, whole_number
from retry_parity.differential.builds import FORMS, BuildError
from retry_parity.differential.campaign import Limits, Outcome
from retry_parity.differential.compare import Plan, compare_builds
from retry_parity.differential.display import as_json, show
from retry_parity.differential.environments import CACHE_VARIABLE, Environments
from retry_parity.differential.lane import STEP_LIMIT_S
from retry_parity.output import STDOUT, check_json_target, console, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from retry_parity.differential.subject import Subject

DEFAULT_SECONDS: Final = 60.0

_SEED: Final = re.compile(r"(?P<seed>[^:]+)(?::(?P<number>\d{1,15}))?\Z")
_LINE_EVERY_S: Final = 10.0


def add_compare(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    """Add the command `compare`; give its parser, to which a subject may add."""
    command = commands.add_parser(
        "compare",
        help="compare any two builds",
        description=(
            "Run two builds, each in its own interpreter, through the same generated scenarios. "
            f"A build is legacy, rust, {', '.join(FORMS)}. Environments are made with uv and kept "
            f"in {CACHE_VARIABLE} or the user's cache. Exit status: 0 = equal, or different only "
            "where the ledger accepts it, 1 = divergent, 2 = could not run."
        ),
    )
    command.add_argument("reference", metavar="REFERENCE", help="the build that is right")
    command.add_argument("candidate", metavar="CANDIDATE", help="the build that is compared to it")
    command.add_argument("--cpex", metavar="VERSION", help="framework of environments made here")
    command.add_argument(
        "--constraints",
        type=path,
        metavar="FILE",
        help="pinned versions for environments made here",
    )
    command.add_argument(
        "--time",
        type=_positive,
        metavar="SECONDS",
        help=f"seconds in all (default: {DEFAULT_SECONDS:g}, unless --scenarios is given)",
    )
    command.add_argument(
        "--scenarios", type=whole_number, metavar="COUNT", help="stop after so many scenarios"
    )
    command.add_argument(
        "--seed",
        default=None,
        metavar="SEED[:NUMBER]",
        help="series of scenarios; with a number, just that one (default: a new series)",
    )
    command.add_argument(
        "--step-limit",
        type=_positive,
        default=STEP_LIMIT_S,
        metavar="SECONDS",
        help="a build that takes longer for one step hangs (default: %(default)g); waiting for a "
        "core does not count",
    )
    command.add_argument(
        "--strict",
        action="store_true",
        help="differences that the ledger accepts count as divergent too",
    )
    command.add_argument(
        "--one-process",
        action="store_true",
        help="run both in one interpreter (one for each core): faster, without isolation; "
        "REFERENCE is legacy then, CANDIDATE another package of this environment",
    )
    command.add_argument(
        "--json", metavar="FILE", help="write everything as JSON; - writes it to stdout"
    )
    return command


def compare_command(options: argparse.Namespace, subject: Subject) -> bool:
    """Run the command.

    Returns:
        Whether the two builds are equal.

    Raises:
        BuildError: A build cannot be run, or an option cannot be used.
        OutputError: The JSON file cannot be written.
    """
    check_json_target(options.json)
    seed, only = _seed(options.seed)
    progress = console(stderr=True)

    def say(line: str) -> None:
        progress.print(line, markup=False, highlight=False, soft_wrap=True)

    seconds = options.time or (None if options.scenarios or only is not None else DEFAULT_SECONDS)
    plan = Plan(
        options.reference,
        options.candidate,
        Limits(seconds, 1 if only is not None else options.scenarios),
        seed,
        only,
        options.one_process,
        options.step_limit,
        options.strict,
    )
    environments = Environments(options.cpex, options.constraints, say=say)
    with _advancing(progress, plan.limits) as advance:
        outcome, abouts = compare_builds(plan, subject, environments, advance, say)
    show(
        outcome,
        subject,
        abouts,
        seed,
        progress if options.json == STDOUT else console(stderr=False),
    )
    write_json(options.json, as_json(outcome, subject, abouts, seed))
    if outcome.ended is not None:
        raise outcome.ended
    return outcome.equal


def _seed(text: str | None) -> tuple[str, int | None]:
    if text is None:
        return str(random.SystemRandom().randrange(10**6)), None
    match = _SEED.match(text)
    if match is None or not text.isprintable():
        message = f"--seed {text}: a series, or a series and a number as in 7:123, is allowed"
        raise BuildError(message)
    number = match["number"]
    return match["seed"], None if number is None else int(number)


@contextmanager
def _advancing(console: Console, limits: Limits) -> Iterator[Callable[[Outcome, str], None]]:
    """Show progress: a bar on a terminal, a line now and then elsewhere."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("starting", total=limits.scenarios or limits.seconds, told="")

        def advance(outcome: Outcome, doing: str) -> None:
            done = outcome.scenarios if limits.scenarios else outcome.elapsed
            bar.update(task, completed=done, description=doing, told=_told(outcome))

        yield advance


class _Lines:
    """A line every few seconds of work."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_s = _LINE_EVERY_S

    def __call__(self, outcome: Outcome, doing: str) -> None:
        if outcome.elapsed >= self._next_s:
            self._next_s = outcome.elapsed + _LINE_EVERY_S
            self._console.print(f"{doing}: {_told(outcome)}", highlight=False)


def _told(outcome: Outcome) -> str:
    rate = outcome.scenarios / outcome.seconds if outcome.seconds else 0
    found = sum(outcome.divergent.values())
    return f"{outcome.scenarios:,} scenarios, {rate:,.0f} a second, {found:,} divergences"


def _positive(text: str) -> float:
    with suppress(ValueError):
        number = float(text)
        if 0 < number < float("inf"):
            return number
    message = f"{text} given, a number above 0 is allowed"
    raise argparse.ArgumentTypeError(message)
