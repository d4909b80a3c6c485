"""The fast path's class and its own methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import retry_legacy
from retry_legacy import RetryStateManager

if TYPE_CHECKING:
    from .driver import VirtualClock


@pytest.fixture
def manager() -> RetryStateManager:
    """Make a manager with two retries."""
    return RetryStateManager(2, 200, 5000, False, [503])  # noqa: FBT003 - positional by design


def test_it_answers(manager: RetryStateManager) -> None:
    """A ping is a sign of life in text."""
    assert isinstance(manager.ping(), str)


def test_recorded_failures_are_counted_without_a_budget(manager: RetryStateManager) -> None:
    """record_failure returns the new count and never ends the chain."""
    assert [manager.record_failure("t", "r") for _ in range(4)] == [1, 2, 3, 4]
    assert manager.get_failures("t", "r") == 4


def test_a_recorded_success_keeps_the_entry(manager: RetryStateManager) -> None:
    """record_success sets the count to 0 where check_and_update drops the chain."""
    manager.record_failure("t", "r")
    manager.record_success("t", "r")
    manager.record_success("unknown", "r")
    assert (manager.get_failures("t", "r"), manager.state_count()) == (0, 1)


def test_deleted_state_is_gone(manager: RetryStateManager) -> None:
    """delete_state forgets the chain and does not mind an unknown one."""
    manager.record_failure("t", "r")
    manager.delete_state("t", "r")
    manager.delete_state("t", "r")
    assert (manager.get_failures("t", "r"), manager.state_count()) == (0, 0)


def test_counting_does_not_evict(manager: RetryStateManager, clock: VirtualClock) -> None:
    """Only check_and_update looks for stale chains."""
    manager.record_failure("t", "r")
    clock.advance(1000)
    assert manager.get_failures("t", "r") == 1
    assert manager.check_and_update("x", "r", False, None) == (False, 0)  # noqa: FBT003 - as above
    assert manager.state_count() == 0


@pytest.mark.parametrize(
    ("is_error", "status", "failed"),
    [(True, None, True), (True, 404, False), (False, 503, True), (False, None, False)],
)
def test_a_status_decides_when_there_is_one(
    manager: RetryStateManager, *, is_error: bool, status: int | None, failed: bool
) -> None:
    """Without a status the flag decides."""
    assert manager.check_failure(is_error, status) is failed


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((b"t", "r", True, None), TypeError),
        (("t", None, True, None), TypeError),
        (("t", "r", 1, None), TypeError),
        (("t", "r", True, 503.0), TypeError),
        (("t", "r", True, "503"), TypeError),
        (("t", "r", True, 2**31), OverflowError),
        (("t", "\ud800", True, None), UnicodeEncodeError),
    ],
)
def test_arguments_are_taken_strictly(
    manager: RetryStateManager, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    """Nothing is coerced, and what raises changes no state."""
    with pytest.raises(error):
        manager.check_and_update(*arguments)
    assert manager.state_count() == 0


def test_a_clock_that_raises_fails_the_call(manager: RetryStateManager) -> None:
    """An exception of the replacing clock comes through and changes no state."""

    def broken() -> float:
        raise LookupError

    retry_legacy.set_clock(broken)
    with pytest.raises(LookupError):
        manager.check_and_update("t", "r", True, None)  # noqa: FBT003 - as above
    assert manager.state_count() == 0
