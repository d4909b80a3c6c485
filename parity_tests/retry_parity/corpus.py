"""Recorded tool results: one JSON object per line, checked as a whole before anything is replayed.

The format is described in the README beside the corpus.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

Value = TypeVar("Value")

#: A hundred years; a recording that says more is wrong.
_LATEST_MS: Final = 3_155_760_000_000

_NONFINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_REQUIRED: Final = ("tool", "request_id", "seq", "t_ms", "result")


class CorpusError(ValueError):
    """The corpus cannot be used; the message is one line with file and, where known, line."""


@dataclass(frozen=True, slots=True)
class Record:
    """One recorded hook call.

    Attributes:
        line: Line number in the file, from 1.
        tool: Tool name.
        request_id: Request id; the same on all attempts of a tool call.
        seq: Running number of the recording; rises from line to line.
        t_ms: Milliseconds since the recording began; never falls.
        result: The tool result, with NaN and infinities restored.
    """

    line: int
    tool: str
    request_id: str
    seq: int
    t_ms: float
    result: dict[str, object] = field(repr=False)


def read_corpus(path: Path) -> tuple[Record, ...]:
    """Read and check a whole corpus.

    Raises:
        CorpusError: The file cannot be read, is empty, is not UTF-8, ends within a line, or has a
            line that is no record or does not follow the one before it.
    """
    if path.is_dir():
        message = f"{path}: is a directory, not a corpus file"
        raise CorpusError(message)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        message = f"{path}: no such file"
        raise CorpusError(message) from error
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror or error}"
        raise CorpusError(message) from error
    if not data.strip():
        message = f"{path}: is empty"
        raise CorpusError(message)
    lines = data.split(b"\n")
    cut_off = lines[-1] != b""
    if not cut_off:
        lines.pop()
    records: list[Record] = []
    for number, raw in enumerate(lines, start=1):
        line = _Line(path, number, cut_off=cut_off and number == len(lines))
        record = line.parse(raw)
        if records:
            line.check_order(records[-1], record)
        records.append(record)
    return tuple(records)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line on its way to a record; knows what to say when it is none."""

    path: Path
    number: int
    cut_off: bool

    def parse(self, raw: bytes) -> Record:
        row = self._object(raw)
        for key in _REQUIRED:
            if key not in row:
                self._refuse(f"has no key '{key}'")
        result = self._typed(row, "result", dict, "an object")
        self._restore(result, row.get("nonfinite"))
        return Record(
            line=self.number,
            tool=self._name(row, "tool"),
            request_id=self._name(row, "request_id"),
            seq=self._typed(row, "seq", int, "an integer"),
            t_ms=self._time(row["t_ms"]),
            result=result,
        )

    def check_order(self, before: Record, record: Record) -> None:
        """Refuse what would turn the clock back or count a recording twice."""
        if record.seq <= before.seq:
            self._refuse(f"'seq' is {record.seq} after {before.seq}; it must rise line by line")
        if record.t_ms < before.t_ms:
            self._refuse(f"'t_ms' is {record.t_ms} after {before.t_ms}; it must not fall")

    def _object(self, raw: bytes) -> dict[str, object]:
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            self._refuse(f"is not UTF-8: byte {raw[error.start]:#04x} at column {error.start + 1}")
        if not text.strip():
            self._refuse("is blank")
        try:
            row = json.loads(text, parse_constant=self._refuse_constant)
        except CorpusError:
            raise
        except json.JSONDecodeError as error:
            if self.cut_off:
                self._refuse("is cut off: the file ends within it")
            self._refuse(f"is no JSON: {error.msg} at column {error.colno}")
        except (ValueError, RecursionError) as error:
            self._refuse(f"is JSON that cannot be read: {error}")
        if not isinstance(row, dict):
            self._refuse(f"is {_json_type(row)}, not an object")
        return row

    def _typed(self, row: dict[str, object], key: str, wanted: type[Value], name: str) -> Value:
        value = row[key]
        if not isinstance(value, wanted) or isinstance(value, bool):
            self._refuse(f"'{key}' is {_json_type(value)}, not {name}")
        return value

    def _name(self, row: dict[str, object], key: str) -> str:
        name = self._typed(row, key, str, "a string")
        try:
            name.encode()
        except UnicodeEncodeError:
            # The framework's own classes refuse such a name, so no gateway can have sent it.
            self._refuse(f"'{key}' has a lone surrogate, which no name in the framework may have")
        return name

    def _time(self, value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            self._refuse(f"'t_ms' is {_json_type(value)}, not a number")
        if not 0 <= value <= _LATEST_MS:
            self._refuse(f"'t_ms' is out of range; 0 to {_LATEST_MS} is allowed")
        return float(value)

    def _restore(self, result: dict[str, object], pointers: object) -> None:
        """Put NaN and the infinities back where the pointers say."""
        if pointers is None:
            return
        if not isinstance(pointers, dict):
            self._refuse(f"'nonfinite' is {_json_type(pointers)}, not an object")
        for pointer, name in pointers.items():
            if not isinstance(name, str) or name not in _NONFINITE:
                self._refuse(f"'nonfinite' has {name!r}; allowed are {', '.join(_NONFINITE)}")
            try:
                _put(result, pointer, _NONFINITE[name])
            except (LookupError, ValueError):
                self._refuse(f"'nonfinite' points to {pointer:.60}, where no null is")

    def _refuse_constant(self, name: str) -> NoReturn:
        self._refuse(f"has {name}, which is no JSON; write null and name it under 'nonfinite'")

    def _refuse(self, what: str) -> NoReturn:
        message = f"{self.path}, line {self.number}: {what}"
        raise CorpusError(message)


def _put(result: dict[str, object], pointer: str, value: float) -> None:
    """Replace the null at a JSON pointer.

    Raises:
        LookupError: There is no null at the pointer.
    """
    if not pointer.startswith("/"):
        raise LookupError(pointer)
    *path, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
    target: object = result
    for part in path:
        target = _child(target, part)
    if _child(target, last) is not None:
        raise LookupError(pointer)
    if isinstance(target, list):
        target[int(last)] = value
    elif isinstance(target, dict):
        target[last] = value


def _child(container: object, part: str) -> object:
    if isinstance(container, dict):
        return container[part]
    if isinstance(container, list) and part.isascii() and part.isdigit():
        return container[int(part)]
    raise LookupError(part)


def _json_type(value: object) -> str:
    names = {bool: "a boolean", dict: "an object", list: "an array", str: "a string"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")
