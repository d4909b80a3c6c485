"""What fuzzing has found, each with its own test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from retry_parity.recipes import mapping
from retry_parity.scenarios import Call, Policy, Scenario
from retry_parity.trial import Trial

if TYPE_CHECKING:
    from retry_parity.evidence import Comparison
    from retry_parity.recipes import Recipe

FAILURE = mapping({"isError": True})


def unexplained(config: Recipe, ceiling: int | None = None) -> list[str]:
    """Let both sides decide on a failure under a config; give what no ledger entry explains."""
    found: list[str] = []

    def note(_: int, comparison: Comparison) -> None:
        found.extend(map(str, comparison.unexplained))

    Trial(Scenario(config, ceiling, (Call(0, "search", "r1", FAILURE),)), observer=note).run()
    return found


@pytest.mark.parametrize("key", ["max_retries", "backoff_base_ms", "max_backoff_ms"])
@pytest.mark.parametrize("number", [2**53 + 1, 2**62 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**70])
@pytest.mark.parametrize("ceiling", [None, 3])
def test_what_only_offers_an_integer_is_read_as_a_double(
    key: str, number: int, ceiling: int | None
) -> None:
    """Pydantic rounds such a number and bounds it; the core had taken it as it is."""
    offered = mapping({key: ("index", number), "jitter": False})
    assert unexplained(offered, ceiling) == []
    override = mapping({"jitter": False, "tool_overrides": mapping({"search": offered})})
    assert unexplained(override, ceiling) == []


@pytest.mark.parametrize("key", ["max_retries", "backoff_base_ms", "max_backoff_ms"])
@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**60])
@pytest.mark.parametrize("ceiling", [None, 3])
def test_a_whole_decimal_or_fraction_is_read_exactly(
    key: str, number: int, ceiling: int | None
) -> None:
    """Those from 2^63 on were refused, which the hybrid takes, or bounds by the ceiling."""
    for ratio in (("decimal", str(number)), ("fraction", number, 1)):
        assert unexplained(mapping({key: ratio, "jitter": False}), ceiling) == []


def test_an_override_whose_get_raises_is_explained_like_any_other() -> None:
    """The ledger had asked for `get`: the step failed, and the policies were not compared."""
    override = ("unreadable", (("max_retries", 9.5),))
    config = mapping({"jitter": False, "tool_overrides": mapping({"search": override})})
    counts = Trial(Scenario(config, 3, (Policy("search", 2),))).run()
    assert counts.harness_errors == {}
    assert dict(counts.accepted) == {"clamped-number": 1}


@pytest.mark.parametrize("key", ["max_retries", "backoff_base_ms", "max_backoff_ms"])
def test_a_number_that_is_an_enum_s_boolean_is_told_as_a_divergence(key: str) -> None:
    """Pydantic hands the boolean on, and the hybrid's metadata show it; the core's show a number.

    No YAML can say it, so no entry of the ledger accepts it, and nothing may hide it.
    """
    (told,) = unexplained(mapping({key: ("member", True), "jitter": False}))
    assert told == "metadata"
