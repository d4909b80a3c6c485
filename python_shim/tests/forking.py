"""Processes that are forked off one that has used the plugin, in every way that servers do it.

A program: ``python forking.py MODULE:CLASS`` reads the plugin's settings as JSON from standard
input, and writes what became of the forks as JSON: see `main`.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any, Final

from cpex.framework import PluginConfig
from crowd import SCALE
from hook_calls import context, payload
from waiting import delay_of, named

if TYPE_CHECKING:
    from collections.abc import Callable

_FAILURE: Final[dict[str, Any]] = {"isError": True, "structuredContent": None, "content": []}
_PATIENCE_S: Final = 60
#: Long enough that no two draws are the same by chance.
_CEILING_MS: Final = 2**40
_ENDLESS: Final = 1_000_000
_DRAWS: Final = 16
_CHILDREN: Final = 16 * SCALE
_OTHERS: Final = 8
_CHILDREN_UNDER_LOAD: Final = 24 * SCALE
_THREADS: Final = 4


class Forks:
    """A plugin, and what is asked of it before and after a fork."""

    def __init__(self, make: Callable[[PluginConfig], Any], settings: dict[str, Any]) -> None:
        """Build the plugin twice: one that draws, and one whose delays tell its counts."""
        ceilings = {"backoff_base_ms": _CEILING_MS, "max_backoff_ms": _CEILING_MS}
        drawing = ceilings | {"max_retries": _ENDLESS}
        counting = {"jitter": False, "max_retries": 3, "backoff_base_ms": 10}
        entry = PluginConfig(name="forking", kind="k", config=settings)
        self._drawing = make(entry.model_copy(update={"config": settings | drawing}))
        self._counting = make(entry.model_copy(update={"config": settings | counting}))

    def draws(self) -> list[int]:
        """Draw some delays."""
        return [self._ask(self._drawing, f"draw {number}", "draw") for number in range(_DRAWS)]

    def fail(self, request_id: str) -> int:
        """Fail once; give the delay."""
        return self._ask(self._counting, request_id, "count")

    @staticmethod
    def _ask(plugin: Any, request_id: str, tool: str) -> int:
        return delay_of(plugin.tool_post_invoke(payload(tool, _FAILURE), context(request_id)))


def forked(work: Callable[[], object]) -> Any:
    """Do something in a fork and give what it gives; ``None`` where it did not end well."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(_PATIENCE_S)
        with os.fdopen(writer, "w", encoding="ascii") as pipe:
            json.dump(work(), pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="ascii") as pipe:
        told = pipe.read()
    return json.loads(told) if os.waitpid(child, 0)[1] == 0 else None


def nested(forks: Forks) -> list[list[int]]:
    """Draw in a child, in its child, and in the first one again."""
    drawn: list[list[int]] = forked(lambda: [forks.draws(), forked(forks.draws), forks.draws()])
    return drawn


def _drawn(forks: Forks, queue: multiprocessing.SimpleQueue[list[int]]) -> None:
    queue.put(forks.draws())


def by_multiprocessing(forks: Forks) -> list[list[int]]:
    """Draw in processes of the standard library."""
    method = multiprocessing.get_context("fork")
    queue = method.SimpleQueue()
    children = [method.Process(target=_drawn, args=(forks, queue)) for _ in range(_OTHERS)]
    for child in children:
        child.start()
    drawn = [queue.get() for _ in children]
    for child in children:
        child.join()
    return drawn


def by_a_thread(forks: Forks) -> list[list[int]]:
    """Draw in processes that another thread has forked off after a draw of its own."""
    drawn: list[list[int]] = []

    def fork() -> None:
        drawn.append(forks.draws())
        drawn.extend(forked(forks.draws) for _ in range(_OTHERS))

    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    return drawn


def under_load(forks: Forks) -> list[list[int]]:
    """Fork while other threads are calling; give the delays of a chain of each child's own."""
    ended = threading.Event()

    def call(number: int) -> None:
        while not ended.is_set():
            forks.fail(f"shared {number % 2}")
            forks.draws()

    threads = [threading.Thread(target=call, args=(number,)) for number in range(_THREADS)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    for thread in threads:
        thread.start()
    told = [
        forked(lambda: [forks.fail("own") for _ in range(8)]) for _ in range(_CHILDREN_UNDER_LOAD)
    ]
    ended.set()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    return told


def main() -> None:
    """Fork in every way.

    Writes:
        ``draws``: the delays that each process drew. ``copies``: those of one chain that parent,
        child, and parent again take further. ``loaded``: of a chain in each child that was forked
        off while threads were calling; null for one that did not end well.
    """
    # A process that is stuck says where, and ends. A fork inherits no alarm.
    faulthandler.register(signal.SIGALRM, chain=True)
    # Newer interpreters warn of what is tried here.
    warnings.simplefilter("ignore", DeprecationWarning)
    # Chains give up by the thousand.
    logging.disable(logging.WARNING)
    forks = Forks(named(sys.argv[1]), json.load(sys.stdin))
    draws = [forks.draws()]
    draws += [each for _ in range(_CHILDREN) for each in nested(forks)]
    draws += by_multiprocessing(forks) + by_a_thread(forks) + [forks.draws()]
    copies = [
        [forks.fail("copied"), forks.fail("copied")],
        forked(lambda: [forks.fail("copied") for _ in range(3)]),
        [forks.fail("copied") for _ in range(3)],
    ]
    json.dump({"draws": draws, "copies": copies, "loaded": under_load(forks)}, sys.stdout)


if __name__ == "__main__":
    main()
