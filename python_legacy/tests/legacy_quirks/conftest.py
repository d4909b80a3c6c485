"""Empty stores and a virtual clock for every test, and plugins to put results before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import retry_legacy

from .driver import Driver, VirtualClock, drive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .driver import Load


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualClock]:
    """Give every test empty stores, its own clock, and no ceiling."""
    monkeypatch.delenv("MAX_TOOL_RETRIES", raising=False)
    virtual = VirtualClock()
    retry_legacy.clear_state()
    retry_legacy.set_clock(virtual)
    yield virtual
    retry_legacy.set_clock(None)
    retry_legacy.clear_state()


@pytest.fixture
def load() -> Load:
    """Load plugins from config keys."""
    return drive


@pytest.fixture(params=[True, False], ids=["fast_path", "python_path"])
def load_on(request: pytest.FixtureRequest) -> Load:
    """Load plugins on each path in turn."""

    def make(*, native: bool | None = None, **keys: Any) -> Driver:
        return drive(native=request.param if native is None else native, **keys)

    return make
