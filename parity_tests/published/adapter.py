# ruff: noqa: INP001 - pytest finds this module by its folder on the path
"""Makes the published hybrid an implementation of the behaviour suite (`pytest -p adapter`).

Runs in the published package's own environment, where nothing of this repository is installed,
with the clock library of ``parity_tests/rust_clock`` preloaded; `run.py` arranges both. It only
adapts what the published package cannot be told: the gateway's ceiling, because it asks a settings
object that does not have it, and the time, because it reads the clock in compiled code.
"""

from __future__ import annotations

import ctypes
import importlib
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cpex.framework import PluginConfig

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "published"

published: Any = importlib.import_module("cpex_retry_with_backoff.retry_with_backoff")
"""The published module, imported by name because type checkers run where it is not installed."""

_NO_CEILING = 2**32 - 1  # the largest max_retries the compiled part takes
_NS_PER_S = 1_000_000_000


class StoppedClock:
    """The clock of this process, in the preloaded library's hands."""

    def __init__(self) -> None:
        """Find the library, and let the published package take its origin of time.

        Its compiled part counts seconds, as floats, from its first reading. With that one on a
        whole second, and the suite's on whole seconds too, ages are exact.

        Raises:
            RuntimeError: The library is not preloaded.
        """
        try:
            library = ctypes.CDLL(None)
            self._stop_at = library.retry_clock_stop_at
            self._run = library.retry_clock_run
        except AttributeError:
            message = "the clock library is not preloaded; run parity_tests/published/run.py"
            raise RuntimeError(message) from None
        self._stop_at.argtypes = [ctypes.c_int64]
        self._stop_at.restype = ctypes.c_int
        self._run.restype = None
        self._origin_ns = time.monotonic_ns() // _NS_PER_S * _NS_PER_S
        self._stop(self._origin_ns)
        manager = published.RetryStateManager(0, 1, 1, False, [])  # noqa: FBT003 - positional only
        manager.check_and_update("origin", "origin", is_error=False, status_code=None)
        self._run()

    def set_time_ns(self, reading_ns: int | None) -> None:
        """Stop the clock this long after the origin; ``None`` lets it run."""
        if reading_ns is None:
            self._run()
        else:
            self._stop(self._origin_ns + reading_ns)

    def _stop(self, reading_ns: int) -> None:
        if self._stop_at(reading_ns):
            message = f"the clock cannot be stopped at {reading_ns} ns"
            raise RuntimeError(message)


def make(config: dict[str, Any], ceiling: int | None) -> Any:
    """Load the published plugin under a ceiling."""
    allowed = _NO_CEILING if ceiling is None else ceiling
    kind = "cpex_retry_with_backoff.retry_with_backoff.RetryWithBackoffPlugin"
    with pytest.MonkeyPatch.context() as patch:
        settings = SimpleNamespace(max_tool_retries=allowed)
        patch.setattr(published, "get_settings", lambda: settings)
        return published.RetryWithBackoffPlugin(
            PluginConfig(name="retry", kind=kind, config=config)
        )


def clear() -> None:
    """Drop the chains of the Python path.

    The compiled path's store cannot be dropped; request ids that are never used twice keep the
    cases apart there.
    """
    published._STATE.clear()  # noqa: SLF001 - there is no public way


@pytest.hookimpl(optionalhook=True)
def pytest_behaviour_implementations(implementation: Callable[..., object]) -> list[object]:
    """Add the published package to the suite."""
    return [implementation(NAME, make, StoppedClock().set_time_ns, clear)]
