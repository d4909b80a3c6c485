"""Recorded tool results: one JSON object per line, each checked as it is read.

The format is described in the README beside the corpus.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final, NoReturn, TypeVar

from retry_parity.input import trouble_with
from retry_parity.traces.calls import TraceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Value = TypeVar("Value")

#: A hundred years; a recording that says more is wrong.
LATEST_MS: Final = 3_155_760_000_000

_NONFINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_REQUIRED: Final = ("tool", "request_id", "seq", "t_ms", "result")


class CorpusError(TraceError):
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


#: A longer line is refused: it would be held in memory as a whole.
_LONGEST_LINE: Final = 64 * 1024 * 1024
_LARGEST_SEQ: Final = 2**63 - 1


def read_corpus(path: Path) -> tuple[Record, ...]:
    """Read and check a whole corpus.

    Raises:
        CorpusError: The file cannot be read, is empty, is not UTF-8, ends within a line, or has a
            line that is no record or does not follow the one before it.
    """
    return tuple(_records(path))


def _records(path: Path) -> Iterator[Record]:
    before: Record | None = None
    for number, raw in enumerate(read_lines(path), start=1):
        line = Line(path, number, raw)
        record = line.record(line.row())
        if before is not None:
            line.check_order((before.seq, before.t_ms), (record.seq, record.t_ms))
        yield record
        before = record


def read_lines(path: Path) -> Iterator[bytes]:
    """Give the lines of a file one by one, each with its newline where it has one.

    Raises:
        CorpusError: The file cannot be read, is empty, or has a line of more than 64 MiB.
    """
    try:
        if trouble := trouble_with(path):
            message = f"{path}: {trouble}"
            raise CorpusError(message)
        with path.open("rb") as file:
            number = 0
            while raw := file.readline(_LONGEST_LINE):
                number += 1
                if len(raw) == _LONGEST_LINE and not raw.endswith(b"\n"):
                    limit = f"{_LONGEST_LINE // 2**20} MiB"
                    Line(path, number, b"").refuse(f"is longer than {limit}")
                if number == 1 and not raw.strip() and not _has_more(file):
                    break
                yield raw
            else:
                if number:
                    return
    except FileNotFoundError as error:
        message = f"{path}: no such file"
        raise CorpusError(message) from error
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror or error}"
        raise CorpusError(message) from error
    message = f"{path}: is empty"
    raise CorpusError(message)


def _has_more(file: IO[bytes]) -> bool:
    """Say whether more than blanks follow, and stay where the file is."""
    place = file.tell()
    while (data := file.read(65_536)) and not data.strip():
        pass
    file.seek(place)
    return bool(data)


@dataclass(frozen=True, slots=True)
class Line:
    """A line on its way to a record; knows what to say when it is none.

    Attributes:
        path: The file.
        number: Of the line, from 1.
        raw: The line with its newline.
    """

    path: Path
    number: int
    raw: bytes = field(repr=False)

    @property
    def is_cut_off(self) -> bool:
        """Whether the file ends within the line, or right behind it."""
        return not self.raw.endswith(b"\n")

    def record(self, row: dict[str, object]) -> Record:
        """Check a row as a recorded call.

        Raises:
            CorpusError: It is none.
        """
        for key in _REQUIRED:
            if key not in row:
                self.refuse(f"has no key '{key}'")
        result = self.typed(row, "result", dict, "an object")
        self._restore(result, row.get("nonfinite"))
        seq = self.typed(row, "seq", int, "an integer")
        if not 0 <= seq <= _LARGEST_SEQ:
            self.refuse(f"'seq' is out of range; 0 to {_LARGEST_SEQ} is allowed")
        return Record(
            line=self.number,
            tool=self._name(row, "tool"),
            request_id=self._name(row, "request_id"),
            seq=seq,
            t_ms=self._time(row["t_ms"]),
            result=result,
        )

    def check_order(self, before: tuple[int, float], now: tuple[int, float]) -> None:
        """Refuse what would turn the clock back or count a recording twice.

        Args:
            before: ``seq`` and ``t_ms`` of the record before.
            now: Those of this one.

        Raises:
            CorpusError: One of them is not in order.
        """
        if now[0] <= before[0]:
            self.refuse(f"'seq' is {now[0]} after {before[0]}; it must rise line by line")
        if now[1] < before[1]:
            self.refuse(f"'t_ms' is {now[1]} after {before[1]}; it must not fall")

    def row(self) -> dict[str, object]:
        """Read the line as a JSON object.

        Raises:
            CorpusError: It is none, or not strict JSON in UTF-8.
        """
        raw = self.raw.removesuffix(b"\n")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            self.refuse(f"is not UTF-8: byte {raw[error.start]:#04x} at column {error.start + 1}")
        if not text.strip():
            self.refuse("is blank")
        try:
            row = json.loads(text, parse_constant=self._refuse_constant)
        except CorpusError:
            raise
        except json.JSONDecodeError as error:
            if self.is_cut_off:
                self.refuse("is cut off: the file ends within it")
            self.refuse(f"is no JSON: {error.msg} at column {error.colno}")
        except (ValueError, RecursionError) as error:
            self.refuse(f"is JSON that cannot be read: {error}")
        if not isinstance(row, dict):
            self.refuse(f"is {_json_type(row)}, not an object")
        return row

    def typed(self, row: dict[str, object], key: str, wanted: type[Value], name: str) -> Value:
        """Give the value of a key that the row has.

        Raises:
            CorpusError: It is of another type.
        """
        value = row[key]
        if not isinstance(value, wanted) or isinstance(value, bool):
            self.refuse(f"'{key}' is {_json_type(value)}, not {name}")
        return value

    def _name(self, row: dict[str, object], key: str) -> str:
        name = self.typed(row, key, str, "a string")
        try:
            name.encode()
        except UnicodeEncodeError:
            # The framework's own classes refuse such a name, so no gateway can have sent it.
            self.refuse(f"'{key}' has a lone surrogate, which no name in the framework may have")
        return name

    def _time(self, value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.refuse(f"'t_ms' is {_json_type(value)}, not a number")
        if not 0 <= value <= LATEST_MS:
            self.refuse(f"'t_ms' is out of range; 0 to {LATEST_MS} is allowed")
        return float(value)

    def _restore(self, result: dict[str, object], pointers: object) -> None:
        """Put NaN and the infinities back where the pointers say."""
        if pointers is None:
            return
        if not isinstance(pointers, dict):
            self.refuse(f"'nonfinite' is {_json_type(pointers)}, not an object")
        for pointer, name in pointers.items():
            if not isinstance(name, str) or name not in _NONFINITE:
                self.refuse(f"'nonfinite' has {name!r}; allowed are {', '.join(_NONFINITE)}")
            try:
                _put(result, pointer, _NONFINITE[name])
            except (LookupError, ValueError):
                self.refuse(f"'nonfinite' points to {pointer:.60}, where no null is")

    def _refuse_constant(self, name: str) -> NoReturn:
        self.refuse(f"has {name}, which is no JSON; write null and name it under 'nonfinite'")

    def refuse(self, what: str) -> NoReturn:
        """Say what is wrong with the line.

        Raises:
            CorpusError: Always.
        """
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
