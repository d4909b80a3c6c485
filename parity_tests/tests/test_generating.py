"""Generated evidence: every stratum is met, and the same seed gives the same, however it is run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from retry_parity.cli import main
from retry_parity.replaying.generating import Generated, generate
from retry_parity.source import Seeded
from retry_parity.strata import Position, reachable
from retry_parity.strategies import aimed
from retry_parity.trial import Trial

if TYPE_CHECKING:
    from pathlib import Path

    from retry_parity.strata import Stratum


def run(*, workers: int = 2, scenarios: int = 150, at_least: int = 1) -> Generated:
    """Run a small series."""
    return generate("7", "rust", workers=workers, scenarios=scenarios, at_least=at_least)


def test_every_stratum_is_met_and_nothing_is_left_unexplained() -> None:
    """What no traffic shows is aimed at, until each has as many comparisons as were asked for."""
    found = run()
    assert found.missing == []
    strata = found.counts["strata"]
    assert set(strata) >= {str(stratum) for stratum in reachable()}
    assert found.counts["divergent"] == found.counts["harness_errors"] == {}
    assert found.counts["accepted"]


def test_the_same_seed_gives_the_same_with_any_number_of_workers() -> None:
    """What is missing is looked at after whole rounds only."""
    one, two = (run(workers=workers, scenarios=120, at_least=0) for workers in (1, 2))
    assert one == two
    assert one.scenarios == 120


@pytest.mark.parametrize(
    ("override", "text_check", "position"),
    [(False, False, Position.NEW), (True, True, Position.LATER), (True, False, Position.FIRST)],
)
def test_an_aimed_scenario_meets_the_strata_that_it_aims_at(
    override: bool,  # noqa: FBT001 - a parameter of the test
    text_check: bool,  # noqa: FBT001 - likewise
    position: Position,
) -> None:
    """Half of its decisions or more are at the place, and under the setting, that was asked for."""
    from retry_parity.evidence import evidence_of
    from retry_parity.walk import PLUGIN_NAME

    failures = list(Position).index(position)
    at, elsewhere = 0, 0
    for number in range(10):
        made = aimed(
            Seeded(f"{number}"), override=override, text_check=text_check, failures=failures
        )
        Trial(made).run()
        for stratum, verdicts in evidence_of(PLUGIN_NAME).strata().items():
            named = _named(stratum)
            hit = (named.override, named.text_check) == (override, text_check)
            at += sum(verdicts.values()) * (hit and named.position is position)
            elsewhere += sum(verdicts.values()) * (hit and named.position is not position)
    assert at > 20
    assert at * (failures + 1) * 2 > elsewhere


def _named(text: str) -> Stratum:
    return next(each for each in reachable() if str(each) == text)


def test_a_candidate_that_is_wrong_is_found(tmp_path: Path) -> None:
    """Exit status 1, and evidence of which verdict and report can tell."""
    asked = "--candidate never-retries --seed 7 --scenarios 50 --at-least 1 --workers 2"
    status = main(["generate", "--out", str(tmp_path), *asked.split()])
    assert status == 1
    (folder,) = (tmp_path / "generated").iterdir()
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in (folder / "counts.jsonl").read_text().splitlines()
    ]
    about, counts = lines
    assert (about["source"], about["seeds"], about["config"]) == ("generated", ["7"], "")
    assert counts["divergent"]["retry-lost"] > 10
    assert sum(kinds["retry-lost"] for kinds in counts["impact"].values() if "retry-lost" in kinds)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [(["--at-least", "0"], "whole number from 1"), (["--seed", "a\nb"], "--seed 'a\\nb'")],
)
def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    """What was given and what is allowed."""
    try:
        status = main(["generate", "--out", str(tmp_path), *arguments])
    except SystemExit as error:
        status = int(error.code or 0)
    assert status == 2
    assert line in capsys.readouterr().err
