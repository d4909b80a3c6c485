"""Tool results as the gateway hands them over, and the containers it hands them over in."""

from __future__ import annotations

import json
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any


def result(
    *, is_error: object = False, structured: object = None, content: object = ()
) -> dict[str, Any]:
    """Give a result with the keys a gateway's result always has."""
    return {
        "content": list(content) if isinstance(content, tuple) else content,
        "isError": is_error,
        "structuredContent": structured,
        "_meta": None,
    }


def text(body: object) -> dict[str, Any]:
    """Give a text content item: a string as it is, anything else as JSON."""
    return {"type": "text", "text": body if isinstance(body, str) else json.dumps(body)}


def status(code: object) -> dict[str, Any]:
    """Give a result that reports a status and nothing else."""
    return result(structured={"status_code": code})


FAILURE = result(is_error=True, content=(text("it broke"),))
"""A failure whatever the config says about statuses and text."""

SUCCESS = result(content=(text("fine"),))
"""No failure, whatever the config says."""


class LazyDict(dict[str, Any]):
    """A dict whose own storage is empty: what it holds is only seen through its methods.

    The gateway's copy-on-write dict was one until cpex 0.1.3. An implementation that reads a dict
    through the C API's direct access finds nothing here, and would never retry.
    """

    def __init__(self, items: Mapping[str, Any]) -> None:
        """Hold ``items`` without storing them."""
        super().__init__()
        self._items = items

    def __getitem__(self, key: str) -> Any:
        """Give the value held under a key."""
        return self._items[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Give the value held under a key, or the default."""
        return self._items.get(key, default)

    def __contains__(self, key: object) -> bool:
        """Say whether a key is held."""
        return key in self._items

    def __iter__(self) -> Iterator[str]:
        """Walk over the keys held."""
        return iter(self._items)

    def __len__(self) -> int:
        """Count the keys held."""
        return len(self._items)

    def keys(self) -> KeysView[str]:  # type: ignore[override] # dict_keys cannot be built
        """Give the keys held."""
        return KeysView(self._items)

    def values(self) -> ValuesView[Any]:  # type: ignore[override] # dict_values cannot be built
        """Give the values held."""
        return ValuesView(self._items)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override] # dict_items cannot be built
        """Give the pairs held."""
        return ItemsView(self._items)

    def __eq__(self, other: object) -> bool:
        """Compare what is held."""
        return self._items == other

    __hash__ = None  # no dict has one

    def __repr__(self) -> str:
        """Show what is held."""
        return f"LazyDict({self._items!r})"


def lazily(value: object) -> object:
    """Give the same data with every plain dict in it, at any depth, as a `LazyDict`."""
    if type(value) is dict:
        return LazyDict({key: lazily(item) for key, item in value.items()})
    if type(value) is list:
        return [lazily(item) for item in value]
    return value
