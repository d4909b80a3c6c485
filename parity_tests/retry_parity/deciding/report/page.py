"""The report as one HTML file: everything is in it, nothing is fetched, nothing runs but its own.

What comes from evidence passes `_shown` on its way into the page, whatever the template does, and
is escaped after that. The page's policy allows the styles and scripts of this package by their
hashes and nothing else, so that a text that got through could still load and run nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from retry_parity.deciding.report import formats, reasons
from retry_parity.deciding.report.coverage import Cell, Line, State
from retry_parity.deciding.verdict import Answer

if TYPE_CHECKING:
    from retry_parity.deciding.report.model import Report
    from retry_parity.deciding.report.steps import Chain

Row = TypeVar("Row")

#: A page is smaller, bytes.
MOST_BYTES: Final = 1_000_000

_HERE: Final = files("retry_parity.deciding.report")
_LIBRARY: Final = ("vendor", "uPlot.iife.min.js")
_LIBRARY_STYLE: Final = ("vendor", "uPlot.min.css")
_LICENCE: Final = ("vendor", "uPlot.LICENSE")

#: What each side is called by.
_SIDES: Final = {"legacy": "Hybrid", "rust": "Candidate"}
#: What a kind of tool is called: by override and by text check, each where it is not and is.
_KIND: Final = (("base", "override"), ("structured only", "text check"))
#: Of what is told on one line.
_MOST_VALUES: Final = 12
#: How well a cell is filled, by comparisons: as many shades as there are limits, and one more.
_SHADES: Final = (10, 100, 1_000, 10_000, 100_000)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of each list a page shows.

    Attributes:
        rows: Rows of a table.
        chains: Signatures that are shown with their chain.
        steps: Calls of a chain; the last ones are shown.
        lines: Lines of what is missing, for each check.
        captured: Characters of a captured result.
    """

    rows: int
    chains: int
    steps: int
    lines: int
    captured: int


#: The first that makes a page small enough is taken.
LIMITS: Final = (
    Limits(rows=60, chains=24, steps=8, lines=40, captured=1200),
    Limits(rows=24, chains=8, steps=5, lines=16, captured=400),
    Limits(rows=8, chains=2, steps=3, lines=6, captured=0),
)


@dataclass(frozen=True, slots=True)
class Some:
    """The beginning of a list.

    Attributes:
        rows: What is shown.
        left_out: How many more there are.
    """

    rows: Sequence[Any]
    left_out: int

    def __bool__(self) -> bool:
        """Say whether there is anything."""
        return bool(self.rows) or self.left_out > 0


def as_page(report: Report) -> str:
    """Give a report as HTML, smaller than `MOST_BYTES`."""
    template = _environment().get_template("page.html.j2")
    page = ""
    for limits in LIMITS:
        page = template.render(_context(report, limits))
        if len(page.encode()) < MOST_BYTES:
            break
    return page


def _context(report: Report, limits: Limits) -> dict[str, Any]:
    def some(rows: Sequence[Row]) -> Some:
        return Some(rows[: limits.rows], max(0, len(rows) - limits.rows))

    style = _text(*_LIBRARY_STYLE) + _text("page.css")
    library = f"/*\n{_text(*_LICENCE)}\n*/\n{_text(*_LIBRARY)}"
    script = _text("page.js")
    met = [each for each in report.accepted if each.count]
    return {
        "report": report,
        "limits": limits,
        "style": Markup(style),  # noqa: S704 - this package's own
        "scripts": [Markup(library), Markup(script)],  # noqa: S704 - as above
        "policy": Markup(_policy([style], [library, script])),  # noqa: S704 - as above
        "data": _data(report),
        "missing": [
            (check, Some(check.missing[: limits.lines], len(check.missing[limits.lines :])))
            for check in report.checks
            if check.missing
        ],
        "short": some(report.coverage.short()),
        "unknown": some(report.coverage.unknown),
        "by_signature": some(report.by_signature),
        "impact": some(report.impact),
        "heaviest": max((row.count * row.weight for row in report.impact), default=0) or 1,
        "met": some(met),
        "unmet": some([each for each in report.accepted if not each.count]),
        "not_compared": some(report.not_compared),
        "errors": some(report.candidate_errors),
        "losses": some([*report.harness_errors, *report.dropped, *report.evicted]),
        "problems": some(report.problems),
        "identity": _identity(report.identity, limits.rows),
        "groups": _groups(report),
        "first_cell": _first_cell(report),
        "ratio": _ratio(report),
        "steps_of": lambda chain: _steps(chain, limits.steps),
        "sides": {**_SIDES, "rust": report.candidate},
        "answer_words": reasons.ANSWERS[report.answer],
        "tone": _TONES[report.answer],
        "Answer": Answer,
        "State": State,
    }


def _groups(report: Report) -> list[tuple[str, list[Line]]]:
    lines = report.coverage.lines
    return [(signal, list(group)) for signal, group in groupby(lines, lambda line: line.signal)]


def _first_cell(report: Report) -> str:
    """Give the cell at which a keyboard enters the map: the one that most needs a look."""
    cells = [cell for line in report.coverage.lines for cell in line.cells]
    order = list(State)
    worst = [State.DIVERGENT, State.EMPTY, State.SHORT, *order]
    occurring = [cell for cell in cells if cell.state is not State.NEVER]
    return min(occurring, key=lambda cell: worst.index(cell.state)).stratum if occurring else ""


def _ratio(report: Report) -> list[float | None]:
    """Give the candidate's times by the hybrid's: mean, then quantiles; empty without both."""
    by_side = {tail.side: tail for tail in report.tails if tail.count}
    if len(by_side) < len(_SIDES):
        return []
    ours, theirs = (
        [by_side[side].mean_ns or 0, *(time for _, time in by_side[side].quantiles)]
        for side in _SIDES
    )
    return [
        candidate / hybrid if hybrid else None
        for hybrid, candidate in zip(ours, theirs, strict=True)
    ]


_TONES: Final = {
    Answer.READY: "ready",
    Answer.NOT_READY: "not-ready",
    Answer.INSUFFICIENT: "insufficient",
}


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FunctionLoader(lambda name: _text(*name.split("/"))),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        brief=formats.brief,
        counted=formats.counted,
        duration=formats.duration,
        name=formats.name,
        percent=formats.percent,
        size=formats.size,
        clean=formats.clean,
        tone=_TONES.__getitem__,
        stratum=stratum,
        shade=_shade,
        told=_told,
    )
    return made


def _shown(value: object) -> object:
    """Write what a template puts out: numbers with separators, texts cut and printable."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        return formats.clean(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    return value


def stratum(text: str) -> str:
    """Give the name of a cell without the bars, which mean columns elsewhere."""
    return formats.clean(text.replace(" | ", ", "), 2 * formats.MOST_OF_A_NAME)


def _shade(cell: Cell) -> int:
    return sum(cell.compared >= limit for limit in _SHADES)


def _told(cell: Cell) -> str:
    """Say all of a cell in a sentence."""
    if cell.state is State.NEVER:
        return f"{stratum(cell.stratum)}: cannot occur."
    found = [f"{stratum(cell.stratum)}: {formats.counted(cell.compared, 'comparison')}"]
    if cell.required:
        found.append(f"{cell.required:,} required")
    if cell.accepted:
        found.append(f"{cell.accepted:,} explained by the ledger")
    if cell.divergent:
        found.append(f"{cell.divergent:,} unexplained")
    if cell.compared:
        found.append(f"unexplained at most {formats.percent(cell.bound)}")
    if cell.state is State.RULED_OUT:
        found.append("no tool of this config can get here")
    if cell.state is State.UNFORESEEN:
        found.append("met, though no tool of this config can get here")
    if cell.waived:
        found.append(f"waived: {formats.clean(cell.waived, 160)}")
    return ", ".join(found) + "."


def _steps(chain: Chain, most: int) -> Some:
    return Some(chain.steps[-most:], max(0, len(chain.steps) - most))


def _identity(identity: Mapping[str, object], most: int) -> list[tuple[str, Some]]:
    """Give what the evidence is about as names and lists of words."""
    rows = []
    for key, value in islice(identity.items(), most):
        count, words = 1, iter([_word(value)])
        if key == "shapes":
            words = iter(_shapes(value))
        elif isinstance(value, Mapping):
            count, words = len(value), (f"{name} {_word(each)}" for name, each in value.items())
        elif isinstance(value, Sequence) and not isinstance(value, str):
            count, words = len(value), map(_word, value)
        rows.append((key, Some(list(islice(words, most)), max(0, count - most))))
    return rows


def _shapes(value: object) -> list[str]:
    """Name the kinds of tools that a config makes possible."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ["all kinds of tools"]
    pairs = [each for each in value if isinstance(each, Sequence) and len(each) == len(_KIND)]
    return [
        " with ".join(words[bool(given)] for words, given in zip(_KIND, pair, strict=True))
        for pair in pairs
    ]


def _word(value: object) -> str:
    """Write a value on one line; of many values, the first ones."""
    if value is None or value == "":
        return formats.NOTHING
    if isinstance(value, Mapping):
        told = [(name, each) for name, each in islice(value.items(), _MOST_VALUES) if each]
        return (
            ", ".join(f"{formats.name(name)} {_word(each)}" for name, each in told)
            or formats.NOTHING
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_word, islice(value, _MOST_VALUES))) or formats.NOTHING
    return formats.name(str(value))


def _data(report: Report) -> Markup:
    """Give the chart's data as JSON that ends no script."""
    told = [
        {"side": tail.side, "curve": tail.curve} for tail in report.tails if len(tail.curve) > 1
    ]
    text = json.dumps({"tails": told}, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - escaped for a script of data


def _policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    def allowed(texts: Sequence[str]) -> str:
        return " ".join(f"'sha256-{_sha256(text)}'" for text in texts)

    return (
        f"default-src 'none'; style-src {allowed(styles)}; script-src {allowed(scripts)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _text(*path: str) -> str:
    return _HERE.joinpath(*path).read_text(encoding="utf-8")
