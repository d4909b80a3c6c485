"""A verdict for a person at a terminal, and for a program."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from retry_parity.deciding.problems import shown
from retry_parity.deciding.verdict import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console

    from retry_parity.deciding.reading import Reading, RunSummary
    from retry_parity.deciding.totals import Totals
    from retry_parity.deciding.verdict import Verdict

_STYLES: Final = {Answer.READY: "green", Answer.NOT_READY: "red", Answer.INSUFFICIENT: "yellow"}
_WORDS: Final = {Answer.READY: "ok", Answer.NOT_READY: "NO", Answer.INSUFFICIENT: "missing"}
_MOST_LINES: Final = 10


def show(verdict: Verdict, runs: Sequence[RunSummary], console: Console, *, in_full: bool) -> None:
    """Print a verdict: the answer, each requirement, what is missing, what is odd.

    Args:
        verdict: The verdict.
        runs: The runs that count.
        console: Where to.
        in_full: Whether all cells, divergences and runs are shown.
    """
    style = _STYLES[verdict.answer]
    console.print(Text.assemble("verdict: ", (verdict.answer.value, f"bold {style}")))
    identity = verdict.identity
    about = [f"{name} {version}" for name, version in _mapping(identity["versions"]).items()]
    config = str(identity["config"])[:12] or "none"
    plugin = shown(identity["plugin"]) or "none"
    console.print(
        Text(f"plugin {plugin}, config {config}, {', '.join(about)}", style="dim"), highlight=False
    )
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in verdict.checks:
        word = Text(_WORDS[check.answer], style=_STYLES[check.answer])
        table.add_row(word, Text(check.name), Text(check.said))
    console.print(table)
    for check in verdict.checks:
        _lines(f"{check.name}, missing:", check.missing, console, in_full=in_full)
    _lines(
        "unexplained divergences, the heaviest first:", _impact(verdict), console, in_full=in_full
    )
    _lines("the evidence:", verdict.problems, console)
    if in_full:
        _lines("cells: compared, accepted, divergent, rate below:", _strata(verdict), console)
        _lines("runs: compared, divergent:", _runs(runs), console)


def _lines(head: str, lines: Sequence[str], console: Console, *, in_full: bool = True) -> None:
    if not lines:
        return
    console.print(Text(head, style="bold"))
    few = lines if in_full else lines[:_MOST_LINES]
    for line in few:
        console.print(Text(f"  {line}"), soft_wrap=True, highlight=False)
    if len(few) < len(lines):
        console.print(f"  and {len(lines) - len(few):,} more (--all)", highlight=False)


def _impact(verdict: Verdict) -> list[str]:
    return [
        f"{shown(row.kind)} on {shown(row.tool)}{'' if row.idempotent else ' (not idempotent)'}: "
        f"{row.count:,} x {row.weight:g}"
        for row in verdict.impact
        if row.count
    ]


def _strata(verdict: Verdict) -> list[str]:
    lines = []
    for row in verdict.strata:
        state = "" if row.reached else f" ({row.required:,} required)"
        if row.waived:
            state = f" (waived: {row.waived})"
        elif not row.possible:
            state = " (not under this config)"
        counts = f"{row.compared:>11,} {row.accepted:>9,} {row.divergent:>7,} {row.bound:>9.3g}"
        lines.append(f"{counts}  {shown(row.stratum)}{state}")
    return lines


def _runs(runs: Iterable[RunSummary]) -> list[str]:
    return [
        f"{run.compared:>11,} {run.divergent:>7,}  {shown(run.source)} {shown(run.run)}"
        for run in runs
    ]


def as_json(verdict: Verdict, reading: Reading) -> dict[str, Any]:
    """Give everything as plain data."""
    return {
        "answer": verdict.answer.value,
        "checks": [asdict(check) for check in verdict.checks],
        "rate_bound": verdict.bound,
        "strata": [asdict(row) | {"reached": row.reached} for row in verdict.strata],
        "impact": [asdict(row) for row in verdict.impact],
        "latency": {side: asdict(each) for side, each in verdict.latency.items()},
        "totals": _totals(verdict.totals),
        "runs": [asdict(run) for run in reading.runs],
        "left_out": dict(reading.left_out),
        "unreadable": reading.unreadable,
        "problems": list(verdict.problems),
        "identity": dict(verdict.identity),
    }


def _totals(totals: Totals) -> dict[str, Any]:
    told: dict[str, Any] = {
        name: getattr(totals, name)
        for name in totals.__dataclass_fields__
        if name not in {"latency", "latency_of", "memory", "stores"}
    }
    told["memory"] = {side: asdict(memory) for side, memory in totals.memory.items()}
    return told


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
