"""Recording the whole traffic of a gateway's worker, in order and with its clock.

A call hands its result over to a `Recorder`, which copies it into a queue. The upkeep's thread
writes the queue to the worker's ``trace.jsonl``. What cannot be recorded is counted by reason, in a
gap line at its place: a trace says what is missing.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from retry_parity.traces.header import told_header
from retry_parity.traces.telling import TOO_DEEP, UntellableError, taken, told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from retry_parity.traces.calls import Header

#: Bytes that wait to be written; more calls are lost.
_MOST_WAITING: Final = 16 * 1024 * 1024
#: What a waiting call takes beside its copy.
_OVERHEAD: Final = 128
#: Bytes written at once.
_CHUNK: Final = 1024 * 1024
_NANOSECONDS: Final = 1000

QUEUE_FULL: Final = "queue full"
LIMIT_REACHED: Final = "limit reached"
UNREADABLE: Final = "a result that cannot be read"


@dataclass(slots=True)
class Gap:
    """Calls in a row that were lost for one reason."""

    reason: str
    lost: int


#: Running number, microseconds since the recording began, and the copy.
Taken: TypeAlias = tuple[int, int, bytes]


class Recorder:
    """Takes the calls of one plugin name, from any thread."""

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Begin with nothing.

        Args:
            clock_ns: Gives nanoseconds; never goes back.
        """
        self._clock_ns = clock_ns
        #: The plugin's config without ``migration:``, by which the calls were decided.
        self.config: Mapping[str, object] | None = None
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget everything, in a child of a fork: it records its own calls, by its own clock."""
        self._lock = threading.Lock()
        self._began_ns = self._clock_ns()
        self._seq = 0
        self._waiting: list[Taken | Gap] = []
        self._bytes = 0
        #: Whether nothing more will be written: calls are only counted then.
        self.has_ended = False

    def record(self, tool: object, request_id: object, result: object) -> None:
        """Take a call. Raises nothing but what ends the process or the task.

        Args:
            tool: Its tool.
            request_id: Its request id.
            result: Its result; it may change afterwards.
        """
        copy, reason = b"", LIMIT_REACHED
        if not self.has_ended:
            try:
                copy = taken(tool, request_id, result)
            except UntellableError as error:
                reason = str(error)
            except RecursionError:
                reason = TOO_DEEP
            except Exception:  # noqa: BLE001 - whatever a result does, the call goes on
                reason = UNREADABLE
        with self._lock:
            self._seq += 1
            size = len(copy) + _OVERHEAD
            if copy and self._bytes + size > _MOST_WAITING:
                copy, reason = b"", QUEUE_FULL
            if copy:
                # Read under the lock: times rise with the running numbers.
                passed_us = (self._clock_ns() - self._began_ns) // _NANOSECONDS
                self._waiting.append((self._seq, passed_us, copy))
                self._bytes += size
            else:
                self._lose(reason)

    def _lose(self, reason: str) -> None:
        last = self._waiting[-1] if self._waiting else None
        if isinstance(last, Gap) and (
            last.reason == reason or self._bytes + _OVERHEAD > _MOST_WAITING
        ):
            last.lost += 1
            return
        self._waiting.append(Gap(reason, 1))
        self._bytes += _OVERHEAD

    def take(self) -> list[Taken | Gap]:
        """Give what waits, the oldest first."""
        with self._lock:
            waiting, self._waiting, self._bytes = self._waiting, [], 0
            return waiting


class Recording:
    """The file of one worker and plugin name. It is written by one thread."""

    def __init__(self, path: Path, header: Header, lost: Callable[[str, int], object]) -> None:
        """Name the file; it is made with the first call.

        Args:
            path: Where; its folder is made too.
            header: What it says of itself.
            lost: Told of calls that were lost: the reason, and how many.
        """
        self._path, self._header, self._lost = path, header, lost
        #: INVARIANT: so many bytes of the file are whole lines. Behind them is at most the line
        #: that tells of the calls after the end, or what a full disk left of others.
        self._size = 0
        #: A gap that could not be written yet.
        self._gap: Gap | None = None
        self._has_ended = False
        #: Calls after the end, and how many of them the file tells of.
        self._beyond = self._told_beyond = 0

    def write(self, recorder: Recorder, most_bytes: int) -> None:
        """Append what waits.

        Args:
            recorder: Has it.
            most_bytes: The most that the file may take; recording ends there.
        """
        chunk = self._begun()
        for entry in recorder.take():
            gap, line = _told_entry(entry)
            calls = 1 if gap is None else gap.lost
            room = most_bytes - self._size - len(chunk.lines) - len(_end_line(0))
            self._has_ended = self._has_ended or len(line) > room
            if self._has_ended:
                self._beyond += calls
                continue
            if gap is not None:
                self._lost(gap.reason, gap.lost)
                chunk.told += gap.lost
            chunk.lines += line
            chunk.calls += calls
            if len(chunk.lines) >= _CHUNK:
                self._append(chunk)
                chunk = self._begun()
        recorder.has_ended = self._has_ended
        if chunk.calls:
            self._append(chunk)
        if self._beyond != self._told_beyond:
            self._tell_end()

    def _begun(self) -> _Chunk:
        """Give a chunk with what has to come first."""
        chunk = _Chunk()
        try:
            is_there = self._path.stat().st_size >= self._size > 0
        except OSError:
            is_there = False
        if not is_there:
            # The first one, or somebody took the file away.
            self._size, self._told_beyond = 0, 0
            chunk.lines += _line({"kind": "trace", **told_header(self._header)})
        if (gap := self._gap) is not None:
            chunk.lines += _gap_line(gap)
            chunk.calls = chunk.told = gap.lost
            self._gap = None
        return chunk

    def _append(self, chunk: _Chunk) -> None:
        try:
            self._put(chunk.lines)
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            self._lost(reason, chunk.calls - chunk.told)
            self._gap = Gap(reason, chunk.calls)
        else:
            self._size += len(chunk.lines)

    def _tell_end(self) -> None:
        """Tell of the calls after the end, in a line that always takes the same room."""
        try:
            self._put(_end_line(self._beyond))
        except OSError:
            return  # the next round tries again
        self._lost(LIMIT_REACHED, self._beyond - self._told_beyond)
        self._told_beyond = self._beyond

    def _put(self, data: bytes | bytearray) -> None:
        """Write behind the whole lines, over what is there.

        Raises:
            OSError: Not all of it could be written.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if os.fstat(file).st_size > self._size + len(data):
                os.ftruncate(file, self._size)
            if os.pwrite(file, data, self._size) != len(data):
                os.ftruncate(file, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(file)


@dataclass(slots=True)
class _Chunk:
    """Lines that are written at once.

    Attributes:
        lines: The lines.
        calls: Calls in them, lost ones included.
        told: Those of them whose loss was told already.
    """

    lines: bytearray = field(default_factory=bytearray)
    calls: int = 0
    told: int = 0


def _told_entry(entry: Taken | Gap) -> tuple[Gap | None, bytes]:
    """Give an entry's line, and the gap where it is one."""
    if not isinstance(entry, Gap):
        try:
            return None, _call_line(entry)
        except UntellableError as error:
            entry = Gap(str(error), 1)
    return entry, _gap_line(entry)


def _call_line(entry: Taken) -> bytes:
    """Tell a call.

    Raises:
        UntellableError: JSON cannot tell it.
    """
    seq, passed_us, copy = entry
    tool, request_id, result, nonfinite = told(copy)
    t_ms = f"{passed_us // 1000}.{passed_us % 1000:03d}"
    # The order of keys by which `jsonl` reads quickly.
    line = f'{{"tool":{tool},"request_id":{request_id},"seq":{seq},"t_ms":{t_ms},"result":{result}'
    return (line + (f',"nonfinite":{nonfinite}' if nonfinite else "") + "}\n").encode()


def _gap_line(gap: Gap) -> bytes:
    return _line({"kind": "gap", "lost": gap.lost, "reason": gap.reason})


def _end_line(lost: int) -> bytes:
    return f'{{"kind":"gap","lost":{lost:20d},"reason":"{LIMIT_REACHED}"}}\n'.encode()


def _line(row: Mapping[str, object]) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


_recorders: dict[str, Recorder] = {}
_recorders_lock = threading.Lock()


def recorder_of(plugin_name: str) -> Recorder:
    """Give the process's recorder of a plugin name, begun at the first mention."""
    with _recorders_lock:
        return _recorders.setdefault(plugin_name, Recorder())


def forget(plugin_name: str) -> None:
    """Start a plugin's recorder anew, for tests."""
    with _recorders_lock:
        _recorders.pop(plugin_name, None)


def _begin_anew() -> None:
    """Leave to a parent what it recorded; a lock may be held by a thread that is not here."""
    global _recorders_lock  # noqa: PLW0603 - one per process
    _recorders_lock = threading.Lock()
    for recorder in _recorders.values():
        recorder.begin_anew()


os.register_at_fork(after_in_child=_begin_anew)
