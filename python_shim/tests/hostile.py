"""Objects that raise, lie, call the plugin again or change things while a hook reads them.

A `World` is shared by the hostile objects of one payload: it counts how often their code ran, and
knows the plugin that they may call. A `Place` says where in a call one of them stands.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

#: Calls the plugin with a result, in a chain of its own.
Hook = Callable[[object], object]


class Sabotage(Exception):  # noqa: N818  it is no error by name
    """What hostile code raises."""


class Deed(StrEnum):
    """What hostile code does."""

    RAISE = "raises"
    LIE = "lies"
    RECURSE = "recurses"
    MUTATE = "mutates"


class World:
    """What the hostile objects of one payload share."""

    def __init__(self, hook: Hook, clear_state: Callable[[], None]) -> None:
        """Begin with nothing done.

        Args:
            hook: What hostile code calls.
            clear_state: What hostile code does to the chains.
        """
        self.hook = hook
        self.clear_state = clear_state
        self.whole: Any = None
        self.ran = 0
        self.raised = 0
        self.armed = False
        self._containers: list[Any] = []

    def watch(self, value: object) -> None:
        """Remember a container, so that hostile code can change it."""
        self._containers.append(value)

    def do(self, deed: Deed) -> None:
        """Run hostile code, but for lies."""
        self.ran += 1
        if deed is Deed.RAISE:
            self.raised += 1
            raise Sabotage
        if deed is Deed.RECURSE:
            self.hook(self.whole)
        if deed is Deed.MUTATE:
            self._mutate()

    def _mutate(self) -> None:
        """Change what is being read, the chains and the interpreter, a bounded number of times."""
        if self.ran > _MOST_CHANGES:
            return
        self.clear_state()
        for container in self._containers:
            if isinstance_of(type(container), list):
                list.append(container, {"type": "image"})
                if list.__len__(container) > _MOST_CHANGES // 2:
                    list.clear(container)
            elif isinstance_of(type(container), dict):
                dict.__setitem__(container, f"more {self.ran}", 1)
                if self.ran > _MOST_CHANGES // 2:
                    dict.clear(container)
        sys.setrecursionlimit(sys.getrecursionlimit() + 1)
        gc.collect(0)


#: How often hostile code changes things.
_MOST_CHANGES = 20


class Box:
    """An object with attributes, as payloads and contexts are."""

    def __init__(self, **attributes: Any) -> None:
        """Take the attributes."""
        vars(self).update(attributes)


_COMMON = (
    *("__eq__", "__ne__", "__hash__", "__bool__", "__len__", "__str__", "__repr__"),
    *("__getattribute__", "__class__", "__del__", "__index__", "__iter__", "__contains__"),
)
#: The methods that each kind of object is hostile in.
METHODS: dict[type, tuple[str, ...]] = {
    dict: (
        *(*_COMMON, "get", "__getitem__", "__missing__", "__setitem__"),
        *("keys", "items", "copy", "pop", "setdefault"),
    ),
    list: (*_COMMON, "__getitem__", "__reversed__", "copy", "append"),
    tuple: (*_COMMON, "__getitem__"),
    str: (*_COMMON, "__getitem__", "encode", "startswith", "isascii", "lower"),
    bytes: (*_COMMON, "__getitem__", "decode", "startswith"),
    bytearray: (*_COMMON, "__getitem__", "decode", "startswith"),
    int: (*_COMMON, "__int__", "__lt__", "__sub__"),
    Box: _COMMON,
}

#: What a method answers when it lies; another one answers an object without any meaning.
_LIES: dict[str, Any] = {
    "__len__": -1,
    "__hash__": -1,
    "__bool__": 2,
    "__eq__": True,
    "__ne__": False,
    "__iter__": 5,
    "__class__": dict,
    "__index__": "1",
    "isascii": True,
    "decode": 7,
    "get": "a lie",
    "__getitem__": '{"isError": true}',
}
#: What a method that the kind of object does not have answers where it is honest.
_HONEST: dict[str, Any] = {"__bool__": True, "__len__": 1, "__index__": 1, "__contains__": False}


def hostile(value: Any, method: str, deed: Deed, world: World) -> Any:
    """A copy of a value whose class has one hostile method.

    It does no harm before the world is armed, so that a payload can be put together.
    """
    kind = type(value)
    own = getattr(kind, method, None)

    def run(self: Any, *args: Any, **named: Any) -> Any:
        if world.armed and deed is Deed.LIE and method != "__del__":
            world.ran += 1
            return _LIES.get(method, object())
        if world.armed:
            world.do(deed)
        if method == "__class__":
            return kind
        if own is not None:
            return own(self, *args, **named)
        if method == "__missing__":
            raise KeyError(*args)
        return iter(()) if method == "__iter__" else _HONEST.get(method)

    members: dict[str, Any] = {method: property(run) if method == "__class__" else run}
    if method == "__eq__" and kind.__hash__ is not None:
        members["__hash__"] = kind.__hash__
    subclass: Any = type(f"Hostile{kind.__name__.title()}", (kind,), members)
    return subclass(**vars(value)) if kind is Box else subclass(value)


class Call(NamedTuple):
    """What a hook is given."""

    payload: Any
    context: Any
    extensions: Any


#: Where a hostile object may stand, and what kind of object stands there.
PLACES: dict[str, type] = {
    "result": dict,
    "structured content": dict,
    "content": list,
    "content as a tuple": tuple,
    "item": dict,
    "kind of item": str,
    "text": str,
    "text as bytes": bytes,
    "text as a bytearray": bytearray,
    "status": int,
    "flag": int,
    "key": str,
    "tool": str,
    "request id": str,
    "payload": Box,
    "context": Box,
    "global context": Box,
    "extensions": Box,
    "request": Box,
    "trace id": str,
}


class Outfit(NamedTuple):
    """What a call is made of, besides the hostile object.

    Attributes:
        text_path: Whether the failure, if there is one, is told in a text, or else by a status.
        fails: Whether there is one.
        tool: The tool's name.
        request_id: The request's id.
    """

    text_path: bool
    fails: bool
    tool: str = "search"
    request_id: str = "r"


def build(place: str, outfit: Outfit, world: World, wrap: Callable[[Any], Any]) -> Call:
    """Put a call together in which `wrap` makes what stands at one place."""

    def at(where: str, value: Any) -> Any:
        value = wrap(value) if where == place else value
        world.watch(value)
        return value

    told = '{"isError": true}' if outfit.fails and outfit.text_path else '{"isError": false}'
    text: Any = at("text", told)
    if place.startswith("text as"):
        text = at(place, PLACES[place](told.encode()))
    item = at("item", {"type": at("kind of item", "text"), "text": text})
    content = at("content", [item, {"type": "image"}])
    if place == "content as a tuple":
        content = at(place, tuple(content))
    structured = None
    if not outfit.text_path:
        status = 503 if outfit.fails else 200
        structured = at("structured content", {"status_code": at("status", status)})
    result = {at("key", "isError"): at("flag", 0), "structuredContent": structured}
    result = at("result", {**result, "content": content})
    world.whole = result
    global_context = at("global context", Box(request_id=at("request id", outfit.request_id)))
    request = at("request", Box(trace_id=at("trace id", "t-1")))
    return Call(
        payload=at("payload", Box(name=at("tool", outfit.tool), result=result)),
        context=at("context", Box(global_context=global_context)),
        extensions=at("extensions", Box(request=request)),
    )


def plain(result: object, tool: str = "search", request_id: str = "r") -> Call:
    """A call of which only the result may be hostile, and the names."""
    context = Box(global_context=Box(request_id=request_id))
    return Call(Box(name=tool, result=result), context, None)


def text_result(*texts: object) -> dict[str, Any]:
    """A result in which only texts can tell a failure."""
    content = [{"type": "text", "text": text} for text in texts]
    return {"content": content, "isError": False, "structuredContent": None}


def answer(plugin: Any, call: Call) -> Any:
    """Call a hook that waits for nothing, from wherever."""
    hook = plugin.tool_post_invoke(*call)
    try:
        hook.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("the hook waits for something")


def snapshot(value: Any, seen: dict[int, Any] | None = None) -> Any:
    """What an object holds, read without running any code of its class."""
    seen = {} if seen is None else seen
    if id(value) in seen:
        return id(value)
    seen[id(value)] = value
    kind = type(value)
    held: list[Any] = [id(value), id(kind)]
    if isinstance_of(kind, dict):
        pairs = dict.items(value)
        held.append([(snapshot(key, seen), snapshot(each, seen)) for key, each in pairs])
    elif isinstance_of(kind, list):
        held.append([snapshot(each, seen) for each in list.__iter__(value)])
    elif isinstance_of(kind, tuple):
        held.append([snapshot(each, seen) for each in tuple.__iter__(value)])
    elif isinstance_of(kind, bytearray):
        held.append(bytes(memoryview(value)))
    elif isinstance_of(kind, Box):
        held.append(snapshot(object.__getattribute__(value, "__dict__"), seen))
    return held


def isinstance_of(kind: type, base: type) -> bool:
    """Whether a class derives from another one, whatever its objects say."""
    return base in type.__dict__["__mro__"].__get__(kind)
