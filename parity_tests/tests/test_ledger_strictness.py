"""An entry of the ledger covers what it names and no fault beside it; its data are checked."""

from __future__ import annotations

from typing import Any

import pytest
from laboratory import (
    FAILURE,
    HUGE_STATUS,
    SUCCESS,
    TOO_LONG,
    Angry,
    Laboratory,
    accepted,
    answered,
    texts,
)

from retry_parity.ledger import LedgerError, parse_ledger
from retry_parity.shadow import Shadow

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


def test_an_entry_past_its_review_date_is_named() -> None:
    """An acceptance ends unless it is renewed."""
    ledger = parse_ledger(ENTRY)
    (entry,) = ledger.entries
    assert ledger.expired(entry.review_by) == ()
    assert ledger.expired(entry.review_by.replace(month=2, day=1)) == (entry,)
