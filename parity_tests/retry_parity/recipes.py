"""Python values as plain data that can be built anew, shown, shrunk, and sent to another process.

A recipe is a scalar that stands for itself (None, bool, int, float, str, bytes) or a tuple whose
first item says what to build. Building twice gives two equal objects that share nothing, which is
how both sides of a comparison get the same input.

This module is also run inside other environments, so it imports the standard library only; the
real copy-on-write dict is taken from cpex when a recipe asks for it.
"""

from __future__ import annotations

import collections
import decimal
import enum
import fractions
import functools
import http
import types
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Recipe: TypeAlias = Any


class LazyDict(dict[Any, Any]):  # noqa: PLW1641 - no dict has a hash
    """A dict subclass with nothing in its own storage, as cpex up to 0.1.2 hands out."""

    def __init__(self, pairs: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> None:
        """Keep the pairs where only the methods find them."""
        super().__init__()
        self._pairs = dict(pairs)

    def __getitem__(self, key: Any) -> Any:
        """Read through."""
        return self._pairs[key]

    def __contains__(self, key: object) -> bool:
        """Look through."""
        return key in self._pairs

    def __len__(self) -> int:
        """Count through."""
        return len(self._pairs)

    def __iter__(self) -> Iterator[Any]:
        """Walk through."""
        return iter(self._pairs)

    def __eq__(self, other: object) -> bool:
        """Compare what is behind."""
        return self._pairs == (other._pairs if isinstance(other, LazyDict) else other)

    def __ne__(self, other: object) -> bool:
        """Compare what is behind; a dict has its own answer otherwise."""
        return not self == other

    def __repr__(self) -> str:
        """Show what is behind."""
        return f"LazyDict({self._pairs!r})"

    def get(self, key: Any, default: Any = None) -> Any:
        """Read through, with a default."""
        return self._pairs.get(key, default)

    def keys(self) -> Any:
        """Walk over the keys."""
        return self._pairs.keys()

    def values(self) -> Any:
        """Walk over the values."""
        return self._pairs.values()

    def items(self) -> Any:
        """Walk over the pairs."""
        return self._pairs.items()


class PlainSubclass(dict[Any, Any]):
    """A dict subclass that changes nothing."""


class Unreadable(dict[Any, Any]):
    """A dict whose ``get`` raises, as both sides read it; the harness can still copy it."""

    def get(self, key: Any, default: Any = None) -> Any:
        """Refuse."""
        del default
        raise RuntimeError(key)


class IntSubclass(int):
    """An integer of another class."""


class Index:
    """An object that offers itself as an integer without being one."""

    def __init__(self, value: int) -> None:
        """Offer this value."""
        self.value = value

    def __index__(self) -> int:
        """Offer the value."""
        return self.value

    def __eq__(self, other: object) -> bool:
        """Equal another offer of the same value."""
        return isinstance(other, Index) and other.value == self.value

    def __hash__(self) -> int:
        """Hash the value."""
        return hash(self.value)


class Thing:
    """An object of no use in any place."""

    def __eq__(self, other: object) -> bool:
        """Equal any other such object."""
        return isinstance(other, Thing)

    def __hash__(self) -> int:
        """Hash as all of them."""
        return 1


def _copy_on_write(pairs: dict[Any, Any]) -> Any:
    from cpex.framework.memory import CopyOnWriteDict

    return CopyOnWriteDict(pairs)


@functools.lru_cache(maxsize=64, typed=True)
def _enum_member(value: Any) -> Any:
    make: Any = enum.Enum  # making the class takes most of a millisecond
    return make("Member", {"IT": value})["IT"]


@functools.lru_cache(maxsize=64)
def _text_member(value: str) -> Any:
    make: Any = enum.StrEnum
    return make("TextMember", {"IT": value})["IT"]


MAPPINGS: Final[dict[str, Callable[[Any], Any]]] = {
    "dict": dict,
    "subclass": PlainSubclass,
    "copy-on-write": _copy_on_write,
    "lazy": LazyDict,
    "unreadable": Unreadable,
    "ordered": collections.OrderedDict,
    "default": lambda pairs: collections.defaultdict(list, pairs),
    "proxy": lambda pairs: types.MappingProxyType(dict(pairs)),
}
SEQUENCES: Final[dict[str, Callable[[Any], Any]]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": collections.deque,
    "userlist": collections.UserList,
}
OTHERS: Final[dict[str, Callable[..., Any]]] = {
    "int-subclass": IntSubclass,
    "status": http.HTTPStatus,
    "index": Index,
    "member": _enum_member,
    "text-member": _text_member,
    "decimal": decimal.Decimal,
    "fraction": fractions.Fraction,
    "bytearray": bytearray,
    "repeated": lambda text, count: text * count,
    "thing": Thing,
}


def build(recipe: Recipe) -> Any:
    """Make the value. Each call makes a new one.

    Raises:
        KeyError: The recipe's kind is not known.
    """
    # Most parts are scalars; asking here spares them a call.
    if type(recipe) is not tuple:
        return recipe
    kind = recipe[0]
    if kind in MAPPINGS:
        pairs = {
            build(key) if type(key) is tuple else key: build(value)
            if type(value) is tuple
            else value
            for key, value in recipe[1]
        }
        return pairs if kind == "dict" else MAPPINGS[kind](pairs)
    if kind in SEQUENCES:
        items = [build(item) if type(item) is tuple else item for item in recipe[1]]
        return items if kind == "list" else SEQUENCES[kind](items)
    return OTHERS[kind](*recipe[1:])


def show(recipe: Recipe) -> str:
    """Give the value as a person reads it: Python where Python has a word for it."""
    if not isinstance(recipe, tuple):
        return repr(recipe)
    kind, *rest = recipe
    if kind in MAPPINGS:
        pairs = ", ".join(f"{show(key)}: {show(value)}" for key, value in rest[0])
        return f"{{{pairs}}}" if kind == "dict" else f"{kind}({{{pairs}}})"
    if kind in SEQUENCES:
        items = ", ".join(map(show, rest[0]))
        return f"[{items}]" if kind == "list" else f"{kind}([{items}])"
    if kind == "repeated":
        return f"{rest[0]!r} * {rest[1]}"
    return f"{kind}({', '.join(map(repr, rest))})"


def mapping(pairs: dict[Any, Recipe], kind: str = "dict") -> Recipe:
    """Give the recipe of a mapping."""
    return (kind, tuple(pairs.items()))


def sequence(items: Iterable[Recipe], kind: str = "list") -> Recipe:
    """Give the recipe of a sequence."""
    return (kind, tuple(items))
