"""The report as data, Markdown and JSON, and the page as text; `test_report_page` opens it."""

from __future__ import annotations

import argparse
import base64
import contextlib
import dataclasses
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import report_material as material
from evidence_material import sample_line, write_evidence
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from retry_parity._native import Latency
from retry_parity.compare import Kind
from retry_parity.deciding.report import formats, page, reasons
from retry_parity.deciding.report.coverage import State, coverage_of
from retry_parity.deciding.report.markdown import MOST_BYTES as MOST_OF_A_SUMMARY
from retry_parity.deciding.report.markdown import as_markdown
from retry_parity.deciding.report.model import Report, as_json, report_of
from retry_parity.deciding.report.page import as_page
from retry_parity.deciding.report.steps import chain_of
from retry_parity.deciding.report.tail import SHARES, tail_of
from retry_parity.deciding.report_cli import add_report, report_command
from retry_parity.deciding.verdict import Answer, StratumRow
from retry_parity.ledger import shipped_ledger
from retry_parity.strata import Outcome, Position, Signal, Stratum, reachable

PACKAGE = Path(page.__file__).parent
MIGRATION = Path(__file__).parents[2] / "docs" / "MIGRATION.md"

#: Every text that can be, lone surrogates included.
any_text = st.text(st.characters(exclude_categories=()))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=20,
)


class Elements(HTMLParser):
    """The elements of a page, and the text in each kind of them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Forget what is closed."""
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Note a text with the element that it is in."""
        self.texts.append((self._open[-1] if self._open else "", data))

    def within(self, tag: str) -> list[str]:
        """Give the texts of one kind of element."""
        return [data for inside, data in self.texts if inside == tag]

    @property
    def visible(self) -> str:
        """All text that a person sees."""
        return " ".join(data for inside, data in self.texts if inside not in {"script", "style"})


@pytest.fixture(scope="module")
def hostile() -> Report:
    """Give a report on as much as evidence can hold, with the worst names."""
    return material.adversarial()


@pytest.fixture(scope="module")
def hostile_page(hostile: Report) -> str:
    """Give the page of it."""
    return as_page(hostile)


# The page.


@pytest.mark.parametrize("answer", Answer)
def test_the_verdict_comes_first(answer: Answer) -> None:
    """The one first heading is the answer, and its reason follows before any other heading."""
    text = as_page(material.report(answer))
    assert text.count("<h1>") == 1
    first = text[text.index("<h1>") : text.index("<h2")]
    assert reasons.ANSWERS[answer] in first
    assert Elements(first).visible.count(material.report(answer).why) == 1


@pytest.mark.parametrize("answer", Answer)
def test_headings_leave_out_no_level(answer: Answer) -> None:
    """Who walks a page by its headings finds each section and what is in it."""
    levels = [int(level) for level in re.findall(r"<h([1-6])", as_page(material.report(answer)))]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("answer", Answer)
def test_every_link_and_label_leads_somewhere(answer: Answer) -> None:
    """Sections of the navigation, and ids that name or describe something, are there once."""
    elements = Elements(as_page(material.report(answer))).found
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = {
        name
        for _, attributes in elements
        for key in ("aria-labelledby", "aria-describedby")
        for name in (attributes.get(key) or "").split()
    }
    wanted |= {str(each["href"]).removeprefix("#") for tag, each in elements if tag == "a"}
    assert wanted <= set(ids)


def test_the_page_loads_nothing() -> None:
    """No address of anything: not of a script, a style, a picture, a font or a page."""
    text = as_page(material.report(Answer.NOT_READY))
    for tag, attributes in Elements(text).found:
        assert tag not in {"img", "iframe", "link", "object", "embed", "base", "form"}
        assert not {"src", "srcset", "action", "data", "style"} & set(attributes), tag
    assert not re.search(r"@import|url\(", text)


def test_the_policy_allows_the_pages_own_texts_and_no_other() -> None:
    """What is allowed by hash is each style and script as it stands in the page."""
    text = as_page(material.report(Answer.NOT_READY))
    policy = next(
        str(attributes["content"])
        for tag, attributes in Elements(text).found
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for kind, bodies in (
        ("style-src", re.findall(r"<style>(.*?)</style>", text, re.DOTALL)),
        ("script-src", re.findall(r"<script>(.*?)</script>", text, re.DOTALL)),
    ):
        hashes = [
            f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'"
            for body in bodies
        ]
        assert f"{kind} {' '.join(hashes)};" in policy


def test_names_are_text_and_nothing_else(hostile_page: str) -> None:
    """Nothing that evidence says becomes an element, an attribute, or an end of one."""
    usual = Elements(as_page(material.report(Answer.NOT_READY)))
    found = Elements(hostile_page)
    tags = {tag for tag, _ in usual.found} | {"pre"}
    assert {tag for tag, _ in found.found} <= tags
    assert sum(tag == "script" for tag, _ in found.found) == 3
    assert not {key for _, each in found.found for key in each if key.startswith("on")}
    assert "document.title='owned'" not in " ".join(found.within("script"))
    assert "49" not in re.findall(r"<code>(\d+)</code>", hostile_page)


def test_names_cannot_steer_what_shows_them(hostile_page: str) -> None:
    """No control character, no direction, no surrogate: each is written as an escape."""
    visible = Elements(hostile_page).visible.replace("\n", "")
    assert visible.isprintable()
    assert "\\u202e" in visible
    assert "\\ud800" in visible


def test_a_page_is_small_however_much_there_is(hostile_page: str) -> None:
    """Below 1 MB, with 512 signatures, tools, reasons and problems of up to 100 KB each."""
    assert len(hostile_page.encode()) < 1_000_000


@pytest.mark.parametrize("limits", page.LIMITS)
def test_what_is_left_out_is_told(
    hostile: Report, limits: page.Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that is cut says by how much; no figure of the verdict depends on it."""
    monkeypatch.setattr(page, "LIMITS", (limits,))
    text = as_page(hostile)
    left_out = len(hostile.by_signature) - limits.rows
    assert f"{left_out:,} more signatures are left out here" in text
    assert f"{hostile.divergences:,}" in text


def test_the_smallest_limits_always_suffice(
    hostile: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is in the evidence: what the last limits show has room to spare."""
    monkeypatch.setattr(page, "LIMITS", page.LIMITS[-1:])
    assert len(as_page(hostile).encode()) < page.MOST_BYTES * 0.7


def test_tighter_limits_are_taken_where_a_page_is_too_large(
    hostile: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first limits that make it small enough."""
    largest = len(as_page(hostile).encode())
    monkeypatch.setattr(page, "MOST_BYTES", largest)
    assert len(as_page(hostile).encode()) < largest


def variables(block: str) -> dict[str, str]:
    """Read the colours of one set."""
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def palettes() -> dict[str, dict[str, str]]:
    """Read the page's colours by where they hold."""
    blocks = re.findall(r":root \{(.*?)\}", (PACKAGE / "page.css").read_text(), re.DOTALL)
    light, dark, paper = map(variables, blocks)
    return {"light": light, "dark": light | dark, "print": light | paper}


def luminance(colour: str) -> float:
    """Give the relative luminance, by WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Give the contrast of two colours, 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


_GROUNDS = ("paper", "ground", "good-ground", "bad-ground", "open-ground")
_PAIRS = [
    *(("ink", ground) for ground in _GROUNDS),
    *(("ink", f"shade-{number}") for number in range(6)),
    *(("quiet", ground) for ground in ("paper", "ground")),
    *(("link", ground) for ground in ("paper", "ground")),
    *((tone, f"{tone}-ground") for tone in ("good", "bad", "open")),
    *((tone, "paper") for tone in ("good", "bad", "open")),
]


@pytest.mark.parametrize("mode", ["light", "dark", "print"])
def test_all_text_can_be_read(mode: str) -> None:
    """Each colour of text on each ground that it stands on: 4.5 to 1 at least (WCAG 2, AA)."""
    colours = palettes()[mode]
    poor = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in _PAIRS}
    assert {pair: ratio for pair, ratio in poor.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("mode", ["light", "dark", "print"])
def test_the_curves_can_be_seen(mode: str) -> None:
    """Each on the ground of its chart: 3 to 1 at least; one is dashed besides."""
    colours = palettes()[mode]
    assert min(contrast(colours[each], colours["paper"]) for each in ("hybrid", "core")) >= 3


def test_the_library_is_the_published_one() -> None:
    """Unchanged, with its licence, as the file beside it says."""
    vendor = PACKAGE / "vendor"
    told = dict(
        re.findall(r"\| `([\w.]+)` \|.*?\| `([0-9a-f]{64})` \|", (vendor / "README.md").read_text())
    )
    assert set(told) == {"uPlot.iife.min.js", "uPlot.min.css"}
    for name, digest in told.items():
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest
    licence = (vendor / "uPlot.LICENSE").read_text()
    assert licence.startswith("The MIT License (MIT)")
    assert licence in as_page(material.report(Answer.READY))


# What it says.


def stratum(outcome: Outcome, *, override: bool = False, text_check: bool = False) -> Stratum:
    """Name a cell of the signal ``isError`` on a new chain."""
    return Stratum(Signal.FLAG, Position.NEW, override, text_check, outcome)


def state_of(row: StratumRow) -> State:
    """Give what the map says of one row."""
    found = [
        cell
        for line in coverage_of([row]).lines
        for cell in line.cells
        if cell.stratum == row.stratum
    ]
    return found[0].state


@pytest.mark.parametrize(
    ("compared", "divergent", "others", "state"),
    [
        (100, 0, {}, State.REACHED),
        (99, 0, {}, State.SHORT),
        (0, 0, {}, State.EMPTY),
        (100, 1, {}, State.DIVERGENT),
        (5, 0, {"waived": "seldom"}, State.WAIVED),
        (0, 0, {"possible": False}, State.RULED_OUT),
        (3, 0, {"possible": False}, State.UNFORESEEN),
    ],
)
def test_a_cell_says_what_it_is(
    compared: int, divergent: int, others: dict[str, Any], state: State
) -> None:
    """Differences before anything else, then whether it can be, then whether it is enough."""
    row = material.row(stratum(Outcome.RETRY), compared, divergent, **others)
    assert state_of(row) is state


def test_the_map_has_a_cell_for_all_that_can_occur_and_marks_the_rest() -> None:
    """30 rows and 12 columns; what is no cell of the input space cannot occur."""
    made = coverage_of(material.strata(Answer.READY))
    cells = [cell for line in made.lines for cell in line.cells]
    assert (len(made.lines), len(made.columns), len(cells)) == (30, 12, 360)
    occurring = {cell.stratum for cell in cells if cell.state is not State.NEVER}
    assert occurring == set(map(str, reachable()))


def test_kinds_of_tools_that_the_config_has_not_are_left_out_and_named() -> None:
    """Half a map of cells that nothing can reach says nothing."""
    rows = [
        material.row(each, 100, possible=not each.override)
        if not each.override
        else material.row(each, 0, possible=False)
        for each in reachable()
    ]
    made = coverage_of(rows)
    assert made.left_out == ((True, False), (True, True))
    assert {column.override for column in made.columns} == {False}


def test_a_kind_of_tool_that_was_met_is_never_left_out() -> None:
    """Even where the config says that there is none: somebody has to look."""
    made = coverage_of([material.row(stratum(Outcome.RETRY, override=True), 3, possible=False)])
    assert {(column.override, column.text_check) for column in made.columns} == {(True, False)}


def test_cells_of_another_version_are_told_apart() -> None:
    """A name that this version does not know is in no row, and is not lost."""
    made = coverage_of([StratumRow("new signal | no chain", 7, 0, 0, 0.4, 0, possible=False)])
    assert [cell.compared for cell in made.unknown] == [7]


def test_the_verdict_counts_cells_as_the_map_does() -> None:
    """Cells that need not be reached are not among those that have to be."""
    made = coverage_of(
        [
            material.row(stratum(Outcome.RETRY), 100),
            material.row(stratum(Outcome.NO_RETRY), 7),
            material.row(stratum(Outcome.RAISED), 0, waived="seldom"),
        ]
    )
    assert (made.reached, made.wanted) == (1, 2)
    assert [cell.compared for cell in made.short()] == [7]


def test_a_chain_parts_in_its_last_step() -> None:
    """The steps before it, the oldest first, then the call that the sample is about."""
    chain = chain_of(sample_line("retry-lost", 2))
    assert [step.parts for step in chain.steps] == [False, False, True]
    last = chain.steps[-1]
    assert last.number == 3
    assert last.reference is not None
    assert last.candidate is not None
    assert (last.reference.did, last.candidate.did) == ("retry in 200 ms", "no retry")
    assert [row.what for row in last.particulars if row.differs] == ["delay, ms"]


def test_calls_that_were_not_kept_are_counted() -> None:
    """The numbers of the steps are those of the whole chain."""
    chain = chain_of(sample_line(chain=2, chain_forgotten=5))
    assert [step.number for step in chain.steps] == [1, 2, 8]
    assert chain.forgotten == 5


def test_policies_that_differ_are_shown_key_by_key() -> None:
    """Who reads sees which number it is."""
    policy = {"max_retries": 2, "backoff_base_ms": 100}
    told = {"delay_ms": 0, "other_fields": [], "internal_errors": 0}
    chain = chain_of(
        sample_line(
            "metadata",
            legacy={**told, "policy": policy},
            rust={**told, "policy": {**policy, "max_retries": 3}},
        )
    )
    assert [row.what for row in chain.steps[-1].particulars if row.differs] == [
        "policy: max_retries"
    ]


@given(any_json, any_json, any_json, any_json)
def test_a_sample_of_any_form_is_read(result: Any, side: Any, chain: Any, rest: Any) -> None:
    """Files can be damaged or forged: what is not as it should be is left out."""
    sample = {"result": result, "legacy": side, "rust": rest, "chain": chain, "tool": rest}
    steps = chain_of({**sample, "accepted": rest, "chain_forgotten": side, "captured": rest}).steps
    assert steps[-1].parts
    nested = {"legacy": {"policy": side, "delay_ms": rest}, "rust": {"policy": rest}}
    assert chain_of({**nested, "chain": [{"result": result, "legacy": side}]}).steps[-1].parts


def test_a_distribution_is_that_of_the_histogram() -> None:
    """Shares as the histogram itself gives them, and a curve that never falls."""
    latency = material.latency(10_000, 5000)
    made = tail_of("legacy", latency)
    for share, time in made.quantiles[1:]:
        assert time == pytest.approx(latency.quantile_ns(share), rel=0.02)
    times = [time for _, time in made.curve]
    assert times == sorted(times)
    assert made.curve[0][0] == 1
    assert made.curve[-1] == (5000, made.quantiles[-1][1])


@given(st.lists(st.integers(0, 10**9), max_size=40))
def test_every_distribution_can_be_told(durations: list[int]) -> None:
    """None, one, or many times, of any length: as many quantiles as shares, in order."""
    latency = Latency()
    for each in durations:
        latency.add(each)
    made = tail_of("rust", latency)
    assert made.count == len(durations)
    assert len(made.quantiles) == (len(SHARES) if durations else 0)
    times = [time for _, time in made.quantiles]
    assert times == sorted(times)


def test_entries_of_the_ledger_come_with_their_reason() -> None:
    """Those that explained something first; the others are there with a count of 0."""
    made = material.report(Answer.READY).accepted
    assert [(each.id, each.count) for each in made[:3]] == [
        ("status-range", 3992),
        ("jitter-zero", 120),
        ("trace-metrics", 6),
    ]
    assert {each.id for each in made} == {entry.id for entry in shipped_ledger().entries}
    assert all(each.reason and each.count == 0 for each in made[3:])


def test_an_entry_that_nobody_knows_is_told(hostile: Report) -> None:
    """Evidence of another ledger: its count is shown, and that its words are not here."""
    unknown = [each for each in hostile.accepted if not each.known]
    assert len(unknown) == 512
    assert all(not each.reason for each in unknown)


def test_evidence_of_another_ledger_is_told() -> None:
    """The reasons on the page are those of the ledger here, which may be another one."""
    other = {**material.identity(), "ledger": "00" * 32}
    verdict = material.verdict(Answer.READY, identity=other)
    made = report_of(material.reading(Answer.READY), verdict, material.MADE)
    assert made.ledger_matches is False
    assert "another ledger" in as_page(made)
    assert material.report(Answer.READY).ledger_matches is True


def test_reasons_are_those_of_the_manual() -> None:
    """Every reason that docs/MIGRATION.md explains is explained here, and no other."""
    text = MIGRATION.read_text()
    section = text[text.index("### Calls that are not compared") :]
    told = re.findall(r"^\| `([\w:.-]+)` \|", section[: section.index("\n### ", 5)], re.MULTILINE)
    assert {each.removesuffix("...") for each in told} == {*reasons.NOT_COMPARED, reasons.HARNESS}


def test_every_kind_of_difference_has_words() -> None:
    """Whoever decides is told what it means for callers, and a new kind does not go without."""
    assert set(reasons.KINDS) == set(Kind)
    assert reasons.signature("delay+metadata:x+new-kind") == (
        reasons.KINDS[Kind.DELAY],
        reasons.KINDS[Kind.METADATA],
    )


# How it is written.


@given(any_text, st.integers(20, 200))
def test_a_text_is_printable_and_bounded(text: str, most: int) -> None:
    """Whatever it was, and it can be encoded."""
    shown = formats.clean(text, most)
    assert shown.isprintable()
    assert len(shown.encode().decode()) <= most + len("… (1,000,000 characters)")


def test_long_names_are_told_apart_by_their_ends() -> None:
    """Names are often alike at the beginning."""
    first, second = ("x" * 100_000 + end for end in "ab")
    assert formats.name(first) != formats.name(second)
    assert "(100,001 characters)" in formats.name(first)


@given(st.integers(0, 10**12))
def test_a_brief_count_is_never_more_than_the_count(count: int) -> None:
    """A requirement that is nearly met must not look as if it was; five characters are enough."""
    shown = formats.brief(count)
    sizes = {"k": 1e3, "M": 1e6, "G": 1e9}
    value = float(shown.rstrip("kMG")) * sizes.get(shown[-1], 1)
    assert count * 0.9 - 1 <= value <= count * (1 + 1e-12)
    assert len(shown) <= 5


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.5, "50 %"),
        (0.123456, "12.3 %"),
        (1.8e-6, "0.00018 %"),
        (1e-12, "< 0.000001 %"),
    ],
)
def test_a_share_has_the_digits_that_mean_something(share: float, shown: str) -> None:
    """Rates are small here: two digits, however many zeros stand before them."""
    assert formats.percent(share) == shown


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (None, formats.NOTHING),
        (0, "0 ns"),
        (999, "999 ns"),
        (12_345, "12.3 µs"),
        (1_500_000_000, "1.50 s"),
    ],
)
def test_a_time_has_three_digits(nanoseconds: int | None, shown: str) -> None:
    """The histograms know no more."""
    assert formats.duration(nanoseconds) == shown


# Markdown.


def rendered(text: str) -> Elements:
    """Render Markdown as a service does, with links that need no brackets."""
    return Elements(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))


@pytest.mark.parametrize("answer", Answer)
def test_a_summary_says_the_verdict_first(answer: Answer) -> None:
    """In its first line, then why, then every check."""
    made = material.report(answer)
    text = as_markdown(made)
    assert reasons.ANSWERS[answer].lower() in text.splitlines()[0]
    assert made.why in rendered(text).visible
    assert all(f"| {check.name} |" in text for check in made.checks)


def test_a_summary_is_small_however_much_there_is(hostile: Report) -> None:
    """Services refuse what is longer."""
    assert len(as_markdown(hostile).encode()) < MOST_OF_A_SUMMARY
    assert len(as_markdown(hostile).encode()) < 60_000


def test_names_in_a_summary_are_text_and_nothing_else(hostile: Report) -> None:
    """No markup, no mention, no link, no reference: as it was, or as an escape."""
    text = as_markdown(hostile)
    found = rendered(text)
    own = {"h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "code"}
    assert {tag for tag, _ in found.found} <= own | {"details", "summary", "strong"}
    assert not {key for _, each in found.found for key in each} - {"style"}
    outside = " ".join(data for inside, data in found.texts if inside != "code")
    assert not re.search(r"@\w", outside)
    assert not re.search(r"www\.|https?://", re.sub(r"`[^`]*`", "", text))


def test_a_summary_keeps_its_tables_whole(hostile: Report) -> None:
    """No name ends a cell: each row has as many as its head."""
    rows = [line for line in as_markdown(hostile).splitlines() if line.startswith("|")]
    widths: list[int] = []
    for line in rows:
        cells = line.count("|") - 1
        if set(line) <= set("|-:"):
            assert widths[-1] == cells
        widths.append(cells)
    assert rendered(as_markdown(hostile)).visible.count("here they part") > 0
    heads = [at for at, line in enumerate(rows) if set(line) <= set("|-:")]
    for begin, end in pairwise([*heads, len(rows) + 1]):
        assert len(set(widths[begin : end - 1])) == 1


# JSON.

KEYS = {
    "format", "answer", "why", "made", "candidate", "checks", "comparisons", "matches",
    "accepted_calls", "divergences", "bound", "first", "last", "runs", "compared", "coverage",
    "by_signature", "impact", "accepted", "ledger_matches", "latency", "latency_source", "tails",
    "memory", "evicted", "not_compared", "candidate_errors", "harness_errors", "dropped",
    "fallbacks", "guard_trips", "decisions", "outcomes", "left_out", "problems", "identity",
}  # fmt: skip


def test_the_keys_of_the_json_are_stable() -> None:
    """Programs read them: one that goes, or means another thing, makes another format."""
    told = json.loads(json.dumps(as_json(material.report(Answer.NOT_READY))))
    assert set(told) == KEYS
    assert told["format"] == 1
    assert told["answer"] == "not ready"
    assert told["by_signature"][0]["signature"] == "retry-lost"
    assert told["by_signature"][0]["chain"]["steps"][-1]["parts"] is True
    assert set(told["coverage"]["lines"][0]) == {"signal", "position", "cells"}


def test_the_json_has_all_of_it_as_it_was() -> None:
    """Nothing is cut, no name is changed: machines need both."""
    hostile = material.adversarial(12)
    told = json.loads(json.dumps(as_json(hostile)))
    assert {each["signature"] for each in told["by_signature"]} == {
        each.signature for each in hostile.by_signature
    }
    assert max(len(each["signature"]) for each in told["by_signature"]) > 100_000


# The command.


def command(*arguments: object) -> int:
    """Run the command; give its exit status."""
    parser = argparse.ArgumentParser()
    add_report(parser.add_subparsers())
    return report_command(parser.parse_args(["report", *map(str, arguments)]))


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """Write evidence that is not ready."""
    return write_evidence(tmp_path / "evidence", "not ready")


def test_all_forms_are_written_and_say_the_same(evidence: Path, tmp_path: Path) -> None:
    """The status is 0 whatever the verdict is: that is another command's."""
    html, markdown, plain = (tmp_path / f"report.{end}" for end in ("html", "md", "json"))
    assert command(evidence, "--html", html, "--markdown", markdown, "--json", plain) == 0
    told = json.loads(plain.read_text())
    assert told["answer"] == "not ready"
    assert "<h1>" in html.read_text()
    assert told["why"] in Elements(html.read_text()).visible
    assert "not ready" in markdown.read_text().splitlines()[0]
    assert {each["signature"] for each in told["by_signature"]} == {"retry-lost", "delay+metadata"}
    assert told["by_signature"][0]["chain"] is not None


@pytest.mark.parametrize("option", ["--markdown", "--json"])
def test_a_text_can_go_to_standard_output(
    evidence: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing else goes there."""
    assert command(evidence, option, "-") == 0
    written = capsys.readouterr().out
    if option == "--json":
        assert json.loads(written)["format"] == 1
    else:
        assert written.startswith("## ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to write: give --html FILE, --markdown FILE or --json FILE (or several)"),
        (("--html", "-"), "--html -: a page is no text for a terminal, a file is allowed"),
        (("--markdown", "-", "--json", "-"), "-: given twice"),
        (("--html", "missing/out.html"), "its folder does not exist"),
        (("--html", "."), "it is a folder, a file is allowed"),
        (("--json", "out", "--plugin", "other"), "--plugin other"),
    ],
)
def test_bad_input_is_one_line_and_status_3(
    evidence: Path, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was given and what is allowed; nothing is written."""
    with contextlib.chdir(evidence.parent):
        assert command(evidence, *arguments) == 3
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert [each.name for each in evidence.parent.iterdir()] == ["evidence"]


def test_no_evidence_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there is named."""
    assert command(tmp_path / "nowhere", "--json", "-") == 3
    assert "nowhere" in capsys.readouterr().err


def test_a_report_replaces_another_as_a_whole(
    evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk costs the new one; the old one stays as it was, and nothing lies about."""
    target = tmp_path / "report.html"
    target.write_text("the old one")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        assert command(evidence, "--html", target) == 3
    assert target.read_text() == "the old one"
    assert command(evidence, "--html", target) == 0
    assert target.read_text().startswith("<!doctype html>")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["evidence", "report.html"]


def test_a_link_or_a_device_stays_what_it_is(evidence: Path, tmp_path: Path) -> None:
    """The summary of a CI job is often given as one of them."""
    place, link = tmp_path / "place.md", tmp_path / "link.md"
    link.symlink_to(place)
    assert command(evidence, "--markdown", link) == 0
    assert link.is_symlink()
    assert place.read_text().startswith("## ")
    assert command(evidence, "--markdown", "/dev/null") == 0
    assert not Path("/dev/null").is_file()


def test_a_report_is_frozen() -> None:
    """Three forms are made of one; none may change what the next one says."""
    made = material.report(Answer.READY)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.answer = Answer.NOT_READY  # type: ignore[misc]  # as nobody may
