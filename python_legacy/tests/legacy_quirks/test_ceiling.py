"""The gateway's limit on retries."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .driver import Load


def max_retries(load: Load, **keys: Any) -> int:
    """Load a plugin and read the budget of the tool "tool"."""
    budget: int = load(**keys).hook(None).metadata["retry_policy"]["max_retries"]
    return budget


def gateway(monkeypatch: pytest.MonkeyPatch, **settings: object) -> None:
    """Pretend that the gateway is loaded in this process."""
    loaded = SimpleNamespace(settings=SimpleNamespace(**settings))
    monkeypatch.setitem(sys.modules, "mcpgateway.config", loaded)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Collect the warnings of the package."""
    return [r.getMessage() for r in caplog.records if r.name == "retry_legacy"]


def test_without_a_ceiling_nothing_is_clamped(
    load_on: Load, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no limit of the plugin's own."""
    assert max_retries(load_on, max_retries=1000) == 1000
    assert warnings(caplog) == []


def test_the_environment_clamps_the_base(
    load_on: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A base above the ceiling is lowered to it, with one warning."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", " 3 ")
    assert max_retries(load_on, max_retries=9) == 3
    assert warnings(caplog) == ["max_retries=9 is more than the gateway allows, using 3"]


def test_an_override_is_clamped_by_itself(
    load_on: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning names the override; the base stays."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", "3")
    assert max_retries(load_on, tool_overrides={"tool": {"max_retries": 4}}) == 3
    assert warnings(caplog) == [
        "tool_overrides['tool'].max_retries=4 is more than the gateway allows, using 3"
    ]


def test_what_is_not_above_the_ceiling_stays(
    load_on: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A budget equal to the ceiling is neither changed nor warned of."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", "3")
    assert max_retries(load_on, max_retries=3, tool_overrides={"tool": {"max_retries": 2}}) == 2
    assert warnings(caplog) == []


def test_a_ceiling_of_0_forbids_retries(load_on: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 is a ceiling like any other."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", "0")
    assert load_on(max_retries=9).delay() == 0


@pytest.mark.parametrize("wanted", [9.5, float("inf"), 2**40])
def test_an_override_above_the_ceiling_is_accepted_whatever_its_type(
    load_on: Load, monkeypatch: pytest.MonkeyPatch, wanted: float
) -> None:
    """Clamping comes before the strict types: what raises without a ceiling passes with one."""
    with pytest.raises((TypeError, OverflowError)):
        load_on(tool_overrides={"tool": {"max_retries": wanted}})
    monkeypatch.setenv("MAX_TOOL_RETRIES", "3")
    assert max_retries(load_on, tool_overrides={"tool": {"max_retries": wanted}}) == 3


def test_a_loaded_gateway_goes_before_the_environment(
    load_on: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway's settings are the first source."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", "1")
    gateway(monkeypatch, max_tool_retries=4)
    assert max_retries(load_on, max_retries=9) == 4


def test_a_gateway_without_the_setting_leaves_it_to_the_environment(
    load_on: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older gateway has no such setting."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", "1")
    gateway(monkeypatch)
    assert max_retries(load_on, max_retries=9) == 1


def test_a_blank_variable_is_unset(load_on: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank means no ceiling."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", "  ")
    assert max_retries(load_on, max_retries=9) == 9


@pytest.mark.parametrize("text", ["x", "-1", "2.5", "9" * 5000])
def test_a_wrong_variable_is_refused_at_load(
    load_on: Load, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """The error names the variable, the value and what is allowed, on one line."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", text)
    with pytest.raises(ValueError, match=r"^MAX_TOOL_RETRIES: '.+' given, an integer .* allowed$"):
        load_on()


def test_a_wrong_gateway_setting_is_refused_at_load(
    load_on: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rule and message hold for the gateway's setting."""
    gateway(monkeypatch, max_tool_retries="3")
    with pytest.raises(ValueError, match=r"settings\.max_tool_retries: '3' given"):
        load_on()
