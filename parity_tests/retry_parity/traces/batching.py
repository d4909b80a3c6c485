"""Calls put together to batches, within bounds of memory."""

from __future__ import annotations

from array import array
from typing import Final

from retry_parity.traces.calls import Batch

#: Calls of a batch.
MOST_CALLS: Final = 65_536
#: Bytes of the result texts of a batch; as objects they take some four times as much.
MOST_BYTES: Final = 16 * 1024 * 1024
#: Bytes of the result texts whose objects are kept for later calls of the same text.
MOST_CACHED: Final = 16 * 1024 * 1024


class Batching:
    """A batch that grows call by call."""

    def __init__(self) -> None:
        """Start with none."""
        self._bytes = 0
        self._begin()

    def _begin(self) -> None:
        self._tools: dict[str, int] = {}
        self._results: dict[int, int] = {}
        self._objects: list[object] = []
        self._tool_of, self._result_of = array("i"), array("i")
        self._request_ids: list[str] = []
        self._seqs, self._times_ms = array("q"), array("d")
        self._bytes = 0

    def __len__(self) -> int:
        """Give the number of calls so far."""
        return len(self._request_ids)

    @property
    def is_full(self) -> bool:
        """Whether it has all that a batch may have."""
        return len(self._request_ids) >= MOST_CALLS or self._bytes >= MOST_BYTES

    def add(
        self, chain: tuple[str, str], place_in_time: tuple[int, float], result: object, size: int
    ) -> None:
        """Add a call.

        Args:
            chain: Its tool and request id.
            place_in_time: Its running number, and its time in milliseconds.
            result: Its result; the same object each time stands for one result.
            size: Bytes of the result's text.
        """
        tools, tool = self._tools, chain[0]
        self._tool_of.append(tools.setdefault(tool, len(tools)))
        place = self._results.get(id(result))
        if place is None:
            place = self._results[id(result)] = len(self._objects)
            self._objects.append(result)
            self._bytes += size
        self._result_of.append(place)
        self._request_ids.append(chain[1])
        self._seqs.append(place_in_time[0])
        self._times_ms.append(place_in_time[1])

    def take(self) -> Batch:
        """Give the batch, and start with none again."""
        batch = Batch(
            tools=tuple(self._tools),
            results=self._objects,
            tool_of=self._tool_of,
            result_of=self._result_of,
            request_ids=self._request_ids,
            seqs=self._seqs,
            times_ms=self._times_ms,
        )
        self._begin()
        return batch
