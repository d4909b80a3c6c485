"""What counts as equal, kind by kind."""

from __future__ import annotations

import math
from typing import Any

import pytest
from cpex.framework import ToolPostInvokeResult
from laboratory import POLICY, Laboratory, answered

from retry_parity._native import Latency
from retry_parity.compare import compare, same_plain, signature
from retry_parity.observation import Observation, Side, raised, returned
from retry_parity.recipes import LazyDict


def observed(side: Side, outcome: Any, internal_errors: int = 0) -> Observation:
    """Make an observation of an answer or an exception."""
    kept = raised(outcome) if isinstance(outcome, BaseException) else returned(outcome)
    return Observation(side, kept, 1, internal_errors)


def differences(ours: Any, theirs: Any, *, legal: bool = False, internal_errors: int = 0) -> str:
    """Compare two outcomes and give the signature."""
    return signature(
        compare(
            observed(Side.REFERENCE, ours),
            observed(Side.CANDIDATE, theirs, internal_errors),
            lambda *_: legal,
        )
    )


class Panic(BaseException):
    """What PyO3 raises for a Rust panic is no Exception either."""


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (answered(), answered(), ""),
        (answered(100), answered(100), ""),
        (answered(100), answered(0), "retry-lost"),
        (answered(0), answered(100), "retry-extra"),
        (answered(100), answered(200), "delay"),
        (answered(0), ToolPostInvokeResult(metadata={}), "metadata"),
        (answered(0), answered(0, other=1), "metadata"),
        (answered(5), ToolPostInvokeResult(metadata={}), "metadata+retry-lost"),
        (
            answered(),
            answered().model_copy(update={"continue_processing": False}),
            "result:continue_processing",
        ),
        (
            answered(),
            answered().model_copy(update={"http_headers": {}}),
            "result:http_headers",
        ),
        (answered(), None, "delay-type+metadata+result:continue_processing"),
        (answered(1), answered().model_copy(update={"retry_delay_ms": True}), "delay-type"),
        (answered(1), answered().model_copy(update={"retry_delay_ms": 1.0}), "delay-type"),
        (answered(0), answered().model_copy(update={"retry_delay_ms": -1}), "delay"),
        (answered(), TypeError("x"), "raised-only-by-candidate:TypeError"),
        (answered(), Panic("x"), "raised-only-by-candidate:Panic"),
        (OverflowError("x"), answered(), "raised-only-by-reference:OverflowError"),
        (ValueError("x"), UnicodeError("y"), ""),
        (TypeError("x"), ValueError("x"), "raised-differently:TypeError/ValueError"),
    ],
)
def test_every_kind_of_difference_has_its_name(ours: Any, theirs: Any, expected: str) -> None:
    """Same raise and family, same retry, same delay, same metadata; everything else differs."""
    assert differences(ours, theirs) == expected


def test_an_internal_error_behind_an_equal_answer_is_a_difference() -> None:
    """Being right by accident is not being right."""
    assert differences(answered(), answered(), internal_errors=1) == "internal-error-of-candidate"


def test_two_retries_with_legal_draws_are_equal() -> None:
    """With jitter the delays may differ as long as both are legal."""
    assert differences(answered(3), answered(70), legal=True) == ""
    assert differences(answered(3), answered(70), legal=False) == "delay"
    assert differences(answered(3), answered(0), legal=True) == "retry-lost"


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ({"a": 1, "b": [1]}, LazyDict({"b": [1], "a": 1}), True),
        ([1, 2], (1, 2), True),
        (1, True, False),
        (1, 1.0, False),
        (math.nan, math.nan, True),
        ([1], [1, 2], False),
        ({"a": 1}, {"b": 1}, False),
        ({}, [], False),
        (None, None, True),
    ],
)
def test_plain_data_is_compared_by_value_and_type(left: Any, right: Any, *, same: bool) -> None:
    """To a reader of JSON, True, 1 and 1.0 are three things, and a dict's class is nothing."""
    assert same_plain(left, right) is same
    assert same_plain(right, left) is same


FAILED = {"isError": True}


@pytest.mark.parametrize(("delay", "expected"), [(1, ""), (100, ""), (101, "delay"), (0, "lost")])
def test_a_drawn_delay_must_be_within_the_ceiling_of_its_failure_count(
    delay: int, expected: str
) -> None:
    """The ceiling follows from the hybrid's own count, on both of its paths."""
    for text_path in (False, True):
        lab = Laboratory(lambda *_: answered(delay), jitter=True, check_text_content=text_path)
        # The hybrid draws 0 once in 101; then the candidate's retry is the extra one.
        while not (comparison := lab.call(FAILED)).reference.outcome.retries:
            lab.call({})
        assert comparison.signature.removeprefix("retry-") == expected


def test_the_ceiling_grows_with_the_chain_up_to_the_cap() -> None:
    """base * 2 ** (failures - 1), capped."""
    for text_path in (False, True):
        answers = iter([100, 200, 400, 450, 450])
        config: dict[str, Any] = {
            "jitter": True,
            "check_text_content": text_path,
            "max_backoff_ms": 450,
        }
        lab = Laboratory(lambda *_, a=answers: answered_capped(next(a)), max_retries=9, **config)
        for _ in range(5):
            comparison = lab.call(FAILED)
            assert comparison.unexplained == ()
        for right in range(3):
            # What follows a delay that no config allows is not compared to the end of the chain.
            answers = iter([*[100, 200, 400][:right], 451])
            lab = Laboratory(
                lambda *_, a=answers: answered_capped(next(a)), max_retries=9, **config
            )
            differing = [
                lab.call(FAILED, request_id=f"r{right}{text_path}").unexplained
                for _ in range(right + 1)
            ]
            assert differing[-1] != ()
            assert not any(differing[:-1])


def answered_capped(delay_ms: int) -> ToolPostInvokeResult:
    """Make an answer under a cap of 450 ms and a budget of 9."""
    policy = POLICY | {"max_backoff_ms": 450, "max_retries": 9}
    return ToolPostInvokeResult(retry_delay_ms=delay_ms, metadata={"retry_policy": policy})


def test_latencies_are_known_to_within_a_percent() -> None:
    """Quantiles come from an HDR histogram, in fixed memory."""
    latency = Latency()
    assert latency.quantile_ns(0.5) is None
    for duration in range(1, 100_001):
        latency.add(duration)
    for share in (0.5, 0.99, 1.0):
        exact = share * 100_000
        quantile = latency.quantile_ns(share)
        assert quantile is not None
        assert exact <= quantile <= exact * 1.01
    latency.add(10**20)
    assert latency.count == 100_001
