"""Threads and tasks that share chains: no failure is lost, no budget is exceeded."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections import Counter
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from crowd import FAILURE, SCALE, Caller, expected_delays, in_threads
from hook_calls import context, payload

from retry_with_backoff import RetryPluginCore, _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Record = Callable[[str, object], None]

ROOT = Path(__file__).resolve().parents[2]
KIND = "retry_with_backoff.RetryWithBackoffPlugin"
SETTINGS: dict[str, Any] = {"jitter": False, "max_retries": 3, "backoff_base_ms": 10}
BUDGET = [10, 20, 40, 0]
THREADS = 8
CHAINS = 3


@pytest.fixture(autouse=True)
def no_chains(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Begin without chains, and leave none and the usual bound behind; giving up is no news."""
    caplog.set_level(logging.ERROR, "retry_with_backoff")
    _core.clear_state()
    yield
    _core.set_max_chains(1_000_000)
    _core.clear_state()


def lost(record: Record, told: list[list[int]], calls: int) -> int:
    """Count the answers that are not those of a chain that one caller alone would have.

    Args:
        record: Keeps the tally.
        told: The delays of each chain, whoever was told.
        calls: Failures of each chain.
    """
    expected = expected_delays(calls, BUDGET)
    wrong = sum(
        (Counter(expected) - Counter(each)).total() + (Counter(each) - Counter(expected)).total()
        for each in told
    )
    record("tried", sum(map(len, told)))
    record("lost", wrong)
    return wrong


@pytest.mark.parametrize("shared", [True, False], ids=["one manager", "a manager each"])
def test_threads_on_shared_chains_share_their_budgets(
    record_property: Record, *, shared: bool
) -> None:
    """Of n failures of a chain, by whichever threads, each (n / 4) is 10, 20, 40 ms and none."""
    calls, one = 150 * SCALE, Caller(KIND, SETTINGS)
    told: list[list[int]] = [[] for _ in range(CHAINS)]
    asyncio.run(one.start())

    async def work(number: int) -> list[int]:
        caller = one if shared else Caller(KIND, SETTINGS)
        if not shared:
            await caller.start()
        order = [chain for chain in range(CHAINS) for _ in range(calls)]
        random.Random(number).shuffle(order)  # noqa: S311 - no secret
        for chain in order:
            told[chain].append(await caller.fail(f"chain {chain}"))
        return []

    in_threads(THREADS, work)
    assert lost(record_property, told, THREADS * calls) == 0


def test_threads_that_call_the_core_itself_share_their_budgets(record_property: Record) -> None:
    """The same without a framework in between, a core for each few calls: no lock but ours."""
    calls = 3_000 * SCALE
    told: list[list[int]] = [[] for _ in range(CHAINS)]
    failing = payload("search", FAILURE)
    contexts = [context(f"chain {chain}") for chain in range(CHAINS)]

    async def work(number: int) -> list[int]:
        del number
        core = RetryPluginCore(SETTINGS)
        for call in range(calls):
            if call % 100 == 99:
                core = RetryPluginCore(SETTINGS)
            for chain in range(CHAINS):
                told[chain].append(core.tool_post_invoke(failing, contexts[chain]).retry_delay_ms)
        return []

    in_threads(THREADS, work)
    assert lost(record_property, told, THREADS * calls) == 0


def test_tasks_of_one_loop_share_their_budgets(record_property: Record) -> None:
    """Tasks that take turns at every await."""
    tasks, calls = 100, 10 * SCALE
    told: list[list[int]] = [[] for _ in range(CHAINS)]

    async def main() -> None:
        caller = Caller(KIND, SETTINGS)
        await caller.start()

        async def work() -> None:
            for _ in range(calls):
                for chain in range(CHAINS):
                    told[chain].append(await caller.fail(f"chain {chain}"))
                    await asyncio.sleep(0)

        await asyncio.gather(*(work() for _ in range(tasks)))

    asyncio.run(main())
    assert lost(record_property, told, tasks * calls) == 0


def test_a_threads_own_chains_are_not_touched_by_others(record_property: Record) -> None:
    """Delays come in order, and a success starts its own chain anew and no other."""
    rounds = 40 * SCALE

    async def work(number: int) -> list[int]:
        caller = Caller(KIND, SETTINGS)
        await caller.start()
        told = []
        for _ in range(rounds):
            told += [await caller.fail(f"of {number}") for _ in range(5)]
            told.append(await caller.succeed(f"of {number}"))
        return told

    told = in_threads(THREADS, work)
    wrong = sum(each != [*BUDGET, 10, 0] * rounds for each in told)
    record_property("tried", sum(map(len, told)))
    record_property("lost", wrong)
    assert wrong == 0
    assert _core.live_chains() == 0


def test_at_the_bound_every_chain_is_accounted_for(record_property: Record) -> None:
    """Whoever begins and ends chains meanwhile: each one is live, has ended, or was evicted.

    With a budget of one retry every answer tells what it did: 10 ms begin a chain, and none ends
    it. The number of chains is read all the time, and never exceeds its bound.
    """
    bound, calls = 50, 2_000 * SCALE
    failing = payload("search", FAILURE)
    core = RetryPluginCore(SETTINGS | {"max_retries": 1})
    _core.set_max_chains(bound)
    evicted_before = _core.evicted_chains()
    seen = [0]
    contexts = [context(str(number)) for number in range(120)]
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen[0] = max(seen[0], _core.live_chains())

    async def work(number: int) -> list[int]:
        chosen = random.Random(number)  # noqa: S311 - no secret
        return [
            core.tool_post_invoke(failing, chosen.choice(contexts)).retry_delay_ms
            for _ in range(calls)
        ]

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        told = Counter(delay for each in in_threads(THREADS, work) for delay in each)
    finally:
        done.set()
        watcher.join()
    evicted = _core.evicted_chains() - evicted_before
    unaccounted = told[10] - told[0] - evicted - _core.live_chains()
    record_property("tried", told.total())
    record_property("lost", abs(unaccounted))
    assert unaccounted == 0
    assert set(told) == {10, 0}
    assert evicted > 0
    assert seen[0] == bound


def test_free_threading_is_not_declared() -> None:
    """Everything here is tried under the interpreter's lock; without it nothing is promised.

    The extension asks for the lock, and is built for the interface that has no build without it.
    """
    source = ROOT / "rust" / "python" / "src" / "lib.rs"
    assert "#[pyo3::pymodule(gil_used = true)]" in source.read_text(encoding="utf-8")
    built = distribution("retry-with-backoff")
    assert "-abi3-" in (built.read_text("WHEEL") or "")
    assert not [each for each in built.metadata.get_all("Classifier", []) if "Free" in each]
