"""`retry-parity run`: a corpus through the real plugin framework, and a table of what it showed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from retry_parity import arguments
from retry_parity.containers import Container
from retry_parity.options import add_candidate
from retry_parity.output import STDOUT, check_json_target, console, write_json
from retry_parity.run import CONFIG_NAME, as_json, run
from retry_parity.table import show

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from rich.console import Console


class _Advance(Protocol):
    def __call__(self, done: int, total: int, container: Container, /) -> None:
        """Show how far a run is."""
        ...  # pragma: no cover


def add_run(commands: Any) -> None:
    """Add the command to a parser's."""
    command = commands.add_parser(
        "run",
        help="replay recorded tool results through both",
        description=(
            "Replay recorded tool results through the real plugin framework, with the hybrid "
            "deciding and the candidate compared. Exit status: 0 = no unexplained divergences, "
            "1 = some, or calls that were not compared, 2 = bad input."
        ),
    )
    command.add_argument(
        "corpus", type=arguments.path, metavar="CORPUS", help="JSON lines, one result each"
    )
    command.add_argument(
        "--config",
        type=arguments.path,
        metavar="FILE",
        help=f"plugins file with the retry plugin's config (default: {CONFIG_NAME} beside CORPUS)",
    )
    add_candidate(command)
    command.add_argument(
        "--json",
        metavar="FILE",
        help="write everything as JSON; - writes it to stdout, and the table to stderr",
    )


def run_command(options: argparse.Namespace) -> bool:
    """Run the command.

    Returns:
        Whether everything was compared and nothing unexplained was found.

    Raises:
        CorpusError: The corpus cannot be used.
        ReplayError: The plugin config cannot be used.
        OutputError: The JSON file cannot be written.
    """
    check_json_target(options.json)
    progress = console(stderr=True)
    with _progress(progress) as advance:
        result = run(options.corpus, options.config, options.candidate, advance)
    # The table gives way to JSON on the same stream.
    show(result, progress if options.json == STDOUT else console(stderr=False))
    write_json(options.json, as_json(result))
    return result.succeeded


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
