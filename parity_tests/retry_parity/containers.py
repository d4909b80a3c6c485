"""The two kinds of dict in which cpex hands a result to a plugin.

Up to 0.1.2 the wrapper is lazy: its own storage is empty and everything is behind its methods.
From 0.1.3 on it is a snapshot: an ordinary dict with a little bookkeeping. A candidate must cope
with both, whichever cpex is installed, so a replay delivers both.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from cpex.framework.memory import CopyOnWriteDict

if TYPE_CHECKING:
    from collections.abc import Iterator


class Container(StrEnum):
    """The kinds of wrapper."""

    SNAPSHOT = "snapshot"
    LAZY = "lazy"


class SnapshotDict(dict[str, object]):
    """A dict subclass with everything in its own storage."""


class LazyDict(dict[str, object]):  # noqa: PLW1641 - no dict has a hash
    """A dict subclass with nothing in its own storage; read only, as a hook uses it."""

    def __init__(self, original: dict[str, object]) -> None:
        """Stand in front of a dict without copying it."""
        super().__init__()
        self._original = original

    def __getitem__(self, key: str) -> object:
        """Read through."""
        return self._original[key]

    def __contains__(self, key: object) -> bool:
        """Look through."""
        return key in self._original

    def __len__(self) -> int:
        """Count through."""
        return len(self._original)

    def __iter__(self) -> Iterator[str]:
        """Walk through."""
        return iter(self._original)

    def __eq__(self, other: object) -> bool:
        """Compare what is behind."""
        return self._original == other

    def __ne__(self, other: object) -> bool:
        """Compare what is behind."""
        return self._original != other

    def get(self, key: str, default: object = None) -> object:
        """Read through, with a default."""
        return self._original.get(key, default)

    def keys(self) -> Iterator[str]:  # type: ignore[override] # an iterator, as in cpex 0.1.2
        """Walk over the keys."""
        return iter(self)

    def values(self) -> Iterator[object]:  # type: ignore[override] # as above
        """Walk over the values."""
        return (self[key] for key in self)

    def items(self) -> Iterator[tuple[str, object]]:  # type: ignore[override] # as above
        """Walk over the pairs."""
        return ((key, self[key]) for key in self)


def installed_kind() -> Container:
    """Say which kind the installed cpex delivers."""
    wrapped = CopyOnWriteDict({"key": "value"})
    return Container.SNAPSHOT if dict.__contains__(wrapped, "key") else Container.LAZY


def wrap(kind: Container, result: dict[str, object]) -> dict[str, object]:
    """Wrap a result (itself wrapped or not) in a given kind of dict."""
    plain = {key: result[key] for key in result}
    return LazyDict(plain) if kind is Container.LAZY else SnapshotDict(plain)
