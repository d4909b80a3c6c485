"""Values as data: copies that the original cannot change, and forms that another process can read.

Also runs inside other environments: the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final

#: Values that stand for themselves; a subclass does not.
_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})


_TEXTS: Final = (str, bytes, bytearray, int, float)


def snapshot(value: object) -> object:
    """Copy the containers of a value; what is in them is taken as it is."""
    if isinstance(value, dict):
        return {key: snapshot(value[key]) for key in value}
    if isinstance(value, list | tuple):
        return [snapshot(item) for item in value]
    return value


def plain(value: Any) -> Any:
    """Give a value as scalars, tuples, lists and dicts; what is none of them becomes its name.

    Two objects of one class come out alike, unless they are text, numbers or Pydantic models. A
    container inside itself, or too far inside others, becomes a name as well.
    """
    return _plain(value, ())


def _plain(value: Any, around: tuple[int, ...]) -> Any:
    kind = type(value)
    form = _form(kind)
    if form is _Form.SCALAR:
        return value
    if form in _CONTAINERS:
        if id(value) in around or len(around) >= _DEEPEST:
            return ("inside itself" if id(value) in around else "too deep",)
        around = (*around, id(value))
    if form is _Form.MAPPING:
        return {_key(_plain(key, around)): _plain(value[key], around) for key in value}
    if form is _Form.LIST:
        return [_plain(item, around) for item in value]
    if form is _Form.TUPLE:
        return tuple(_plain(item, around) for item in value)
    content = None
    if form is _Form.TEXT:
        content = repr(value)
    elif hasattr(kind, "model_fields"):  # a Pydantic model is what its fields are
        content = _plain(dict(vars(value)), around)
    return ("object", kind.__module__, kind.__qualname__, content)


def _key(key: Any) -> Any:
    """Give a plain value that can be a key."""
    try:
        hash(key)
    except TypeError:
        return ("key", repr(key))
    return key


class _Form(Enum):
    SCALAR = auto()
    MAPPING = auto()
    LIST = auto()
    TUPLE = auto()
    TEXT = auto()
    OBJECT = auto()


_CONTAINERS: Final = frozenset({_Form.MAPPING, _Form.LIST, _Form.TUPLE})
_DEEPEST: Final = 100
_forms: dict[type, _Form] = {}
_MOST_FORMS: Final = 1024


def _form(kind: type) -> _Form:
    """Say what values of a class become; asking the abstract classes each time is slow."""
    form = _forms.get(kind)
    if form is None:
        if len(_forms) >= _MOST_FORMS:
            _forms.clear()
        form = _forms[kind] = _form_of(kind)
    return form


def _form_of(kind: type) -> _Form:
    if kind in _SCALARS:
        return _Form.SCALAR
    forms = (
        (_TEXTS, _Form.TEXT),
        (tuple, _Form.TUPLE),
        (Mapping, _Form.MAPPING),
        (Sequence, _Form.LIST),
    )
    return next((form for base, form in forms if issubclass(kind, base)), _Form.OBJECT)
