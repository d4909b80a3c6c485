"""A trace in another form: JSON lines to Parquet.

Needs the packages of the extra ``traces``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from retry_parity._native import chain_hashes
from retry_parity.traces.calls import WHOLE, TraceError
from retry_parity.traces.parquet_writing import MOST_ROWS, SCHEMA, TraceWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from retry_parity.traces.calls import Batch
    from retry_parity.traces.reading import TraceFile

#: Bytes of the distinct result texts of a row group.
_MOST_BYTES: Final = 32 * 1024 * 1024


def convert(file: TraceFile, out: Path, advance: Callable[[int], object]) -> int:
    """Write a recording as Parquet.

    Args:
        file: The recording.
        out: The file to write.
        advance: Told how many more bytes were read; `TraceFile.size_bytes` in all.

    Returns:
        Calls written.

    Raises:
        TraceError: The recording cannot be used, or the file cannot be written.
    """
    calls = 0
    with TraceWriter(out, file.header) as writer:
        rows = _Rows(writer)
        for batch in file.batches(WHOLE, writer.gaps, advance):
            rows.add(batch)
            calls += len(batch)
        rows.write()
    return calls


class _Rows:
    """Rows on their way to a row group."""

    def __init__(self, writer: TraceWriter) -> None:
        self._writer = writer
        self._begin()

    def _begin(self) -> None:
        self._tools: dict[str, int] = {}
        self._results: dict[str, int] = {}
        self._bytes = self._count = 0
        self._columns: list[list[Any]] = [[] for _ in SCHEMA]

    def add(self, batch: Batch) -> None:
        """Add the calls of a batch."""
        texts = [result_text(result) for result in batch.results]
        self._bytes += sum(len(text) for text in texts if text not in self._results)
        results = np.array([self._results.setdefault(t, len(self._results)) for t in texts])
        tools = np.array([self._tools.setdefault(t, len(self._tools)) for t in batch.tools])
        tool_of = np.asarray(batch.tool_of)
        names = [batch.tools[place] for place in batch.tool_of]
        chains = np.frombuffer(chain_hashes(names, batch.request_ids), dtype="<u8")
        for column, values in zip(
            self._columns,
            (
                tools[tool_of],
                pa.array(batch.request_ids, pa.string()),
                np.asarray(batch.seqs),
                np.asarray(batch.times_ms),
                results[np.asarray(batch.result_of)],
                chains,
            ),
            strict=True,
        ):
            column.append(values)
        self._count += len(batch)
        if self._count >= MOST_ROWS or self._bytes >= _MOST_BYTES:
            self.write()

    def write(self) -> None:
        """Write what there is as a row group."""
        if not self._count:
            return
        tool, request_id, seq, t_ms, result, chain = self._columns
        self._writer.write(
            [
                dictionary_column(np.concatenate(tool), list(self._tools)),
                pa.concat_arrays(request_id),
                pa.array(np.concatenate(seq)),
                pa.array(np.concatenate(t_ms)),
                dictionary_column(np.concatenate(result), list(self._results)),
                pa.array(np.concatenate(chain)),
            ]
        )
        self._begin()


def dictionary_column(codes: Any, texts: Any) -> Any:
    """Make a column of texts.

    Args:
        codes: For each row, the place of its text.
        texts: The texts, each once.
    """
    texts = pa.array(texts, pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), texts)


def result_text(result: object) -> str:
    """Give a result as JSON text, from which it can be read again exactly.

    Raises:
        TraceError: It is nested too deeply.
    """
    try:
        return json.dumps(result, separators=(",", ":"))
    except RecursionError as error:
        message = "a result is nested too deeply to be written"
        raise TraceError(message) from error
