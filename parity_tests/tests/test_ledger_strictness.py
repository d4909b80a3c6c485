"""An entry of the ledger covers what it names and no fault beside it; its data are checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cpex.framework import PluginConfig
from laboratory import (
    FAILURE,
    HUGE_STATUS,
    NAME,
    SUCCESS,
    TOO_LONG,
    Angry,
    Laboratory,
    accepted,
    answered,
    texts,
)

from retry_parity import ledger
from retry_parity.evidence import evidence_of
from retry_parity.ledger import LedgerError, parse_ledger
from retry_parity.shadow import Shadow
from retry_with_backoff import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

METRICS = {"retry_count": 1, "retry_delay_ms": 100}


@pytest.mark.parametrize(
    ("config", "result", "answer", "signature"),
    [
        ({"jitter": True}, SUCCESS, answered(1), "retry-extra"),
        ({"max_retries": 0, "jitter": True}, FAILURE, answered(1), "metadata+retry-extra"),
        ({}, HUGE_STATUS, answered(100), "raised-only-by-reference:OverflowError"),
        ({}, HUGE_STATUS, answered(other=1), "raised-only-by-reference:OverflowError"),
        (
            {"check_text_content": True},
            texts(TOO_LONG, '{"isError": true}'),
            answered(0),
            "raised-only-by-reference:ValueError",
        ),
        (
            {"check_text_content": True},
            SUCCESS | {"content": 5},
            answered(100),
            "raised-only-by-reference:TypeError",
        ),
        ({}, Angry(), answered(0), "raised-only-by-reference:RuntimeError"),
        ({}, FAILURE, answered(100, retry_with_backoff={"retry_count": 1}), "metadata"),
        (
            {},
            FAILURE,
            answered(100, retry_with_backoff=METRICS | {"retry_count": 2}),
            "metadata",
        ),
        (
            {},
            FAILURE,
            answered(100, retry_with_backoff=METRICS, another=1),
            "metadata",
        ),
        (
            {},
            SUCCESS,
            answered(0, retry_with_backoff={"retry_count": 3, "retry_delay_ms": 0}),
            "metadata",
        ),
    ],
)
def test_an_entry_does_not_cover_a_fault_in_its_neighbourhood(
    config: dict[str, Any], result: Any, answer: Any, signature: str
) -> None:
    """A wrong decision where a difference is accepted is a divergence all the same."""
    lab = Laboratory(lambda *_: answer, check_payload=False, **config)
    comparison = lab.call(result, trace_id="t1")
    assert comparison.signature == signature
    assert comparison.accepted == ()


@pytest.mark.parametrize("cause", [None, "tool_post_invoke: OverflowError"])
@pytest.mark.parametrize(
    ("config", "result", "error"),
    [
        ({}, HUGE_STATUS, "OverflowError"),
        ({"check_text_content": True}, SUCCESS | {"content": 5}, "TypeError"),
        ({"check_text_content": True}, texts(TOO_LONG, '{"isError": true}'), "ValueError"),
    ],
    ids=["status", "content", "text"],
)
def test_an_internal_error_is_no_excuse_where_a_decision_is_promised(
    config: dict[str, Any], result: Any, error: str, cause: str | None
) -> None:
    """Where an entry says what the core decides, an error turned into "no retry" is a fault."""

    def fail(*_: Any) -> Any:
        lab.internal_errors += 1
        return answered(0)

    lab = Laboratory(fail, check_payload=False, **config)
    lab.internal_cause = cause
    comparison = lab.call(result)
    assert comparison.signature == f"raised-only-by-reference:{error}"
    assert comparison.accepted == ()


@pytest.mark.parametrize(
    ("cause", "explained"),
    [
        ("tool_post_invoke: RuntimeError", ("error-wrapper",)),
        (None, ("error-wrapper",)),
        ("tool_post_invoke: PanicException", ()),
    ],
)
def test_an_internal_error_must_be_the_one_the_hybrid_met(
    cause: str | None, explained: tuple[str, ...]
) -> None:
    """Another class of error is an error of the core's own."""

    def fail(*_: Any) -> Any:
        lab.internal_errors += 1
        return answered(0)

    lab = Laboratory(fail, check_payload=False)
    lab.internal_cause = cause
    assert lab.call(Angry()).accepted == explained


@pytest.mark.parametrize(
    ("make", "signature"),
    [
        (
            lambda: ValueError("max_retries: too many"),
            "raised-differently:OverflowError/ValueError",
        ),
        (
            lambda: ConfigError("nothing is good enough"),
            "raised-differently:OverflowError/ConfigError",
        ),
        (lambda: ConfigError("max_retries: too many"), ""),
    ],
)
def test_only_the_cores_refusal_that_names_a_key_is_another_error_family(
    make: Callable[[], ValueError], signature: str
) -> None:
    """A refusal of any other class, or without a place in the config, is a divergence."""

    def refuse(*_: Any) -> Any:
        raise make()

    config = PluginConfig(name=NAME, kind="x", config={"max_retries": 2**32})
    with pytest.raises(OverflowError):
        Shadow(config, load=refuse)
    assert evidence_of(NAME).counts().divergent == ({signature: 1} if signature else {})


@pytest.mark.parametrize("config", [{1: 2}, [1]])
def test_a_config_without_text_keys_is_named_as_a_whole(config: Any) -> None:
    """There is no key to name then."""
    with pytest.raises(TypeError):
        Shadow(PluginConfig.model_construct(name=NAME, kind="x", config=config))
    assert evidence_of(NAME).counts().accepted == {"error-family-at-load": 1}


def test_metrics_without_a_trace_are_a_divergence() -> None:
    """Only a traced call has metrics."""
    lab = Laboratory(lambda *_: answered(100, retry_with_backoff=METRICS))
    assert lab.call(FAILURE).signature == "metadata"


def test_a_retry_lost_on_a_name_with_a_colon_is_no_collision() -> None:
    """A colon alone explains nothing: another pair with the same key must have been seen."""
    lab = Laboratory(lambda *_: answered(0))
    assert lab.call(FAILURE, tool="a:b", request_id="c").signature == "retry-lost"


def test_a_wrong_delay_on_a_shared_key_is_a_divergence() -> None:
    """The core must decide by its own count of the pair."""
    lab = Laboratory(lambda *_: answered(100))
    lab.call(FAILURE, tool="a:b", request_id="c")
    lab.call(FAILURE, tool="a", request_id="b:c")
    assert lab.call(FAILURE, tool="a", request_id="b:c").signature == "retry-extra"


def test_a_wrong_delay_after_an_accepted_difference_is_a_divergence() -> None:
    """What follows must be what the core's own count gives."""
    answers = iter([answered(100), answered(0), answered(150)])
    lab = Laboratory(lambda *_: next(answers))
    lab.call(FAILURE)
    assert accepted(lab.call(HUGE_STATUS)) == ("status-range",)
    assert lab.call(FAILURE).signature == "delay"


def test_a_candidate_that_loads_nothing_is_not_excused_by_a_bad_override() -> None:
    """The override must be the cause: without it the candidate loads."""

    def refuse(_: Any) -> Any:
        message = "pay: nothing is good enough"
        raise ValueError(message)

    lab = Laboratory(tool_overrides={"pay": {"check_text_content": "perhaps"}})
    Shadow(lab.config, load=refuse)
    assert lab.counts.divergent == {"load-refused-only-by-candidate:ValueError": 1}


ENTRY = """
[[entry]]
id = "one"
scope = "decision"
predicate = "jitter_zero"
covers = ["delay"]
review_by = 2027-01-31
reference = "a"
candidate = "b"
reason = "c"
[entry.example]
given = "d"
reference = "e"
candidate = "f"
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "entry"),
        ("x = ", "no TOML"),
        (ENTRY + ENTRY, "twice"),
        (ENTRY.replace("jitter_zero", "anything"), "predicate"),
        (ENTRY.replace('"delay"', '"speed"'), "covers"),
        (ENTRY.replace("2027-01-31", '"soon"'), "review_by"),
        (ENTRY.replace('reason = "c"', ""), "reason"),
        (ENTRY.replace('given = "d"', ""), "example"),
        (ENTRY.replace("scope", "extra = 1\nscope"), "extra"),
        (ENTRY.replace('"decision"', '"life"'), "scope"),
    ],
)
def test_a_ledger_that_is_not_complete_and_typed_is_refused(text: str, message: str) -> None:
    """The ledger is data that people edit; a slip must not widen it."""
    with pytest.raises(LedgerError, match=message):
        parse_ledger(text)


def test_a_ledger_with_overdue_entries_is_warned_of_once_when_it_is_loaded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for all of them; they go on explaining."""
    shipped = ledger.shipped_ledger()
    (day,) = {entry.review_by for entry in shipped.entries}
    ledger.shipped_ledger.cache_clear()
    monkeypatch.setattr(ledger, "today", lambda: day.replace(year=day.year + 1))
    lab = Laboratory()
    assert accepted(lab.call(HUGE_STATUS)) == ("status-range",)
    Laboratory()
    (record,) = caplog.records
    assert record.getMessage().count("it still explains") == len(shipped.entries)
    assert f"status-range is past its review date {day}" in record.getMessage()
    ledger.shipped_ledger.cache_clear()


def test_an_entry_past_its_review_date_is_named() -> None:
    """It is overdue from the day after on."""
    parsed = parse_ledger(ENTRY)
    (entry,) = parsed.entries
    assert parsed.expired(entry.review_by) == ()
    assert parsed.expired(entry.review_by.replace(month=2, day=1)) == (entry,)
