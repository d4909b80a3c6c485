"""Tool results as JSON: taken during a call as fast as can be, told later.

During a call a result is copied by `marshal`, in one step of C: nothing can change meanwhile, and
types stay exact. What that cannot copy is copied by hand, as far as JSON can tell it: a dict of
another class by its contents as its methods give them, a text of another class as text. The JSON
text is made on another thread.
"""

from __future__ import annotations

import json
import marshal
import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Of a result: bytes of its copy, and characters of its text.
MOST_BYTES: Final = 1024 * 1024

_VERSION: Final = 4
_DEEPEST: Final = 400
_MOST_NODES: Final = 1024 * 1024
#: Of what is copied by hand, which takes its time.
_MOST_BY_HAND: Final = 65_536
#: Python reads and writes numbers of up to 4,300 digits.
_LARGEST_INT: Final = 10**4000

_ATOMS: Final = frozenset({str, bool, type(None)})
_OTHERS: Final = frozenset({bytes, tuple, set, frozenset})


NAMELESS: Final = "a name that is no text"
NO_DICT: Final = "a result that is no dict"
TOO_LARGE: Final = "a result of more than 1 MiB"
TOO_DEEP: Final = "a result nested too deeply"
_KEY: Final = "a key that is no text"
_NUMBER_CLASS: Final = "a number of a class of its own"
_LONG_NUMBER: Final = "a number of too many digits"
_OBJECT: Final = "an object"


class UntellableError(ValueError):
    """A call cannot be recorded; the message is the reason under which it is counted."""


def taken(tool: Any, request_id: Any, result: Any) -> bytes:
    """Copy a call.

    Args:
        tool: Its tool.
        request_id: Its request id.
        result: Its result.

    Returns:
        The copy, for `told`.

    Raises:
        UntellableError: JSON cannot tell it, or it is too large.
        Exception: Whatever reading it raised.
    """
    if not isinstance(tool, str) or not isinstance(request_id, str):
        raise UntellableError(NAMELESS)
    if type(result) is not dict:
        if not isinstance(result, dict):
            raise UntellableError(NO_DICT)
        result = {key: result[key] for key in result}
    try:
        copy = marshal.dumps((tool, request_id, result), _VERSION)
    except ValueError:
        by_hand = _ByHand()
        call: Any = tuple(by_hand.copy(each, 0) for each in (tool, request_id, result))
        copy = marshal.dumps(call, _VERSION)
    if len(copy) > MOST_BYTES:
        raise UntellableError(TOO_LARGE)
    return copy


def told(copy: bytes) -> tuple[str, str, str, str]:
    """Tell a call as JSON.

    Returns:
        Tool, request id, result, and what stands for NaN and the infinities in it (JSON pointers;
        empty where there is none), each as JSON text in ASCII.

    Raises:
        UntellableError: JSON cannot tell it.
    """
    tool, request_id, result = marshal.loads(copy)  # noqa: S302 - made by `taken`
    try:
        (tool + request_id).encode()
    except UnicodeEncodeError as error:
        raise UntellableError(NAMELESS) from error
    pointers: dict[str, str] = {}
    if not _is_finite(result):
        result = _without_nonfinite(result, "", pointers)
    text = _encode(result)
    if len(text) > MOST_BYTES:
        raise UntellableError(TOO_LARGE)
    return _encode(tool), _encode(request_id), text, _encode(pointers) if pointers else ""


_encode: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class _ByHand:
    """A copy of containers of any class, as plain ones."""

    def __init__(self) -> None:
        self._nodes = 0

    def copy(self, value: Any, depth: int) -> object:
        """Copy a value."""
        self._nodes += 1
        if self._nodes > _MOST_BY_HAND:
            raise UntellableError(TOO_LARGE)
        if depth > _DEEPEST:
            raise UntellableError(TOO_DEEP)
        kind = type(value)
        if kind in _ATOMS or kind is int or kind is float:
            return value
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, dict):
            return {self.copy(key, depth + 1): self.copy(value[key], depth + 1) for key in value}
        if isinstance(value, list):
            return [self.copy(each, depth + 1) for each in value]
        if isinstance(value, int | float):
            raise UntellableError(_NUMBER_CLASS)
        raise UntellableError(_other(kind))


def _other(kind: type) -> str:
    return f"{kind.__name__} in a result" if kind in _OTHERS else _OBJECT


def _is_finite(result: dict[object, object]) -> bool:
    """Say whether a copy is without NaN and the infinities.

    Raises:
        UntellableError: JSON cannot tell it.
    """
    is_finite, nodes = True, 0
    containers: list[tuple[Any, int]] = [(result, 1)]
    while containers:
        container, depth = containers.pop()
        # Within one another, or shared many times over, containers could go on for ever.
        if depth > _DEEPEST:
            raise UntellableError(TOO_DEEP)
        nodes += len(container)
        if nodes > _MOST_NODES:
            raise UntellableError(TOO_LARGE)
        values = container
        if type(container) is dict:
            if any(type(key) is not str for key in container):
                raise UntellableError(_KEY)
            values = container.values()
        for value in values:
            kind = type(value)
            if kind is dict or kind is list:
                containers.append((value, depth + 1))
            elif kind not in _ATOMS:
                is_finite = _is_finite_number(value) and is_finite
    return is_finite


def _is_finite_number(value: Any) -> bool:
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    if kind is not int:
        raise UntellableError(_other(kind))
    if not -_LARGEST_INT < value < _LARGEST_INT:
        raise UntellableError(_LONG_NUMBER)
    return True


def _without_nonfinite(value: Any, pointer: str, pointers: dict[str, str]) -> object:
    """Put null in place of NaN and the infinities, and name where they were."""
    if type(value) is dict:
        return {
            key: _without_nonfinite(each, f"{pointer}/{_escaped(key)}", pointers)
            for key, each in value.items()
        }
    if type(value) is list:
        return [
            _without_nonfinite(each, f"{pointer}/{place}", pointers)
            for place, each in enumerate(value)
        ]
    if type(value) is float and not math.isfinite(value):
        pointers[pointer] = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return None
    return value


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def header_config(config: Mapping[str, object] | None) -> dict[str, object] | None:
    """Give a plugin config as JSON can tell it; ``None`` where it would not be the same again."""
    try:
        again = json.loads(json.dumps(config))
    except (TypeError, ValueError, RecursionError):
        return None
    return again if isinstance(again, dict) and again == config else None
