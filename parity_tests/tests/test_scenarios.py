"""Generated scenarios: the core decides as the hybrid does, or as the ledger says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from retry_parity import configs, results, strategies
from retry_parity.recipes import mapping, sequence
from retry_parity.scenarios import Call, Policy, Scenario
from retry_parity.source import Drawn
from retry_parity.trial import Trial

if TYPE_CHECKING:
    from retry_parity.evidence import Comparison
    from retry_parity.source import Source


def source(data: st.DataObject) -> Source:
    """Choices that Hypothesis draws, and shrinks."""
    return Drawn(lambda low, high: data.draw(st.integers(low, high)))


def unexplained(scenario: Scenario) -> list[str]:
    """Run a scenario; give every divergence that no ledger entry explains, and every failure."""
    found: list[str] = []

    def note(step: int, comparison: Comparison) -> None:
        if comparison.unexplained:
            found.append(f"step {step}: {comparison.signature}")

    counts = Trial(scenario, observer=note).run()
    found.extend(f"harness: {step}" for step in counts.harness_errors)
    return found


@given(st.data())
def test_a_config_is_taken_refused_and_coerced_alike(data: st.DataObject) -> None:
    """Same configs accepted and refused at load; same settings in force, by metadata and policy."""
    choices = source(data)
    config = configs.odd_config(choices)
    ceiling = choices.pick((None, 3, 1, 0))
    steps = tuple(
        step
        for tool in ("search", "pay", "\ud800")
        for step in (Call(0, tool, "r1", None), Policy(tool, 2))
    )
    assert unexplained(Scenario(config, ceiling, steps)) == []


@given(st.data())
def test_a_single_result_is_judged_alike(data: st.DataObject) -> None:
    """Every kind of result in every container, under every config, on a new chain."""
    choices = source(data)
    config = configs.valid_config(choices)
    steps = tuple(
        Call(0, tool, f"r{number}", results.result(choices), "trace" if number else None)
        for number, tool in enumerate(("search", "pay"))
    )
    assert unexplained(Scenario(config, None, steps)) == []


@given(st.data())
def test_every_text_is_read_alike(data: st.DataObject) -> None:
    """Every text that json.loads takes or refuses, alone in a result without other signals."""
    choices = source(data)
    config = mapping({"check_text_content": True, "jitter": False})
    item = mapping({"type": "text", "text": results.text(choices)})
    result = mapping({"content": sequence([item])})
    assert unexplained(Scenario(config, None, (Call(0, "search", "r1", result),))) == []


@given(st.data())
def test_whole_scenarios_are_decided_alike(data: st.DataObject) -> None:
    """Tools, requests, plugin objects and waits mixed: the chains stay the same on both sides."""
    assert unexplained(strategies.scenario(source(data))) == []
