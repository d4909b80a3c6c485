"""A wrong config is one clear line, whoever refuses it, and one report."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from cpex.framework import PluginConfig
from laboratory import NAME

from retry_parity import MigrationPlugin
from retry_parity.evidence import evidence_of
from retry_parity.refusal import ConfigRefusedError, one_line, refused
from retry_with_backoff import ConfigError

WHOLE = "allowed: an integer from 0 to 4294967295"
WRONG = [
    (
        {"tool_overrides": {"pay": {"max_retries": "x"}}},
        f'tool_overrides["pay"].max_retries: "x" given; {WHOLE}, not as text or float',
    ),
    ({"max_retries": 2**32}, f"max_retries: 4294967296 given; {WHOLE}"),
    ({"max_retries": "many"}, f'max_retries: "many" given; {WHOLE}'),
    (
        {"max_backoff_ms": 0},
        f"max_backoff_ms: 0 given; allowed: an integer from 1 to {2**64 - 1} (milliseconds)",
    ),
]


def load(flag: str, config: dict[str, Any]) -> MigrationPlugin:
    """Load the migration plugin."""
    flagged = {**config, "migration": {"implementation": flag}}
    return MigrationPlugin(PluginConfig(name=NAME, kind="x", config=flagged))


@pytest.mark.parametrize("flag", ["legacy", "shadow"])
@pytest.mark.parametrize(("config", "line"), WRONG)
def test_what_the_hybrid_refuses_is_said_in_the_cores_one_line(
    caplog: pytest.LogCaptureFixture, flag: str, config: dict[str, Any], line: str
) -> None:
    """The exception is the only report, and the hybrid's own is its cause."""
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigRefusedError) as found:
        load(flag, config)
    assert str(found.value) == line
    assert isinstance(found.value.__cause__, ValueError | TypeError | OverflowError)
    assert not isinstance(found.value.__cause__, ConfigRefusedError)
    assert caplog.records == []


@pytest.mark.parametrize(("config", "line"), WRONG)
def test_the_core_alone_says_the_same(config: dict[str, Any], line: str) -> None:
    """Under rust it is the core's own exception."""
    with pytest.raises(ConfigError) as found:
        load("rust", config)
    assert str(found.value) == line


def test_two_refusals_are_compared_all_the_same() -> None:
    """Nobody is told twice, and the evidence has it."""
    with pytest.raises(ConfigRefusedError):
        load("shadow", {"max_retries": 2**32})
    counts = evidence_of(NAME).counts()
    assert counts.accepted == {"error-family-at-load": 1}
    assert counts.candidate_errors == counts.divergent == {}


def test_a_config_that_only_the_core_refuses_is_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once for each reason, however often the gateway builds its plugins, and no traceback."""
    for value in ("perhaps", "perhaps", "maybe"):
        load("shadow", {"tool_overrides": {"pay": {"check_text_content": value}}})
    lines = [record.getMessage() for record in caplog.records]
    allowed = "allowed: a boolean (true, false, yes, no, on, off, 1, 0)"
    assert lines == [
        f"{NAME}: the candidate refuses this config, so nothing is compared: "
        f'tool_overrides["pay"].check_text_content: "{value}" given; {allowed}'
        for value in ("perhaps", "maybe")
    ]
    assert {(record.levelno, record.exc_info) for record in caplog.records} == {
        (logging.WARNING, None)
    }
    assert evidence_of(NAME).counts().accepted == {"override-at-load": 3}


@pytest.mark.parametrize("flag", ["legacy", "shadow"])
def test_a_wrong_ceiling_is_one_line_as_well(monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    """The config is innocent then, and the hybrid's own words say so."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", "-3")
    with pytest.raises(ConfigRefusedError, match="MAX_TOOL_RETRIES: '-3' given"):
        load(flag, {})


def test_the_ceiling_is_taken_into_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that the ceiling lowers is not what is wrong."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", "3")
    config = {"max_retries": 2**40, "max_backoff_ms": 0}
    with pytest.raises(ConfigRefusedError, match=r"^max_backoff_ms: 0 given"):
        load("legacy", config)


def test_where_the_core_has_no_objection_the_hybrids_error_is_put_on_one_line() -> None:
    """A message of many lines becomes one, a missing one the class's name, a long one short."""
    from retry_legacy import RetryConfig

    assert str(refused(ValueError("two\n lines"), {})) == "two lines"
    assert one_line(TypeError()) == "TypeError"
    assert len(one_line(ValueError("x" * 1000))) < 310
    with pytest.raises(ValueError, match="max_retries") as found:
        RetryConfig.model_validate({"max_retries": "many", "jitter": []})
    line = one_line(found.value)
    assert "\n" not in line
    assert line.startswith("max_retries: 'many' given; ")
    assert "; jitter: [] given; " in line


def test_a_missing_implementation_is_no_wrong_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be imported is named as what it is."""
    monkeypatch.setitem(__import__("sys").modules, "retry_legacy", None)
    with pytest.raises(ImportError):
        load("legacy", {"max_retries": "many"})
