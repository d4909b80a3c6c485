"""Hostile objects in a call: the hook answers, in bounded work, and changes nothing.

The calls are built by `hostile`. Jitter is off, so that each answer is one of two.
"""

from __future__ import annotations

import collections
import sys
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from alone import alone, memory_of
from hostile import (
    METHODS,
    PLACES,
    Call,
    Deed,
    Outfit,
    Sabotage,
    answer,
    build,
    hostile,
    plain,
    snapshot,
    text_result,
)
from hostile_nests import RESULTS, Recipe, make
from hypothesis import given
from hypothesis import strategies as st
from plain_plugins import (
    PLUGINS,
    POLICY,
    RETRY_MS,
    TOLD,
    new_world,
    plugin_of,
    raising,
    retries_as_ever,
)

from retry_with_backoff import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Record = Callable[[str, object], None]

pytestmark = pytest.mark.usefixtures("hostile_world")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("deed", Deed)
def test_a_hostile_object_costs_the_retry_at_most(
    place: str, deed: Deed, record_property: Record
) -> None:
    """Whatever method of whatever object raises, lies, recurses or mutates: an answer, no error."""
    tried = lost = 0
    skips = place.startswith("text as")  # what does not decode is no text
    for method in METHODS[PLACES[place]]:
        for text_path in (False, True):
            for fails in (False, True):
                tried += 1
                _core.clear_state()
                world = new_world(PLUGINS[text_path])
                wrap = partial(hostile, method=method, deed=deed, world=world)
                call = build(place, Outfit(text_path, fails), world, wrap)
                before, errors = snapshot(call), _core.internal_errors()
                world.armed = True
                made = answer(PLUGINS[text_path], call)
                world.armed = False
                errors = _core.internal_errors() - errors
                right = RETRY_MS if fails else 0
                held = made.metadata["retry_policy"] == POLICY["retry_policy"]
                held &= made.retry_delay_ms in {0, RETRY_MS} and world.ran <= 100
                if deed is not Deed.MUTATE:
                    held &= snapshot(call) == before
                if deed is Deed.RECURSE or not world.ran:
                    held &= made.retry_delay_ms == right
                if deed is Deed.RAISE and world.raised:
                    held &= made.retry_delay_ms == 0 and errors == int(not skips)
                elif deed is not Deed.RECURSE:
                    held &= errors <= 1
                lost += not (held and retries_as_ever())
    record_property("tried", tried)
    record_property("lost", lost)
    assert lost == 0


# --- arbitrary nests of hostile things -----------------------------------------------------------


@given(
    recipe=RESULTS,
    text_path=st.booleans(),
    name=st.sampled_from(["search", "\ud800", "a\0b", ""]),
)
def test_any_nest_of_hostile_things_is_answered(
    recipe: Recipe, *, text_path: bool, name: str
) -> None:
    """No error, no change, bounded work, one internal error at most; the next call is served."""
    _core.clear_state()
    deeds: set[Deed] = set()
    world = new_world(PLUGINS[text_path])
    world.whole = make(recipe, world, deeds)
    call = plain(world.whole, name, name)
    before, errors = snapshot(call), _core.internal_errors()
    limit = sys.getrecursionlimit()
    world.armed = True
    made = answer(PLUGINS[text_path], call)
    world.armed = False
    sys.setrecursionlimit(limit)
    assert made.retry_delay_ms in {0, RETRY_MS}
    assert made.metadata == POLICY or text_path
    assert world.ran <= 2_000
    if Deed.RECURSE not in deeds:
        assert _core.internal_errors() - errors <= 1
    if Deed.MUTATE not in deeds:
        assert snapshot(call) == before
    assert retries_as_ever()


# --- containers ----------------------------------------------------------------------------------


def test_no_container_that_makes_up_keys_gains_one() -> None:
    """At no place of a result."""
    places: list[defaultdict[str, Any]] = [defaultdict(list) for _ in range(4)]
    result, structured, item, told = places
    item.update(type="text")
    told.update(type="text", text="{}")
    result.update(structuredContent=None, content=[item, told])
    for path in (False, True):
        answer(PLUGINS[path], plain(result))
    result.update(structuredContent=structured)
    for path in (False, True):
        answer(PLUGINS[path], plain(result))
    assert [list(place) for place in places] == [
        ["structuredContent", "content"],
        [],
        ["type"],
        ["type", "text"],
    ]


def cycles() -> Iterator[Any]:
    """Containers that hold themselves, at every place of a result."""
    content: list[Any] = []
    content.extend([content, {"type": "text", "text": content}])
    yield {"content": content}
    result: dict[str, Any] = {}
    result.update(isError=result, structuredContent=result, content=result, status_code=result)
    yield result
    item: dict[str, Any] = {}
    item.update(type=item, text=item, content=[item])
    yield {"content": [item]}
    pair: tuple[list[Any]] = ([],)
    pair[0].append(pair)
    yield {"content": pair}


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("text_path", [False, True])
def test_containers_that_hold_themselves_are_read_once(number: int, *, text_path: bool) -> None:
    """Nothing of a result is walked but the list of its items."""
    call = plain(list(cycles())[number])
    before, errors = snapshot(call), _core.internal_errors()
    assert answer(PLUGINS[text_path], call).retry_delay_ms == 0
    assert (snapshot(call), _core.internal_errors()) == (before, errors)


def test_a_nest_of_a_million_objects_is_read_and_dropped() -> None:
    """In the place of structured content, of an item, of a text and of a flag."""

    def work() -> list[int]:
        nest: Any = {}
        for number in range(1_000_000):
            nest = {"isError": nest} if number % 2 else [nest]
        results = [
            {"structuredContent": nest},
            {"content": [nest, TOLD]},
            {"content": [{"type": "text", "text": nest}, TOLD]},
            {"isError": nest, "content": [TOLD]},
        ]
        del nest
        delays = [
            answer(PLUGINS[True], plain(result, request_id=f"{number}")).retry_delay_ms
            for number, result in enumerate(results)
        ]
        results.clear()
        return delays

    assert alone(work) == [0, RETRY_MS, RETRY_MS, RETRY_MS]


@pytest.mark.parametrize("kind", [list, tuple, iter, collections.deque])
def test_a_million_items_are_read(kind: Callable[[Any], Any]) -> None:
    """And the last of them counts; what is read takes no memory of its own."""

    def work() -> tuple[int, int]:
        items: list[Any] = [{"type": "text", "text": "{}"}] * 999_999
        content = kind([*items, TOLD])
        taken = memory_of(lambda: delays.append(answer(PLUGINS[True], plain({"content": content}))))
        return delays[0].retry_delay_ms, taken.peak

    delays: list[Any] = []
    delay, peak = alone(work)
    assert delay == RETRY_MS
    assert peak < 16 << 20


@pytest.mark.parametrize("kind", ["a list that grows", "an iterator"])
def test_content_without_an_end_is_an_internal_error(kind: str) -> None:
    """Of a container that gives more than it held, only so much is read."""

    def work() -> tuple[int, int, int]:
        given = 0
        item: dict[str, str] = {}
        content: Any = []

        class Growing(dict[str, Any]):
            def get(self, *_: object) -> Any:
                nonlocal given
                given += 1
                content.append(growing)

        def forever() -> Iterator[Any]:
            nonlocal given
            while True:
                given += 1
                yield item

        growing = Growing()
        content.append(growing)
        before = _core.internal_errors()
        result = {"content": content if kind == "a list that grows" else forever()}
        delay = answer(PLUGINS[True], plain(result)).retry_delay_ms
        return delay, _core.internal_errors() - before, given

    delay, errors, given = alone(work)
    assert (delay, errors) == (0, 1)
    assert 1_000_000 < given <= 1_100_000


def test_metadata_are_those_of_the_tool_also_after_an_error() -> None:
    """Overrides are looked up by name, and a name is no reason to fail."""
    plugin = plugin_of(text_path=False, tool_overrides={"pay": {"max_retries": 7}})
    call: Call = plain(raising(Sabotage()), "pay")
    assert answer(plugin, call).metadata["retry_policy"]["max_retries"] == 7
    assert answer(plugin, plain(text_result(), "pay")).metadata["retry_policy"]["max_retries"] == 7
