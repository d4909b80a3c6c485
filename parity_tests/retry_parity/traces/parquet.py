"""Traces as Parquet: columns, each distinct result once per row group.

Columns: ``tool``, ``request_id``, ``seq``, ``t_ms``, ``result`` (JSON text; NaN and the infinities
as Python writes them), ``chain`` (`_native.chain_hash` of tool and request id, so that a part is
found without a look at texts). The header is in the file's metadata.

Needs the packages of the extra ``traces``.
"""

from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retry_parity._native import chain_hash
from retry_parity.corpus import LATEST_MS
from retry_parity.traces.batching import MOST_BYTES, MOST_CACHED, MOST_CALLS
from retry_parity.traces.calls import Batch, Header, TraceError
from retry_parity.traces.header import add_lost, read_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from retry_parity.traces.calls import Gaps, Part

#: Of the file's metadata: the header, and what is no call.
HEADER_KEY: Final = "retry-parity.header"
GAPS_KEY: Final = "retry-parity.gaps"

#: Rows read at once, in batches' most calls.
_MOST_TIMES: Final = 4

#: Rows read at once, where they are large: bytes, and rows all the same.
_MOST_READ: Final = 64 * 1024 * 1024
_FEWEST_ROWS: Final = 64

_TEXTS: Final = ("tool", "result")
_TYPES: Final = {
    "tool": "text",
    "request_id": "text",
    "seq": "int64",
    "t_ms": "double",
    "result": "text",
    "chain": "uint64",
}


def look_into(path: Path) -> tuple[Header, int]:
    """Read what the file says of itself.

    Returns:
        Its header, empty where it has none, and the number of calls.

    Raises:
        TraceError: It is no Parquet file, or no trace.
    """
    with _opened(path) as file:
        told = _metadata(path, file, HEADER_KEY)
        header = Header() if told is None else read_header(told, _refusal(path))
        return header, file.metadata.num_rows


def read_parquet(
    path: Path, part: Part, gaps: Gaps, advance: Callable[[int], object]
) -> Iterator[Batch]:
    """Read the calls of a part, row group by row group.

    Args:
        path: The file.
        part: Which chains. Every part checks the order of all calls, and its own calls wholly.
        gaps: What is no call is added here, by the first part only: parts add up to the whole.
        advance: Told how many more bytes were read: the file's size, in proportion to the rows.

    Raises:
        TraceError: A row is no call, or does not follow the one before it.
    """
    return _Reader(path, part).batches(gaps, advance)


class _Reader:
    def __init__(self, path: Path, part: Part) -> None:
        self._path, self._part = path, part
        self._refuse = _refusal(path)
        self._tools, self._results = _Values(str), _Values(_parse)
        self._before: tuple[int, float] = (-1, 0.0)

    def batches(self, gaps: Gaps, advance: Callable[[int], object]) -> Iterator[Batch]:
        size = self._path.stat().st_size
        with _opened(self._path) as file:
            if self._part.number == 0:
                self._read_gaps(file, gaps)
            rows, all_rows, told = 0, file.metadata.num_rows, 0
            for rows_before, columns in self._column_batches(file):
                rows = rows_before + len(columns)
                yield from self._read(columns, rows_before)
                advance(size * rows // all_rows - told)
                told = size * rows // all_rows
            advance(size - told)

    def _column_batches(self, file: Any) -> Iterator[tuple[int, Any]]:
        rows = 0
        for group in range(file.num_row_groups):
            about = file.metadata.row_group(group)
            row_bytes = about.total_byte_size // max(about.num_rows, 1) + 1
            # A part's calls are few among many rows.
            most = MOST_CALLS * min(self._part.count, _MOST_TIMES)
            most = max(_FEWEST_ROWS, min(most, _MOST_READ // row_bytes))
            parts = file.iter_batches(
                most, row_groups=[group], columns=list(_TYPES), use_threads=False
            )
            try:
                for columns in parts:
                    yield rows, columns
                    rows += len(columns)
            except (pa.ArrowException, OSError) as error:
                self._refuse(f"row group {group} cannot be read: {_one_line(error)}")

    def _read_gaps(self, file: Any, gaps: Gaps) -> None:
        told = _metadata(self._path, file, GAPS_KEY) or {}
        lost, cut_off = told.get("lost", {}), told.get("cut_off", [])
        if not isinstance(lost, dict) or not isinstance(cut_off, list):
            self._refuse(f"has metadata '{GAPS_KEY}' that are no gaps")
        for reason, count in lost.items():
            add_lost(gaps.lost, reason, count, self._refuse)
        gaps.cut_off += map(str, cut_off)

    def _read(self, columns: Any, rows_before: int) -> Iterator[Batch]:
        for name in _TYPES:
            if columns[name].null_count:
                row = rows_before + int(pc.index(pc.is_null(columns[name]), value=True).as_py())
                self._refuse(f"'{name}' is null", row)
        self._check_order(_numbers(columns["seq"]), _numbers(columns["t_ms"]), rows_before)
        chain = _numbers(columns["chain"])
        first = columns.slice(0, 1).to_pylist()[0]
        if chain_hash(first["tool"], first["request_id"]) != first["chain"]:
            # Otherwise the calls of a chain could end up in different parts.
            self._refuse("'chain' is not the hash of 'tool' and 'request_id'", rows_before)
        part = self._part
        if part.count == 1:
            yield from self._slices(columns, np.arange(len(columns)), rows_before)
        else:
            mine = np.flatnonzero(chain % np.uint64(part.count) == np.uint64(part.number))
            yield from self._slices(columns, mine, rows_before)

    def _check_order(
        self, seqs: NDArray[np.int64], times_ms: NDArray[np.float64], rows_before: int
    ) -> None:
        # Written so that NaN is wrong.
        bad = np.flatnonzero(~((times_ms >= 0) & (times_ms <= LATEST_MS)))
        if bad.size:
            self._refuse(
                f"'t_ms' is out of range; 0 to {LATEST_MS} is allowed", rows_before + bad[0]
            )
        for name, values, before, is_bad, rule in (
            ("seq", seqs, self._before[0], np.less_equal, "it must rise row by row"),
            ("t_ms", times_ms, self._before[1], np.less, "it must not fall"),
        ):
            with_before = np.concatenate(([before], values))
            bad = np.flatnonzero(is_bad(with_before[1:], with_before[:-1]))
            if bad.size:
                place = int(bad[0])
                self._refuse(
                    f"'{name}' is {with_before[place + 1]} after {with_before[place]}; {rule}",
                    rows_before + place,
                )
        self._before = int(seqs[-1]), float(times_ms[-1])

    def _slices(self, columns: Any, rows: NDArray[np.int64], rows_before: int) -> Iterator[Batch]:
        """Give the chosen rows as a batch, or as several where their results are large."""
        if not rows.size:
            return
        result = columns["result"]
        codes = _numbers(result.indices)[rows]
        used, result_of = _compact(codes, len(result.dictionary))
        is_large = rows.size > 1 and _size(result.dictionary, used) > MOST_BYTES
        if is_large or rows.size > MOST_CALLS:
            half = rows.size // 2
            yield from self._slices(columns, rows[:half], rows_before)
            yield from self._slices(columns, rows[half:], rows_before)
            return
        try:
            results = self._results.of(result.dictionary, used)
        except _UnusableError as error:
            row = int(rows[np.flatnonzero(codes == error.code)[0]])
            self._refuse(f"'result' {error}", rows_before + row)
        tool = columns["tool"]
        used_tools, tool_of = _compact(_numbers(tool.indices)[rows], len(tool.dictionary))
        request_ids = columns["request_id"]
        if rows.size < len(columns):
            request_ids = request_ids.take(pa.array(rows))
        yield Batch(
            tools=self._tools.of(tool.dictionary, used_tools),
            results=results,
            tool_of=_array("i", tool_of),
            result_of=_array("i", result_of),
            request_ids=request_ids.to_numpy(zero_copy_only=False).tolist(),
            seqs=_array("q", _numbers(columns["seq"])[rows]),
            times_ms=_array("d", _numbers(columns["t_ms"])[rows]),
        )


class _UnusableError(ValueError):
    """A text is not what it should be."""

    code = -1


class _Values:
    """What the entries of a dictionary column stand for, each made once.

    Row groups have dictionaries of their own, mostly the same one again.
    """

    def __init__(self, make: Callable[[str], object]) -> None:
        self._make = make
        self._dictionary: Any = None
        self._by_code: dict[int, object] = {}
        self._by_text: dict[str, object] = {}
        self._bytes = 0

    def of(self, dictionary: Any, codes: NDArray[np.int64]) -> list[Any]:
        """Give the values of some entries.

        Raises:
            _UnusableError: There is none for a text; the error has the code.
        """
        if self._bytes > MOST_CACHED:
            self._by_code, self._by_text, self._bytes = {}, {}, 0
        if self._dictionary is None or not dictionary.equals(self._dictionary):
            self._dictionary, self._by_code = dictionary, {}
        wanted = codes.tolist()
        missing = [code for code in wanted if code not in self._by_code]
        for code, text in zip(
            missing, dictionary.take(pa.array(missing, pa.int64())).to_pylist(), strict=True
        ):
            value = self._by_text.get(text)
            if value is None:
                try:
                    value = self._make(text)
                except _UnusableError as error:
                    error.code = code
                    raise
                self._by_text[text] = value
                self._bytes += len(text)
            self._by_code[code] = value
        return [self._by_code[code] for code in wanted]


def _parse(text: str) -> object:
    try:
        result = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"is JSON that cannot be read: {_one_line(error)}"
        raise _UnusableError(message) from error
    if not isinstance(result, dict):
        message = "is no JSON object"
        raise _UnusableError(message)
    return result


def _compact(codes: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the codes that occur from 0.

    Returns:
        The codes that occur, rising, and for each given code its place among them.
    """
    occurs = np.zeros(count, dtype=bool)
    occurs[codes] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[codes]


def _size(dictionary: Any, used: NDArray[np.int64]) -> int:
    """Give the bytes of some texts; 0 where even all of them are few."""
    if dictionary.nbytes <= MOST_BYTES:
        return 0
    return int(_numbers(pc.binary_length(dictionary))[used].sum())


def _numbers(column: Any) -> NDArray[Any]:
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _array(kind: str, values: NDArray[Any]) -> array[Any]:
    made: array[Any] = array(kind)
    made.frombytes(values.astype(kind).tobytes())
    return made


def _opened(path: Path) -> Any:
    """Open a file whose columns are those of a trace.

    Raises:
        TraceError: It is none.
    """
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow)
            return pq.ParquetFile(path, metadata=file.metadata, read_dictionary=list(_TEXTS))
    except (pa.ArrowException, OSError) as error:
        message = f"{path}: is no Parquet file that can be read: {_one_line(error)}"
        raise TraceError(message) from error


def _check_columns(path: Path, schema: Any) -> None:
    refuse = _refusal(path)
    for name, wanted in _TYPES.items():
        place = schema.get_field_index(name)
        if place < 0:
            refuse(f"has no column '{name}' (or several)")
        found = schema.field(place).type
        if name in _TEXTS and pa.types.is_dictionary(found):
            found = found.value_type
        is_text = pa.types.is_string(found) or pa.types.is_large_string(found)
        told = "text" if is_text else str(found)
        if told != wanted:
            refuse(f"has a column '{name}' of {told}, not {wanted}")


def _metadata(path: Path, file: Any, key: str) -> dict[str, Any] | None:
    text = (file.metadata.metadata or {}).get(key.encode())
    if text is None:
        return None
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        _refusal(path)(f"has metadata '{key}' that are no JSON object")
    return told


def _refusal(path: Path) -> Callable[..., NoReturn]:
    def refuse(what: str, row: int | None = None) -> NoReturn:
        place = "" if row is None else f", row {int(row) + 1}"
        message = f"{path}{place}: {what}"
        raise TraceError(message)

    return refuse


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
