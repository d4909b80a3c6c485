"""What the suite notices, as last measured: no hole, no false alarm, and faults that still fit."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from retry_parity.detection import report
from retry_parity.detection.__main__ import DECISIONS, RESULT
from retry_parity.detection.mutants import ROOT, DetectionError, by_hand
from retry_parity.detection.report import document, reason_for, stale

if TYPE_CHECKING:
    from pathlib import Path

#: Areas in which faults have to be tried.
AREAS = {"config", "failure", "text", "backoff", "state", "TTL", "metadata", "bindings"}
FEWEST = 60


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """The last measurement."""
    told: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    return told


def test_every_fault_written_by_hand_fits_its_file() -> None:
    """Its text occurs once in the source, so that it is the one change that it says it is."""
    mutants = by_hand()
    names = [mutant.name for mutant in mutants]
    assert len(set(names)) == len(names)
    for mutant in mutants:
        text = (ROOT / mutant.file).read_text(encoding="utf-8")
        assert text[mutant.start : mutant.end] != mutant.replacement


def test_a_fault_that_fits_no_longer_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A source that moved on must not turn a fault into none."""
    (tmp_path / "boundary.toml").write_text(
        '[[mutant]]\nname = "gone"\narea = "text"\nfile = "Makefile"\n'
        'find = "no such line"\nreplace = ""\n',
        encoding="utf-8",
    )
    monkeypatch.setattr("retry_parity.detection.mutants.files", lambda _: tmp_path)
    with pytest.raises(DetectionError, match="'gone': its text occurs 0 times in Makefile"):
        by_hand()


def test_enough_faults_were_tried_in_every_area(measured: dict[str, Any]) -> None:
    """A table of a few easy faults would prove little."""
    assert len(measured["mutants"]) >= FEWEST
    assert {row["area"] for row in measured["mutants"]} >= AREAS
    assert {mutant.name for mutant in by_hand()} <= {row["name"] for row in measured["mutants"]}


def test_a_fault_that_nothing_found_changes_no_decision(measured: dict[str, Any]) -> None:
    """A missed fault is explained in equivalent.toml, or the suite has a hole to close."""
    missed = [row["name"] for row in measured["mutants"] if not row["found_by"]]
    assert [name for name in missed if reason_for(name) is None] == []
    assert stale(measured) == []


def test_the_reference_raises_no_alarm_against_itself(measured: dict[str, Any]) -> None:
    """An alarm without a fault would train people to ignore alarms."""
    assert measured["alarms"]["alarms"] == 0
    assert measured["alarms"]["decisions"] >= DECISIONS


def row(name: str, found_by: str = "scenarios", area: str = "text") -> dict[str, Any]:
    """A row of a measurement."""
    return {
        "name": name,
        "area": area,
        "by_hand": False,
        "found_by": found_by,
        "what": "retry-lost" if found_by else "",
        "scenarios": 3,
        "decisions": 30,
        "seconds": 0.5,
    }


def test_the_document_tells_holes_from_faults_that_change_no_decision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What nothing found is counted as a hole until somebody says why it is none."""
    pattern = re.compile("harmless")
    monkeypatch.setattr(report, "equivalents", lambda: [(pattern, "it is only a name")])
    told = document(
        {
            "sources": "abc",
            "versions": "Python",
            "do_not_compile": 1,
            "mutants": [row("found"), row("harmless", ""), row("hole", "")],
            "alarms": {"decisions": 10, "scenarios": 1, "alarms": 0, "what": [], "seconds": 1},
        }
    )
    assert "**Faults: 1 of 2 found**; 1 are holes. 1 more change no decision" in told
    assert "| `harmless` | it is only a name |" in told
    assert told.endswith("## Holes\n\n- hole (text)\n")
    assert stale({"mutants": [row("harmless")]}) == ["harmless"]
