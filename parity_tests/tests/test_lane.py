"""Shadow mode: the hybrid's answer reaches the caller unchanged, whatever else happens."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from cpex.framework import GlobalContext, PluginConfig, PluginContext, ToolPostInvokePayload
from laboratory import FAILURE, NAME, POLICY, SUCCESS, Laboratory, answered, finish

import retry_legacy
from retry_parity import MigrationPlugin, _native, candidates, evidence, judging, lane
from retry_parity.chains import Chains, Count, Pair
from retry_parity.compare import Outcome
from retry_parity.evidence import Comparison, Evidence, evidence_of
from retry_parity.lane import Lane
from retry_parity.ledger import Ledger
from retry_parity.observation import Call, Hook, Side


class Panic(BaseException):
    """What PyO3 raises for a Rust panic is no Exception either."""


@pytest.fixture(params=["watched", "unwatched"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with somebody who is told of every comparison, and once as in the gateway."""
    monkeypatch.setattr(Laboratory, "watched", request.param == "watched")


def raising(error: BaseException) -> Any:
    """Script a candidate that raises."""

    def answer(payload: Any, context: Any) -> Any:
        del payload, context
        raise error

    return answer


def test_both_sides_agree_on_a_chain() -> None:
    """The real hybrid and the real core decide alike, and each agreement is a match."""
    lab = Laboratory()
    for result, delay in ((FAILURE, 100), (FAILURE, 200), (FAILURE, 0), (SUCCESS, 0)):
        comparison = lab.call(result)
        assert comparison.outcome is Outcome.MATCH
        assert comparison.reference.outcome.delay_ms == delay
    assert (lab.counts.calls, lab.counts.matches) == (4, 4)


def test_the_caller_gets_the_very_object_of_the_hybrid() -> None:
    """Not an equal one: the answer is passed on, not rebuilt."""
    lab = Laboratory(lambda *_: answered(7))
    answer = lab.ask(FAILURE)
    reference: Any = lab.comparisons[-1].reference
    assert answer is reference.outcome.value
    assert answer.retry_delay_ms == 100


SCRIPTS: dict[str, Any] = {
    "agrees": lambda *_: answered(),
    "retries": lambda *_: answered(100),
    "draws": lambda *_: answered(7),
    "stops": lambda *_: answered().model_copy(update={"continue_processing": False}),
    "says more": lambda *_: answered(more=1),
    "says it in other types": lambda *_: answered(retry_policy={**POLICY, "max_retries": 2.0}),
    "is no result": lambda *_: {"retry_delay_ms": 0},
    "raises": lambda *_: 1 / 0,
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_nobody_watching_changes_no_count(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What agrees at a glance is counted as what is judged; the rest is judged as ever.

    After a call at which the candidate has no usable answer, its chain is not compared any more.
    """
    counts = []
    asked = 4 if script in {"stops", "is no result", "raises"} else 12
    for watched in (True, False):
        evidence.reset(NAME)
        monkeypatch.setattr(Laboratory, "watched", watched)
        lab = Laboratory(SCRIPTS[script])
        retry_legacy.clear_state()
        for result in (SUCCESS, FAILURE, SUCCESS, SUCCESS, FAILURE, FAILURE):
            lab.ask(result)
            lab.ask(result, request_id="other")
        counted = lab.counts
        assert counted.calls == 12
        assert evidence_of(NAME).latency[Side.REFERENCE].count == 12
        assert evidence_of(NAME).latency[Side.CANDIDATE].count == asked
        counts.append(counted)
    assert counts[0] == counts[1]


@pytest.mark.usefixtures("both_ways")
def test_a_retry_lost_to_a_draw_of_0_leaves_no_chain_unseen() -> None:
    """The hybrid counts a jittered failure for which it draws 0.

    At a glance the call looked like a success of both sides, and the failures that followed on the
    chain were taken for ones that the candidate had not met, and not compared.
    """
    policy = {**POLICY, "backoff_base_ms": 1, "max_backoff_ms": 1}
    lab = Laboratory(
        lambda *_: answered(retry_policy=policy),
        jitter=True,
        backoff_base_ms=1,
        max_backoff_ms=1,
    )
    for chain in range(50):
        for _ in range(3):
            lab.ask(FAILURE, request_id=f"r{chain}")
    assert lab.counts.ignored == {}
    assert lab.counts.calls == 150
    assert lab.counts.divergent["retry-lost"] > 10


@pytest.mark.usefixtures("both_ways")
def test_a_call_that_the_harness_fails_on_is_counted_as_not_compared() -> None:
    """The step names itself, and the call is not lost."""

    class Hostile:
        @property
        def request(self) -> object:
            raise ValueError("no")

    lab = Laboratory(lambda *_: answered(5))
    payload = ToolPostInvokePayload(name="tool", result=SUCCESS)
    context = PluginContext(global_context=GlobalContext(request_id="r1"))
    answer: Any = finish(lab.shadow.tool_post_invoke(payload, context, Hostile()))
    assert answer.retry_delay_ms == 0
    assert lab.counts.calls == 1
    assert lab.counts.ignored == {"harness-error:call-candidate": 1}
    assert lab.counts.harness_errors == {"call-candidate": 1}


@pytest.mark.usefixtures("both_ways")
def test_an_error_that_the_candidate_turned_into_an_answer_is_evidence() -> None:
    """The answer alone is the right one, and would be seen to agree."""

    def answer(*_: Any) -> Any:
        lab.internal_errors += 1
        return answered()

    lab = Laboratory(answer)
    lab.ask(SUCCESS)
    assert lab.counts.candidate_errors == {"internal": 1}
    assert lab.counts.divergent == {"internal-error-of-candidate": 1}
    assert lab.counts.matches == 0


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "error", [RuntimeError("x"), MemoryError(), RecursionError(), Panic("x"), StopAsyncIteration()]
)
def test_a_candidate_may_raise_anything(error: BaseException) -> None:
    """An exception of the candidate is evidence, also one that is no Exception."""
    lab = Laboratory(raising(error))
    assert lab.ask(FAILURE).retry_delay_ms == 100
    name = type(error).__name__
    assert lab.counts.divergent == {f"raised-only-by-candidate:{name}": 1}
    assert lab.counts.candidate_errors == {f"raised:{name}": 1}
    assert lab.counts.matches == 0


@pytest.mark.usefixtures("both_ways")
def test_a_persons_interrupt_passes() -> None:
    """Stopping is no evidence; to swallow it would make the gateway unstoppable."""
    lab = Laboratory(raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        lab.ask(FAILURE)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("error", [SystemExit(), asyncio.CancelledError()])
def test_a_candidate_cannot_end_the_process_or_the_task(error: BaseException) -> None:
    """The hybrid has answered already: an exit or cancellation nobody asked for is evidence."""
    lab = Laboratory(raising(error))
    assert lab.ask(FAILURE).retry_delay_ms == 100
    name = type(error).__name__
    assert lab.counts.divergent == {f"raised-only-by-candidate:{name}": 1}


@pytest.mark.usefixtures("both_ways")
def test_a_real_cancellation_passes() -> None:
    """A task that is being cancelled ends, also while the candidate runs."""

    async def cancelled_in_the_candidate() -> None:
        task = asyncio.current_task()
        assert task is not None

        def cancel(*_: Any) -> Any:
            task.cancel()
            raise asyncio.CancelledError

        lab = Laboratory(cancel)
        payload = ToolPostInvokePayload(name="tool", result=FAILURE)
        context = PluginContext(global_context=GlobalContext(request_id="r1"))
        await lab.shadow.tool_post_invoke(payload, context, None)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled_in_the_candidate())


@pytest.mark.usefixtures("both_ways")
def test_an_answer_that_raises_when_it_is_read_is_evidence() -> None:
    """Whatever the candidate returns, reading it cannot reach the caller."""

    class Angry:
        @property
        def retry_delay_ms(self) -> int:
            raise SystemExit

    def answer(*_: Any) -> Any:
        return Angry()

    lab = Laboratory(answer)
    assert lab.ask(FAILURE).retry_delay_ms == 100
    assert lab.counts.divergent == {"raised-only-by-candidate:SystemExit": 1}


def test_the_hybrids_exception_reaches_the_caller_unchanged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The candidate runs after it all the same."""
    error = RuntimeError("the hybrid's own")
    lab = Laboratory(lambda *_: answered())

    async def broken(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(retry_legacy.RetryWithBackoffPlugin, "tool_post_invoke", broken)
    lab = Laboratory(lambda *_: answered())
    with pytest.raises(RuntimeError) as raised:
        lab.ask(SUCCESS)
    assert raised.value is error
    assert lab.comparisons[-1].signature == "raised-only-by-reference:RuntimeError"


def test_a_candidate_that_cannot_be_built_is_evidence_and_never_a_match(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every load is counted, the first is logged, the hybrid answers, nothing is compared."""

    def refuse(_: PluginConfig) -> candidates.Candidate:
        raise Panic

    config = PluginConfig(name=NAME, kind="x", config={"jitter": False, "backoff_base_ms": 100})
    with caplog.at_level(logging.WARNING, "retry_parity"):
        shadows = [Lane(config, load=refuse) for _ in range(3)]
    lab = Laboratory()
    lab.shadow = shadows[-1]
    assert lab.ask(FAILURE).retry_delay_ms == 100
    counts = lab.counts
    assert counts.divergent == {"load-refused-only-by-candidate:Panic": 3}
    assert counts.candidate_errors == {"load:Panic": 3}
    assert counts.ignored == {"candidate-not-loaded": 1}
    assert (counts.calls, counts.matches) == (1, 0)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{NAME}: the candidate failed: load:Panic (Panic at ")


def test_a_config_that_only_the_hybrid_refuses_is_evidence() -> None:
    """The hybrid's exception is the answer; that the candidate would have loaded is counted."""
    with pytest.raises(ValueError, match="max_retries"):
        Laboratory(lambda *_: answered(), max_retries="many")
    counts = evidence_of(NAME).counts()
    assert counts.divergent == {"load-refused-only-by-reference:ValidationError": 1}


def test_a_config_that_both_refuse_alike_leaves_no_trace() -> None:
    """The same family at the same moment is equal."""
    with pytest.raises(ValueError, match="max_retries"):
        Laboratory(max_retries="many")
    assert evidence_of(NAME).counts().divergent == {}


@pytest.mark.parametrize(
    ("place", "step"),
    [
        ((judging, "compare"), "compare"),
        ((Ledger, "explain"), "ledger"),
        ((Evidence, "record"), "record"),
        ((lane, "_call"), "call-candidate"),
        ((Chains, "see"), "compare"),
    ],
)
@pytest.mark.parametrize("error", [RuntimeError("x"), Panic("x")])
def test_a_failure_of_the_harness_never_reaches_the_caller(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: tuple[Any, str],
    step: str,
    error: BaseException,
) -> None:
    """It is counted by step and logged once; the call is not counted as a match."""
    lab = Laboratory(lambda *_: answered(50))

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(*place, fail)
    for delay in (100, 200):
        assert lab.ask(FAILURE).retry_delay_ms == delay
    assert lab.counts.harness_errors == {step: 2}
    assert lab.counts.matches == 0
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1


def test_a_ledger_that_fails_explains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A divergence must not get lost because the ledger could not be asked."""
    lab = Laboratory(lambda *_: answered(50))
    monkeypatch.setattr(Ledger, "explain", lambda *_: 1 / 0)
    lab.ask(FAILURE)
    assert lab.counts.divergent == {"delay": 1}


def test_counting_that_fails_altogether_never_reaches_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even counting the failure to count may fail."""
    lab = Laboratory()
    for name in ("record", "harness_error", "candidate_error"):
        monkeypatch.setattr(Evidence, name, lambda *_: 1 / 0)
    assert lab.ask(FAILURE).retry_delay_ms == 100


def test_a_changed_payload_is_a_divergence() -> None:
    """The payload belongs to the gateway; where it is checked, a change shows."""

    def change(payload: Any, context: Any) -> Any:
        del context
        payload.result["content"].append("mine")
        return answered()

    lab = Laboratory(change)
    assert lab.call({"content": []}).signature == "payload-mutated:candidate"


def test_only_the_candidate_gets_the_extensions() -> None:
    """The hybrid's hook takes two arguments, and its metadata stay as they are."""
    lab = Laboratory()
    assert lab.ask(FAILURE, trace_id="t1").metadata == {"retry_policy": POLICY}
    assert lab.counts.accepted == {"trace-metrics": 1}


def test_resources_are_compared_as_well() -> None:
    """The resource hook is a decision too."""
    lab = Laboratory()
    context: Any = None
    assert finish(lab.shadow.resource_post_fetch(None, context)).metadata == {
        "retry_policy": POLICY
    }
    assert lab.counts.matches == 1


def test_counters_and_chains_outlive_the_plugin_object() -> None:
    """The gateway rebuilds its plugin objects in the middle of chains."""
    for delay in (100, 200, 0):
        assert Laboratory().ask(FAILURE).retry_delay_ms == delay
    assert evidence_of(NAME).counts().matches == 3


def test_memory_of_chains_and_signatures_is_bounded() -> None:
    """Names from outside must not grow the harness without end."""
    chains = Chains()
    for number in range(10_000):
        pair = Pair(f"a:{number}", "b")
        chains.see(pair)
        chains.settle(Pair("tool", str(number)), 1, Count(0, 0.0), "status-range")
    pairs = [Pair("tool", str(number)) for number in range(10_000)]
    assert sum(chains.drift(pair) is not None for pair in pairs) == 4096
    evidence = Evidence(NAME)
    for number in range(1000):
        evidence.candidate_error(f"raised:Error{number}")
        evidence.record(Comparison(Outcome.IGNORED, Call(Hook.LOAD), reason=f"reason {number}"))
    assert len(evidence.counts().candidate_errors) <= 257
    assert sum(evidence.counts().candidate_errors.values()) == 1000


def plugin(flag: str, **config: Any) -> Any:
    """Load the migration plugin."""
    base = {"jitter": False, "backoff_base_ms": 100, "migration": {"implementation": flag}}
    return MigrationPlugin(PluginConfig(name=NAME, kind="x", config=base | config))


def ask(subject: Any, extensions: Any = None) -> Any:
    """Call the migration plugin's tool hook with a failure."""
    payload = SimpleNamespace(name="tool", result=FAILURE)
    context = SimpleNamespace(global_context=SimpleNamespace(request_id="r1"))
    return finish(subject.tool_post_invoke(payload, context, extensions))


@pytest.mark.parametrize("flag", ["legacy", "shadow", "rust"])
def test_every_value_of_the_flag_decides(flag: str) -> None:
    """The caller sees the same decisions under each."""
    subject = plugin(flag)
    assert [ask(subject).retry_delay_ms for _ in range(4)] == [100, 200, 0, 100]
    metadata = finish(subject.resource_post_fetch(None, None)).metadata
    assert metadata == {"retry_policy": POLICY}


def test_a_traced_call_has_metrics_where_the_core_decides() -> None:
    """Extensions reach the core under rust, and never the answer under legacy or shadow."""
    extensions = SimpleNamespace(request=SimpleNamespace(trace_id="t1"))
    found = {}
    for flag in ("legacy", "shadow", "rust"):
        # A chain of its own for each: who began it decides it.
        _native.forget_chains()
        found[flag] = "retry_with_backoff" in ask(plugin(flag), extensions).metadata
    assert found == {"legacy": False, "shadow": False, "rust": True}


def test_the_native_policy_is_the_deciding_sides_and_none_in_shadow() -> None:
    """A gateway with a policy calls no hook, and then nothing would be compared."""
    policies = {
        flag: plugin(flag).to_rust_native_policy("tool", 1) for flag in ("legacy", "shadow", "rust")
    }
    assert policies["shadow"] is None
    assert policies["legacy"] == policies["rust"]
    assert policies["rust"]["maxRetries"] == 1
    assert evidence_of(NAME).counts().divergent == {}


def test_unlike_native_policies_are_a_divergence() -> None:
    """The policy is compared although the gateway gets none."""
    lab = Laboratory(lambda *_: answered())
    lab.shadow.to_rust_native_policy("tool", 5)
    assert lab.counts.divergent == {"policy": 1}
    assert lab.counts.calls == 0


def test_the_name_that_the_gateway_bypasses_is_warned_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Under that name a gateway with the Rust runtime would compare nothing, silently."""
    config = {"migration": {"implementation": "shadow"}}
    MigrationPlugin(PluginConfig(name="RetryWithBackoffPlugin", kind="x", config=config))
    assert "use another name in shadow" in caplog.text


def test_the_operators_config_is_not_changed() -> None:
    """It is read, never written."""
    config = {
        "max_retries": 9,
        "tool_overrides": {"a": {"max_retries": 8}},
        "migration": {"implementation": "shadow"},
    }
    before = {**config, "tool_overrides": {"a": {"max_retries": 8}}}
    MigrationPlugin(PluginConfig(name=NAME, kind="x", config=config))
    assert config == before


IMPORTS = """
import os, sys
from cpex.framework import GlobalContext, PluginConfig, PluginContext, ToolPostInvokePayload
from retry_parity import MigrationPlugin

def imported():
    roots = {name.partition(".")[0] for name in sys.modules}
    return " ".join(sorted(roots & {"retry_legacy", "retry_with_backoff"}))

for flag in ("", "legacy", "rust", "shadow"):
    if os.fork() == 0:
        config = {"migration": {"implementation": flag}} if flag else {}
        MigrationPlugin(PluginConfig(name="retry", kind="x", config=config))
        os.write(1, f"{flag}: {imported()}\\n".encode())
        os._exit(0)
    os.wait()
print(f"before: {imported()}")
"""


def test_only_what_the_flag_needs_is_imported() -> None:
    """Under legacy the core is not imported, under rust the hybrid is not."""
    command = [sys.executable, "-c", IMPORTS]
    done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - our own
    assert done.stdout.decode().splitlines() == [
        ": retry_legacy",
        "legacy: retry_legacy",
        "rust: retry_with_backoff",
        "shadow: retry_legacy retry_with_backoff",
        "before: ",
    ]


def test_the_hybrid_alone_takes_the_chain_of_the_shadow_further() -> None:
    """A flip to legacy neither resets nor doubles the budget: the chain is the process's."""
    assert ask(plugin("shadow")).retry_delay_ms == 100
    assert ask(plugin("legacy")).retry_delay_ms == 200
    assert retry_legacy.live_chains() == 1
