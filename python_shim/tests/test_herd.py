"""No thundering herd: callers that fail at once do not come back at once.

Draws are seeded by the system, so the tests are about chance: each has a fixed chance of a false
alarm, of which all together make `spread.FALSE_ALARM`.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from alone import told
from spread import FALSE_ALARM, herds

if TYPE_CHECKING:
    from collections.abc import Callable

CALLERS, WORKERS = 10_000, 8
#: Two tools of one policy, and one whose window is capped from its second retry on.
TOOLS = ["search", "fetch", "slow"]
SETTINGS = {
    "max_retries": 4,
    "backoff_base_ms": 200,
    "max_backoff_ms": 1000,
    "tool_overrides": {"slow": {"backoff_base_ms": 1000, "max_backoff_ms": 1700}},
}
WINDOWS = {
    ("search", "fetch"): [200, 400, 800, 1000],
    ("slow",): [1000, 1700, 1700, 1700],
}
TESTS = sum(map(len, WINDOWS.values()))


def test_ten_thousand_callers_do_not_come_back_together(
    record_property: Callable[[str, object], None],
) -> None:
    """Retries spread uniformly over [1, window], over workers and tools, at every attempt."""
    asked = {"settings": SETTINGS, "tools": TOOLS, "callers": CALLERS, "workers": WORKERS}
    workers = told("herd", asked)
    found = []
    drawn = 0
    for tools, windows in WINDOWS.items():
        for attempt, window in enumerate(windows):
            groups = [worker[TOOLS.index(tool)][attempt] for worker in workers for tool in tools]
            drawn += sum(map(len, groups))
            found += [
                f"{tools}, attempt {attempt}: {line}"
                for line in herds(groups, window, FALSE_ALARM / TESTS)
            ]
    record_property("tried", drawn)
    record_property("lost", len(found))
    assert found == []
    assert drawn == CALLERS * len(TOOLS) * SETTINGS["max_retries"]  # type: ignore[operator] # an int


# --- that such a test would notice ---------------------------------------------------------------

WINDOW = 5000
EACH = CALLERS // WORKERS


def _uniform(seed: int) -> list[int]:
    drawn = random.Random(seed)  # noqa: S311 - no secret, and the same in every run
    return [drawn.randint(1, WINDOW) for _ in range(EACH)]


def _workers(change: Callable[[int], int]) -> list[list[int]]:
    return [[change(delay) for delay in _uniform(seed)] for seed in range(WORKERS)]


HERDS = {
    "all at one time": [[WINDOW] * EACH] * WORKERS,
    "no jitter but a worker's own": [[1 + worker * 600] * EACH for worker in range(WORKERS)],
    "one seed for all workers": [_uniform(7)] * WORKERS,
    "one seed for two of the workers": [_uniform(min(seed, 6)) for seed in range(WORKERS)],
    "a worker's draws in another's order, in part": [
        _uniform(seed)[: EACH - 60] + _uniform(99)[EACH - 60 :] for seed in range(WORKERS)
    ],
    "half the jitter": _workers(lambda delay: WINDOW // 2 + (delay + 1) // 2),
    "nine tenths of the jitter": _workers(lambda delay: WINDOW // 10 + delay * 9 // 10),
    "rounded to 100 ms": _workers(lambda delay: -(-delay // 100) * 100),
    "drawn under twice the cap, then capped": _workers(lambda delay: min(WINDOW, 2 * delay)),
    "one in a hundred at the cap": _workers(lambda delay: delay if delay % 100 else WINDOW),
    "one in a hundred at once": _workers(lambda delay: delay if delay % 100 else 1),
    "the smaller of two draws": [
        [min(pair) for pair in zip(_uniform(seed), _uniform(seed + 100), strict=True)]
        for seed in range(WORKERS)
    ],
    "up to the window, 0 included": _workers(lambda delay: delay - 1),
    "one millisecond beyond": _workers(lambda delay: delay + 1),
    "opposite draws in two workers": [
        *_workers(int)[1:],
        [WINDOW + 1 - delay for delay in _uniform(1)],
    ],
}


@pytest.mark.parametrize("name", HERDS)
def test_a_herd_is_noticed(name: str) -> None:
    """Each way in which retries come in step is found in draws that are made that way."""
    assert list(herds(HERDS[name], WINDOW, FALSE_ALARM / TESTS))


def test_even_draws_are_no_herd() -> None:
    """Twenty herds of independent, uniform draws raise no alarm."""
    for herd in range(20):
        groups = [_uniform(herd * WORKERS + worker + 1000) for worker in range(WORKERS)]
        assert list(herds(groups, WINDOW, FALSE_ALARM / TESTS)) == []
