"""The differential tests serve any cpex plugin: here one that masks words in tool results.

What this plugin brings is in `masking`; from there on it is `retry_parity.differential` alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from masking.subject import MaskSubject

from retry_parity.differential import compare
from retry_parity.differential.campaign import Limits
from retry_parity.differential.compare import Plan, compare_builds
from retry_parity.differential.display import as_json, verdict
from retry_parity.differential.environments import Environments

if TYPE_CHECKING:
    from retry_parity.differential.campaign import Outcome

SCENARIOS = 150


def run(reference: str, candidate: str) -> tuple[Outcome, dict[str, Any]]:
    """Compare two versions."""
    subject = MaskSubject()
    plan = Plan(reference, candidate, Limits(None, SCENARIOS), "1")
    outcome, abouts = compare_builds(plan, subject, Environments())
    return outcome, as_json(outcome, subject, abouts, "1")


@pytest.fixture(autouse=True)
def no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the library that stops the clock: this plugin has no use for the time."""
    monkeypatch.setattr(compare, "clock_library", lambda: None)


def test_a_rewrite_that_is_right_is_equal() -> None:
    """Rule: two ways to do the same show nothing."""
    outcome, told = run("old", "new")
    assert (verdict(outcome), outcome.scenarios) == ("equal", SCENARIOS)
    assert outcome.decisions > SCENARIOS
    assert told["builds"]["candidate"]["plugin"] == "masking.plugins:RewrittenMaskPlugin"


def test_a_rewrite_with_a_bug_is_found_out_and_the_bug_comes_down_to_one_text() -> None:
    """Rule: one word of one letter, one text that has it twice, and that is all."""
    outcome, told = run("old", "hasty")
    assert not outcome.equal
    assert outcome.scenarios == SCENARIOS
    assert set(outcome.divergent) == {"masked-unlike"}
    causes = outcome.causes
    assert all(cause.reduced for cause in causes)
    for cause in causes:
        (word,), (text,) = cause.smallest.scenario
        assert len(word) == 1
        assert text.lower() == 2 * word.lower()
        assert cause.smallest.finding.reference == "'**'"
        assert cause.smallest.finding.candidate == repr(f"*{text[1]}")
    assert [each["smallest"][1] for each in told["causes"]] == [
        repr(cause.smallest.scenario[1][0]) for cause in causes
    ]


def test_nothing_in_differential_knows_the_retry_plugin() -> None:
    """Rule: of this package it imports itself and the command line's parts; of plugins, nothing."""
    folder = Path(compare.__file__).parent
    imports = {
        name
        for file in folder.glob("*.py")
        for name in re.findall(r"(?m)^\s*(?:from|import) (retry_[\w.]+)", file.read_text())
        if not name.startswith("retry_parity.differential")
    }
    parts = ("arguments", "input", "lifetime", "output")
    assert imports == {f"retry_parity.{part}" for part in parts}
