"""Payloads that call the plugin while it reads them, and change the interpreter around it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from alone import PATIENCE_S, alone
from hostile import Box, Deed, Sabotage, answer, hostile, plain
from plain_plugins import (
    FAILURE,
    PLUGINS,
    POLICY,
    RETRY_MS,
    new_world,
    plugin_of,
    raising,
    retries_as_ever,
)

from retry_with_backoff import _core

if TYPE_CHECKING:
    from collections.abc import Callable

    Record = Callable[[str, object], None]

pytestmark = pytest.mark.usefixtures("hostile_world")


def reads_of_a_recursing_content(items: int) -> int:
    """How often items run that each call the hook again on the result that they are part of."""
    plugin = PLUGINS[True]
    world = new_world(plugin)
    content = [hostile({"type": "image"}, "get", Deed.RECURSE, world) for _ in range(items)]
    world.whole = {"content": content}
    world.armed = True
    assert answer(plugin, plain(world.whole)).retry_delay_ms == 0
    return world.ran


def test_calls_out_of_a_call_grow_with_the_payload_and_no_faster(record_property: Record) -> None:
    """Each level used to call anew for each item: 50 items would have been 50^4 reads."""
    few, many = (reads_of_a_recursing_content(items) for items in (250, 500))
    record_property("tried", few + many)
    record_property("lost", 0)
    assert 500 <= many <= 20 * 500
    assert many <= 2.2 * few


@pytest.mark.parametrize("place", ["name", "result", "request_id", "trace"])
def test_calls_out_of_an_attribute_end(place: str) -> None:
    """The metadata of a refused call are asked for its name, which calls again."""
    plugin = PLUGINS[False]
    ran = 0

    def again(_: object) -> Any:
        nonlocal ran
        ran += 1
        made = answer(plugin, call)
        assert made.metadata == POLICY
        return "text" if place != "result" else FAILURE

    members: dict[str, Any] = {place if place != "trace" else "request": property(again)}
    asking: Any = type("Asking", (Box,), members)
    call = plain(FAILURE)
    if place == "request_id":
        call.context.global_context = asking()
    elif place == "trace":
        call = call._replace(extensions=asking())
    else:
        others = {"name": "search", "result": FAILURE}
        others.pop(place)
        call = call._replace(payload=asking(**others))
    made = answer(plugin, call)
    assert made.metadata == POLICY
    assert 0 < ran <= 100


def test_an_exception_that_calls_the_hook_when_it_is_shown_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each time with another class, so that each one is logged, and shown for that."""
    caplog.set_level(logging.ERROR)
    ran = 0

    class Calling(dict[str, Any]):
        def get(self, *_: object) -> Any:
            nonlocal ran
            ran += 1

            def show(_: object) -> str:
                return str(answer(PLUGINS[False], plain(self)).retry_delay_ms)

            shown: Any = type(f"Shown{ran}", (Exception,), {"__str__": show})
            raise shown

    assert answer(PLUGINS[False], plain(Calling())).retry_delay_ms == 0
    assert 0 < ran <= 100
    assert 0 < len(caplog.records) <= 100


def test_a_log_handler_that_calls_the_hook_ends() -> None:
    """Giving up on a call is logged, and a handler may do what it likes."""
    plugin = plugin_of(text_path=False, max_retries=0)
    ran = 0

    class Calling(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            nonlocal ran
            ran += 1
            answer(plugin, plain(FAILURE, request_id=f"{ran}"))

    logger = logging.getLogger("retry_with_backoff")
    handler = Calling()
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    try:
        assert answer(plugin, plain(FAILURE)).retry_delay_ms == 0
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert 0 < ran <= 100


def test_tasks_and_threads_do_not_use_up_each_others_calls() -> None:
    """What is in progress is known by the thread's own stack: hooks wait for nothing."""
    plugin = PLUGINS[False]
    world = new_world(plugin)

    async def one(number: int) -> int:
        result = hostile(FAILURE, "get", Deed.RECURSE, world)
        call = plain(result, request_id=f"task {number}")
        await asyncio.sleep(0)
        return int((await plugin.tool_post_invoke(*call)).retry_delay_ms)

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(one(number) for number in range(200)))

    world.whole = FAILURE
    world.armed = True
    assert asyncio.run(all_of_them()) == [RETRY_MS] * 200

    delays: list[int] = []

    class Starting(dict[str, Any]):
        def get(self, key: str, default: object = None) -> Any:
            def work(number: int) -> None:
                call = plain(FAILURE, request_id=f"{key} {number}")
                delays.append(answer(plugin, call).retry_delay_ms)

            threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return super().get(key, default)

    assert answer(plugin, plain(Starting(FAILURE))).retry_delay_ms == RETRY_MS
    assert delays == [RETRY_MS] * len(delays)
    assert len(delays) >= 80


def test_a_worker_that_is_forked_while_a_payload_is_read_serves_on() -> None:
    """It may never come back to the call it was forked in, and must not count it for ever."""

    def work() -> list[int]:
        delays: list[int] = []

        class Forking(dict[str, Any]):
            def get(self, key: str, default: object = None) -> Any:
                if not delays:
                    child = os.fork()
                    if child:
                        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
                    for number in range(100):
                        call = plain(FAILURE, request_id=f"{number}")
                        delays.append(answer(PLUGINS[False], call).retry_delay_ms)
                return super().get(key, default)

        delays.append(answer(PLUGINS[False], plain(Forking(FAILURE))).retry_delay_ms)
        return delays

    assert alone(work) == [RETRY_MS] * 101


# --- the interpreter itself ----------------------------------------------------------------------


def test_a_hook_that_could_begin_answers_also_at_the_end_of_the_stack(
    record_property: Record,
) -> None:
    """The answer after an internal error is made without a single call of Python."""
    limit = sys.getrecursionlimit()
    call = plain(raising(Sabotage()))
    made: list[Any] = []
    lost = 0
    for depth in range(1, 200):
        before = _core.internal_errors()
        try:
            sys.setrecursionlimit(depth)
            made.append(answer(PLUGINS[False], call))
        except RecursionError:
            # Not even the hook could be called, or else it raised beside an error that it counted.
            lost += _core.internal_errors() > before
        finally:
            sys.setrecursionlimit(limit)
    answered = sum((each.retry_delay_ms, each.metadata) == (0, POLICY) for each in made)
    record_property("tried", answered + lost)
    record_property("lost", lost)
    assert lost == 0
    assert answered == len(made) > 50
    assert retries_as_ever()


def test_a_chain_survives_what_clears_the_state_while_it_is_read() -> None:
    """The failure is counted after the reading, in what is there then."""
    world = new_world(PLUGINS[False])
    world.armed = True
    result = hostile(FAILURE, "get", Deed.MUTATE, world)
    assert answer(PLUGINS[False], plain(result)).retry_delay_ms == RETRY_MS
    assert _core.live_chains() == 1


def test_no_class_of_a_payload_is_kept_but_the_first() -> None:
    """What is found out about a class is remembered for one class, not for each."""
    classes = []
    plugin = PLUGINS[True]
    result = payload = None
    for number in range(2_000):
        result = type(f"Result{number}", (dict,), {})(FAILURE)
        payload = type(f"Payload{number}", (Box,), {})(name="t", result=result)
        answer(plugin, plain(None)._replace(payload=payload))
        classes += [weakref.ref(type(result)), weakref.ref(type(payload))]
    del result, payload
    gc.collect()
    assert sum(one() is not None for one in classes) <= 2


def test_a_process_can_begin_with_a_hostile_class() -> None:
    """What is found out about the first class is asked of the class, which calls the hook again.

    Nothing is locked meanwhile: the process used to stand still there, for ever.
    """
    program = """
from types import SimpleNamespace as N
from retry_with_backoff import RetryPluginCore
core = RetryPluginCore({"jitter": False})
delays = []

class Calling(type):
    def __getattribute__(cls, name):
        context = N(global_context=N(request_id=f"inner {len(delays)}"))
        if len(delays) < 8:
            delays.append(None)
            delays.append(core.tool_post_invoke(made(), context).retry_delay_ms)
        return super().__getattribute__(name)

class Payload(metaclass=Calling):
    pass

class Result(dict, metaclass=Calling):
    pass

def made():
    payload = Payload()
    payload.name, payload.result = "t", Result(isError=True)
    return payload

outer = core.tool_post_invoke(made(), N(global_context=N(request_id="outer")))
print(outer.retry_delay_ms, *{each for each in delays if each is not None}, len(delays))
"""
    ran = subprocess.run(  # noqa: S603  our own interpreter and code
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.split() == ["200", "200", "16"]
