"""Nothing is left behind by a test, and nothing around it decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from laboratory import NAME

import retry_legacy
from retry_parity import evidence
from retry_with_backoff import _core

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin and end each test without chains, counters or an environment that decides."""
    monkeypatch.delenv("RETRY_IMPLEMENTATION", raising=False)
    monkeypatch.delenv("MAX_TOOL_RETRIES", raising=False)

    def clear() -> None:
        retry_legacy.clear_state()
        _core.clear_state()
        evidence.reset(NAME)
        for replace in (retry_legacy.set_clock, _core.set_clock, _core.set_random):
            replace(None)

    clear()
    yield
    clear()
