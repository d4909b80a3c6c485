"""Values as data: copies that the original cannot change, and forms that another process can read.

Also runs inside other environments: the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Values that stand for themselves; a subclass does not.
_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})


def snapshot(value: object) -> object:
    """Copy the containers of a value; what is in them is taken as it is."""
    if isinstance(value, dict):
        return {key: snapshot(value[key]) for key in value}
    if isinstance(value, list | tuple):
        return [snapshot(item) for item in value]
    return value


def plain(value: object) -> object:
    """Give a value as scalars, tuples, lists and dicts; what is none of them becomes its name.

    Two objects of one class come out alike: what is in them is not looked at.
    """
    if type(value) in _SCALARS:
        return value
    if isinstance(value, Mapping):
        return {plain(key): plain(value[key]) for key in value}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    return ("object", type(value).__module__, type(value).__qualname__)
