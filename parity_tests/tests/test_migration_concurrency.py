"""The migration under threads and tasks: budgets are exact under every value of the flag.

What two threads do to one chain at the same moment may reach the two sides in another order, and
is then seen as a divergence. No gateway does that: a request's attempts follow one another.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import product_tests
import pytest
from laboratory import NAME

from retry_parity import upkeep
from retry_parity.evidence import evidence_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Record = Callable[[str, object], None]

crowd = product_tests.module("crowd")

SETTINGS: dict[str, Any] = {"jitter": False, "max_retries": 3, "backoff_base_ms": 10}
BUDGET = [10, 20, 40, 0]
THREADS, CHAINS = 6, 2
FLAGS: dict[str, dict[str, Any]] = {
    "legacy": {"implementation": "legacy"},
    "shadow": {"implementation": "shadow"},
    "canary of all": {"implementation": "canary", "canary_percent": 100},
    "canary of half": {"implementation": "canary", "canary_percent": 50},
    "rust alone": {"implementation": "rust", "compare_percent": 0},
    "rust, compared": {"implementation": "rust", "compare_percent": 100},
}
#: The collector may run within the harness's own locks, as within every lock of a Python program;
#: what it calls must not wait for a call then.
MOMENTS = sorted(set(product_tests.module("waiting").MOMENTS) - {"collecting"})
CLOCKS = [
    *(
        f"{module}:{replace}"
        for module in ("retry_with_backoff._core", "retry_legacy")
        for replace in ("set_clock", "set_random")
    ),
    "retry_parity._native:set_clock",
]


@pytest.fixture(autouse=True)
def threads_end(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Leave no thread behind; giving up is no news."""
    caplog.set_level(logging.ERROR)
    yield
    upkeep.stop()


async def caller(flag: str) -> Any:
    """A framework's manager with the migration plugin, built."""
    kind = "retry_parity.MigrationPlugin"
    made = crowd.Caller(kind, SETTINGS | {"migration": FLAGS[flag]}, NAME)
    await made.start()
    return made


def lost(record: Record, told: list[list[int]], calls: int) -> int:
    """Count the chains whose delays are not those of whole budgets."""
    expected: dict[int, int] = crowd.expected_delays(calls, BUDGET)
    wrong = sum(Counter(each) != Counter(expected) for each in told)
    record("tried", sum(map(len, told)))
    record("lost", wrong)
    return wrong


@pytest.mark.parametrize("flag", FLAGS)
def test_threads_on_shared_chains_share_their_budgets(flag: str, record_property: Record) -> None:
    """No failure is lost and no budget exceeded, even where the two sides are seen to differ."""
    calls = 60 * crowd.SCALE
    told: list[list[int]] = [[] for _ in range(CHAINS)]
    one = asyncio.run(caller(flag))

    async def work(number: int) -> list[int]:
        order = [chain for chain in range(CHAINS) for _ in range(calls)]
        random.Random(number).shuffle(order)  # noqa: S311 - no secret
        for chain in order:
            told[chain].append(await one.fail(f"chain {chain}"))
        return []

    crowd.in_threads(THREADS, work)
    assert lost(record_property, told, THREADS * calls) == 0


@pytest.mark.parametrize("flag", FLAGS)
def test_threads_with_chains_of_their_own_see_no_divergence(
    flag: str, record_property: Record
) -> None:
    """Delays come in order, in a plugin object of each thread's own, and both sides agree."""
    rounds = 15 * crowd.SCALE

    async def work(number: int) -> list[int]:
        mine, told = await caller(flag), []
        for _ in range(rounds):
            told += [await mine.fail(f"of {number}") for _ in range(5)]
            told.append(await mine.succeed(f"of {number}"))
        return told

    told = crowd.in_threads(THREADS, work)
    wrong = sum(each != [*BUDGET, 10, 0] * rounds for each in told)
    counts = evidence_of(NAME).counts()
    record_property("tried", sum(map(len, told)))
    record_property("lost", wrong + sum(counts.divergent.values()))
    assert wrong == 0
    assert (counts.divergent, counts.harness_errors) == ({}, {})


@pytest.mark.parametrize("flag", FLAGS)
def test_tasks_on_shared_chains_see_no_divergence(flag: str, record_property: Record) -> None:
    """A hook does not wait, so that both sides see the calls of all tasks in one order."""
    tasks, calls = 20, 10 * crowd.SCALE
    told: list[list[int]] = [[] for _ in range(CHAINS)]

    async def main() -> None:
        one = await caller(flag)

        async def work() -> None:
            for _ in range(calls):
                for chain in range(CHAINS):
                    told[chain].append(await one.fail(f"chain {chain}"))
                    await asyncio.sleep(0)

        await asyncio.gather(*(work() for _ in range(tasks)))

    asyncio.run(main())
    assert lost(record_property, told, tasks * calls) == 0
    assert evidence_of(NAME).counts().divergent == {}


@pytest.mark.parametrize("flag", ["shadow", "rust alone"])
def test_foreign_code_may_wait_for_a_thread_that_calls_the_plugin(
    flag: str, record_property: Record
) -> None:
    """No lock is held while a result, a clock or a log handler runs, nor when one of them ends."""
    settings = {"max_retries": 2, "migration": FLAGS[flag]}
    asked = {"settings": settings, "clocks": CLOCKS, "moments": MOMENTS}
    waits = product_tests.told("waiting", asked)
    record_property("tried", sum(waited or 1 for waited in waits.values()))
    record_property("lost", sum(waited is None for waited in waits.values()))
    assert {moment: waited for moment, waited in waits.items() if not waited} == {}


@pytest.mark.parametrize("room", ["python_legacy/rust", "parity_tests/rust"])
def test_free_threading_is_not_declared(room: str) -> None:
    """Everything here is tried under the interpreter's lock; without it nothing is promised."""
    source = Path(__file__).resolve().parents[2] / room / "src" / "lib.rs"
    assert "pymodule(gil_used = true)]" in source.read_text(encoding="utf-8")
