"""Canary: a sticky share of chains is the core's, and trouble never reaches the caller."""

from __future__ import annotations

import gc
import json
import weakref
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest
from cpex.framework import PluginConfig
from hypothesis import given
from hypothesis import strategies as st
from laboratory import FAILURE, NAME, SUCCESS, answered, finish

from retry_parity import MigrationPlugin, _native, candidates
from retry_parity.evidence import evidence_of
from retry_parity.figures import ServiceState
from retry_parity.flag import Implementation
from retry_parity.flag_service import Told
from retry_parity.lane import Lane
from retry_parity.migration import migration_of
from retry_parity.observation import Side
from retry_parity.settings import MigrationSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VECTORS = json.loads(Path(__file__).with_name("canary_vectors.json").read_text())
NAMES = st.text(max_size=12) | st.sampled_from(["\ud800", "a:b", "", "tool"])


def sip_2_4_128(key: bytes, data: bytes) -> tuple[int, int]:
    """SipHash-2-4 with 128 bits, as its reference has it; nothing here is the extension's."""
    mask = 2**64 - 1
    low, high = (int.from_bytes(key[at : at + 8], "little") for at in (0, 8))
    state = [
        low ^ 0x736F6D6570736575,
        high ^ 0x646F72616E646F6D ^ 0xEE,
        low ^ 0x6C7967656E657261,
        high ^ 0x7465646279746573,
    ]

    def turn(value: int, bits: int) -> int:
        return (value << bits | value >> (64 - bits)) & mask

    def rounds(count: int) -> None:
        a, b, c, d = state
        for _ in range(count):
            a = (a + b) & mask
            b = turn(b, 13) ^ a
            a = turn(a, 32)
            c = (c + d) & mask
            d = turn(d, 16) ^ c
            a = (a + d) & mask
            d = turn(d, 21) ^ a
            c = (c + b) & mask
            b = turn(b, 17) ^ c
            c = turn(c, 32)
        state[:] = a, b, c, d

    padded = data + b"\0" * (7 - len(data) % 8) + bytes([len(data) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        state[3] ^= word
        rounds(2)
        state[0] ^= word
    state[2] ^= 0xEE
    rounds(4)
    first = state[0] ^ state[1] ^ state[2] ^ state[3]
    state[1] ^= 0xDD
    rounds(4)
    return first, state[0] ^ state[1] ^ state[2] ^ state[3]


def hashed(tool: str, request_id: str) -> tuple[int, int]:
    """Hash a chain as `_native.pyi` says."""
    name, request = (text.encode("utf-8", "surrogatepass") for text in (tool, request_id))
    return sip_2_4_128(b"retry-parity/1.0", len(name).to_bytes(8, "little") + name + request)


def test_the_reference_of_the_hash_gives_its_published_vector() -> None:
    """SipHash-2-4-128 of nothing under the key 00..0f; from the authors' test vectors."""
    first, second = sip_2_4_128(bytes(range(16)), b"")
    whole = first.to_bytes(8, "little") + second.to_bytes(8, "little")
    assert whole.hex() == "a3817f04ba25a8e66df67214c7550293"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['tool']!r}")
def test_golden_vectors(vector: dict[str, Any]) -> None:
    """A chain's bucket is the same on every worker, after a restart, and in the next version."""
    names = vector["tool"], vector["request_id"]
    assert _native.canary_bucket(*names) == vector["canary_bucket"]
    assert _native.sample_bucket(*names) == vector["sample_bucket"]


@given(tool=NAMES, request_id=NAMES)
def test_a_bucket_is_what_its_documentation_says(tool: str, request_id: str) -> None:
    """Any other program can compute it."""
    first, second = hashed(tool, request_id)
    assert _native.canary_bucket(tool, request_id) == first % 10_000
    assert _native.sample_bucket(tool, request_id) == second % 10_000


def test_shares_are_as_large_as_they_say() -> None:
    """Of 20,000 request ids, within four standard deviations."""
    buckets = [_native.canary_bucket("tool", f"request-{number}") for number in range(20_000)]
    for percent in (1, 5, 50):
        share = sum(bucket < percent * 100 for bucket in buckets) / len(buckets)
        deviation = (percent / 100 * (1 - percent / 100) / len(buckets)) ** 0.5
        assert abs(share - percent / 100) < 4 * deviation


def plugin(**migration: Any) -> Any:
    """Load the migration plugin."""
    config = {"jitter": False, "backoff_base_ms": 100, "migration": migration}
    return MigrationPlugin(PluginConfig(name=NAME, kind="x", config=config))


def ask(subject: Any, result: Any = FAILURE, request_id: str = "r1") -> Any:
    """Tell the plugin of a result."""
    payload = SimpleNamespace(name="tool", result=result)
    context = SimpleNamespace(global_context=SimpleNamespace(request_id=request_id))
    return finish(subject.tool_post_invoke(payload, context, None))


def decided() -> dict[Side, int]:
    """Count the decisions by who made them."""
    found = dict.fromkeys(Side, 0)
    for (side, _), count in evidence_of(NAME).decisions().items():
        found[side] += count
    return found


def ids(*, below: float, count: int = 20) -> list[str]:
    """Give request ids in, or (from 0) outside of, a share of the canary."""
    every = (f"r{number}" for number in range(100_000))
    wanted = (each for each in every if _native.canary_bucket("tool", each) < below * 100)
    return [next(wanted) for _ in range(count)]


@pytest.mark.parametrize("percent", [0, 30, 100])
def test_the_share_decides_and_both_are_compared(percent: float) -> None:
    """The core decides the chains whose bucket is in the share; the other side always runs."""
    subject = plugin(implementation="canary", canary_percent=percent)
    requests = [f"request-{number}" for number in range(200)]
    for request_id in requests:
        assert ask(subject, request_id=request_id).retry_delay_ms == 100
    theirs = sum(_native.canary_bucket("tool", each) < percent * 100 for each in requests)
    assert decided() == {Side.REFERENCE: 200 - theirs, Side.CANDIDATE: theirs}
    assert evidence_of(NAME).counts().matches == 200


def test_a_moved_share_moves_no_chain_that_has_begun() -> None:
    """A chain in the middle of its retries stays with who began it; a new one does not."""
    (request_id,) = ids(below=50, count=1)
    assert ask(plugin(implementation="canary", canary_percent=50), request_id=request_id)
    smaller = plugin(implementation="canary", canary_percent=0)
    assert ask(smaller, request_id=request_id).retry_delay_ms == 200
    assert ask(smaller, request_id=request_id).retry_delay_ms == 0
    assert decided() == {Side.REFERENCE: 0, Side.CANDIDATE: 3}
    assert ask(smaller, request_id=request_id).retry_delay_ms == 100
    assert decided() == {Side.REFERENCE: 1, Side.CANDIDATE: 3}


def scripted(answer: Any, **migration: Any) -> Lane:
    """Put a scripted candidate beside the real hybrid."""

    class Candidate:
        async def tool_post_invoke(self, *_: object) -> object:
            return answer()

    config = PluginConfig(name=NAME, kind="x", config={"jitter": False, "backoff_base_ms": 100})
    migration_of(NAME).guard.configure(MigrationSettings(**migration).guard)
    made: Any = Candidate()
    return Lane(
        config,
        flag=Implementation.CANARY,
        settings=MigrationSettings(canary_percent=100.0, **migration),
        load=lambda _: candidates.Candidate(made, takes_extensions=True),
    )


def raises() -> object:
    """Fail as a candidate may."""
    raise RuntimeError("candidate")


class Unreadable(dict[str, Any]):
    """Metadata that cannot be compared."""

    def __len__(self) -> int:
        """Refuse."""
        raise RuntimeError("no")


FAULTS: dict[str, Any] = {
    "cannot be judged": lambda: answered(0).model_copy(update={"metadata": Unreadable(a=1)}),
    "ends a generator": lambda: (_ for _ in ()).throw(GeneratorExit),
    "has a negative delay": lambda: answered(-1),
    "raises": raises,
    "loses the retry": lambda: answered(0),
    "has another delay": lambda: answered(7),
    "answers nonsense": lambda: "nonsense",
    "answers nothing": lambda: None,
    "has other metadata": lambda: answered(100, more=1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_where_the_core_is_in_trouble_the_hybrids_answer_stands(fault: str) -> None:
    """The caller sees every retry of the budget and no failure of the candidate's."""
    lane = scripted(FAULTS[fault], guard={"limit": 1000})
    delays = [ask(lane).retry_delay_ms for _ in range(4)]
    assert delays == [100, 200, 0, 100]
    assert evidence_of(NAME).book.fallbacks >= 1
    assert decided()[Side.REFERENCE] == 4


ALONE: dict[str, tuple[Any, str]] = {
    "raises": (raises, "raised:RuntimeError"),
    "answers nothing": (lambda: None, "nonsense"),
    "answers nonsense": (lambda: SimpleNamespace(retry_delay_ms=5.5), "nonsense"),
    "has a negative delay": (lambda: answered(-1), "nonsense"),
}


@pytest.mark.parametrize("fault", ALONE)
def test_a_fault_of_the_core_alone_is_no_retry(fault: str) -> None:
    """Under ``rust`` there is no other answer, and a tool call never fails because of it."""

    class Candidate:
        async def tool_post_invoke(self, *_: object) -> object:
            return answer()

    answer, name = ALONE[fault]
    made: Any = Candidate()
    lane = Lane(
        PluginConfig(name=NAME, kind="x", config={"jitter": False}),
        flag=Implementation.RUST,
        load=lambda _: candidates.Candidate(made, takes_extensions=True),
    )
    answers = [ask(lane, request_id=f"r{number}") for number in range(5)]
    assert [each.retry_delay_ms for each in answers[:4]] == [0] * 4
    assert evidence_of(NAME).counts().candidate_errors[name] >= 4
    # The guard bears three; from then on the hybrid is there.
    # Without jitter: the hybrid may draw a delay of 0, which is no retry (ledger: jitter-zero).
    assert answers[4].retry_delay_ms == 200


def test_a_core_that_does_not_load_leaves_the_decision_where_it_was() -> None:
    """Calls, resources and policies are the hybrid's, and plugin objects can still be built.

    The service said ``rust``, the core refused the config, and the next rebuild failed.
    """
    subject = plugin(implementation="shadow")
    config = subject.config.config | {"tool_overrides": {"x": {"check_text_content": "maybe"}}}

    def build() -> Any:
        return MigrationPlugin(PluginConfig(name=NAME, kind="x", config=config))

    build()
    migration_of(NAME).follow(Told(Implementation.RUST, None, ServiceState.READY, 0))
    rebuilt = build()
    assert [ask(rebuilt).retry_delay_ms for _ in range(3)] == [100, 200, 0]
    answer: Any = finish(rebuilt.resource_post_fetch(None, None))
    assert answer.metadata["retry_policy"]["max_retries"] == 2
    rebuilt.to_rust_native_policy("tool", 3)
    assert "candidate-not-loaded" in evidence_of(NAME).counts().ignored


def test_a_payload_that_calls_the_plugin_is_not_compared_within() -> None:
    """Each reading of it was several of the next depth, and so on: seconds for one call."""
    calls = 0
    subject = plugin(implementation="canary", canary_percent=100)

    class Recursive(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            nonlocal calls
            calls += 1
            if calls < 200:
                ask(subject, self, request_id="within")
            return super().get(key, default)

    assert ask(subject, Recursive(FAILURE)).retry_delay_ms in {0, 100}
    assert calls < 2000


class Once:
    """Content of a foreign class that gives its items to the first who asks."""

    def __init__(self, items: list[Any]) -> None:
        self._items = iter(items)

    def __iter__(self) -> Iterator[Any]:
        """Give what is left."""
        return self._items


class Draining(list[Any]):
    """A list that is empty once it has been read."""

    def __iter__(self) -> Iterator[Any]:
        """Give each item, and let it go."""
        while self:
            yield self.pop(0)


READ_ONCE: Final[dict[str, Any]] = {
    "generator": lambda items: (each for each in items),
    "map": lambda items: map(dict, items),
    "iterator": iter,
    "foreign class": Once,
    "draining list": Draining,
}
COMPARED: Final = {
    "shadow": {"implementation": "shadow"},
    "canary, the hybrid's share": {"implementation": "canary", "canary_percent": 0.0},
    "canary, the core's share": {"implementation": "canary", "canary_percent": 100.0},
    "rust, compared": {"implementation": "rust", "compare_percent": 100.0},
}


@pytest.mark.parametrize("flag", COMPARED)
@pytest.mark.parametrize("kind", READ_ONCE)
def test_content_that_can_be_read_once_is_left_to_who_decides(kind: str, flag: str) -> None:
    """The reference used it up, the core saw nothing: retries were lost, and the guard tripped."""
    config = {"jitter": False, "backoff_base_ms": 100, "check_text_content": True}
    made = PluginConfig(name=NAME, kind="x", config=config | {"migration": COMPARED[flag]})
    subject = MigrationPlugin(made)
    text = {"type": "text", "text": '{"status_code": 503}'}

    def delay(content: Any) -> Any:
        return ask(subject, {**SUCCESS, "content": content}).retry_delay_ms

    assert [delay(READ_ONCE[kind]([text])) for _ in range(5)] == [100, 200, 0, 100, 200]
    counts = evidence_of(NAME).counts()
    # After the first of a chain, the other side has missed a part of it.
    assert (counts.ignored["content-read-once"], sum(counts.ignored.values())) == (2, 5)
    assert (counts.divergent, counts.candidate_errors) == ({}, {})
    assert not migration_of(NAME).switch.tripped
    # The side that has not seen them is not asked for the rest of the chain.
    assert [delay([text]), delay([text])] == [0, 100]
    assert evidence_of(NAME).counts().divergent == {}


@pytest.mark.parametrize(
    "make", [list, tuple, deque, lambda items: dict.fromkeys("ab", items).values(), str]
)
def test_content_that_can_be_read_again_is_compared(make: Callable[[list[Any]], Any]) -> None:
    """All that Python has of its own, whatever is in it."""
    config = {"jitter": False, "check_text_content": True, "migration": COMPARED["shadow"]}
    subject = MigrationPlugin(PluginConfig(name=NAME, kind="x", config=config))
    ask(subject, {**SUCCESS, "content": make([{"type": "text", "text": '{"isError": true}'}])})
    counts = evidence_of(NAME).counts()
    assert (counts.matches, counts.ignored) == (1, {})


def test_a_text_too_large_to_judge_is_not_judged() -> None:
    """The hybrid raises at once on deep JSON; judging that walked over 20 MiB for a second."""
    subject = MigrationPlugin(
        PluginConfig(
            name=NAME,
            kind="x",
            config={"check_text_content": True, "migration": {"implementation": "shadow"}},
        )
    )
    text = "[" * 300_000
    with pytest.raises(RecursionError):
        ask(subject, {**SUCCESS, "content": [{"type": "text", "text": text}]})
    assert evidence_of(NAME).counts().ignored == {"too-large": 1}


def test_a_slow_answer_of_the_hybrid_stands_alone() -> None:
    """No call takes twice what took too long once, whoever was to decide it."""
    config = PluginConfig(name=NAME, kind="x", config={"jitter": False, "backoff_base_ms": 100})
    settings = MigrationSettings(canary_percent=100.0, time_limit_ms=1e-6)
    lane = Lane(config, flag=Implementation.CANARY, settings=settings)
    assert ask(lane).retry_delay_ms == 100
    assert decided() == {Side.REFERENCE: 1, Side.CANDIDATE: 0}
    assert evidence_of(NAME).counts().ignored == {"over-time-limit": 1}


def test_the_guard_gives_the_decision_back_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """One more than is borne, and the next new chain is the hybrid's; one line says why."""
    lane = scripted(lambda: answered(0), guard={"limit": 2, "window_s": 60})
    switch, guard = migration_of(NAME).switch, migration_of(NAME).guard
    for number in range(3):
        assert not switch.tripped
        assert ask(lane, request_id=f"r{number}").retry_delay_ms == 100
    assert switch.tripped
    fallbacks = evidence_of(NAME).book.fallbacks
    for number in range(10):
        assert ask(lane, request_id=f"new-{number}").retry_delay_ms == 100
    assert evidence_of(NAME).book.fallbacks == fallbacks
    lines = [each.getMessage() for each in caplog.records if "guard" in each.getMessage()]
    assert len(lines) == 1
    assert "3 unexplained divergences or errors of the candidate within 60 s" in lines[0]
    assert "retry-lost" in lines[0]
    guard.reset()
    assert ask(lane, request_id="after").retry_delay_ms == 100
    assert evidence_of(NAME).book.fallbacks == fallbacks + 1


def test_the_guard_does_not_fire_on_accepted_differences() -> None:
    """Statuses outside 32 bits raise in the hybrid; a hundred of them are the ledger's."""
    huge = {**SUCCESS, "structuredContent": {"status_code": 2**40}}
    subject = plugin(implementation="canary", canary_percent=100, guard={"limit": 0})
    for number in range(100):
        assert ask(subject, huge, request_id=f"r{number}").retry_delay_ms == 0
    assert evidence_of(NAME).counts().accepted == {"status-range": 100}
    assert not migration_of(NAME).switch.tripped


def test_the_guard_does_not_count_what_nobody_decides_by() -> None:
    """Under ``shadow`` the hybrid decides already: a divergence is evidence, and no trip."""
    lane = scripted(lambda: answered(0), guard={"limit": 0})
    migration_of(NAME).switch.follow(1, None)
    for number in range(5):
        ask(lane, request_id=f"r{number}")
    assert not migration_of(NAME).switch.tripped
    assert evidence_of(NAME).counts().divergent == {"retry-lost": 5}


def test_a_plugin_object_that_is_rebuilt_finds_the_guard_tripped() -> None:
    """The gateway rebuilds plugin objects every 30 s; the guard is the process's."""
    migration_of(NAME).guard.configure(MigrationSettings(guard={"limit": 0}).guard)  # type: ignore[arg-type] # as YAML has it
    migration_of(NAME).guard.note("test")
    ask(plugin(implementation="canary", canary_percent=100, guard={"limit": 0}))
    assert decided() == {Side.REFERENCE: 1, Side.CANDIDATE: 0}


def test_plugin_objects_are_freed() -> None:
    """A lane and its desk hold each other; one is made every 30 s for each team and tool."""
    subject = plugin(implementation="canary")
    ask(subject)
    gone = weakref.ref(subject)
    del subject
    gc.collect()
    assert gone() is None
