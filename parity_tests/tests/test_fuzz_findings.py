"""What fuzzing has found, each with its own test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from retry_parity.recipes import mapping
from retry_parity.scenarios import Call, Scenario
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
