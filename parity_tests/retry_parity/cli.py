"""The command line: `retry-parity run`, `retry-parity compare` and `retry-parity guard`.

Exit status: 0 = everything was compared and nothing unexplained was found (no guard has tripped),
1 = it was not so, 2 = bad input or a build that cannot be run, 130 = interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from retry_parity import candidates
from retry_parity.containers import Container
from retry_parity.corpus import CorpusError
from retry_parity.differential.builds import BuildError
from retry_parity.differential.cli import add_compare, compare_command
from retry_parity.guard_cli import add_guard, guard_command
from retry_parity.output import STDOUT, OutputError, check_json_target, console, write_json
from retry_parity.replay import ReplayError
from retry_parity.run import CONFIG_NAME, as_json, run
from retry_parity.subject import RetrySubject
from retry_parity.table import show

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

SUCCESS: Final = 0
DIVERGENT: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130


class _Advance(Protocol):
    def __call__(self, done: int, total: int, container: Container, /) -> None:
        """Show how far a run is."""
        ...  # pragma: no cover


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The arguments; ``None`` means this process's.

    Returns:
        The exit status.
    """
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)  # so that what was started is ended
    for stream in (sys.stdout, sys.stderr):
        # Tool names are of any script; a terminal that cannot show one must not end the run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        if options.command == "run":
            alike = _run(options)
        elif options.command == "guard":
            alike = guard_command(options)
        else:
            alike = compare_command(options, RetrySubject())
        sys.stdout.flush()
    except (BuildError, CorpusError, OutputError, ReplayError) as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return _refuse("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read the output has gone. Python would say so again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DIVERGENT
    return SUCCESS if alike else DIVERGENT


def _run(options: argparse.Namespace) -> bool:
    check_json_target(options.json)
    progress = console(stderr=True)
    with _progress(progress) as advance:
        result = run(options.corpus, options.config, options.candidate, advance)
    # The table gives way to JSON on the same stream.
    show(result, progress if options.json == STDOUT else console(stderr=False))
    write_json(options.json, as_json(result))
    return result.succeeded


def _end(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


def _refuse(message: str, status: int = BAD_INPUT) -> int:
    sys.stderr.write(f"retry-parity: {message}\n")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retry-parity",
        description="Run two implementations side by side; say whether they decide alike.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "run",
        help="replay recorded tool results through both",
        description=(
            "Replay recorded tool results through the real plugin framework, with the hybrid "
            "deciding and the candidate compared. Exit status: 0 = no unexplained divergences, "
            "1 = some, or calls that were not compared, 2 = bad input."
        ),
    )
    command.add_argument("corpus", type=Path, metavar="CORPUS", help="JSON lines, one result each")
    command.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"plugins file with the retry plugin's config (default: {CONFIG_NAME} beside CORPUS)",
    )
    command.add_argument(
        "--candidate",
        choices=candidates.NAMES,
        default=candidates.RUST,
        help="what is compared to the hybrid (default: %(default)s)",
    )
    command.add_argument(
        "--json",
        metavar="FILE",
        help="write everything as JSON; - writes it to stdout, and the table to stderr",
    )
    add_compare(commands)
    add_guard(commands)
    return parser


@contextmanager
def _progress(console: Console) -> Iterator[_Advance]:
    """Show progress: a bar on a terminal, one line for each pass elsewhere."""
    if not console.is_terminal:
        seen: set[Container] = set()

        def say(_done: int, total: int, container: Container, /) -> None:
            if container not in seen:
                seen.add(container)
                console.print(
                    f"replaying {total // len(Container):,} calls, {container.value} dict",
                    highlight=False,
                )

        yield say
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("replaying", total=None)

        def draw(done: int, total: int, container: Container, /) -> None:
            bar.update(
                task, completed=done, total=total, description=f"replaying, {container.value} dict"
            )

        yield draw
