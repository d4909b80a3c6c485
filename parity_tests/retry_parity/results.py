"""Generated tool results: every container, signal and text that BEHAVIOUR.md covers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from retry_parity.recipes import Recipe, mapping, sequence

if TYPE_CHECKING:
    from retry_parity.source import Source

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


#: Results that raise in the hybrid on one path or the other, or whose flag is an inner one.
TROUBLE: Final[tuple[Recipe, ...]] = (
    mapping({"structuredContent": mapping({"isError": True})}),
    mapping({"structuredContent": mapping({"isError": True, "status_code": 2**31})}),
    mapping({"structuredContent": mapping({"status_code": 10**40})}),
    mapping({"content": None}),
    mapping({"content": 5}),
    mapping({"structuredContent": mapping({"isError": True, "status_code": 404})}),
)
#: Failures on either path, most of which grow a chain.
GROWS: Final[tuple[Recipe, ...]] = (
    mapping({"isError": True}),
    mapping({"structuredContent": mapping({"status_code": 503})}),
    mapping({"structuredContent": mapping({"status_code": 503, "isError": True})}),
    mapping({"isError": True, "structuredContent": mapping({"status_code": 503})}),
    mapping({"content": sequence([mapping({"type": "text", "text": '{"status_code": 503}'})])}),
)
#: Results of every kind, among them those that raise in the hybrid.
ENDS: Final[tuple[Recipe, ...]] = (
    *GROWS, *TROUBLE, *_UNREADABLE, mapping({}), None, 5, mapping({"isError": False}),
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
