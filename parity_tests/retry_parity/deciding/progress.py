"""How far reading evidence is, for whoever waits."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from retry_parity.deciding.catalogue import Advance

_MIB: Final = 1024 * 1024
#: Less than that is read at once, bytes.
_WORTH_A_LINE: Final = 64 * _MIB


@contextmanager
def reading_progress(console: Console) -> Iterator[Advance]:
    """Show progress: a bar on a terminal, a line for what takes longer elsewhere."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("reading evidence", total=None)

        def draw(done: int, total: int, /) -> None:
            bar.update(task, completed=done, total=total)

        yield draw


class _Lines:
    """A line at each quarter of a long file list."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = 0

    def __call__(self, done: int, total: int, /) -> None:
        quarter = 4 * done // total if total else 0
        if total >= _WORTH_A_LINE and quarter > self._told:
            self._told = quarter
            line = f"read {done // _MIB:,} of {total // _MIB:,} MiB"
            self._console.print(line, highlight=False)
