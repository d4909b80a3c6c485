"""Faults that raise, each in its own way: a part that is replaced by one of them fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from retry_with_backoff import _core

if TYPE_CHECKING:
    from collections.abc import Callable


class Panic(BaseException):
    """What PyO3 raises for a Rust panic is no Exception either."""


class Liar(Exception):  # noqa: N818 - it is no error by name
    """Claims to be another class, and raises from whatever it is asked."""

    __class__ = property(lambda _: KeyboardInterrupt)

    def __str__(self) -> str:
        """Refuse, in a way that would end the process."""
        raise SystemExit

    __repr__ = __str__


class Secretive(Exception):  # noqa: N818 - it is no error by name
    """Does not tell where it came from."""

    @property
    def __traceback__(self) -> Any:  # type: ignore[override] # that is the fault
        """Refuse."""
        raise RuntimeError

    @property
    def __dict__(self) -> Any:  # type: ignore[override] # as above
        """Refuse."""
        raise Panic


def raising(make: Callable[[], BaseException]) -> Callable[..., Any]:
    """Make a part that fails."""

    def fail(*_: object) -> Any:
        raise make()

    return fail


def recurse(*_: object) -> Any:
    """Fail by a real recursion."""
    return recurse()


RAISED: Final[dict[str, Callable[..., Any]]] = {
    "an exception": raising(lambda: RuntimeError("x")),
    "no Exception": raising(Panic),
    "a Rust panic with the store's lock held": lambda *_: _core.panic_for_tests(),
    "one that lies and raises when shown": raising(Liar),
    "one that hides where it came from": raising(Secretive),
    "a group": raising(lambda: ExceptionGroup("x", [ValueError("x")])),
    "a group with an interrupt": raising(lambda: BaseExceptionGroup("x", [KeyboardInterrupt()])),
    "StopIteration": raising(StopIteration),
    "StopAsyncIteration": raising(StopAsyncIteration),
    "a real recursion": recurse,
    "MemoryError": raising(MemoryError),
    "a warning": raising(lambda: UserWarning("x")),
}
