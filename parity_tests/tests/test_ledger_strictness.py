"""An entry of the ledger covers what it names and no fault beside it; its data are checked."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from cpex.framework import PluginConfig, ToolPostInvokeResult
from laboratory import (
    FAILURE,
    HUGE_STATUS,
    NAME,
    POLICY,
    SUCCESS,
    TOO_LONG,
    Angry,
    Laboratory,
    accepted,
    answered,
    texts,
)

from retry_parity import ledger
from retry_parity.divergences import document
from retry_parity.evidence import evidence_of
from retry_parity.lane import Lane
from retry_parity.ledger import LedgerError, parse_ledger
from retry_parity.process_probes import PROCESS_PROBES
from retry_with_backoff import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from retry_parity.ledger import Ledger

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
        Lane(config, load=refuse)
    assert evidence_of(NAME).counts().divergent == ({signature: 1} if signature else {})


@pytest.mark.parametrize("config", [{1: 2}, [1]])
def test_a_config_without_text_keys_is_named_as_a_whole(config: Any) -> None:
    """There is no key to name then."""
    with pytest.raises(TypeError):
        Lane(PluginConfig.model_construct(name=NAME, kind="x", config=config))
    assert evidence_of(NAME).counts().accepted == {"error-family-at-load": 1}


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"retry_policy": POLICY | {"max_retries": 3}},
        lambda: {"retry_policy": POLICY, "more": 1},
        lambda: {"retry_policy": POLICY, "retry_with_backoff": METRICS},
    ],
    ids=["another policy", "a key more", "metrics"],
)
def test_an_internal_error_is_answered_with_the_tools_own_metadata(
    make: Callable[[], dict[str, Any]],
) -> None:
    """The metadata are those of any other answer.

    It was enough that some policy was there: an injected fault that reported one retry more was
    accepted wherever a result could not be read.
    """

    def fail(*_: Any) -> Any:
        lab.internal_errors += 1
        return ToolPostInvokeResult(metadata=make())

    lab = Laboratory(fail, check_payload=False)
    assert lab.call(Angry(), trace_id="t1").signature == "raised-only-by-reference:RuntimeError"


@pytest.mark.parametrize(
    ("config", "result", "right", "wrong"),
    [
        ({"max_retries": 0}, FAILURE, 1, 0),
        ({"max_retries": 0}, SUCCESS | {"structuredContent": {"status_code": 404}}, 0, 1),
        ({"max_retries": 0, "check_text_content": True}, texts('{"isError": true}'), 1, 0),
        ({"max_retries": 0, "check_text_content": True}, texts("{}"), 0, 1),
        ({}, HUGE_STATUS, 0, 3),
        ({"check_text_content": True}, texts(TOO_LONG), 0, 3),
        (
            {"check_text_content": True, "max_retries": 0},
            texts(TOO_LONG, '{"isError": true}'),
            1,
            0,
        ),
    ],
)
def test_the_count_of_a_trace_is_checked_where_the_hybrid_leaves_no_trace_of_its_own(
    config: dict[str, Any], result: Any, right: int, wrong: int
) -> None:
    """A success counts nothing, a failure beyond the budget all; also with a budget of 0.

    With a budget of 0, and where the hybrid raised, the hybrid itself could not be asked, and
    injected faults that counted a success, or no exhaustion, were accepted.
    """
    retries = config.get("max_retries", 2)
    policy = POLICY | {"max_retries": retries}

    def answer(count: int) -> Any:
        metrics = {"retry_count": count, "retry_delay_ms": 0}
        return ToolPostInvokeResult(
            metadata={"retry_policy": policy, "retry_with_backoff": metrics}
        )

    for count, explained in ((right, True), (wrong, False)):
        lab = Laboratory(lambda *_, count=count: answer(count), check_payload=False, **config)
        comparison = lab.call(result, trace_id="t1")
        assert bool(comparison.accepted) is explained
        assert bool(comparison.unexplained) is not explained


def test_a_retry_that_the_hybrid_lost_is_not_beyond_the_budget() -> None:
    """Where the hybrid drew 0, a candidate that says no retry must count what the hybrid counts.

    Both said no retry, and a trace of a budget that was exhausted at once was accepted.
    """
    metrics = {"retry_count": 3, "retry_delay_ms": 0}
    policy = POLICY | {"backoff_base_ms": 1, "max_backoff_ms": 1}
    exhausted = ToolPostInvokeResult(
        metadata={"retry_policy": policy, "retry_with_backoff": metrics}
    )
    lab = Laboratory(lambda *_: exhausted, jitter=True, backoff_base_ms=1, max_backoff_ms=1)
    seen = {
        lab.call(FAILURE, request_id=f"r{number}", trace_id="t1").signature for number in range(60)
    }
    assert seen == {"metadata", "metadata+retry-lost"}


def refusal(message: str, tool: str | None = None, key: str | None = None) -> ConfigError:
    """Make a refusal that names a place."""
    error = ConfigError(message)
    error.tool, error.key = tool, key
    return error


@pytest.mark.parametrize(
    "error",
    [
        refusal("jitter: False given; allowed: 2", key="jitter"),
        refusal("max_retries: 3 given; allowed: 2", key="max_retries"),
        refusal("tool_overrides: {} given; allowed: a mapping"),
        refusal('tool_overrides["search"].max_retries: 1 given', "search", "max_retries"),
        refusal('tool_overrides["pay"].jitter: True given', "pay", "jitter"),
        refusal('tool_overrides["other"].jitter: True given', "other", "jitter"),
        refusal("it cannot be", "pay", "backoff_base_ms"),
    ],
    ids=str,
)
def test_a_refusal_names_what_the_hybrid_minds(error: ConfigError) -> None:
    """Only the part of the config that the hybrid refuses too, by itself, is a cause.

    Any key of the config was good enough, and so was any tool that has overrides: an injected fault
    that blamed a right setting was accepted.
    """
    config = {
        "jitter": False,
        "max_retries": 3,
        "tool_overrides": {
            "search": {"max_retries": 1},
            "pay": {"jitter": True, "backoff_base_ms": 2**64},
        },
    }
    if str(error).startswith("tool_overrides:"):
        config["tool_overrides"] = {}
        config["max_backoff_ms"] = 2**64

    def refuse(*_: Any) -> Any:
        raise error

    with pytest.raises(OverflowError):
        Lane(PluginConfig(name=NAME, kind="x", config=config), load=refuse)
    assert evidence_of(NAME).counts().accepted == {}


@pytest.mark.parametrize(
    ("tool", "key", "explained"),
    [
        ("pay", "check_text_content", True),
        ("pay", "max_retries", False),
        ("pay", "jitter", False),
        ("search", "max_retries", False),
    ],
)
def test_an_override_that_is_refused_at_load_is_the_one_that_raises_at_a_call(
    tool: str, key: str, *, explained: bool
) -> None:
    """The tool alone is not enough: its setting must be the one that the hybrid minds."""
    overrides = {
        "pay": {"check_text_content": "perhaps", "max_retries": 1},
        "search": {"max_retries": 1},
    }
    config = {"tool_overrides": overrides}

    def load(config: PluginConfig) -> Any:
        if "pay" in (config.config or {})["tool_overrides"]:
            line = f'tool_overrides["{tool}"].{key}: 1 given; allowed: 2'
            raise refusal(line, tool, key)
        return object()

    Lane(PluginConfig(name=NAME, kind="x", config=config), load=load)
    accepted = evidence_of(NAME).counts().accepted
    assert accepted == ({"override-at-load": 1} if explained else {})


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
    Lane(lab.config, load=refuse)
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

PROBED = (
    ENTRY.replace('"decision"', '"process"')
    .replace("jitter_zero", "fork_jitter")
    .replace('["delay"]', "[]")
)


def test_an_entry_of_a_process_has_a_probe_for_a_predicate() -> None:
    """It covers no kind of difference, and is shown by a function that runs both sides."""
    (entry,) = parse_ledger(PROBED).entries
    assert entry.predicate in PROCESS_PROBES
    assert entry.covers == frozenset()


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
        (ENTRY.replace('["delay"]', "[]"), "covers"),
        (ENTRY.replace('["delay"]', '["policy"]'), "covers"),
        (ENTRY.replace('["delay"]', '["delay", "load-refused-only-by-candidate"]'), "covers"),
        (ENTRY.replace('"decision"', '"process"'), "covers"),
        (ENTRY.replace('candidate = "f"', 'candidate = "e"'), "example"),
        (PROBED.replace("[]", '["delay"]'), "covers"),
        (PROBED.replace("covers = []", "desynchronises = true"), "desynchronises"),
        (PROBED.replace("fork_jitter", "jitter_zero"), "predicate"),
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
    day = next(entry.review_by for entry in shipped.entries if entry.id == "status-range")
    latest = max(entry.review_by for entry in shipped.entries)
    ledger.shipped_ledger.cache_clear()
    monkeypatch.setattr(ledger, "today", lambda: latest.replace(year=latest.year + 1))
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


def overdue(parsed: Ledger) -> list[str]:
    """Say what to do about each entry that is past its review date today."""
    return [ledger.review_line(entry) for entry in parsed.expired(ledger.today())]


def test_no_entry_is_past_its_review_date() -> None:
    """An acceptance is looked at again in time; a gateway is only warned, see above."""
    assert overdue(ledger.shipped_ledger()) == []


def test_an_entry_past_its_review_date_fails_the_test_above_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It passes on the day itself, and fails from the next day on."""
    parsed = parse_ledger(ENTRY)
    monkeypatch.setattr(ledger, "today", lambda: dt.date(2027, 1, 31))
    assert overdue(parsed) == []
    monkeypatch.setattr(ledger, "today", lambda: dt.date(2027, 2, 1))
    (line,) = overdue(parsed)
    assert line.startswith("ledger entry 'one': its review was due on 2027-01-31.")
    assert "set a later review_by in ledger.toml" in line


def test_the_document_names_where_each_entry_is_recognised() -> None:
    """Each scope has a module of its own."""
    text = document(ledger.shipped_ledger())
    for name, module in (
        ("jitter_zero", "predicates"),
        ("override_at_load", "load_predicates"),
        ("clamped_number", "policy_predicates"),
        ("fork_jitter", "process_probes"),
    ):
        assert f"by `{name}` in `retry_parity/{module}.py`" in text
