"""Recorded traffic is what the calls were, in order, or says what is missing; no call notices."""

from __future__ import annotations

import enum
import errno
import json
import math
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laboratory import FAILURE, NAME

from retry_parity.containers import Container, wrap
from retry_parity.evidence_files import EvidenceFiles
from retry_parity.migration import migration_of
from retry_parity.recipes import IntSubclass, LazyDict, Thing, Unreadable
from retry_parity.settings import EvidenceSettings
from retry_parity.traces import recording, telling
from retry_parity.traces.calls import WHOLE, Gaps, Header
from retry_parity.traces.reading import open_trace
from retry_parity.traces.recording import Recorder, Recording, forget, recorder_of
from retry_parity.traces.telling import header_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_ROOMY = 10**9
HEADER = Header(plugin="retry", origin="recorded", run="host-1")


class Desk:
    """A recorder with its file, and all that was said to be lost."""

    def __init__(self, path: Path, clock_ns: Callable[[], int] | None = None) -> None:
        self.path = path
        self.lost: list[tuple[str, int]] = []
        self.recorder = Recorder() if clock_ns is None else Recorder(clock_ns)
        self.recording = Recording(path, HEADER, lambda *lost: self.lost.append(lost))

    def record(self, result: Any, tool: Any = "tool", request_id: Any = "r1") -> None:
        """Record a call."""
        self.recorder.record(tool, request_id, result)

    def write(self, most_bytes: int = _ROOMY) -> None:
        """Write what waits."""
        self.recording.write(self.recorder, most_bytes)

    def read(self) -> tuple[list[tuple[Any, ...]], Gaps]:
        """Read the file: tool, request id, running number and result of each call."""
        gaps = Gaps()
        calls = [
            (
                batch.tools[batch.tool_of[place]],
                batch.request_ids[place],
                batch.seqs[place],
                batch.results[batch.result_of[place]],
            )
            for batch in open_trace([self.path]).batches(WHOLE, gaps)
            for place in range(len(batch))
        ]
        return calls, gaps


@pytest.fixture(name="desk")
def _desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "run" / "trace.jsonl")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(st.characters(), max_size=5), JSON, max_size=4)


@given(OBJECTS, st.sampled_from([None, *Container]))
def test_what_is_read_is_what_was_recorded(
    tmp_path_factory: pytest.TempPathFactory, result: dict[str, Any], container: Container | None
) -> None:
    """Any JSON, in either wrapper of cpex: numbers exactly, NaN and lone surrogates included."""
    desk = Desk(tmp_path_factory.mktemp("run") / "trace.jsonl")
    desk.record(result if container is None else wrap(container, result))
    desk.write()
    ((_, _, _, found),), _ = desk.read()
    assert repr(found) == repr(result)
    assert desk.lost == []


def test_numbers_are_exact(desk: Desk) -> None:
    """More than 64 bits, the last bit of a float, negative zero, the infinities."""
    result = {"a": 2**700, "b": 0.1 + 0.2, "c": -0.0, "d/~": [math.nan, -math.inf], "e": 5e-324}
    desk.record(result)
    desk.write()
    assert repr(desk.read()[0][0][3]) == repr(result)


def test_every_line_is_strict_json_in_ascii(desk: Desk) -> None:
    """Any tool can read the file, and no text breaks a line."""
    desk.record({"a": math.nan, "b": "\u2028\x85\n\ud800é"})
    desk.write()
    for line in desk.path.read_bytes().split(b"\n")[:-1]:
        assert line.isascii()
        assert json.loads(line, parse_constant=pytest.fail)


def test_a_result_is_as_it_was_at_the_call(desk: Desk) -> None:
    """What happens to the payload afterwards is not recorded."""
    inner = [1]
    result = LazyDict({"inner": inner})
    desk.record(result)
    inner.append(2)
    desk.write()
    assert desk.read()[0][0][3] == {"inner": [1]}


def test_text_of_another_class_is_text(desk: Desk) -> None:
    """The gateway has such text in annotations; dicts and lists of other classes are likewise."""

    class Role(enum.StrEnum):
        USER = "user"

    class Items(list[Any]):
        pass

    desk.record({Role.USER: Items([Role.USER, 1.5, LazyDict({"a": True})])})
    desk.write()
    assert repr(desk.read()[0][0][3]) == "{'user': ['user', 1.5, {'a': True}]}"


def deep(levels: int) -> Any:
    """Nest lists."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def cycle() -> dict[str, Any]:
    """Make a dict that is inside itself."""
    value: dict[str, Any] = {}
    value["self"] = value
    return value


def shared() -> dict[str, Any]:
    """Make a value that is small, and huge when told: each level is the next one twice."""
    value: list[Any] = ["x"]
    for _ in range(60):
        value = [value, value]
    return {"shared": value}


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (None, telling.NO_DICT),
        ([{}], telling.NO_DICT),
        ({1: 2}, "a key that is no text"),
        ({"a": {None: 2}}, "a key that is no text"),
        ({"a": b"x"}, "bytes in a result"),
        ({"a": {1, 2}}, "set in a result"),
        ({"a": (1, 2)}, "tuple in a result"),
        ({"a": [enum.StrEnum("E", {"A": "a"}).A, (1, 2)]}, "tuple in a result"),  # type: ignore[attr-defined]
        ({"a": 1j}, "an object"),
        ({"a": Thing()}, "an object"),
        ({"a": IntSubclass(3)}, "a number of a class of its own"),
        ({"a": 10**5000}, "a number of too many digits"),
        ({"a": deep(450)}, telling.TOO_DEEP),
        ({"a": deep(100_000)}, telling.TOO_DEEP),
        ({"a": [LazyDict({}), deep(5_000)]}, telling.TOO_DEEP),
        (cycle(), telling.TOO_DEEP),
        (LazyDict({"a": cycle()}), telling.TOO_DEEP),
        ({"a": [Thing, cycle()]}, "an object"),
        (shared(), telling.TOO_LARGE),
        ({"a": LazyDict(shared())}, telling.TOO_LARGE),
        ({"a": "x" * (1024 * 1024 + 1)}, telling.TOO_LARGE),
        ({"a": "é" * 400_000}, telling.TOO_LARGE),
        ({"a": Unreadable({"b": 1})}, None),
    ],
)
def test_what_json_cannot_tell_is_counted_as_lost(
    desk: Desk, result: Any, reason: str | None
) -> None:
    """By reason, at its place, between the calls before and after; the call never notices."""
    desk.record(FAILURE)
    desk.record(result)
    desk.record(FAILURE)
    desk.write()
    calls, gaps = desk.read()
    assert [call[2] for call in calls] == ([1, 2, 3] if reason is None else [1, 3])
    assert gaps.lost == ({} if reason is None else {reason: 1})
    assert desk.lost == list(gaps.lost.items())


class Broken(dict[Any, Any]):
    """A dict that raises when it is walked."""

    def __iter__(self) -> Any:
        """Refuse."""
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("tool", "request_id", "result", "reason"),
    [
        (None, "r", FAILURE, telling.NAMELESS),
        ("t", 3, FAILURE, telling.NAMELESS),
        ("\ud800", "r", FAILURE, telling.NAMELESS),
        ("t", "r", Broken(a=1), recording.UNREADABLE),
    ],
)
def test_no_call_gets_an_exception(
    desk: Desk, tool: Any, request_id: Any, result: Any, reason: str
) -> None:
    """Names that are no text, and results that raise, are lost like all else."""
    desk.record(result, tool, request_id)
    desk.record({})
    desk.write()
    calls, gaps = desk.read()
    assert ([call[2] for call in calls], gaps.lost) == ([2], {reason: 1})


def test_a_full_queue_loses_calls_and_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, whatever happens; what is lost in a row is one line."""
    monkeypatch.setattr(recording, "_MOST_WAITING", 2_000)
    for _ in range(100):
        desk.record({"a": "x" * 400})
    desk.write()
    desk.record({})
    desk.write()
    calls, gaps = desk.read()
    assert [call[2] for call in calls] == [1, 2, 3, 101]
    assert gaps.lost == {recording.QUEUE_FULL: 97}
    assert desk.path.read_bytes().count(b"gap") == 1


def test_losses_do_not_fill_memory(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reasons that alternate are lines of their own only as long as there is room."""
    monkeypatch.setattr(recording, "_MOST_WAITING", 2_000)
    for _ in range(1_000):
        desk.record(None)
        desk.record({1: 1})
        desk.record({"a": b""})
    assert len(desk.recorder.take()) < 20


def test_recording_ends_at_its_limit_and_counts_on(desk: Desk) -> None:
    """The file stays below it, and its last line says how many calls came after."""
    for _ in range(3):
        for _ in range(20):
            desk.record({"a": "x" * 100})
        desk.write(most_bytes=3_000)
    calls, gaps = desk.read()
    assert len(calls) > 10
    assert gaps.lost == {recording.LIMIT_REACHED: 60 - len(calls)}
    assert desk.path.stat().st_size <= 3_000
    assert sum(lost for _, lost in desk.lost) == 60 - len(calls)
    assert desk.recorder.has_ended


def test_a_full_disk_loses_calls_and_leaves_whole_lines(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a short write left is cut away; the gap is told once there is room again."""
    desk.record({"n": 1})
    desk.write()
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: pwrite(file, data[:7], at))
    desk.record({"n": 2})
    desk.record(None)
    desk.write()
    monkeypatch.undo()
    reason = os.strerror(errno.ENOSPC).lower()
    assert desk.read()[1].cut_off == []
    desk.record({"n": 3})
    desk.write()
    calls, gaps = desk.read()
    assert [call[2] for call in calls] == [1, 4]
    assert gaps.lost == {reason: 2}
    assert desk.lost == [(telling.NO_DICT, 1), (reason, 1)]


def test_a_file_that_was_taken_away_begins_anew(desk: Desk) -> None:
    """With a header of its own: each file can be read for itself."""
    desk.record({"n": 1})
    desk.write()
    desk.path.rename(desk.path.with_name("taken"))
    desk.record({"n": 2})
    desk.write()
    assert open_trace([desk.path]).header == HEADER
    assert [call[2] for call in desk.read()[0]] == [2]


def test_a_folder_that_cannot_be_made_loses_calls(tmp_path: Path) -> None:
    """And nothing is raised on the upkeep's thread."""
    (tmp_path / "file").write_text("")
    desk = Desk(tmp_path / "file" / "run" / "trace.jsonl")
    desk.record({})
    desk.write()
    assert desk.lost == [("not a directory", 1)]


def test_times_are_those_of_the_calls(tmp_path: Path) -> None:
    """Milliseconds since the recording began, to the microsecond."""
    now = iter([5_000_000_000, 5_000_000_000, 5_001_234_567, 65_000_000_000])
    desk = Desk(tmp_path / "trace.jsonl", lambda: next(now))
    for _ in range(3):
        desk.record({})
    desk.write()
    (batch,) = open_trace([desk.path]).batches(WHOLE, Gaps())
    assert list(batch.times_ms) == [0.0, 1.234, 60_000.0]


def test_threads_record_side_by_side(desk: Desk) -> None:
    """Each call is there once; running numbers and times rise."""

    def work(name: str) -> None:
        for number in range(200):
            desk.record({"n": number}, tool=name)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    desk.write()
    calls, _ = desk.read()  # which refuses what is out of order
    assert [call[2] for call in calls] == list(range(1, 801))
    for name in "abcd":
        assert [call[3]["n"] for call in calls if call[0] == name] == list(range(200))


def test_nothing_is_written_without_calls(desk: Desk) -> None:
    """A worker without traffic leaves no file."""
    desk.write()
    assert not desk.path.exists()


def test_a_child_of_a_fork_records_its_own_calls() -> None:
    """It begins with nothing, whoever held a lock; the parent's calls are the parent's to write."""
    recorder = recorder_of("forked")
    recorder.record("t", "r", {"parent": True})
    reading, writing = os.pipe()
    with recorder._lock:  # noqa: SLF001 - as another thread would
        child = os.fork()
        if child == 0:  # pragma: no cover - the child's coverage is not collected
            try:
                recorder.record("t", "r", {"child": True})
                taken = [telling.told(entry[2])[2] for entry in recorder.take()]  # type: ignore[index]
                os.write(writing, json.dumps(taken).encode())
            finally:
                os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        assert json.load(answer) == ['{"child":true}']
    assert len(recorder.take()) == 1
    forget("forked")


def test_a_name_has_one_recorder_until_it_is_forgotten() -> None:
    """The gateway rebuilds plugin objects every 30 s; the recording goes on."""
    first = recorder_of("one")
    assert recorder_of("one") is first
    forget("one")
    assert recorder_of("one") is not first
    forget("one")


# --- in a worker


@pytest.fixture(name="recorder")
def _recorder() -> Iterator[Recorder]:
    forget(NAME)
    yield recorder_of(NAME)
    forget(NAME)


def files(folder: Path, **settings: Any) -> EvidenceFiles:
    """Open the evidence of this process."""
    return EvidenceFiles(EvidenceSettings(directory=folder, **settings), migration_of(NAME))


def test_full_capture_records_beside_the_counts(tmp_path: Path, recorder: Recorder) -> None:
    """A folder of evidence is a trace that needs nothing else to be replayed."""
    recorder.config = {"max_retries": 2}
    evidence = files(tmp_path, capture="full")
    recorder.record("tool", "r1", FAILURE)
    evidence.write(migration_of(NAME))
    trace = open_trace([tmp_path])
    assert trace.files[0].path == evidence.folder / "trace.jsonl"
    assert (trace.header.plugin, trace.header.origin) == (NAME, "recorded")
    assert trace.header.config == {"max_retries": 2}
    assert trace.header.run == evidence.folder.name
    assert trace.header.versions["cpex"]
    assert [batch.results for batch in trace.batches(WHOLE, Gaps())] == [[FAILURE]]
    assert migration_of(NAME).evidence.bytes_on_disk > trace.size_bytes


def test_redacted_capture_records_nothing(tmp_path: Path, recorder: Recorder) -> None:
    """What tools say stays in the process."""
    evidence = files(tmp_path)
    recorder.record("tool", "r1", FAILURE)
    evidence.write(migration_of(NAME))
    assert not (evidence.folder / "trace.jsonl").exists()


def test_lost_calls_are_in_the_counts(tmp_path: Path, recorder: Recorder) -> None:
    """A verdict sees what a trace does not have."""
    evidence = files(tmp_path, capture="full")
    recorder.record("tool", "r1", None)
    evidence.write(migration_of(NAME))
    last = json.loads((evidence.folder / "counts.jsonl").read_bytes().splitlines()[-1])
    assert last["dropped"] == {f"trace: {telling.NO_DICT}": 1}


def test_a_trace_leaves_room_for_samples(tmp_path: Path, recorder: Recorder) -> None:
    """It takes three quarters of what the counts leave of the limit."""
    evidence = files(tmp_path, capture="full", limit_mib=2)
    for _ in range(20):
        recorder.record("tool", "r1", {"text": "x" * 100_000})
    evidence.write(migration_of(NAME))
    assert 600_000 < (evidence.folder / "trace.jsonl").stat().st_size <= 1024 * 1024 * 3 // 4
    gaps = Gaps()
    kept = sum(len(batch) for batch in open_trace([tmp_path]).batches(WHOLE, gaps))
    assert gaps.lost == {recording.LIMIT_REACHED: 20 - kept}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"max_retries": 2, "tool_overrides": {"a": {"b": [1]}}}, True),
        ({1: 2}, False),
        ({"a": {1}}, False),
        ({"a": math.nan}, False),
        ({"a": (1,)}, False),
        (None, False),
        (cycle(), False),
    ],
)
def test_a_header_has_the_config_or_none(config: Any, told: bool) -> None:  # noqa: FBT001
    """A replay by a config that is nearly the same would show differences that are none."""
    assert header_config(config) == (config if told else None)
