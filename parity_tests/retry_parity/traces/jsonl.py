"""Traces as JSON lines: recorded in a gateway, or a corpus.

A recorded file begins with a header line and may have gap lines; a corpus has neither. Calls are
the lines that the README beside the corpus describes. Nothing is held but a batch and the results
that come again.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NoReturn

from retry_parity._native import chain_hash
from retry_parity.corpus import CorpusError, Line, read_lines
from retry_parity.traces.batching import MOST_CACHED, Batching
from retry_parity.traces.calls import TraceError
from retry_parity.traces.header import add_lost, read_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from retry_parity.traces.calls import Batch, Gaps, Header, Part

#: Of a line as recorders write it. Names with an escape, and numbers in another form, are left to
#: the JSON reader.
_CALL: Final = re.compile(
    rb'\{"tool":"([^"\\\x00-\x1f]*)","request_id":"([^"\\\x00-\x1f]*)",'
    rb'"seq":(0|[1-9][0-9]{0,17}),"t_ms":((?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,17})?),'
    rb'"result":(?=\{)'
)
_END: Final = b"}\n"

#: Bytes read until whoever watches is told.
_TOLD_AFTER: Final = 1024 * 1024


def header_of(path: Path) -> Header | None:
    """Read the header of a file; ``None`` where the first line is none.

    Raises:
        TraceError: The file cannot be read, is empty, or begins with something else than a trace.
    """
    for raw in read_lines(path):
        if _CALL.match(raw):
            return None
        line = Line(path, 1, raw)
        row = line.row()
        kind = row.get("kind")
        if kind is None:
            return None
        if kind != "trace":
            line.refuse(f"is of kind {kind!r:.40}: the file is no trace")
        return read_header(row, line.refuse)
    raise AssertionError  # pragma: no cover - read_lines refuses a file without lines


def read_jsonl(
    path: Path, part: Part, gaps: Gaps, advance: Callable[[int], object]
) -> Iterator[Batch]:
    """Read the calls of a part.

    Args:
        path: The file.
        part: Which chains. Every part checks the order of all calls, and its own calls wholly.
        gaps: What is no call is added here, by the first part only: parts add up to the whole.
        advance: Told how many more bytes were read; in all, the file's size.

    Raises:
        TraceError: A line is no call, or does not follow the one before it.
    """
    return _Reader(path, part, gaps, advance).batches()


class _Reader:
    def __init__(
        self, path: Path, part: Part, gaps: Gaps, advance: Callable[[int], object]
    ) -> None:
        self._path, self._part, self._gaps, self._advance = path, part, gaps, advance
        self._has_header = header_of(path) is not None
        self._is_first = part.number == 0
        self._results: dict[bytes, object] = {}
        self._cached = 0
        self._before: tuple[int, float] = (-1, 0.0)

    def batches(self) -> Iterator[Batch]:
        batching, told = Batching(), 0
        for number, raw in enumerate(read_lines(self._path), start=1):
            told += len(raw)
            if told >= _TOLD_AFTER:
                self._advance(told)
                told = 0
            match = _CALL.match(raw)
            if match is None or not raw.endswith(_END):
                self._read_slowly(number, raw, batching)
            else:
                self._read_quickly(number, raw, match, batching)
            if batching.is_full:
                yield batching.take()
        if batching:
            yield batching.take()
        self._advance(told)

    def _read_quickly(
        self, number: int, raw: bytes, match: re.Match[bytes], batching: Batching
    ) -> None:
        try:
            tool, request_id = match[1].decode(), match[2].decode()
        except UnicodeDecodeError:
            self._read_slowly(number, raw, batching)
            return
        seq, t_ms = int(match[3]), float(match[4])
        if self._is_ours(tool, request_id):
            body = raw[match.end() : -len(_END)]
            result = self._result(body)
            if result is None:
                self._read_slowly(number, raw, batching)
                return
            batching.add((tool, request_id), (seq, t_ms), result, len(body))
        self._check_order(number, seq, t_ms)

    def _result(self, body: bytes) -> object:
        """Give the result; ``None`` where the text is not one JSON object to the end."""
        result = self._results.get(body)
        if result is None:
            try:
                result = json.loads(body.decode(), parse_constant=_refuse_constant)
            except (ValueError, RecursionError):
                return None
            self._cached += len(body)
            if self._cached > MOST_CACHED:
                self._results.clear()
                self._cached = len(body)
            self._results[body] = result
        return result

    def _read_slowly(self, number: int, raw: bytes, batching: Batching) -> None:
        line = Line(self._path, number, raw)
        try:
            row = line.row()
        except CorpusError:
            if self._has_header and line.is_cut_off:
                # Whoever recorded was killed; all that is whole was read.
                if self._is_first:
                    self._gaps.cut_off.append(str(self._path))
                return
            raise
        if self._has_header and "kind" in row and "tool" not in row:
            self._read_other(line, row)
            return
        record = line.record(row)
        self._check_order(number, record.seq, record.t_ms)
        if self._is_ours(record.tool, record.request_id):
            chain, place_in_time = (record.tool, record.request_id), (record.seq, record.t_ms)
            batching.add(chain, place_in_time, record.result, len(raw))

    def _read_other(self, line: Line, row: dict[str, object]) -> None:
        if line.number == 1:
            return
        if row["kind"] != "gap":
            line.refuse(f"is of kind {row['kind']!r:.40}; calls and gaps are allowed")
        if self._is_first:
            add_lost(self._gaps.lost, row.get("reason"), row.get("lost"), line.refuse)

    def _is_ours(self, tool: str, request_id: str) -> bool:
        part = self._part
        return part.count == 1 or chain_hash(tool, request_id) % part.count == part.number

    def _check_order(self, number: int, seq: int, t_ms: float) -> None:
        before = self._before
        if seq <= before[0] or t_ms < before[1]:
            Line(self._path, number, b"").check_order(before, (seq, t_ms))
        self._before = seq, t_ms


def _refuse_constant(name: str) -> NoReturn:
    raise TraceError(name)
