"""Texts of any length and nests of any depth, and whether they tell a failure."""

from __future__ import annotations

from typing import Any, NamedTuple


class LongText(NamedTuple):
    """A text that repeats a pattern.

    Attributes:
        pattern: What is repeated.
        head: What stands before.
        tail: What stands behind.
        fails: Whether the text tells a failure.
        width: How many bytes of UTF-8 a character takes at most where Python does not hold the text
            as that; 0 where it does.
        encoding: Of a text that is given as bytes.
    """

    pattern: str
    head: str = '{"pad": "'
    tail: str = '", "isError": true}'
    fails: bool = True
    width: int = 0
    encoding: str | None = None

    def of(self, size: int) -> Any:
        """Make it of some so many characters."""
        text = self.head + self.pattern * (size // len(self.pattern)) + self.tail
        return text if self.encoding is None else text.encode(self.encoding)


_ARRAY: dict[str, Any] = {"head": '{"pad": [', "tail": '1], "isError": true}'}
_BARE: dict[str, Any] = {"head": "", "tail": "", "fails": False}
_SPACE: dict[str, Any] = {"pattern": " ", "head": '{"pad": ', "tail": '1, "isError": true}'}

LONG_TEXTS = {
    "no JSON": LongText("x", **_BARE),
    "no JSON, keys all over": LongText('"isError": true, ', **_BARE),
    "escapes that almost spell a key": LongText("\\u003", **_BARE),
    "a string": LongText("x"),
    "white space": LongText(**_SPACE),
    "objects with keys": LongText('{"isError": true}, ', **_ARRAY),
    "numbers": LongText("503, ", **_ARRAY),
    "keys that win one after the other": LongText(
        '"isError": true, ', "{", '"isError": 1}', fails=False
    ),
    "Latin": LongText("\xe9", width=2),
    "astral": LongText("\N{MUSICAL SYMBOL G CLEF}", width=4),
    "escapes": LongText("\\u0069"),
    "half an escape": LongText("x", tail="\\u00", fails=False),
    "a key of escapes": LongText("\\u0069", '{"', '": true}', fails=False),
    "a key with an escape": LongText("x", '{"\\u0069', '": true}', fails=False),
    "a lone surrogate": LongText("x", head='{"pad": "\ud800', width=1),
    "an escaped surrogate": LongText("x", head='{"pad": "\\ud800'),
    "NUL": LongText("\0", fails=False),
    "escaped NUL": LongText("\\u0000"),
    "bytes": LongText("x", width=1, encoding="utf-8"),
    "bytes of UTF-32": LongText(**_SPACE, width=1, encoding="utf-32"),
    "bytes that are no text": LongText("\xff", width=1, fails=False, encoding="latin-1"),
    "300 deep": LongText("[1, 2], ", '{"a": ' + "[" * 300, "1" + "]" * 300 + ', "isError": true}'),
    "a number of 700 digits": LongText("[1, 2], ", '{"a": [', "7" * 700 + '], "isError": true}'),
    "one number": LongText("7", '{"a": ', ', "isError": true}', fails=False),
    "one float": LongText("7", '{"a": 0.', ', "isError": true}'),
}


def nests(depth: int) -> dict[str, str]:
    """JSON that is nested so deep, with a signal before the nest and behind it."""
    forms = {
        "arrays": ("[", "1", "]"),
        "objects": ('{"a":', "1", "}"),
        "objects with signals": ('{"isError":true,"a":', "1", "}"),
        "mixed": ('[{"a":', "1", "}]"),
        "spaced": ("\t\n\r [ ", "1", " ] "),
        "empty inside": ("[", "[]", "]"),
    }
    texts = {}
    for name, (opened, inside, closed) in forms.items():
        levels = depth // (opened.count("[") + opened.count("{"))
        nest = opened * levels + inside + closed * levels
        texts[name] = f'{{"isError": true, "a": {nest}, "status_code": 503}}'
        texts[f"{name}, unclosed"] = f'{{"isError": true, "a": {opened * levels}'
        texts[f"{name}, alone"] = nest
    return texts


def behind(value: str) -> str:
    """JSON with a signal behind a value."""
    return f'{{"pad": {value}, "isError": true}}'
