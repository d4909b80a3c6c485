"""What an emitted regression test imports: fixtures, and the check of a candidate against one."""

from __future__ import annotations

import json
import logging
import math
import os
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import retry_legacy
from retry_parity import regressions
from retry_parity.differential.reducing import Sample
from retry_parity.differential.subject import Finding
from retry_parity.minimizing.fixtures import (
    Decision,
    Fixture,
    FixtureError,
    read_fixture,
    recipe_of,
    written,
)
from retry_parity.minimizing.reduction import fixture_of
from retry_parity.minimizing.rehearsal import MinimizeError, rehearse
from retry_parity.recipes import mapping, sequence
from retry_parity.scenarios import Call, Fetch, Scenario, Wait
from retry_with_backoff import _core

if TYPE_CHECKING:
    from pathlib import Path

PLAIN: Final = mapping({"jitter": False, "backoff_base_ms": 100})
FAILURE: Final = mapping({"isError": True})
#: Raises in the hybrid, and is no failure to the core (ledger: status-range).
BEYOND: Final = mapping({"structuredContent": mapping({"status_code": 2**40})})


def call(result: Any = FAILURE, tool: str = "search", request_id: str = "r1") -> Call:
    """Make a call."""
    return Call(0, tool, request_id, result)


def fixture(*steps: Any, ceiling: int | None = None) -> Fixture:
    """Make the fixture of a candidate that loses every retry."""
    last = len(steps) - 1
    sample = Sample("", Scenario(PLAIN, ceiling, steps), Finding("retry-lost", "", last, "", ""))
    return fixture_of(sample, "never-retries", "0" * 64)


def saved(folder: Path, made: Fixture) -> Path:
    """Write a fixture."""
    path = folder / "fixture.json"
    path.write_text(written(made))
    return path


# --- checking ------------------------------------------------------------------------------------


def test_the_right_candidate_passes_and_the_wrong_one_fails_with_the_first_wrong_step(
    tmp_path: Path,
) -> None:
    """The message says which step, what was expected, and what was got."""
    path = saved(tmp_path, fixture(call(), Wait(1.0), call()))
    regressions.check(path)
    with pytest.raises(AssertionError) as failed:
        regressions.check(path, candidate="never-retries")
    assert str(failed.value).splitlines() == [
        "retry-lost: the candidate never-retries decides otherwise than legacy",
        *(
            f"  step {step} of 3 ('search', request 'r1'): expected a retry in {delay_ms} ms, "
            "got no retry (retry-lost)"
            for step, delay_ms in ((1, 100), (3, 200))
        ),
    ]


def test_what_the_ledger_accepts_is_accepted(tmp_path: Path) -> None:
    """The hybrid raises for a status beyond 32 bits; the core does not, and is right."""
    made = fixture(call(BEYOND), call())
    assert made.expected[0] == Decision(raises="ArithmeticError")
    assert made.accepted[0].ledger == ("status-range",)
    assert made.accepted[0].instead.delay_ms == 0
    regressions.check(saved(tmp_path, made))


def test_the_candidate_is_the_environments_or_the_rust_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that is none is refused, with those that are."""
    assert regressions.candidate() == "rust"
    monkeypatch.setenv(regressions.CANDIDATE_VARIABLE, "broken-example")
    assert regressions.candidate() == "broken-example"
    monkeypatch.setenv(regressions.CANDIDATE_VARIABLE, "nobody")
    with pytest.raises(FixtureError, match="allowed are rust, broken-example"):
        regressions.candidate()


def test_a_fixture_that_the_reference_does_not_bear_out_fails(tmp_path: Path) -> None:
    """It would test nothing."""
    path = saved(tmp_path, fixture(call()))
    document = json.loads(path.read_text())
    document["steps"][0]["expected"]["retry_delay_ms"] = 101
    path.write_text(json.dumps(document))
    with pytest.raises(AssertionError, match="out of date: it expects a retry in 101 ms with"):
        regressions.check(path)


def test_with_jitter_both_ends_of_the_range_are_drawn() -> None:
    """The reference is taken at its longest delay, so that its draw of 0 hides nothing."""
    config = mapping({"backoff_base_ms": 1, "max_retries": 3})
    runs = rehearse(Scenario(config, None, (call(), call(), call())), "rust")
    delays = [
        [
            [getattr(each.outcome, "delay_ms", 0) for each in sides if each]
            for deed in run
            for sides in [(deed.comparison.reference, deed.comparison.candidate)]
        ]
        for run in runs
    ]
    assert delays == [[[1, 1], [2, 1], [4, 1]], [[1, 1], [2, 2], [4, 4]]]
    assert not any(deed.signature for run in runs for deed in run)


def test_a_check_leaves_the_process_as_it_found_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clocks, ceiling and logging are put back, and no chain is left."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", "7")
    made = fixture(call(), ceiling=1)
    regressions.check(saved(tmp_path, made))
    assert os.environ["MAX_TOOL_RETRIES"] == "7"
    assert retry_legacy.live_chains() == _core.live_chains() == 0
    assert logging.root.manager.disable == logging.NOTSET
    before = retry_legacy.clock.now_s()
    assert retry_legacy.clock.now_s() >= before > 0


def test_a_scenario_that_shows_nothing_makes_no_fixture() -> None:
    """A test that passes on the candidate it was made of is none."""
    with pytest.raises(MinimizeError, match="does not show each time"):
        fixture(call(mapping({"isError": False})))


# --- the format ----------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**40), 10**40), st.floats(), st.text(max_size=8)
)


def dictionaries(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects whose keys are in order, as they are once they were written."""
    made = st.dictionaries(st.text(max_size=5), values, max_size=3)
    return made.map(lambda each: dict(sorted(each.items())))


JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), dictionaries(inner)),
    max_leaves=12,
)
CONTAINERS = st.sampled_from(["dict", "snapshot", "lazy"])


@st.composite
def any_fixture(draw: Any) -> Fixture:
    """Fixtures of any data."""
    steps: list[Any] = []
    expected = {}
    for number in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            steps.append(Wait(draw(st.floats(0, 1e6))))
            continue
        result = recipe_of(draw(JSON), draw(CONTAINERS))
        steps.append(Call(0, draw(st.text(max_size=5)), draw(st.text(max_size=5)), result))
        metadata = {"retry_policy": {"max_retries": draw(st.integers(0, 9))}}
        expected[number] = draw(
            st.sampled_from(
                (Decision(0, metadata=metadata), Decision(7, drawn=True), Decision(raises="A"))
            )
        )
    config = recipe_of(draw(dictionaries(JSON)))
    ceiling = draw(st.none() | st.integers(0, 9))
    scenario = Scenario(config, ceiling, tuple(steps))
    return Fixture("delay", "rust", "0" * 64, scenario, len(steps) - 1, expected, load="OSError")


@given(any_fixture())
def test_what_is_written_is_strict_json_and_reads_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, made: Fixture
) -> None:
    """Rule: any reader of JSON takes it, with sorted keys; types, NaN and kinds of dict stay."""
    text = written(made)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    document = json.loads(text, parse_constant=refuse)
    assert list(document) == sorted(document)
    path = tmp_path_factory.mktemp("fixtures") / "fixture.json"
    path.write_text(text, encoding="utf-8")
    read = read_fixture(path)
    assert repr(read) == repr(made)
    assert written(read) == text


def test_numbers_that_json_does_not_know_are_named_beside_it() -> None:
    """As in the corpus: null in place, and a pointer from the root."""
    odd = mapping({"a/b~": sequence([1, math.nan]), "far": -math.inf})
    made = Fixture("delay", "rust", "", Scenario(mapping({}), None, (call(odd),)), 0, {})
    document = json.loads(written(made))
    assert document["nonfinite"] == {
        "/steps/0/call/result/a~1b~0/1": "NaN",
        "/steps/0/call/result/far": "-Infinity",
    }


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        (Scenario(mapping({1: 2}), None, ()), "a key of type int"),
        (Scenario(mapping({"a": ("thing",)}), None, ()), "a value of kind thing"),
        (Scenario(mapping({"a": b"x"}), None, ()), "a value of type bytes"),
        (Scenario(mapping({}), None, (Fetch(0),)), "a fetch is no step"),
    ],
)
def test_what_json_has_no_word_for_is_refused(scenario: Scenario, said: str) -> None:
    """Rule: nothing is written that would read as something else."""
    with pytest.raises(FixtureError, match=said):
        written(Fixture("delay", "rust", "", scenario, 0, {}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no strict JSON"),
        ("[]", "is no fixture of format 1"),
        ('{"format": 2}', "is no fixture of format 1"),
        ('{"format": 1}', "is no fixture of format 1: KeyError"),
        ('{"format": 1, "steps": NaN}', "is no strict JSON: it has NaN"),
        ('{"format": 1, "steps": 5}', "is no fixture of format 1: TypeError"),
    ],
)
def test_a_file_that_is_no_fixture_is_refused_in_one_line(
    tmp_path: Path, text: str, said: str
) -> None:
    """With its path, and what is wrong."""
    path = tmp_path / "fixture.json"
    path.write_text(text)
    with pytest.raises(FixtureError, match=said) as refused:
        regressions.check(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_a_missing_fixture_is_said_to_be_missing(tmp_path: Path) -> None:
    """One line, with the path."""
    with pytest.raises(FixtureError, match=r"nowhere\.json: cannot be read: No such file"):
        regressions.check(tmp_path / "nowhere.json")
