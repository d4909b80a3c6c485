"""What is seen at a glance to agree is what the judge calls equal, and nothing is lost by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cpex.framework import (
    GlobalContext,
    PluginContext,
    ToolPostInvokePayload,
    ToolPostInvokeResult,
)
from hypothesis import given
from hypothesis import strategies as st

from retry_parity import _native
from retry_parity._native import Book, Desk, Latency, Setting, Switch, surely_same
from retry_parity.compare import compare, same_plain
from retry_parity.observation import Observation, Side, returned

if TYPE_CHECKING:
    from collections.abc import Collection

POLICY = {"max_retries": 2, "retry_on_status": [429, 500], "backoff_base_ms": 200}

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2),
    st.sampled_from([0.0, 1.0, float("nan")]),
    st.sampled_from(["", "a", "b"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=2).map(tuple),
        st.dictionaries(st.sampled_from(["a", "b", 1]), inner, max_size=3),
    ),
    max_leaves=6,
)


def answer(delay_ms: object = 0, **changed: Any) -> ToolPostInvokeResult:
    """An answer with a policy, validated or not."""
    metadata = {"retry_policy": {**POLICY, "retry_on_status": list(POLICY["retry_on_status"])}}  # type: ignore[call-overload]
    fields = {"retry_delay_ms": delay_ms, "metadata": metadata, **changed}
    valid = ToolPostInvokeResult()
    return valid.model_copy(update=fields)


class Glance:
    """A desk with two scripted sides, in place of a lane; it tells when it is asked to judge."""

    def __init__(self, *remembered: Collection[str], jitter: bool = False) -> None:
        """Nothing is seen yet."""
        self.latency = {side: Latency() for side in Side}
        self.book = Book(*self.latency.values())
        self.counted: dict[tuple[str, str], int] = {}
        self.answers: tuple[object, object] = (None, None)
        self.judged = 0
        self._jitter = jitter
        self._desk = Desk(
            self,
            Switch(),
            self.book,
            ToolPostInvokeResult,
            list(remembered),
            mode=1,
            canary_percent=0,
            compare_percent=0,
            time_limit_ns=10**12,
            judge_all=False,
        )

    def sees(self, ours: object, theirs: object) -> bool:
        """Look at two answers to the call of tool `t`, request `r`."""
        payload = ToolPostInvokePayload(name="t", result={})
        context = PluginContext(global_context=GlobalContext(request_id="r"))
        self.answers, self.judged = (ours, theirs), 0
        assert self._desk.decide(payload, context, None) is ours
        return not self.judged

    def load_reference(self) -> tuple[Any, bool, None]:
        """Give a hook that answers as scripted."""

        async def hook(*_: object) -> object:
            return self.answers[0]

        return hook, False, None

    def load_candidate(self) -> tuple[Any, bool, None]:
        """Give the other one."""

        async def hook(*_: object) -> object:
            return self.answers[1]

        return hook, True, None

    def hybrid_stores(self) -> list[tuple[Any, Any]]:
        """Give the scripted counts."""
        return [(lambda: sum(self.counted.values()), lambda *pair: self.counted.get(pair, 0))]

    def setting(self, _: str) -> Setting:
        """Give a policy of 200 ms, up to 5 s."""
        return Setting(
            jitter=self._jitter,
            text_path=False,
            overridden=False,
            retryable=[500],
            base_ms=200,
            cap_ms=5000,
        )

    def judge(self, *_: object) -> int:
        """Say that the two are equal, as a judge would; it is noticed."""
        self.judged += 1
        return 0


@given(left=VALUES, right=VALUES)
def test_what_is_surely_the_same_is_the_same(left: object, right: object) -> None:
    """The glance may miss that two values are equal; it never invents it."""
    if surely_same(left, right):
        assert left is right or repr(left) == repr(right)
        assert same_plain(left, right)


@given(value=VALUES.filter(lambda value: "nan" not in repr(value)))
def test_a_copy_of_metadata_is_seen_to_be_the_same(value: object) -> None:
    """Otherwise nothing would ever be seen at a glance."""
    plain = {"a": [1, "b", None, True, {"c": 200_000}]}
    copied = {"a": [1, "b", None, True, {"c": int("200000")}]}
    assert surely_same(plain, copied)
    assert not surely_same({**plain, "more": value}, copied)


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, True), (0, False), (1, 1.0), ([1], (1,)), ({"a": 1}, {"a": True}), ("1", 1), (None, 0)],
)
def test_values_of_other_types_are_not_the_same(left: object, right: object) -> None:
    """For a reader of JSON they are not, although Python calls most of them equal."""
    assert not surely_same(left, right)
    assert not surely_same(right, left)


def test_a_call_that_agrees_is_counted_with_both_latencies() -> None:
    """A match at a glance leaves what a judged one leaves."""
    glance = Glance()
    assert glance.sees(answer(), answer())
    assert glance.book.matches == 1
    assert [latency.count for latency in glance.latency.values()] == [1, 1]
    assert glance.book.outcomes == [[0, 1, 0], [0, 1, 0]]
    assert glance.book.decisions == [[0, 1, 0], [0, 0, 0]]
    assert glance.book.strata() == [(1, 0, False, False, 1, 0, 1)]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (answer(0), answer(5)),
        (answer(5), answer(0)),
        (answer(5), answer(6)),
        (answer(-5), answer(-5)),
        (answer(False), answer(False)),  # noqa: FBT003 - a delay of the wrong type
        (answer(0), answer(False)),  # noqa: FBT003 - as above
        (answer(metadata={}), answer()),
        (answer(continue_processing=False), answer()),
        (answer(modified_payload=POLICY), answer()),
        (answer(), "no answer"),
        ("no answer", "no answer"),
    ],
    ids=[
        *("extra", "lost", "delay", "negative", "flags", "flag", "metadata", "stop", "payload"),
        *("text", "texts"),
    ],
)
def test_whatever_is_not_certain_is_left_to_the_judge(ours: object, theirs: object) -> None:
    """Differences have to be explained, and odd answers looked at."""
    glance = Glance()
    glance.counted["t", "r"] = 1
    assert not glance.sees(ours, theirs)
    assert glance.book.matches == 0


def test_equal_retries_agree_where_the_counts_do() -> None:
    """A retry is seen to agree only on the count that the chain has to have."""
    glance = Glance()
    for failures in (1, 2, 3):
        glance.counted["t", "r"] = failures
        assert glance.sees(answer(200), answer(200))
    glance.counted["t", "r"] = 5
    assert not glance.sees(answer(200), answer(200))
    glance.counted["t", "r"] = 0
    assert not glance.sees(answer(200), answer(200))


@pytest.mark.parametrize(("ours", "theirs", "legal"), [(1, 200, True), (3, 201, False)])
def test_drawn_delays_agree_within_the_ceiling(*, ours: int, theirs: int, legal: bool) -> None:
    """With jitter both draw; after one failure of a base of 200 ms, up to 200 ms."""
    glance = Glance(jitter=True)
    glance.counted["t", "r"] = 1
    assert glance.sees(answer(ours), answer(theirs)) is legal


@pytest.mark.parametrize("place", [0, 1])
def test_a_chain_of_which_something_is_known_is_left_to_the_judge(place: int) -> None:
    """The end of a chain has to be noted; what changes in the collections counts at once."""
    remembered: list[set[str]] = [set(), set()]
    glance = Glance(*remembered)
    remembered[place].add("other:chain")
    assert glance.sees(answer(), answer())
    remembered[place].add("t:r")
    assert not glance.sees(answer(), answer())
    remembered[place].clear()
    assert glance.sees(answer(), answer())


def test_a_chain_that_the_reference_counts_is_left_to_the_judge() -> None:
    """Two answers of "no retry" can hide a failure that was counted, with a delay of 0."""
    glance = Glance()
    glance.counted["t", "other"] = 1
    assert glance.sees(answer(), answer())
    glance.counted["t", "r"] = 1
    assert not glance.sees(answer(), answer())


@given(
    fields=st.dictionaries(
        st.sampled_from(["metadata", "violation", "http_headers", "modified_payload"]),
        VALUES,
        max_size=2,
    ),
    delays=st.tuples(*[st.sampled_from([0, 1, 200, 400, -1, True, 1.0, 2**70])] * 2),
    failures=st.integers(0, 2),
    jitter=st.booleans(),
)
def test_the_judge_finds_no_difference_where_a_glance_finds_none(
    *, fields: dict[str, Any], delays: tuple[object, object], failures: int, jitter: bool
) -> None:
    """Both look at one pair of answers, whatever is in them."""
    ours, theirs = answer(delays[0]), answer(delays[1], **fields)
    _native.forget_chains()
    glance = Glance(jitter=jitter)
    glance.counted["t", "r"] = failures

    def legal_draw(_: Side, delay_ms: int) -> bool:
        return jitter and delay_ms <= 200 * 2 ** max(failures - 1, 0)

    if glance.sees(ours, theirs):
        pair = (
            Observation(Side.REFERENCE, returned(ours), 1),
            Observation(Side.CANDIDATE, returned(theirs), 1),
        )
        assert compare(*pair, legal_draw) == ()
