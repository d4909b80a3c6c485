"""Values as data: copies that the original cannot change, and forms that another process can read.

Also runs inside other environments: the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

#: Values that stand for themselves; a subclass does not.
_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})


_TEXTS: Final = (str, bytes, bytearray)


def snapshot(value: object) -> object:
    """Copy the containers of a value; what is in them is taken as it is."""
    if isinstance(value, dict):
        return {key: snapshot(value[key]) for key in value}
    if isinstance(value, list | tuple):
        return [snapshot(item) for item in value]
    return value


def plain(value: object) -> object:
    """Give a value as scalars, tuples, lists and dicts; what is none of them becomes its name.

    Two objects of one class come out alike: what is in them is not looked at, unless it is text.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is list or (isinstance(value, Sequence) and not isinstance(value, _TEXTS)):
        items = [plain(item) for item in value]  # type: ignore[attr-defined] # it is a sequence
        return tuple(items) if isinstance(value, tuple) else items
    if kind is dict or isinstance(value, Mapping):
        return {plain(key): plain(value[key]) for key in value}  # type: ignore[attr-defined,index] # it is a mapping
    content = repr(value) if isinstance(value, _TEXTS) else None
    return ("object", kind.__module__, kind.__qualname__, content)
