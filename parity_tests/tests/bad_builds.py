"""Builds of the retry plugin that are bad on purpose, each in one way.

`Rubbish` does what a scenario says; the others have one bug each.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NoReturn

from cpex.framework import PluginConfig, ToolPostInvokeResult

from retry_with_backoff import RetryWithBackoffPlugin as RustPlugin
from retry_with_backoff import _core


class SlyText(str):
    """Text of a class of its own."""

    __slots__ = ()


class SlyError(ValueError):
    """An error whose message is of a class of its own."""

    def __str__(self) -> str:
        """Give it."""
        return SlyText("sly")


class UnspeakableError(ValueError):
    """An error that raises when it is to be told."""

    def __str__(self) -> str:
        """Raise."""
        raise RuntimeError("it cannot be told")


class Unreadable:
    """An answer whose every attribute raises."""

    def __getattribute__(self, name: str) -> NoReturn:
        """Raise."""
        raise RuntimeError(name)


class Endless(Mapping[int, int]):
    """Metadata without end."""

    def __getitem__(self, key: int) -> int:
        """Give something."""
        return key

    def __iter__(self) -> Iterator[int]:
        """Never end."""
        number = 0
        while True:
            number += 1
            yield number

    def __len__(self) -> int:
        """Claim to be small."""
        return 1


class Angry(Mapping[str, int]):
    """Metadata that cannot be read."""

    def __getitem__(self, key: str) -> NoReturn:
        """Raise."""
        raise RuntimeError(key)

    def __iter__(self) -> Iterator[str]:
        """Give a key."""
        return iter(("key",))

    def __len__(self) -> int:
        """Count it."""
        return 1


def _cyclic() -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    metadata["self"] = metadata
    return metadata


def _nested(depth: int) -> dict[str, Any]:
    metadata: Any = {}
    for _ in range(depth):
        metadata = {"in": metadata}
    return {"out": metadata}


def _answer(**fields: Any) -> Any:
    """Give an object that looks like a result and was not validated."""
    plain = {"continue_processing": True, "retry_delay_ms": 0, "metadata": {}}
    return SimpleNamespace(**plain | fields)


def _raises(error: BaseException) -> NoReturn:
    raise error


def _hook_recursion() -> Any:
    return _hook_recursion()


ANSWERS: dict[str, Any] = {
    "none": lambda: None,
    "dict": lambda: {"retry_delay_ms": 5},
    "unreadable": Unreadable,
    "class": lambda: ToolPostInvokeResult,
    "cycle": lambda: _answer(metadata=_cyclic()),
    "nested 900": lambda: _answer(metadata=_nested(900)),
    "nested 1500": lambda: _answer(metadata=_nested(1500)),
    "endless": lambda: _answer(metadata=Endless()),
    "angry": lambda: _answer(metadata=Angry()),
    "object": lambda: _answer(metadata={"lock": object(), "type": int, "set": {1}}),
    "odd keys": lambda: _answer(metadata={None: 1, (1, 2): 2, 3.5: 3, b"x": 4, frozenset({1}): 5}),
    "huge": lambda: _answer(metadata={"x": "x" * 20_000_000}),
    "huge key": lambda: _answer(metadata={"x" * 1_000_000: 1}),
    "many keys": lambda: _answer(metadata=dict.fromkeys(map(str, range(100_000)))),
    "surrogate": lambda: _answer(metadata={"\ud800": "\udfff"}),
    "escape": lambda: _answer(metadata={"\x1b[31m": "\x1b[2J"}),
    "no metadata": lambda: _answer(metadata=None),
    "metadata list": lambda: _answer(metadata=[1, 2]),
    "metadata number": lambda: _answer(metadata=5),
    "policy text": lambda: _answer(metadata={"retry_policy": "x"}),
    "policy odd": lambda: _answer(metadata={"retry_policy": {"max_retries": "x"}}),
    "huge number": lambda: _answer(metadata={"n": 10**5000}),
    "huge delay": lambda: _answer(retry_delay_ms=10**5000),
    "text delay": lambda: _answer(retry_delay_ms="5"),
    "nan delay": lambda: _answer(retry_delay_ms=float("nan")),
    "true delay": lambda: _answer(retry_delay_ms=True),
    "negative delay": lambda: _answer(retry_delay_ms=-5),
    "object delay": lambda: _answer(retry_delay_ms=object()),
    "violation": lambda: _answer(violation=object()),
    "headers": lambda: _answer(http_headers={"a": object()}),
    "sly": lambda: _raises(SlyError()),
    "unspeakable": lambda: _raises(UnspeakableError()),
    "sys-exit": lambda: _raises(SystemExit(0)),
    "generator-exit": lambda: _raises(GeneratorExit()),
    "stop-iteration": lambda: _raises(StopIteration(5)),
    "base": lambda: _raises(BaseException("x")),
    "escape error": lambda: _raises(ValueError("\x1b[2J\x07 gone")),
    "huge error": lambda: _raises(ValueError("x" * 5_000_000)),
    "recursion": _hook_recursion,
}


class Rubbish(RustPlugin):
    """Answers as the tool's name says, and loads as the setting ``act`` says; else properly."""

    def __init__(self, config: PluginConfig) -> None:
        """Load, or raise."""
        act = (config.config or {}).get("act")
        if act is not None:
            ANSWERS[act]()
        super().__init__(config)

    async def tool_post_invoke(self, payload: Any, context: Any, extensions: Any = None) -> Any:
        """Answer."""
        act = ANSWERS.get(payload.name)
        return await super().tool_post_invoke(payload, context, extensions) if not act else act()


class Ceiling(RustPlugin):
    """Waits as long as it may, each time."""

    @staticmethod
    def draw() -> float:
        """Draw the largest number below 1."""
        return 1.0 - 2.0**-53

    async def tool_post_invoke(self, payload: Any, context: Any, extensions: Any = None) -> Any:
        """Decide with a die of its own."""
        _core.set_random(self.draw)
        try:
            return await super().tool_post_invoke(payload, context, extensions)
        finally:
            _core.set_random(None)


class HalfRange(Ceiling):
    """Draws its jitter from the lower half of the range."""

    @staticmethod
    def draw() -> float:
        """Draw from the lower half."""
        return random.random() / 2  # noqa: S311 - spreads load, guards nothing


class Fair(RustPlugin):
    """The Rust core under another name: nothing is wrong with it."""
