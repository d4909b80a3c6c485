"""Generated configs: those that both sides take, and those with values that some rule minds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from retry_parity.recipes import Recipe, mapping, sequence

if TYPE_CHECKING:
    from retry_parity.source import Source

_STATUSES: Final = (
    sequence([429, 500, 502, 503, 504]),
    sequence([503]),
    sequence([]),
    sequence([404, 503]),
    sequence([True, 503]),
    sequence([0, -5], "tuple"),
)


def valid_config(source: Source) -> Recipe:
    """A config that both sides take."""
    settings: dict[Recipe, Recipe] = {}
    if source.one_in(2):
        settings["jitter"] = source.pick((False, True))
    else:
        settings["jitter"] = False
    _valid_settings(source, settings)
    if source.one_in(2):
        overrides: dict[Recipe, Recipe] = {}
        for tool in ("pay", "search") if source.one_in(3) else ("pay",):
            override: dict[Recipe, Recipe] = {}
            if source.one_in(3):
                override["jitter"] = source.pick((False, True))
            _valid_settings(source, override)
            overrides[tool] = mapping(override)
        settings["tool_overrides"] = mapping(overrides)
    return mapping(settings)


def _valid_settings(source: Source, settings: dict[Recipe, Recipe]) -> None:
    if source.one_in(2):
        settings["max_retries"] = source.pick((2, 1, 0, 3, 5, 12))
    if source.one_in(3):
        settings["backoff_base_ms"] = source.pick((1, 7, 200, 2**40, 2**63, 2**64 - 1))
    if source.one_in(3):
        settings["max_backoff_ms"] = source.pick((50, 5000, 1, 2**64 - 1))
    if source.one_in(3):
        settings["retry_on_status"] = source.pick(_STATUSES)
    if source.one_in(2):
        settings["check_text_content"] = source.pick((True, True, False))
    if source.one_in(30):
        settings["no_such_setting"] = 1


_ODD_NUMBERS: Final[tuple[Recipe, ...]] = (
    0, -1, True, False, 3.0, 3.5, 9.5, "3", " 4 ", "+1_0.00", "3.", "1__0", "x", "", b"3", None,
    2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1, 2**64, 10**30, -(10**30), float("nan"), float("inf"),
    2.0**62, 2.0**63, 1e19, -(2.0**63),
    ("decimal", "3"), ("decimal", "3.5"), ("decimal", "9"), ("fraction", 3, 1), ("fraction", 7, 2),
    ("index", 3), ("int-subclass", 4), ("member", 3), ("member", "x"), ("status", 200),
    ("text-member", "3"), ("bytearray", b"3"), "1" * 30, "\ud800", "\uff13", sequence([]),
    mapping({}), ("thing",),
)  # fmt: skip
_ODD_FLAGS: Final[tuple[Recipe, ...]] = (
    1, 0, 2, -1, "yes", "NO", "On", " yes", "y", "maybe", "", None, 1.0, 0.5, b"on", b"\xff",
    ("decimal", "1"), ("fraction", 0, 1), ("index", 1), ("index", 5), ("member", 1),
    ("text-member", "yes"), "\ud800", 10**40, sequence([]), ("thing",),
)  # fmt: skip
_ODD_STATUS: Final[tuple[Recipe, ...]] = (
    503, 500, 404, True, "503", 503.0, 503.5, None, -5, 2**31, -(2**31) - 1, ("index", 503),
    ("status", 502), "x", b"503", sequence([500]), ("int-subclass", 503),
)  # fmt: skip
_LISTS: Final = ("list", "tuple", "set", "frozenset", "deque", "userlist")
_UNORDERED: Final = frozenset({"set", "frozenset"})
MAPS: Final = ("dict", "ordered", "subclass", "default", "proxy")
_NUMBER_KEYS: Final = ("max_retries", "backoff_base_ms", "max_backoff_ms")
_FLAG_KEYS: Final = ("jitter", "check_text_content")


#: Keys of overrides, together; one that is no name spoils the rest.
_TOOL_KEYS: Final[tuple[tuple[Recipe, ...], ...]] = (
    ("pay",), ("pay",), ("pay", b"search"), (b"pay", "\ud800"), (b"\xff",), ("pay", 1), (None,),
    (("text-member", "pay"), "search"),
)  # fmt: skip


def odd_config(source: Source) -> Recipe:
    """A config with values that some rule turns, clamps or refuses."""
    settings: dict[Recipe, Recipe] = {}
    _odd_settings(source, settings, 4)
    if source.one_in(2):
        overrides: dict[Recipe, Recipe] = {}
        for tool in source.pick(_TOOL_KEYS):
            override: dict[Recipe, Recipe] = {}
            _odd_settings(source, override, 3)
            if source.one_in(20):
                override[1] = 2
            overrides[tool] = (
                mapping(override, source.pick(MAPS))
                if not source.one_in(15)
                else source.pick((None, sequence([]), 5, "x"))
            )
        settings["tool_overrides"] = (
            mapping(overrides, source.pick(MAPS))
            if not source.one_in(15)
            else source.pick((None, sequence([]), 5, "x"))
        )
    if source.one_in(40):
        return source.pick((None, sequence([]), "x", 5, sequence([1])))
    return mapping(settings)


def _odd_settings(source: Source, settings: dict[Recipe, Recipe], rarity: int) -> None:
    for key in _NUMBER_KEYS:
        if source.one_in(rarity):
            settings[key] = source.pick(_ODD_NUMBERS)
    for key in _FLAG_KEYS:
        if source.one_in(rarity):
            settings[key] = source.pick(_ODD_FLAGS)
    if source.one_in(rarity):
        items = [source.pick(_ODD_STATUS) for _ in range(source.below(4))]
        kind = source.pick(_LISTS)
        if kind in _UNORDERED and not all(isinstance(item, int) for item in items):
            # The order of anything but integers in a set is another one in each process.
            items = items[:1]
        hashable = all(not (isinstance(item, tuple) and item[0] == "list") for item in items)
        settings["retry_on_status"] = (
            source.pick(("503", b"503", None, 503, mapping({500: 1}), ("bytearray", b"ab")))
            if source.one_in(6)
            else sequence(items, kind if hashable else "list")
        )
