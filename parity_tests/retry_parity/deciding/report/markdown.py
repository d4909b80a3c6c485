"""The report as Markdown, for a pull request or the summary of a CI job: short, the verdict first.

Names stand in code spans and nothing else does: there no service looks for mentions, links or
markup. The two characters that could end a span or a table's cell are written as escapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from retry_parity.deciding.report import formats, reasons
from retry_parity.deciding.verdict import Answer

if TYPE_CHECKING:
    from retry_parity.deciding.report.model import Divergence, Reason, Report
    from retry_parity.deciding.report.steps import Decision, Step

Row = TypeVar("Row")

#: A summary is smaller, bytes; the services take some more.
MOST_BYTES: Final = 60_000

_MARKS: Final = {
    Answer.READY: ":white_check_mark:",
    Answer.NOT_READY: ":x:",
    Answer.INSUFFICIENT: ":grey_question:",
}
#: Of a sentence; what is longer is read in the page.
_MOST_OF_A_TEXT: Final = 240
#: What could be markup, a mention, a reference, or a link without brackets.
_ACTIVE: Final = re.compile(r"[\\`*_\[\]<>&|~#@!$]|:(?=\S)|(?<=www)\.", re.IGNORECASE)
#: Calls of a chain; the last ones are shown.
_STEPS: Final = 5


@dataclass(frozen=True, slots=True)
class _Limits:
    rows: int
    chains: int


#: The first that makes a summary small enough is taken.
_LIMITS: Final = (_Limits(40, 8), _Limits(12, 3), _Limits(4, 0))


def as_markdown(report: Report) -> str:
    """Give a report as GitHub's Markdown, smaller than `MOST_BYTES`."""
    text = ""
    for limits in _LIMITS:
        text = "\n".join(_lines(report, limits))
        if len(text.encode()) < MOST_BYTES:
            break
    return text


def _lines(report: Report, limits: _Limits) -> list[str]:
    return [
        f"## {_MARKS[report.answer]} Retry migration: {reasons.ANSWERS[report.answer].lower()}",
        "",
        _text(report.why),
        "",
        _figures(report),
        "",
        "| check | says | found |",
        "|---|---|---|",
        *_some(
            report.checks,
            limits.rows,
            lambda check: (
                f"| {_text(check.name)} | {_MARKS[check.answer]} {check.answer.value} | "
                f"{_text(check.said)} |"
            ),
            "| and {} more | | |",
        ),
        "",
        *_missing(report, limits),
        *_divergences(report, limits),
        *_impact(report, limits),
        *_short(report, limits),
        *_counted("Accepted by the ledger", _met(report), limits),
        *_counted(
            "Not compared", [(each.name, each.count) for each in report.not_compared], limits
        ),
        *_counted("Trouble", _trouble(report), limits),
        *_problems(report, limits),
        _foot(report),
        "",
    ]


def _figures(report: Report) -> str:
    return (
        f"{formats.counted(report.comparisons, 'comparison')} in "
        f"{formats.counted(sum(report.runs.values()), 'run')}: {report.divergences:,} unexplained "
        f"(at most {formats.percent(report.bound)} of calls), {report.accepted_calls:,} accepted "
        f"by the ledger. {report.coverage.reached:,} of {report.coverage.wanted:,} cells of the "
        "input space reached."
    )


def _missing(report: Report, limits: _Limits) -> list[str]:
    lines = [(check.name, line) for check in report.checks for line in check.missing]
    return _details(
        "What is missing",
        len(lines),
        _some(lines, limits.rows, lambda each: f"- {_text(each[0])}: {_text(each[1])}"),
    )


def _divergences(report: Report, limits: _Limits) -> list[str]:
    if not report.by_signature:
        return []
    return [
        "### Divergences",
        "",
        "| signature | count | it means |",
        "|---|---:|---|",
        *_some(
            report.by_signature,
            limits.rows,
            lambda each: f"| {_code(each.signature)} | {each.count:,} | {'; '.join(each.means)} |",
            "| and {} more | | |",
        ),
        "",
        *(
            line
            for each in report.by_signature[: limits.chains]
            for line in _chain(each, report.candidate)
        ),
    ]


def _chain(divergence: Divergence, candidate: str) -> list[str]:
    chain = divergence.chain
    if chain is None:
        return []
    lines = [
        f"<details><summary>The smallest chain of {_text(divergence.signature)}</summary>",
        "",
        f"Tool {_code(chain.tool)}.",
        "",
        f"| call | result | hybrid | {_text(candidate)} | |",
        "|---:|---|---|---|---|",
    ]
    hidden = max(0, len(chain.steps) - _STEPS) + chain.forgotten
    if hidden:
        lines.append(f"| | {formats.counted(hidden, 'earlier call')} not shown | | | |")
    lines += [_step(step) for step in chain.steps[-_STEPS:]]
    lines += [
        f"| | {_text(row.what)} | {_code(row.reference)} | {_code(row.candidate)} | differs |"
        for row in chain.steps[-1].particulars[:8]
        if row.differs
    ]
    return [*lines, "", "</details>", ""]


def _step(step: Step) -> str:
    def did(decision: Decision | None) -> str:
        return _code(decision.did) if decision else "not asked"

    facts = _code(", ".join(step.facts))
    mark = "**here they part**" if step.parts else ("" if step.alike else "unlike already")
    return f"| {step.number:,} | {facts} | {did(step.reference)} | {did(step.candidate)} | {mark} |"


def _impact(report: Report, limits: _Limits) -> list[str]:
    rows = _some(
        report.impact,
        limits.rows,
        lambda row: (
            f"| {_code(row.kind)} | {_code(row.tool)} | "
            f"{'yes' if row.idempotent else 'no'} | {row.count:,} | {row.count * row.weight:,.6g} |"
        ),
        "| and {} more | | | | |",
    )
    head = ["| kind | tool | idempotent | count | weight |", "|---|---|---|---:|---:|"]
    return _details("Impact", len(report.impact), [*head, *rows])


def _short(report: Report, limits: _Limits) -> list[str]:
    cells = report.coverage.short()
    return _details(
        "Cells without the comparisons that are required",
        len(cells),
        _some(
            cells,
            limits.rows,
            lambda cell: (
                f"- {_code(cell.stratum.replace(' | ', ', '))}: "
                f"{cell.compared:,} of {cell.required:,}"
            ),
        ),
    )


def _met(report: Report) -> list[tuple[str, int]]:
    return [(each.id, each.count) for each in report.accepted if each.count]


def _trouble(report: Report) -> list[tuple[str, int]]:
    def named(what: str, counted: Sequence[Reason]) -> list[tuple[str, int]]:
        return [(f"{what}: {each.name}", each.count) for each in counted]

    return [
        *named("error of the candidate", report.candidate_errors),
        *named("failure of the harness", report.harness_errors),
        *named("evidence dropped", report.dropped),
        *named("chains dropped", report.evicted),
    ]


def _counted(title: str, rows: Sequence[tuple[str, int]], limits: _Limits) -> list[str]:
    return _details(
        title,
        len(rows),
        _some(rows, limits.rows, lambda each: f"- {_code(each[0])}: {each[1]:,}"),
    )


def _problems(report: Report, limits: _Limits) -> list[str]:
    lines = _some(report.problems, limits.rows, lambda line: f"- {_text(line)}")
    return _details("Problems of the evidence", len(report.problems), lines)


def _foot(report: Report) -> str:
    told = report.identity.get("versions")
    given = list(told.items())[:8] if isinstance(told, Mapping) else []
    versions = ", ".join(f"{_code(name)} {_text(str(version))}" for name, version in given)
    evidence = report.identity.get("evidence")
    digest = f" Evidence {_code(str(evidence)[:16])}." if evidence else ""
    return f"Made {report.made} with {versions or 'no known versions'}.{digest}"


def _some(
    rows: Sequence[Row], most: int, told: Callable[[Row], str], more: str = "- and {} more"
) -> list[str]:
    lines = [told(row) for row in rows[:most]]
    if len(rows) > most:
        lines.append(more.format(f"{len(rows) - most:,}"))
    return lines


def _details(title: str, count: int, lines: Sequence[str]) -> list[str]:
    if not count:
        return []
    summary = f"<details><summary>{title} ({count:,})</summary>"
    return [summary, "", *lines, "", "</details>", ""]


def _code(text: str) -> str:
    shown = formats.name(text).replace("|", "\\x7c").replace("`", "\\x60")
    return f"`{shown}`"


def _text(text: str) -> str:
    """Give a sentence, in which every character means itself."""
    shown = formats.clean(text, _MOST_OF_A_TEXT)
    # A mention is looked for in what is shown, where no escape is left: it must not be one word.
    return _ACTIVE.sub(_entity, shown)


def _entity(found: re.Match[str]) -> str:
    character = found.group()
    return f"&#{ord(character)};" + ("\u2060" if character == "@" else "")
