"""A progress bar for work on traces."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console


@contextmanager
def progress(console: Console, what: str, total: int) -> Iterator[Callable[[int], object]]:
    """Show progress: a bar on a terminal, one line elsewhere.

    Args:
        console: Where.
        what: What is being done.
        total: What `advance` adds up to at the end.

    Yields:
        Takes how much more was done.
    """
    if not console.is_terminal:
        console.print(what, highlight=False, markup=False, soft_wrap=True)
        yield lambda _: None
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.update(task, advance=more)
