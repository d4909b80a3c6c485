"""No thundering herd while the core decides: as the product's own test, through the migration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import product_tests
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

spread = product_tests.module("spread")

CALLERS, WORKERS = 10_000, 8
WINDOWS = [200, 400, 500]
FLAGS = {
    "canary": {"implementation": "canary", "canary_percent": 100},
    "rust": {"implementation": "rust", "compare_percent": 0},
}
TESTS = len(WINDOWS) * len(FLAGS)


@pytest.mark.parametrize("name", FLAGS)
def test_ten_thousand_callers_do_not_come_back_together(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    """Where the core decides, retries spread over the window at every attempt, in all workers."""
    settings = {
        "max_retries": len(WINDOWS),
        "backoff_base_ms": WINDOWS[0],
        "max_backoff_ms": WINDOWS[-1],
        "migration": FLAGS[name],
    }
    asked = {"settings": settings, "tools": ["search"], "callers": CALLERS, "workers": WORKERS}
    told = product_tests.told("herd", asked)
    found = [
        f"attempt {attempt}: {line}"
        for attempt, window in enumerate(WINDOWS)
        for line in spread.herds(
            [tools[0][attempt] for tools in told], window, spread.FALSE_ALARM / TESTS
        )
    ]
    drawn = sum(len(delays) for tools in told for delays in tools[0])
    record_property("tried", drawn)
    record_property("lost", len(found))
    assert found == []
    assert drawn == CALLERS * len(WINDOWS)
