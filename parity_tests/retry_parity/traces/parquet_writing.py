"""Writing traces as Parquet; see `parquet` for the columns.

Needs the packages of the extra ``traces``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from retry_parity.traces.calls import Gaps, Header, TraceError
from retry_parity.traces.header import told_header
from retry_parity.traces.parquet import GAPS_KEY, HEADER_KEY

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

#: Rows of a row group.
MOST_ROWS: Final = 262_144

_TEXT: Final = pa.dictionary(pa.int32(), pa.string())
SCHEMA: Final = pa.schema(
    [
        pa.field("tool", _TEXT, nullable=False),
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("t_ms", pa.float64(), nullable=False),
        pa.field("result", _TEXT, nullable=False),
        pa.field("chain", pa.uint64(), nullable=False),
    ]
)
#: Beyond it a column of texts would fall back to each text again and again.
_MOST_DICTIONARY: Final = 1024 * 1024 * 1024


class TraceWriter:
    """A file that is there when it is whole: until then it has another name."""

    def __init__(self, path: Path, header: Header) -> None:
        """Begin.

        Args:
            path: The file; one that is there is replaced at the end.
            header: What it says of itself.

        Raises:
            TraceError: It cannot be written.
        """
        self._path, self._header = path, header
        self._part = path.with_name(f"{path.name}.part")
        #: What was no call.
        self.gaps = Gaps()
        try:
            self._writer: Any = pq.ParquetWriter(
                self._part,
                SCHEMA,
                compression={
                    # Hashes do not shrink.
                    **dict.fromkeys(SCHEMA.names, "zstd"),
                    "chain": "none",
                },
                use_dictionary=["tool", "result"],
                dictionary_pagesize_limit=_MOST_DICTIONARY,
                column_encoding={"seq": "DELTA_BINARY_PACKED", "t_ms": "BYTE_STREAM_SPLIT"},
                write_statistics=["seq", "t_ms"],
            )
        except OSError as error:
            raise self._failed(error) from error

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put the file in its place; after an exception, remove it."""
        try:
            if kind is None:
                gaps = {"lost": self.gaps.lost, "cut_off": self.gaps.cut_off}
                self._writer.add_key_value_metadata(
                    {
                        HEADER_KEY: json.dumps(told_header(self._header), sort_keys=True),
                        GAPS_KEY: json.dumps(gaps, sort_keys=True),
                    }
                )
            self._writer.close()
            if kind is None:
                self._part.replace(self._path)
        except (OSError, pa.ArrowException) as failure:
            if kind is None:
                raise self._failed(failure) from failure
        finally:
            self._part.unlink(missing_ok=True)

    def write(self, columns: list[Any]) -> None:
        """Write a row group.

        Args:
            columns: One array for each field of `SCHEMA`.

        Raises:
            TraceError: It cannot be written.
        """
        try:
            self._writer.write_table(
                pa.Table.from_arrays(columns, schema=SCHEMA), row_group_size=MOST_ROWS
            )
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> TraceError:
        said = getattr(error, "strerror", None) or " ".join(str(error).split())
        return TraceError(f"{self._path}: cannot be written: {said}")
