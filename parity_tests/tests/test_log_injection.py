"""A name cannot forge a line, steer a terminal, become markup, or fill a page or a disk.

Names of tools and request ids are anybody's: a server names its tools, a caller may choose the id.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import unicodedata
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest
from cpex.framework import PluginConfig, ToolPostInvokePayload
from laboratory import FAILURE, NAME, SUCCESS, finish
from prometheus_client import CollectorRegistry, generate_latest

from retry_parity import MigrationPlugin, metrics
from retry_parity.cli import main
from retry_parity.evidence import evidence_of
from retry_parity.evidence_files import EvidenceFiles
from retry_parity.migration import migration_of
from retry_parity.observation import raised
from retry_parity.settings import EvidenceSettings
from retry_with_backoff import RetryWithBackoffPlugin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORGED: Final = "ERROR root: the guard has been reset"
#: What ends a line somewhere, steers a terminal, turns the direction of text, or hides.
CONTROLS: Final = {
    "line feed": "\n",
    "carriage return": "\r",
    "vertical tab": "\v",
    "form feed": "\f",
    "file separator": "\x1c",
    "next line": "\x85",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "escape sequence": "\x1b[2J\x1b[31m",
    "hyperlink": "\x1b]8;;http://example.com\x1b\\",
    "one-byte sequence": "\x9b31m",
    "bell": "\a",
    "backspace": "\b\b\b\b",
    "NUL": "\0",
    "delete": "\x7f",
    "right to left": "\u202e",
    "isolate": "\u2066",
    "left to right mark": "\u200e",
    "zero width": "\u200b\ufeff",
    "tag": "\U000e0041",
    "surrogate": "\ud800",
}
NAMES: Final = {what: f"search{control}{FORGED}" for what, control in CONTROLS.items()}
LONG: Final = "long " * 200_000
MARKUP: Final = "</script><script>alert(1)</script><img src=x onerror=alert(1)> [a](b:c) | `"
#: The most characters of a line that is about one call.
LONGEST_LINE: Final = 1000
#: How many names a page and a run's evidence are tried with; a million takes minutes.
NAMES_TRIED: Final = int(os.environ.get("RETRY_PARITY_NAMES", "5000"))

_FORBIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def steering(text: str, *, lines: bool = False) -> set[str]:
    """Give the characters of a text that do something instead of being shown."""
    allowed = "\n" if lines else ""
    return {
        each for each in text if unicodedata.category(each) in _FORBIDDEN and each not in allowed
    }


def formatted(records: list[logging.LogRecord]) -> list[str]:
    """Give log records as a handler writes them."""
    formatter = logging.Formatter("%(levelname)s %(name)s: %(message)s")
    return [formatter.format(record) for record in records]


def call_of(tool: str, request_id: str, result: Any = FAILURE) -> tuple[Any, Any]:
    """Make a payload and its context."""
    payload = ToolPostInvokePayload.model_construct(name=tool, result=result)
    return payload, SimpleNamespace(global_context=SimpleNamespace(request_id=request_id))


def shadow(candidate: str = "never-retries") -> MigrationPlugin:
    """Put a candidate beside the hybrid; by default one that loses every retry."""
    section = {"implementation": "shadow", "candidate": candidate}
    config = {"jitter": False, "migration": section}
    return MigrationPlugin(PluginConfig(name=NAME, kind="x", config=config))


@pytest.mark.parametrize("name", [*NAMES.values(), LONG], ids=[*NAMES, "long"])
def test_the_core_says_on_one_line_that_it_gives_up(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever tool and request are called; what is not printable is escaped, what is long cut."""
    plugin = RetryWithBackoffPlugin(
        PluginConfig(name=NAME, kind="x", config={"max_retries": 0, "jitter": False})
    )
    finish(plugin.tool_post_invoke(*call_of(name, name)))
    (line,) = formatted([each for each in caplog.records if each.name == "retry_with_backoff"])
    assert "gave up after 1 failures" in line
    assert steering(line) == set()
    assert len(line) <= LONGEST_LINE


@pytest.mark.parametrize("name", [*NAMES.values(), LONG], ids=[*NAMES, "long"])
def test_the_harness_tells_of_a_divergence_on_one_line(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The tool is named, escaped; the request is a hash."""
    with contextlib.suppress(UnicodeEncodeError):  # ledger: name-encoding
        finish(shadow().tool_post_invoke(*call_of(name, name)))
    lines = formatted([each for each in caplog.records if each.name == "retry_parity"])
    (line,) = (line for line in lines if "decides differently" in line)
    assert steering(line) == set()
    assert not line.startswith("ERROR")
    assert len(line) <= LONGEST_LINE


@pytest.mark.parametrize("name", [*NAMES.values(), LONG], ids=[*NAMES, "long"])
def test_the_hybrid_says_on_one_line_that_it_gives_up(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As the core's line, which takes its place after the migration."""
    plugin = MigrationPlugin(
        PluginConfig(name=NAME, kind="x", config={"max_retries": 0, "jitter": False})
    )
    with contextlib.suppress(UnicodeEncodeError):  # ledger: name-encoding
        finish(plugin.tool_post_invoke(*call_of(name, name)))
    lines = formatted([each for each in caplog.records if each.name == "retry_legacy"])
    assert len(lines) == int("\ud800" not in name)
    assert all(steering(line) == set() and len(line) <= LONGEST_LINE for line in lines)


def test_the_name_of_a_class_forges_no_line(caplog: pytest.LogCaptureFixture) -> None:
    """A payload's own code may raise what it likes, and call it what it likes."""
    error = type("X\nERROR root: forged\u202e\x1b[31m", (Exception,), {})("x")
    evidence_of(NAME).candidate_error(f"raised:{raised(error).name}", error)
    assert [steering(line) for line in formatted(caplog.records)] == [set()]


@pytest.mark.parametrize("name", [*NAMES.values(), LONG], ids=[*NAMES, "long"])
def test_the_table_of_a_run_is_steered_by_no_name(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`retry-parity run` names the calls that lost their retry."""
    line = {"tool": name, "request_id": f"{name}1", "seq": 1, "t_ms": 0, "result": FAILURE}
    (tmp_path / "corpus.jsonl").write_text(json.dumps(line) + "\n")
    plugin = {
        "name": "r",
        "kind": "retry_parity.MigrationPlugin",
        "hooks": ["tool_post_invoke"],
        "mode": "sequential",
        "config": {"jitter": False},
    }
    (tmp_path / "plugins.yaml").write_text(json.dumps({"plugins": [plugin], "plugin_dirs": []}))
    status = main(["run", str(tmp_path / "corpus.jsonl"), "--candidate", "never-retries"])
    assert status == (2 if "\ud800" in name else 1)  # a lone surrogate is refused
    said = capfd.readouterr()
    assert steering(said.out + said.err, lines=True) == set()
    assert max(map(len, (said.out + said.err).splitlines())) <= LONGEST_LINE


@pytest.mark.parametrize("name", [*NAMES.values(), LONG, MARKUP], ids=[*NAMES, "long", "markup"])
def test_evidence_and_what_is_made_of_it_is_steered_by_no_name(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each line of evidence is one JSON object in ASCII; terminal, Markdown and page are printable.

    The name is there all the same, so that a tool is found by it.
    """
    plugin = shadow()
    for number in range(3):
        with contextlib.suppress(UnicodeEncodeError):  # ledger: name-encoding
            finish(plugin.tool_post_invoke(*call_of(name, f"{name}{number}")))
    written = EvidenceFiles(EvidenceSettings(directory=tmp_path / "evidence"), migration_of(NAME))
    written.write(migration_of(NAME))
    for path in written.folder.iterdir():
        *lines, rest = path.read_bytes().split(b"\n")
        assert rest == b""
        assert all(isinstance(json.loads(line), dict) for line in lines)
        assert path.read_bytes().isascii()
    made = [tmp_path / each for each in ("page.html", "summary.md", "report.json")]
    options = zip(("--html", "--markdown", "--json"), map(str, made), strict=True)
    evidence = str(tmp_path / "evidence")
    assert main(["report", evidence, *(word for pair in options for word in pair)]) == 0
    assert main(["verdict", evidence, "--all"]) == 1
    said = capfd.readouterr()
    texts = [said.out, said.err, *(path.read_text(encoding="utf-8") for path in made[:2])]
    assert [steering(text, lines=True) for text in texts] == [set()] * len(texts)
    assert made[2].read_bytes().isascii()
    assert "<script>alert" not in texts[2]
    assert all(name[:6] in text for text in (texts[0], *texts[2:]))
    assert not any(line.startswith(FORGED) for text in texts for line in text.splitlines())


def series(page: bytes) -> list[str]:
    """Give the names and labels of all series of a page."""
    lines = page.decode().splitlines()
    return sorted(line.rpartition(" ")[0] for line in lines if not line.startswith("#"))


def test_no_number_of_names_makes_a_page_or_evidence_grow(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """As many series with all names as with one, and no more than 257 tools in the counts."""
    registry = CollectorRegistry()
    monkeypatch.setattr("prometheus_client.REGISTRY", registry)
    metrics.expose(lambda: {NAME: migration_of(NAME).figures()})
    plugin = shadow()

    def met(number: int) -> None:
        name = f"tool-{number}"
        finish(plugin.tool_post_invoke(*call_of(name, name, SUCCESS)))
        finish(plugin.tool_post_invoke(*call_of(name, name, FAILURE)))

    met(0)
    before = series(generate_latest(registry))
    for number in range(1, NAMES_TRIED):
        met(number)
    after = series(generate_latest(registry))
    grown = set(after) - set(before)
    record_property("tried", NAMES_TRIED)
    record_property("lost", len(grown))
    assert before
    assert grown == set()
    impact = evidence_of(NAME).impact()
    assert len(impact) == 257
    assert sum(sum(kinds.values()) for kinds in impact.values()) >= NAMES_TRIED


def test_names_of_the_candidate_s_errors_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A label that is an open set of names has at most 50 values, one of which is all others."""
    registry = CollectorRegistry()
    monkeypatch.setattr("prometheus_client.REGISTRY", registry)
    metrics.expose(lambda: {NAME: migration_of(NAME).figures()})
    for number in range(1000):
        evidence_of(NAME).candidate_error(f"raised:Error{number}")
    found = [each for each in series(generate_latest(registry)) if "candidate_errors" in each]
    assert len(found) == 50
    assert sum("(others)" in each for each in found) == 1
