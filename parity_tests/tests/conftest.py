"""Nothing is left behind by a test, and nothing around it decides.

Profiles of the generated suites: ``ci`` is bounded, the same every time, and used by `make test`;
``nightly`` looks for hours, elsewhere each time (``HYPOTHESIS_PROFILE=nightly``); ``repro`` repeats
one run (with ``--hypothesis-seed``).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import summary
from hypothesis import HealthCheck, settings
from laboratory import NAME

import retry_legacy
from retry_parity import _native, migration
from retry_with_backoff import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Building both implementations for each example is slow by Hypothesis' measure, and no fault.
_SLOW_BUT_FINE = (HealthCheck.too_slow, HealthCheck.data_too_large)

for _name, _examples in (("ci", 300), ("nightly", 1_000_000), ("repro", 300)):
    settings.register_profile(
        _name,
        max_examples=_examples,
        deadline=None,
        # A change is not to blame for what a new seed finds; the nightly run is there for that.
        derandomize=_name == "ci",
        print_blob=True,
        suppress_health_check=_SLOW_BUT_FINE,
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the full run reached, and what became of the injected faults."""
    summary.show(terminalreporter)


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin and end each test without chains, counters or an environment that decides."""
    monkeypatch.delenv("RETRY_IMPLEMENTATION", raising=False)
    monkeypatch.delenv("MAX_TOOL_RETRIES", raising=False)

    def clear() -> None:
        retry_legacy.clear_state()
        _core.clear_state()
        migration.forget(NAME)
        clocks = (retry_legacy.set_clock, _core.set_clock, _native.set_clock)
        for replace in (*clocks, _core.set_random):
            replace(None)

    clear()
    yield
    clear()
