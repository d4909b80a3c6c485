"""What a run showed, for a reader at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.table import Table

from retry_parity.deciding.problems import shown
from retry_parity.ledger import overdue_line
from retry_parity.observation import Side
from retry_parity.replay import Pass, not_compared
from retry_parity.run import (
    Run,
    chains,
    lost_retries,
    microseconds,
    reference_exceptions,
    retries,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

_MOST_SHOWN: Final = 10


def show(result: Run, console: Console) -> None:
    """Print the table, the calls that lost their retry, and the verdict."""
    console.print(_table(result))
    for each in result.passes:
        _show_lost(each, console)
    for each in result.passes:
        for step, number in each.counts.harness_errors.items():
            console.print(
                f"{each.container.value}: the comparison itself failed {number} times in {step}"
            )
    for entry in result.overdue:
        console.print(f"ledger: {overdue_line(entry)}", markup=False, highlight=False)
    packages = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    console.print(f"[dim]{escape(packages)}[/]", highlight=False)
    style = "bold green" if result.succeeded else "bold red"
    console.print(f"verdict: [{style}]{escape(result.verdict)}[/]", highlight=False)


def _table(result: Run) -> Table:
    table = Table(title=f"{result.corpus.name}: hybrid (reference) and {result.candidate}")
    table.add_column("results delivered in a")
    for each in result.passes:
        origin = "as installed" if each.as_installed else "other cpex"
        table.add_column(f"{each.container.value} dict\n({origin})", justify="right")

    def row(name: str, value: Callable[[Pass], object]) -> None:
        table.add_row(name, *(_cell(value(each)) for each in result.passes))

    def rows_by_name(counter: Callable[[Pass], dict[str, int]]) -> None:
        counters = [counter(each) for each in result.passes]
        for name in sorted({name for each in counters for name in each}):
            table.add_row(f"  {name}", *(_cell(each.get(name, 0)) for each in counters))

    if any(each.load for each in result.passes):
        row("differences while loading", lambda each: len(each.load))
    row("calls", lambda each: len(each.calls))
    table.add_row("tool calls", *(f"{result.tool_calls:,}" for _ in result.passes))
    row("chains with retries", lambda each: chains(each.calls))
    row("retries asked for", lambda each: retries(each.calls))
    row("failed by the hybrid's exception", lambda each: reference_exceptions(each.calls))
    table.add_section()
    row("matches", lambda each: each.counts.matches)
    row("accepted differences", lambda each: each.counts.accepted_calls)
    rows_by_name(lambda each: each.counts.accepted)
    row("unexplained divergences", lambda each: sum(each.counts.divergent.values()))
    rows_by_name(lambda each: each.counts.divergent)
    row("not compared", lambda each: not_compared(each.calls))
    table.add_section()
    for side, label in ((Side.REFERENCE, "hybrid"), (Side.CANDIDATE, result.candidate)):
        for share, quantile in ((0.5, "median"), (0.99, "p99")):
            times = (microseconds(each, side, share) for each in result.passes)
            table.add_row(f"{label}, {quantile} per call", *map(_cell, times))
    return table


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.1f} us" if isinstance(value, float) else f"{value:,}"


def _show_lost(each: Pass, console: Console) -> None:
    lost = lost_retries(each.calls)
    if not lost:
        return
    console.print(f"calls that lost their retry, {each.container.value} dict: {len(lost):,}")
    for call in lost[:_MOST_SHOWN]:
        record = call.record
        console.print(
            f"  tool {shown(record.tool)}, request id {shown(record.request_id)}, "
            f"seq {record.seq}, line {record.line}",
            markup=False,
            highlight=False,
        )
    if len(lost) > _MOST_SHOWN:
        console.print(f"  and {len(lost) - _MOST_SHOWN:,} more (--json has all)")
