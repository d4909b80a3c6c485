"""Every accepted difference, shown on both sides; and that its entry covers no more than that."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from cpex.framework import GlobalContext, PluginConfig, PluginContext, ToolPostInvokePayload
from laboratory import (
    FAILURE,
    HUGE_STATUS,
    POLICY,
    SUCCESS,
    TOO_DEEP,
    TOO_LONG,
    Angry,
    Laboratory,
    accepted,
    delays,
    finish,
    raised,
    texts,
)

import retry_legacy
from retry_parity import process_probes
from retry_parity.compare import Outcome
from retry_parity.ledger import Scope, shipped_ledger
from retry_parity.reference import Reference, stored_failures
from retry_with_backoff import RetryWithBackoffPlugin, _core

BEHAVIOUR_ROWS = {
    "jitter-zero",
    "key-collision",
    "status-range",
    "text-raises",
    "content-shape",
    "name-encoding",
    "override-at-load",
    "error-wrapper",
    "fork-jitter",
    "bounded-state",
    "trace-metrics",
}
FURTHER_ROWS = {"clamped-number", "error-family-at-load", "missing-text", "text-limits"}


def test_the_ledger_has_every_row_of_the_behaviour_table_and_the_known_further_ones() -> None:
    """A difference is accepted through the ledger only, so the ledger is complete."""
    assert {entry.id for entry in shipped_ledger().entries} == BEHAVIOUR_ROWS | FURTHER_ROWS


def test_entries_of_process_scope_explain_no_decision() -> None:
    """What shows over a process's life only cannot excuse a single decision."""
    process = [entry for entry in shipped_ledger().entries if entry.scope is Scope.PROCESS]
    assert {entry.id for entry in process} == {"fork-jitter", "bounded-state", "text-limits"}
    assert not any(entry.covers for entry in process)


def test_jitter_zero() -> None:
    """The hybrid may draw 0 and lose the retry; the core draws from 1. The chain goes on alike."""
    lab = Laboratory(jitter=True, backoff_base_ms=1, max_retries=300, max_backoff_ms=1)
    seen = {delays(lab.call(FAILURE)): lab.comparisons[-1] for _ in range(300)}
    assert set(seen) == {(0, 1), (1, 1)}
    assert accepted(seen[0, 1]) == ("jitter-zero",)
    assert seen[1, 1].outcome is Outcome.MATCH
    assert lab.call(FAILURE).outcome is Outcome.MATCH
    assert lab.counts.divergent == {}


def test_key_collision() -> None:
    """The hybrid joins names to one key; the core keeps a pair. Ends with both chains."""
    lab = Laboratory()
    assert delays(lab.call(FAILURE, tool="a:b", request_id="c")) == (100, 100)
    second = lab.call(FAILURE, tool="a", request_id="b:c")
    assert delays(second) == (200, 100)
    assert accepted(second) == ("key-collision",)
    third = lab.call(FAILURE, tool="a", request_id="b:c")
    assert delays(third) == (0, 200)
    assert accepted(third) == ("key-collision",)
    fourth = lab.call(FAILURE, tool="a:b", request_id="c")
    assert delays(fourth) == (100, 200)
    assert accepted(fourth) == ("key-collision",)
    assert lab.counts.divergent == {}


def test_status_range() -> None:
    """A status outside 32 bits raises in the hybrid; the core does not retry."""
    lab = Laboratory()
    comparison = lab.call(HUGE_STATUS)
    assert raised(comparison) is OverflowError
    assert comparison.candidate.outcome.delay_ms == 0
    assert accepted(comparison) == ("status-range",)


@pytest.mark.parametrize("status", [2**31, -(2**31) - 1, 10**30])
@pytest.mark.parametrize("is_error", [True, False])
def test_status_range_holds_for_every_status_outside_32_bits(
    status: int, *, is_error: bool
) -> None:
    """A status that is no 32-bit integer is not retryable, error or not."""
    result = SUCCESS | {"isError": is_error, "structuredContent": {"status_code": status}}
    assert accepted(Laboratory().call(result)) == ("status-range",)


def test_what_follows_from_an_accepted_difference_is_accepted_until_the_chain_ends() -> None:
    """The hybrid's chain survives its exception, the core's ends: the counts differ after it."""
    lab = Laboratory()
    assert delays(lab.call(FAILURE)) == (100, 100)
    lab.call(HUGE_STATUS)
    for expected in ((200, 100), (0, 200)):
        comparison = lab.call(FAILURE)
        assert delays(comparison) == expected
        assert accepted(comparison) == ("status-range",)
    assert lab.call(SUCCESS).outcome is Outcome.MATCH
    assert lab.call(FAILURE).outcome is Outcome.MATCH
    assert lab.counts.accepted == {"status-range": 3}


@pytest.mark.parametrize(
    ("text", "error"),
    [(TOO_DEEP, RecursionError), (TOO_LONG, ValueError), (b"\xff\xfe{", UnicodeDecodeError)],
    ids=["deep", "long", "undecodable"],
)
def test_text_raises(text: str | bytes, error: type[Exception]) -> None:
    """A text that json.loads dies of raises in the hybrid; the core skips it, and only it."""
    lab = Laboratory(check_text_content=True)
    comparison = lab.call(texts(text))
    assert raised(comparison) is error
    assert comparison.candidate.outcome.delay_ms == 0
    assert accepted(comparison) == ("text-raises",)
    other = lab.call(texts(text, '{"status_code": 503}'), request_id="r2")
    assert raised(other) is error
    assert other.candidate.outcome.delay_ms == 100
    assert accepted(other) == ("text-raises",)


def test_text_raises_beside_a_text_that_is_deep_but_can_be_read() -> None:
    """Where the stack leaves room, the core reads the deep text, and decides by it.

    It was taken for one that both sides skip, and the core's right answer for a divergence.
    """
    deep = f'{{"isError": true, "filler": {"[" * 600}{"]" * 600}}}'
    comparison = Laboratory(check_text_content=True).call(texts(TOO_LONG, deep))
    assert comparison.candidate.outcome.delay_ms == 100
    assert accepted(comparison) == ("text-raises",)


def test_missing_text() -> None:
    """The hybrid asks by item access, and a defaultdict gains a key; the core changes nothing."""
    item: defaultdict[str, Any] = defaultdict(list, type="text")
    comparison = Laboratory(check_text_content=True).call(SUCCESS | {"content": [item]})
    assert dict(item) == {"type": "text", "text": []}
    assert [str(each) for each in comparison.differences] == ["payload-mutated:reference"]
    assert accepted(comparison) == ("missing-text",)


def test_missing_text_of_the_core_alone() -> None:
    """The core adds no key where the hybrid has not been before it.

    In shadow mode the hybrid comes first, and what it has added hides what the core would add.
    """
    item: defaultdict[str, Any] = defaultdict(list, type="text")
    payload = ToolPostInvokePayload.model_construct(
        name="tool", result=SUCCESS | {"content": [item]}
    )
    context = PluginContext(global_context=GlobalContext(request_id="r1"))
    config = PluginConfig(name="retry", kind="x", config={"check_text_content": True})
    answer = finish(RetryWithBackoffPlugin(config).tool_post_invoke(payload, context))
    assert answer.retry_delay_ms == 0
    assert dict(item) == {"type": "text"}


@pytest.mark.parametrize("content", [None, 5, True])
def test_content_shape(content: Any) -> None:
    """Content that is not iterable raises in the hybrid; to the core it is no signal."""
    comparison = Laboratory(check_text_content=True).call(SUCCESS | {"content": content})
    assert raised(comparison) is TypeError
    assert comparison.candidate.outcome.delay_ms == 0
    assert accepted(comparison) == ("content-shape",)


@pytest.mark.parametrize("names", [{"request_id": "\ud800"}, {"tool": "\udfff"}])
def test_name_encoding(names: dict[str, str]) -> None:
    """A lone surrogate raises in the hybrid's fast path; the core counts the chain as any other."""
    lab = Laboratory()
    for delay in (100, 200, 0):
        comparison = lab.call(FAILURE, **names)
        assert raised(comparison) is UnicodeEncodeError
        assert comparison.candidate.outcome.delay_ms == delay
        assert accepted(comparison) == ("name-encoding",)


def test_override_at_load() -> None:
    """The hybrid loads a bad override and raises at every call; the core refuses it at load."""
    lab = Laboratory(tool_overrides={"pay": {"check_text_content": "perhaps"}})
    (load,) = lab.comparisons
    assert accepted(load) == ("override-at-load",)
    with pytest.raises(ValueError, match="check_text_content"):
        lab.ask(SUCCESS, tool="pay")
    assert lab.ask(FAILURE, tool="other").retry_delay_ms == 100
    assert lab.counts.ignored == {"candidate-not-loaded": 2}
    assert lab.counts.matches == 0
    with pytest.raises(_core.ConfigError, match=r"pay.*check_text_content.*perhaps"):
        _core.RetryPluginCore(lab.config.config)


@pytest.mark.parametrize("tool", ['my"tool', "t" * 70, "a\nb", "outil\u00a0\u00e9", "\ud800"])
def test_override_at_load_holds_for_a_tool_of_any_name(tool: str) -> None:
    """The core's line shortens and escapes a name; its exception carries it in full."""
    lab = Laboratory(tool_overrides={tool: {"check_text_content": "perhaps"}})
    assert accepted(lab.comparisons[0]) == ("override-at-load",)


def test_override_at_load_holds_for_a_name_in_bytes() -> None:
    """Both sides take bytes for text, so that calls meet the override under the text.

    The hybrid was asked about a tool of the name ``b"search"``, which has no overrides, and a
    difference that is accepted looked like one that is not: once in 250,000 decisions.
    """
    lab = Laboratory(tool_overrides={b"search": {"check_text_content": ""}, "pay": {}})
    assert accepted(lab.comparisons[0]) == ("override-at-load",)


def test_clamped_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clamped 9.5 works in both hooks; only the hybrid fails when asked for the policy."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", "3")
    lab = Laboratory(tool_overrides={"pay": {"max_retries": 9.5}})
    assert delays(lab.call(FAILURE, tool="pay")) == (100, 100)
    lab.shadow.to_rust_native_policy("pay", 2)
    assert accepted(lab.comparisons[-1]) == ("clamped-number",)
    lab.shadow.to_rust_native_policy("other", 2)
    assert len(lab.comparisons) == 2, "the policies of the other tool are equal"


def test_clamped_number_where_text_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No such tool has a native policy; the hybrid fails before it can say so.

    Only tools without a text check had been thought of, and the core's right answer was taken for
    a divergence.
    """
    monkeypatch.setenv("MAX_TOOL_RETRIES", "3")
    lab = Laboratory(tool_overrides={"pay": {"max_retries": 9.5, "check_text_content": True}})
    lab.shadow.to_rust_native_policy("pay", 2)
    assert accepted(lab.comparisons[-1]) == ("clamped-number",)


def test_error_family_at_load() -> None:
    """Both refuse; the hybrid with what its fast path raises, the core with a ValueError."""
    with pytest.raises(OverflowError):
        Laboratory(max_retries=2**32)
    counts = Laboratory().counts
    assert counts.accepted == {"error-family-at-load": 1}
    assert counts.divergent == {}
    with pytest.raises(_core.ConfigError, match="max_retries"):
        _core.RetryPluginCore({"max_retries": 2**32})


def test_error_wrapper() -> None:
    """An internal error leaves the hybrid; the core says no retry and counts it."""
    # What cannot be read cannot be copied to see whether it was changed either.
    lab = Laboratory(check_payload=False)
    before = _core.internal_errors()
    comparison = lab.call(Angry())
    assert raised(comparison) is RuntimeError
    assert comparison.candidate.outcome.delay_ms == 0
    assert _core.internal_errors() == before + 1
    assert accepted(comparison) == ("error-wrapper",)
    assert lab.counts.candidate_errors == {"internal": 1}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the test is about forking
def test_fork_jitter() -> None:
    """Forked workers of the hybrid draw the same delays; those of the core draw their own."""
    shown = process_probes.fork_jitter()
    assert shown.differs, shown.seen


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # keeps the limits in the child
def test_text_limits() -> None:
    """A process out of Python's limits: the hybrid reads such texts, the core skips them."""
    shown = process_probes.text_limits()
    assert shown.differs, shown.seen


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # keeps the maximum in the child
def test_bounded_state() -> None:
    """The hybrid keeps every failing request; the core keeps a maximum and counts what it drops."""
    shown = process_probes.bounded_state()
    assert shown.differs, shown.seen
    assert _core.live_chains() == retry_legacy.live_chains() == 0


def test_trace_metrics() -> None:
    """With a trace id the core adds what the gateway shows in a trace; the hybrid never does."""
    lab = Laboratory()
    for count, delay in ((1, 100), (2, 200), (3, 0)):
        comparison = lab.call(FAILURE, trace_id="t1")
        metrics = {"retry_count": count, "retry_delay_ms": delay}
        assert comparison.reference.outcome.metadata == {"retry_policy": POLICY}
        assert comparison.candidate.outcome.metadata == {
            "retry_policy": POLICY,
            "retry_with_backoff": metrics,
        }
        assert accepted(comparison) == ("trace-metrics",)
    assert accepted(lab.call(SUCCESS, trace_id="t1")) == ("trace-metrics",)
    assert lab.call(SUCCESS, trace_id="").outcome is Outcome.MATCH


def test_two_entries_may_explain_one_decision() -> None:
    """Each difference of a decision has its own explanation."""
    lab = Laboratory(jitter=True, backoff_base_ms=1, max_retries=300, max_backoff_ms=1)
    seen = {accepted(lab.call(FAILURE, trace_id="t1")) for _ in range(300)}
    assert seen == {("trace-metrics",), ("jitter-zero", "trace-metrics")}


def test_the_harness_reads_the_failures_of_both_paths_of_the_hybrid() -> None:
    """Every ledger decision rests on the hybrid's own count."""
    assert retry_legacy.NATIVE_AVAILABLE
    for text_path in (False, True):
        lab = Laboratory(check_text_content=text_path)
        lab.ask(FAILURE)
        hybrid = retry_legacy.RetryWithBackoffPlugin(lab.config)
        reference = Reference(hybrid, lab.config, stored_failures)
        assert reference.failures("tool", "r1") == 1
        assert reference.failures("tool", "r2") == 0
        retry_legacy.clear_state()


def test_a_chain_that_differs_already_may_come_to_share_its_key() -> None:
    """Once another pair has the same joined key, each pair's own count is what holds.

    The count remembered for an earlier accepted difference went on to be used, stale, and a right
    answer of the core was taken for a wrong one.
    """
    lab = Laboratory(max_retries=9)
    lab.call(FAILURE, tool="a", request_id="b:c")
    lab.call(HUGE_STATUS, tool="a", request_id="b:c")
    lab.call(FAILURE, tool="a:b", request_id="c")
    for _ in range(3):
        lab.call(FAILURE, tool="a", request_id="b:c", trace_id="t1")
    assert lab.counts.divergent == {}


@pytest.mark.parametrize("retries", [2**32, 2**64, 2**200, 4, 3, 2, 3.0, 4.5, "3", True])
def test_an_override_above_the_ceiling_is_clamped_before_its_width_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, retries: object
) -> None:
    """Both sides take the same overrides under a ceiling, and clamp them alike.

    A core that looked at the width first refused what the hybrid clamps, and no generated config
    happened to show it.
    """
    monkeypatch.setenv("MAX_TOOL_RETRIES", "3")
    overrides = {"pay": {"max_retries": retries}}
    configs = [PluginConfig(name="retry", kind="x", config={"tool_overrides": overrides})] * 2
    sides = (retry_legacy.RetryWithBackoffPlugin, RetryWithBackoffPlugin)
    payload = ToolPostInvokePayload(name="pay", result=SUCCESS)
    context = PluginContext(global_context=GlobalContext(request_id="r1"))
    told = []
    for side, config in zip(sides, configs, strict=True):
        try:
            told.append(finish(side(config).tool_post_invoke(payload, context)).metadata)
        except (TypeError, ValueError) as error:
            told.append(f"refused: {isinstance(error, TypeError | ValueError)}")
    assert told[0] == told[1]
