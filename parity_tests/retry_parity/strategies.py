"""Generated input: configs, results, texts and whole scenarios, over all that BEHAVIOUR.md covers.

The first choice everywhere is the plain one, so that what is shrunk ends plain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from retry_parity.recipes import Recipe, mapping, sequence

if TYPE_CHECKING:
    from retry_parity.source import Source

TOOLS: Final = ("search", "pay", "a:b", "a", "\ud800", "")
REQUESTS: Final = ("r1", "r2", "b:c", "c", "\udfff", "")
TRACE_IDS: Final = (None, "4bf92f3577b34da6", "")

#: Seconds to wait between calls; 300 is the age at which a chain still counts.
WAITS: Final = (0.25, 150.0, 299.75, 300.0, 300.25, 1000.0)


@dataclass(frozen=True, slots=True)
class Call:
    """A tool result arrives.

    Attributes:
        plugin: Which of the plugin objects gets it.
        tool: Tool name.
        request_id: Request id.
        result: Recipe of the result.
        trace_id: ``extensions.request.trace_id``; ``None`` without extensions.
    """

    plugin: int
    tool: str
    request_id: str
    result: Recipe
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Time passes.

    Attributes:
        seconds: How long.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A plugin object is thrown away and built anew, as the gateway does every 30 s.

    Attributes:
        plugin: Which one.
    """

    plugin: int


@dataclass(frozen=True, slots=True)
class Policy:
    """The gateway asks for the policy of its own Rust path.

    Attributes:
        tool: Tool name.
        ceiling: The most retries the gateway allows.
        plugin: Which of the plugin objects is asked.
    """

    tool: str
    ceiling: int
    plugin: int = 0


@dataclass(frozen=True, slots=True)
class Fetch:
    """A resource arrives.

    Attributes:
        plugin: Which of the plugin objects gets it.
    """

    plugin: int


Step: TypeAlias = Call | Wait | Rebuild | Policy | Fetch


@dataclass(frozen=True, slots=True)
class Scenario:
    """A config and what happens under it.

    Attributes:
        config: Recipe of the plugin's config.
        ceiling: The gateway's limit on retries; ``None`` for none.
        steps: What happens, in order.
        other: Recipe of another config for all plugin objects but the first; ``None`` for the same.
    """

    config: Recipe
    ceiling: int | None
    steps: tuple[Step, ...]
    other: Recipe = None


def scenario(source: Source) -> Scenario:
    """A config with a series of calls; now and then an odd config, which mostly ends at load."""
    if source.one_in(6):
        return _chained(source)
    odd = source.one_in(4)
    config = odd_config(source) if odd else valid_config(source)
    ceiling = source.pick((None, None, None, 3, 1, 0, 10))
    # A trace is a difference on every call: in most scenarios it would hide in a crowd.
    traces = TRACE_IDS if source.one_in(4) else TRACE_IDS[:1]
    # Likewise what raises in the hybrid: most scenarios have nothing that the ledger explains.
    calm = not source.one_in(3)
    steps: list[Step] = []
    for _ in range(source.pick((12, 4, 24))):
        last = steps[-1] if steps else None
        # A gateway calls again after a failure, so that chains grow.
        if isinstance(last, Call) and source.one_in(2):
            steps.append(_again(source, last, calm=calm))
        else:
            steps.append(_step(source, traces, calm=calm))
    # Teams have configs of their own, and share the chains of the process. Not with traces: they
    # tell a count that no single config accounts for.
    alike = odd or not calm or len(traces) > 1
    other = None if alike or not source.one_in(4) else valid_config(source)
    return Scenario(config, ceiling, tuple(steps), other)


def _chained(source: Source) -> Scenario:
    """A scenario that takes chains to a length and then meets something rare there."""
    ceiling = source.pick((None, None, None, 3, 1))
    traces = ("t1",) if source.one_in(6) else (None,)
    steps: list[Step] = []
    for number in range(4):
        tool = source.pick(("pay", "search"))
        request_id = source.pick(("\ud800", "b:c")) if source.one_in(6) else f"r{number}"
        results = [source.pick(_GROWS)] * source.below(4)
        results += [source.pick(_ENDS) for _ in range(2)]
        steps += [
            Call(source.below(2), tool, request_id, answer, source.pick(traces))
            for answer in results
        ]
    return Scenario(valid_config(source), ceiling, tuple(steps))


def jittered(made: Scenario) -> Scenario:
    """Give a scenario with jitter on, for the base and for every tool."""
    config = made.config
    if not isinstance(config, tuple) or config[0] not in _MAPS:
        return made
    settings = {**dict(config[1]), "jitter": True}
    overrides = settings.get("tool_overrides")
    if isinstance(overrides, tuple) and overrides[0] in _MAPS:
        settings["tool_overrides"] = mapping(
            {tool: _with_jitter(override) for tool, override in overrides[1]}, overrides[0]
        )
    other = None if made.other is None else _with_jitter(made.other)
    return replace(made, config=mapping(settings, config[0]), other=other)


def _with_jitter(override: Recipe) -> Recipe:
    if not isinstance(override, tuple) or override[0] not in _MAPS:
        return override
    return mapping({**dict(override[1]), "jitter": True}, override[0])


def _again(source: Source, last: Call, *, calm: bool) -> Call:
    """The same call again: with the same result, another one, or one that costs the hybrid."""
    answer = last.result
    if source.one_in(3):
        trouble = not calm and source.one_in(3)
        answer = source.pick(_TROUBLE) if trouble else result(source, calm=calm)
    return replace(last, plugin=source.below(2), result=answer)


#: Results that raise in the hybrid on one path or the other, or whose flag is an inner one.
_TROUBLE: Final[tuple[Recipe, ...]] = (
    mapping({"structuredContent": mapping({"isError": True})}),
    mapping({"structuredContent": mapping({"isError": True, "status_code": 2**31})}),
    mapping({"structuredContent": mapping({"status_code": 10**40})}),
    mapping({"content": None}),
    mapping({"content": 5}),
    mapping({"structuredContent": mapping({"isError": True, "status_code": 404})}),
)


def _step(source: Source, traces: tuple[str | None, ...], *, calm: bool) -> Step:
    if source.one_in(40):
        return Wait(source.pick(WAITS))
    if source.one_in(40):
        return Rebuild(source.below(2))
    if source.one_in(40):
        return Policy(_name(source, TOOLS, calm=calm), source.pick((3, 0, 10**6, -1)))
    if source.one_in(60):
        return Fetch(source.below(2))
    return Call(
        plugin=source.below(2),
        tool=_name(source, TOOLS, calm=calm),
        request_id=_name(source, REQUESTS, calm=calm),
        result=result(source, calm=calm),
        trace_id=source.pick(traces),
    )


def _name(source: Source, names: tuple[str, ...], *, calm: bool) -> str:
    # The odd names come seldom, so that chains grow long.
    odd = not calm and source.one_in(4)
    return source.pick(names) if odd else source.pick(names[:2])


# --- configs -------------------------------------------------------------------------------------

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
_MAPS: Final = ("dict", "ordered", "subclass", "default", "proxy")
_NUMBER_KEYS: Final = ("max_retries", "backoff_base_ms", "max_backoff_ms")
_FLAG_KEYS: Final = ("jitter", "check_text_content")


def odd_config(source: Source) -> Recipe:
    """A config with values that some rule turns, clamps or refuses."""
    settings: dict[Recipe, Recipe] = {}
    _odd_settings(source, settings, 4)
    if source.one_in(2):
        overrides: dict[Recipe, Recipe] = {}
        for tool in ("pay", b"search", "\ud800", 1, None)[: 1 + source.below(5) // 4 * 4]:
            override: dict[Recipe, Recipe] = {}
            _odd_settings(source, override, 3)
            if source.one_in(20):
                override[1] = 2
            overrides[tool] = (
                mapping(override, source.pick(_MAPS))
                if not source.one_in(15)
                else source.pick((None, sequence([]), 5, "x"))
            )
        settings["tool_overrides"] = (
            mapping(overrides, source.pick(_MAPS))
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


# --- results -------------------------------------------------------------------------------------

_CONTAINERS: Final = (
    "dict", "copy-on-write", "lazy", "subclass", "ordered", "default", "proxy",
)  # fmt: skip
_STATUS_VALUES: Final[tuple[Recipe, ...]] = (
    503, 404, 200, True, False, 1, 0, -5, 503.0, "503", None, 2**31, -(2**40), 10**40,
    ("status", 503), ("int-subclass", 503), ("index", 503), ("member", 503), sequence([503]),
)  # fmt: skip
_CALM_STATUS_VALUES: Final = tuple(
    value for value in _STATUS_VALUES if not isinstance(value, int) or -(2**31) <= value < 2**31
)
_FLAG_VALUES: Final[tuple[Recipe, ...]] = (
    True, False, None, 1, 0, "true", sequence([1]), ("thing",),
)  # fmt: skip
_NO_OBJECTS: Final[tuple[Recipe, ...]] = (
    None, sequence([]), False, 0, "x", 5, sequence([1]), ("thing",),
)  # fmt: skip


#: Results that raise when they are read.
_UNREADABLE: Final[tuple[Recipe, ...]] = (
    mapping({"isError": True}, "unreadable"),
    mapping({"structuredContent": mapping({"isError": True}, "unreadable")}),
    mapping({"content": sequence([mapping({"type": "text"}, "unreadable")])}),
    mapping(
        {"content": sequence([mapping({"type": "text"}, "unreadable"), mapping({"type": "text"})])}
    ),
)


#: Failures on either path, most of which grow a chain.
_GROWS: Final[tuple[Recipe, ...]] = (
    mapping({"isError": True}),
    mapping({"structuredContent": mapping({"status_code": 503})}),
    mapping({"structuredContent": mapping({"status_code": 503, "isError": True})}),
    mapping({"isError": True, "structuredContent": mapping({"status_code": 503})}),
    mapping({"content": sequence([mapping({"type": "text", "text": '{"status_code": 503}'})])}),
)
#: Results of every kind, among them those that raise in the hybrid.
_ENDS: Final[tuple[Recipe, ...]] = (
    *_GROWS, *_TROUBLE, *_UNREADABLE, mapping({}), None, 5, mapping({"isError": False}),
    mapping({"structuredContent": mapping({"status_code": 404})}),
    mapping({"structuredContent": mapping({"status_code": 404, "isError": True})}),
    mapping({"isError": True, "structuredContent": mapping({"status_code": 404})}),
    mapping({"isError": True, "structuredContent": mapping({"status_code": 2**31})}),
    mapping({"content": sequence([mapping({"type": "text", "text": ("repeated", "9", 5000)})])}),
    mapping({"content": sequence([mapping({"type": "text"}, "default")])}),
)  # fmt: skip


def result(source: Source, *, calm: bool = False) -> Recipe:
    """A tool result: mostly as the gateway sends them, in every container it comes in.

    Args:
        source: Makes the choices.
        calm: Leave out statuses and contents that raise in the hybrid.
    """
    if source.one_in(40):
        return source.pick((None, 5, "x", sequence([]), ("thing",)))
    if source.one_in(4):
        return _only_text(source)
    if not calm and source.one_in(40):
        return source.pick(_UNREADABLE)
    fields: dict[Recipe, Recipe] = {}
    if not source.one_in(12):
        fields["content"] = content(source, calm=calm)
    if not source.one_in(12):
        fields["isError"] = (
            source.pick(_FLAG_VALUES) if source.one_in(8) else source.pick((True, False))
        )
    if not source.one_in(12):
        fields["structuredContent"] = structured(source, calm=calm)
    return mapping(fields, _container(source))


def _only_text(source: Source) -> Recipe:
    """A result whose one signal, if any, is in a text: all that is odd stands beside a signal."""
    signal = source.pick(('"status_code": 503', '"isError": true', '"status_code": 404'))
    beside = f"{source.pick(_KEYS)}: {source.pick(_VALUES)}"
    pairs = source.pick(((signal, beside), (beside, signal), (signal,), (beside,)))
    space = source.pick(("", " ", "\n", "\t\r"))
    item = mapping({"type": "text", "text": f"{space}{{{', '.join(pairs)}{space}}}{space}"})
    others = (mapping({"type": "text", "text": "ok"}),) if source.one_in(3) else ()
    fields: dict[Recipe, Recipe] = {"content": sequence([*others, item])}
    if source.one_in(3):
        fields |= {"isError": False, "structuredContent": None}
    return mapping(fields, _container(source))


def _container(source: Source) -> str:
    return source.pick(_CONTAINERS) if source.one_in(3) else "dict"


def structured(source: Source, *, calm: bool = False) -> Recipe:
    """The structured content: absent, an object with or without signals, or something else."""
    if not source.one_in(2):
        return None
    if source.one_in(8):
        return source.pick(_NO_OBJECTS)
    fields: dict[Recipe, Recipe] = {}
    if source.one_in(2):
        values = _CALM_STATUS_VALUES if calm else _STATUS_VALUES
        fields["status_code"] = source.pick(values) if source.one_in(3) else source.pick((503, 404))
    elif not calm and source.one_in(8):
        fields["status_code"] = source.pick((2**31, 10**40))
    if source.one_in(3):
        fields["isError"] = source.pick(_FLAG_VALUES)
    return mapping(fields, _container(source))


def content(source: Source, *, calm: bool = False) -> Recipe:
    """The content: items of every type, in a list or in what only looks like one."""
    if not calm and source.one_in(12):
        return source.pick((None, 5, "text", mapping({}), ("thing",)))
    items = [_item(source) for _ in range(source.pick((1, 0, 2, 3)))]
    return sequence(items, source.pick(("list", "tuple", "deque")) if source.one_in(8) else "list")


def _item(source: Source) -> Recipe:
    if source.one_in(30):
        return source.pick((None, 5, "text", sequence([])))
    fields: dict[Recipe, Recipe] = {}
    if not source.one_in(20):
        fields["type"] = (
            source.pick((("text-member", "text"), "image", "resource", "Text", None, 5))
            if source.one_in(8)
            else "text"
        )
    if not source.one_in(20):
        fields["text"] = _odd_text(source) if source.one_in(12) else text(source)
    return mapping(fields, _container(source))


def _odd_text(source: Source) -> Recipe:
    if source.one_in(3):
        return source.pick((None, 5, sequence(["{}"]), b"\xff\xfe{", ("bytearray", b"{}")))
    written = text(source)
    if not isinstance(written, str):
        return written
    try:
        return written.encode(source.pick(("utf-8", "utf-16", "utf-32")))
    except UnicodeEncodeError:
        return written


_KEYS: Final = (
    '"isError"', '"status_code"', '"message"', '"\\u0069sError"', '"status\\u005fcode"',
    '"status\\u005Fcode"', '"is\\nError"', '"isError\\u0000"', '"\\ud83d\\ude00"', '"isErro"',
    '"isError "', '"status_codes"', '""', "isError", "'isError'",
)  # fmt: skip
_VALUES: Final = (
    "true", "503", "404", "false", "null", "503.0", "5e2", "5E+2", "503e0", '"503"', "-0", "0",
    "-503", "1.25e-3", "NaN", "Infinity", "-Infinity", "1e999", "99999999999", "2147483648",
    '{"isError": true}', '{"status_code": 503}', "{}", "[]", '[1, [2, {"x": []}]]',
    '{"a": {"b": [true, false, null, "}"]}}', '"\\ud800"', '"\ud800"', '"é"', '"\\u00e9\\/\\b"',
    '"a\\\\"', '"\\""', '"}"', "True", "01", "-", "--1", "1.", ".5", "1e", "1e+", '"\t"', '"\\x"',
    '"\\u12g4"', '"\\u12', '"', "+1", "nan", "Inf", "-NaN", "tru", "nul", "[1,]", "[,1]", "[1 2]",
    '{"a" 1}', '{"a": }', "{,}", '{"a": 1,}', "{1: 2}", "[", "{", "]", "}", "1 1", "\x00",
    "\ufeff1", "\xa01",
)  # fmt: skip
_PLAIN_TEXTS: Final = (
    "ok", "", "HTTP 503", "isError", "null", "503", "[]", "{}", "{", '{"isError": true',
    '["isError", true]', "Tool invocation failed: ", "\ufeff{}",
)  # fmt: skip


def text(source: Source) -> Recipe:
    """A text: prose, JSON, nearly JSON, and JSON that costs a parser its patience."""
    if source.one_in(4):
        return source.pick(_PLAIN_TEXTS)
    if source.one_in(40):
        return _taxing_text(source)
    pairs = []
    for _ in range(source.pick((1, 2, 0, 3))):
        key = source.pick(_KEYS) if source.one_in(6) else source.pick(_KEYS[:3])
        value = source.pick(_VALUES) if source.one_in(3) else source.pick(_VALUES[:4])
        pairs.append(f"{key}{source.pick((': ', ':', ' :'))}{value}")
    written = "{" + source.pick((", ", ",", " ,\n")).join(pairs) + "}"
    if source.one_in(15):
        return source.pick(
            (f" \t{written}\r\n", f"[{written}]", written + written, f"\ufeff{written}",
             f"\xa0{written}", written[:-1], f"{written},", written.replace('"', "'"))
        )  # fmt: skip
    return written


def _taxing_text(source: Source) -> str:
    depth = source.pick((200, 300, 600, 3000))
    digits = source.pick((600, 700, 4200, 4400))
    filler = source.pick((f"{'[' * depth}{']' * depth}", "7" * digits, f"0.{'7' * digits}"))
    return f'{{"isError": true, "filler": {filler}}}'
