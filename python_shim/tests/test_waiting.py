"""No lock of the plugin is held while foreign code may run.

A result's `get`, a destructor, a clock, a log handler may all wait for another thread, and that
thread may call the plugin; with a lock held neither would ever come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alone import told
from waiting import MOMENTS

if TYPE_CHECKING:
    from collections.abc import Callable

ASKED = {
    "settings": {"max_retries": 2},
    "moments": list(MOMENTS),
    "clocks": ["retry_with_backoff._core:set_clock", "retry_with_backoff._core:set_random"],
}


@pytest.fixture(scope="module")
def waits() -> dict[str, int | None]:
    """How often foreign code has waited at each moment."""
    came: dict[str, int | None] = told("waiting", ASKED)
    return came


@pytest.mark.parametrize("moment", MOMENTS)
def test_foreign_code_may_wait_for_a_thread_that_calls_the_plugin(
    moment: str, waits: dict[str, int | None], record_property: Callable[[str, object], None]
) -> None:
    """The other thread gets its answers, and the call goes on."""
    waited = waits[moment]
    record_property("tried", waited or 1)
    record_property("lost", int(waited is None))
    assert waited is not None, "a thread never came back; standard error says where they all are"
    assert waited > 0
