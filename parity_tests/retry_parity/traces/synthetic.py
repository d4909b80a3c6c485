"""Synthetic traffic: whole chains of a recording, drawn anew, as many as wanted.

Chains are drawn with replacement, each as likely as any other, so that the recording's proportions
hold. They begin as a Poisson process; the waits within a chain are those recorded, so that chains
overlap. Calls are made in windows: memory does not grow with their number.

Random numbers come from PCG64's raw stream, which numpy keeps as it is from version to version.

Needs the packages of the extra ``traces``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retry_parity._native import chain_hashes
from retry_parity.corpus import LATEST_MS
from retry_parity.traces.calls import WHOLE, Gaps, Header, TraceError
from retry_parity.traces.converting import dictionary_column, result_text
from retry_parity.traces.parquet_writing import MOST_ROWS, TraceWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from retry_parity.traces.reading import Trace

#: Chains of a window.
_WINDOW: Final = 131_072
#: Bytes of result texts of the recording; they are all held.
_MOST_SOURCE: Final = 128 * 1024 * 1024
#: Digits behind the point of a time in milliseconds.
_DIGITS: Final = 3
_MILLISECONDS: Final = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be made.

    Attributes:
        calls: How many; more by less than one chain where no recorded chain is short enough.
        seed: Whatever it is, the same one gives the same calls.
        rate: Calls per second.
    """

    calls: int
    seed: int
    rate: float


def synthesize(source: Trace, wanted: Wanted, out: Path, advance: Callable[[int], object]) -> int:
    """Draw traffic from a recording and write it as Parquet.

    Args:
        source: The recording.
        wanted: How much of it.
        out: The file to write.
        advance: Told how many more calls were made.

    Returns:
        Calls written.

    Raises:
        TraceError: The recording cannot be used, what is wanted cannot be made, or the file cannot
            be written.
    """
    chains = _Chains(source)
    if wanted.calls / wanted.rate * _MILLISECONDS > LATEST_MS:
        raise TraceError(_too_long(wanted))
    header = Header(
        plugin=source.header.plugin,
        config=source.header.config,
        versions=source.header.versions,
        origin="synthetic",
        seed=str(wanted.seed),
        source=source.sha256,
    )
    calls = 0
    with TraceWriter(out, header) as writer:
        for rows in _in_groups(_windows(chains, wanted)):
            made = len(rows)
            writer.write(_columns(chains, rows, calls))
            calls += made
            advance(made)
    return calls


def _too_long(wanted: Wanted) -> str:
    return (
        f"{wanted.calls:,} calls at {wanted.rate:g} a second take more than a hundred years, "
        "which no trace may; a higher rate is allowed"
    )


class _Chains:
    """The chains of a recording, in columns.

    Attributes:
        first: For each chain, the place of its first call.
        length: For each chain, the number of its calls.
        tools: All tools.
        tool_of: For each call, chain by chain, the place of its tool.
        result_of: For each call, the place of its result.
        results: All result texts.
        after_ms: For each call, milliseconds since its chain began.
    """

    def __init__(self, source: Trace) -> None:
        tools: dict[str, int] = {}
        results: dict[str, int] = {}
        found: dict[tuple[int, str, str], list[tuple[int, float]]] = {}
        size = 0
        for number, file in enumerate(source.files):
            for batch in file.batches(WHOLE, Gaps()):
                texts = [result_text(result) for result in batch.results]
                size += sum(len(text) for text in texts if text not in results)
                if size > _MOST_SOURCE:
                    message = (
                        f"{file.path}: has more than {_MOST_SOURCE // 2**20} MiB of different "
                        "results; draw from a shorter recording"
                    )
                    raise TraceError(message)
                places = [results.setdefault(text, len(results)) for text in texts]
                for place, request_id in enumerate(batch.request_ids):
                    tool = batch.tools[batch.tool_of[place]]
                    call = places[batch.result_of[place]], batch.times_ms[place]
                    found.setdefault((number, tool, request_id), []).append(call)
        if not found:
            message = f"{source.files[0].path}: has no calls to draw from"
            raise TraceError(message)
        self.length = np.array([len(calls) for calls in found.values()])
        tool_of = [tools.setdefault(tool, len(tools)) for _, tool, _ in found]
        self.tool_of = np.repeat(tool_of, self.length)
        self.first = np.cumsum(self.length) - self.length
        every = [call for calls in found.values() for call in calls]
        self.result_of = np.array([result for result, _ in every])
        times_ms = np.array([t_ms for _, t_ms in every])
        self.after_ms = times_ms - np.repeat(times_ms[self.first], self.length)
        self.tools, self.results = list(tools), pa.array(list(results), pa.string())


@dataclass(frozen=True, slots=True)
class _Rows:
    """Calls in columns.

    Attributes:
        t_ms: When.
        chain: Running number of the new chain, from 1.
        call: Place of the recorded call whose tool and result these are.
    """

    t_ms: NDArray[np.float64]
    chain: NDArray[np.int64]
    call: NDArray[np.int64]

    def __len__(self) -> int:
        """Give the number of calls."""
        return len(self.t_ms)

    def of(self, chosen: Any) -> _Rows:
        """Give some of them, by places or a slice."""
        return _Rows(self.t_ms[chosen], self.chain[chosen], self.call[chosen])


def _joined(rows: list[_Rows]) -> _Rows:
    return _Rows(
        np.concatenate([each.t_ms for each in rows]),
        np.concatenate([each.chain for each in rows]),
        np.concatenate([each.call for each in rows]),
    )


def _windows(chains: _Chains, wanted: Wanted) -> Iterator[_Rows]:
    """Give all calls by time, window by window."""
    random = np.random.PCG64(wanted.seed)
    between_ms = _MILLISECONDS * float(chains.length.mean()) / wanted.rate
    waiting: list[_Rows] = []
    missing, begun, now_ms = wanted.calls, 0, 0.0
    while missing > 0:
        drawn = _drawn(chains, missing, random)
        # 1 - share is never 0.
        waits_ms = -np.log(1 - _shares(random, len(drawn))) * between_ms
        starts_ms = now_ms + np.cumsum(waits_ms)
        waiting.append(_calls_of(chains, drawn, starts_ms, begun))
        missing -= len(waiting[-1])
        begun, now_ms = begun + len(drawn), float(starts_ms[-1])
        rows = _joined(waiting)
        # Stable, so that calls of a chain at the same time keep their order.
        rows = rows.of(np.argsort(rows.t_ms, kind="stable"))
        if rows.t_ms[-1] > LATEST_MS:
            raise TraceError(_too_long(wanted))
        # INVARIANT: no chain that begins later has a call before this time.
        end_ms = np.inf if missing <= 0 else np.round(now_ms, _DIGITS)
        complete = int(np.searchsorted(rows.t_ms, end_ms, "left"))
        yield rows.of(slice(complete))
        waiting = [rows.of(slice(complete, None))]


def _drawn(chains: _Chains, missing: int, random: np.random.PCG64) -> NDArray[np.int64]:
    """Draw chains for a window, and no more than are missing."""
    drawn = _whole_numbers(random, min(_WINDOW, missing), len(chains.length))
    lengths = np.cumsum(chains.length[drawn])
    if lengths[-1] <= missing:
        return drawn
    whole = int(np.searchsorted(lengths, missing, "right"))
    room = missing - (int(lengths[whole - 1]) if whole else 0)
    last: list[int] = []
    while room > 0:
        fitting = np.flatnonzero(chains.length <= room)
        if not fitting.size:
            fitting = np.flatnonzero(chains.length == chains.length.min())
        last.append(int(fitting[_whole_numbers(random, 1, fitting.size)[0]]))
        room -= int(chains.length[last[-1]])
    return np.concatenate((drawn[:whole], np.array(last, dtype=np.int64)))


def _calls_of(
    chains: _Chains, drawn: NDArray[np.int64], starts_ms: NDArray[np.float64], begun: int
) -> _Rows:
    lengths = chains.length[drawn]
    places = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    call = np.repeat(chains.first[drawn], lengths) + places
    t_ms = np.round(np.repeat(starts_ms, lengths) + chains.after_ms[call], _DIGITS)
    chain = np.repeat(np.arange(begun + 1, begun + 1 + len(drawn)), lengths)
    return _Rows(t_ms, chain, call)


def _in_groups(windows: Iterator[_Rows]) -> Iterator[_Rows]:
    """Give the same calls in groups of one size, the last one less."""
    held: list[_Rows] = []
    for window in windows:
        held.append(window)
        if sum(map(len, held)) < MOST_ROWS:
            continue
        rows = _joined(held)
        whole = len(rows) - len(rows) % MOST_ROWS
        for start in range(0, whole, MOST_ROWS):
            yield rows.of(slice(start, start + MOST_ROWS))
        held = [rows.of(slice(whole, None))]
    rows = _joined(held)
    if len(rows):
        yield rows


def _columns(chains: _Chains, rows: _Rows, before: int) -> list[Any]:
    """Give the columns of a row group.

    Args:
        chains: Where the calls were drawn from.
        rows: The calls.
        before: Calls in earlier groups.
    """
    tool_of = chains.tool_of[rows.call]
    request_ids = pc.binary_join_element_wise("s", pc.cast(pa.array(rows.chain), pa.string()), "")
    names = list(map(chains.tools.__getitem__, tool_of.tolist()))
    ids = request_ids.to_numpy(zero_copy_only=False).tolist()
    return [
        dictionary_column(tool_of, chains.tools),
        request_ids,
        pa.array(np.arange(before + 1, before + 1 + len(rows))),
        pa.array(rows.t_ms),
        dictionary_column(chains.result_of[rows.call], chains.results),
        pa.array(np.frombuffer(chain_hashes(names, ids), dtype="<u8")),
    ]


def _shares(random: np.random.PCG64, count: int) -> NDArray[np.float64]:
    """Draw numbers from 0 to below 1."""
    return np.asarray((random.random_raw(count) >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


def _whole_numbers(random: np.random.PCG64, count: int, below: int) -> NDArray[np.int64]:
    """Draw whole numbers from 0 to below a bound; each as likely, but for less than 1 in 10^9."""
    return (_shares(random, count) * below).astype(np.int64)
