"""Bytes as scenarios: what an engine mutates, read as a config and what happens under it.

The first byte says which kind of scenario follows. One kind is the generated suites' own
(`retry_parity.strategies`), every choice a byte. The others go where those do not: texts of any
characters, and values of any type in any place.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, TypeVar

from retry_parity.configs import valid_config
from retry_parity.recipes import MAPPINGS, SEQUENCES, mapping, sequence
from retry_parity.scenarios import Call, Policy, Scenario
from retry_parity.strategies import scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retry_parity.recipes import Recipe

Item = TypeVar("Item")

_DEPTH: Final = 4
_MOST_ENTRIES: Final = 6
_LONGEST_TEXT: Final = 32

_RESULT_KEYS: Final = ("content", "isError", "structuredContent", "status_code", "type", "text")
_SETTINGS: Final = (
    "max_retries", "backoff_base_ms", "max_backoff_ms", "retry_on_status", "jitter",
    "check_text_content", "tool_overrides",
)  # fmt: skip
_TOOLS: Final = ("search", "pay")
#: Statuses that texts hold, among them those that booleans are.
_STATUSES: Final = sequence([503, 1, 0, -5, 2**31 - 1])
_SETS: Final = frozenset({"set", "frozenset"})


class Bytes:
    """Choices out of bytes, one byte or more for each; where they end, the simplest."""

    def __init__(self, given: bytes) -> None:
        """Begin at the first byte."""
        self._given = given
        self._at = 0

    def take(self, size: int) -> bytes:
        """Give the next bytes, fewer where they end."""
        taken = self._given[self._at : self._at + size]
        self._at += size
        return taken

    def rest(self) -> bytes:
        """Give all that are left."""
        return self.take(len(self._given))

    def below(self, bound: int) -> int:
        """Choose an integer from 0 to ``bound - 1``."""
        size = (max(bound - 1, 1).bit_length() + 7) // 8
        return int.from_bytes(self.take(size), "little") % bound

    def pick(self, items: Sequence[Item]) -> Item:
        """Choose one of the items; the first is the simplest."""
        return items[self.below(len(items))]

    def one_in(self, count: int) -> bool:
        """Say yes about once in ``count`` times; a 0 says no."""
        return self.below(count) == count - 1


def scenario_of(given: bytes) -> Scenario:
    """Read an input."""
    source = Bytes(given)
    return source.pick(_KINDS)(source)


def _with_texts(source: Bytes) -> Scenario:
    """A text of any characters in a result that says nothing else, under a config that looks."""
    config = mapping({"check_text_content": True, "jitter": False, "retry_on_status": _STATUSES})
    shape = source.pick(("text", "bytes", "bytearray"))
    container = source.pick(("dict", "copy-on-write", "lazy", "subclass", "default"))
    raw = source.rest()
    text: Recipe
    if shape == "text":
        # Bytes that are no UTF-8 become lone surrogates.
        text = raw.decode("utf-8", "surrogateescape")
    else:
        text = raw if shape == "bytes" else ("bytearray", raw)
    item = mapping({"type": "text", "text": text}, container)
    result = mapping({"content": sequence([item])}, container)
    return Scenario(
        config, None, (Call(0, "search", "r1", result), Call(0, "search", "r1", result))
    )


def _with_values(source: Bytes) -> Scenario:
    """Results with values of any type in any place."""
    config = valid_config(source)
    steps = []
    for _ in range(1 + source.below(4)):
        tool = source.pick(_TOOLS)
        result = _mapping(source, _RESULT_KEYS, _DEPTH, tuple(MAPPINGS))
        steps.append(Call(source.below(2), tool, "r1", result))
    return Scenario(config, source.pick((None, 1)), tuple(steps))


def _with_settings(source: Bytes) -> Scenario:
    """A config with values of any type in any place, and calls that show what is in force."""
    settings = dict(_mapping(source, _SETTINGS, 1, tuple(MAPPINGS))[1])
    if source.one_in(2):
        overrides = {
            source.pick(_TOOLS): _mapping(source, _SETTINGS, 1, tuple(MAPPINGS))
            for _ in range(source.below(3))
        }
        settings["tool_overrides"] = mapping(overrides)
    failed = mapping({"isError": True})
    steps = [step for tool in _TOOLS for step in (Call(0, tool, "r1", failed), Policy(tool, 2))]
    return Scenario(mapping(settings), source.pick((None, 3, 0)), tuple(steps))


_KINDS: Final[tuple[Callable[[Bytes], Scenario], ...]] = (
    scenario, _with_texts, _with_values, _with_settings,
)  # fmt: skip


def _value(source: Bytes, depth: int, kinds: tuple[str, ...]) -> Recipe:
    if depth and source.one_in(3):
        if source.one_in(2):
            return _mapping(source, _RESULT_KEYS, depth - 1, kinds)
        kind = source.pick(tuple(SEQUENCES))
        inner = 0 if kind in _SETS else depth - 1
        items = [_value(source, inner, kinds) for _ in range(source.below(_MOST_ENTRIES))]
        if kind in _SETS:
            # Only what has a hash goes into a set.
            items = [item for item in items if not _is_bytearray(item)]
        return sequence(items, kind)
    return source.pick(_SCALARS)(source)


def _is_bytearray(recipe: Recipe) -> bool:
    return isinstance(recipe, tuple) and recipe[0] == "bytearray"


def _mapping(source: Bytes, keys: tuple[str, ...], depth: int, kinds: tuple[str, ...]) -> Recipe:
    pairs: dict[Recipe, Recipe] = {}
    for _ in range(source.below(_MOST_ENTRIES)):
        key = _text(source) if source.one_in(8) else source.pick(keys)
        pairs[key] = _value(source, depth, kinds)
    return mapping(pairs, source.pick(kinds))


def _text(source: Bytes) -> str:
    return source.take(source.below(_LONGEST_TEXT)).decode("utf-8", "surrogateescape")


def _integer(source: Bytes) -> int:
    return int.from_bytes(source.take(1 + source.below(20)), "little", signed=True)


def _float(source: Bytes) -> float:
    given = source.take(8).ljust(8, b"\0")
    return float(struct.unpack("<d", given)[0])


_SCALARS: Final[tuple[Callable[[Bytes], Recipe], ...]] = (
    lambda source: source.pick((503, 404, 1, 0, 2)),
    lambda source: source.pick((True, False, None)),
    lambda source: source.pick(("text", "image", "yes", "3", '{"isError": true}', "search")),
    _text,
    _integer,
    _float,
    lambda source: _text(source).encode("utf-8", "surrogateescape"),
    lambda source: ("index", _integer(source)),
    lambda source: ("int-subclass", _integer(source)),
    lambda source: ("status", source.pick((503, 404))),
    # No member of value True: Pydantic hands the boolean on as a number, and the metadata show it.
    lambda source: ("member", source.pick(("x", 1, 2.0, None))),
    lambda source: ("text-member", source.pick(("text", "yes", "3", "search"))),
    lambda source: ("decimal", str(_integer(source) / 2)),
    lambda source: ("fraction", _integer(source), 1 + source.below(4)),
    lambda source: ("bytearray", source.take(source.below(_LONGEST_TEXT))),
    lambda _: ("thing",),
)  # fmt: skip
