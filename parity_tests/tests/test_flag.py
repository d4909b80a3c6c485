"""The flag: where it is read, what wins, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from retry_parity.flag import Flag, FlagError, Implementation, read_flag, without_section


def section(value: Any) -> dict[str, Any]:
    """Make a plugin config with a value of the flag."""
    return {"max_retries": 3, "migration": {"implementation": value}}


@pytest.mark.parametrize("config", [None, {}, {"max_retries": 3}, {"migration": None}, [], "odd"])
def test_the_default_is_legacy(config: Any) -> None:
    """Without a flag the hybrid decides; what is no mapping carries none."""
    assert read_flag(config, {}) == Flag(Implementation.LEGACY, "default")


@pytest.mark.parametrize("value", ["legacy", "shadow", "rust"])
def test_the_config_sets_the_flag(value: str) -> None:
    """``migration.implementation`` takes the values by name."""
    assert read_flag(section(value), {}) == Flag(Implementation(value), "migration.implementation")


def test_the_environment_wins_over_the_config() -> None:
    """Environment before plugin config."""
    flag = read_flag(section("rust"), {"RETRY_IMPLEMENTATION": " shadow "})
    assert flag == Flag(Implementation.SHADOW, "RETRY_IMPLEMENTATION")


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_variable_counts_as_unset(blank: str) -> None:
    """An empty variable is how many deployments say "not set"."""
    flag = read_flag(section("rust"), {"RETRY_IMPLEMENTATION": blank})
    assert flag.implementation is Implementation.RUST


@pytest.mark.parametrize("value", ["Rust", "hybrid", "", 1, True, ["rust"]])
@pytest.mark.parametrize("environ", [{}, {"RETRY_IMPLEMENTATION": "legacy"}])
def test_an_unknown_value_is_refused_with_the_four_valid_ones(
    value: Any, environ: dict[str, str]
) -> None:
    """One line that names the place, the value and all four values, even where it does not win."""
    with pytest.raises(FlagError) as refused:
        read_flag(section(value), environ)
    expected = f"migration.implementation: {value!r} is not one of legacy, shadow, canary, rust"
    assert str(refused.value) == expected


def test_an_unknown_value_in_the_environment_is_refused() -> None:
    """The environment is no less strict than the config."""
    with pytest.raises(FlagError) as refused:
        read_flag({}, {"RETRY_IMPLEMENTATION": "on"})
    expected = "RETRY_IMPLEMENTATION: 'on' is not one of legacy, shadow, canary, rust"
    assert str(refused.value) == expected


def test_the_implementations_get_a_copy_without_the_section() -> None:
    """Neither side sees ``migration:``, and neither can change the operator's config."""
    config = section("rust") | {"tool_overrides": {"a": {"retry_on_status": [500]}}}
    given = without_section(config)
    assert given == {"max_retries": 3, "tool_overrides": {"a": {"retry_on_status": [500]}}}
    given["tool_overrides"]["a"]["retry_on_status"].append(503)
    assert config["tool_overrides"] == {"a": {"retry_on_status": [500]}}
    assert without_section("odd") == "odd"
