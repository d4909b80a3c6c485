"""A trace is read the same whatever it is in, in parts that add up, and within bounds of memory."""

from __future__ import annotations

import argparse
import io
import json
import math
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from retry_parity._native import chain_hash
from retry_parity.corpus import read_corpus
from retry_parity.traces import batching, jsonl, parquet
from retry_parity.traces.calls import WHOLE, Gaps, Header, Part, TraceError
from retry_parity.traces.convert_cli import add_convert, convert_command
from retry_parity.traces.converting import convert
from retry_parity.traces.header import told_header
from retry_parity.traces.progress import progress
from retry_parity.traces.reading import Trace, open_trace

CORPUS = Path(__file__).parents[1] / "corpus" / "tool_results.jsonl"
HEADER = Header(plugin="retry", config={"max_retries": 2}, origin="recorded", run="host-1")


def call(number: int, **changes: Any) -> dict[str, Any]:
    """Make a call."""
    row = {"tool": "t", "request_id": f"r{number}", "seq": number, "t_ms": number * 1.5}
    return {**row, "result": {"n": number}, **changes}


def lines(*rows: dict[str, Any], header: Header | None = None) -> bytes:
    """Make a file's contents, as compact as a recorder writes them."""
    first = [] if header is None else [{"kind": "trace", **told_header(header)}]
    return b"".join(
        json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in [*first, *rows]
    )


def written(path: Path, data: bytes) -> Trace:
    """Write a file and open it."""
    path.write_bytes(data)
    return open_trace([path])


def calls_of(trace: Trace, part: Part = WHOLE, gaps: Gaps | None = None) -> list[tuple[Any, ...]]:
    """Read calls one by one; results as text, in which NaN equals itself."""
    return [
        (
            batch.tools[batch.tool_of[place]],
            batch.request_ids[place],
            batch.seqs[place],
            batch.times_ms[place],
            repr(batch.results[batch.result_of[place]]),
        )
        for batch in trace.batches(part, Gaps() if gaps is None else gaps)
        for place in range(len(batch))
    ]


def converted(trace: Trace, path: Path) -> Trace:
    """Write a trace as Parquet and open that."""
    convert(trace.files[0], path, lambda _: None)
    return open_trace([path])


@pytest.fixture(name="both", params=["JSON lines", "Parquet"])
def _both(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Give what puts contents into a trace, in either form."""

    def make(data: bytes) -> Trace:
        trace = written(tmp_path / "trace.jsonl", data)
        return trace if request.param == "JSON lines" else converted(trace, tmp_path / "t.parquet")

    return make


def test_the_corpus_is_a_trace_without_a_header(both: Any) -> None:
    """Its calls are those that `read_corpus` gives, NaN and Infinity included."""
    trace = both(CORPUS.read_bytes())
    assert trace.header == Header()
    assert calls_of(trace) == [
        (each.tool, each.request_id, each.seq, each.t_ms, repr(each.result))
        for each in read_corpus(CORPUS)
    ]


@pytest.mark.parametrize("count", [2, 7])
def test_parts_add_up_and_split_no_chain(both: Any, count: int) -> None:
    """Each call is in one part, in its order, with all calls of its chain."""
    trace = both(CORPUS.read_bytes())
    parts = [calls_of(trace, Part(number, count)) for number in range(count)]
    assert sorted((each for part in parts for each in part), key=lambda each: each[2]) == calls_of(
        trace
    )
    assert all([each[2] for each in part] == sorted(each[2] for each in part) for part in parts)
    chains = [{each[:2] for each in part} for part in parts]
    assert sum(map(len, chains)) == len(set[Any]().union(*chains))


def test_header_and_gaps_are_the_same_in_either_form(both: Any) -> None:
    """What a recorder says, and what it lost, is kept; it is told once, by the first part."""
    gap = {"kind": "gap", "lost": 3, "reason": "queue full"}
    trace = both(lines(call(1), gap, call(9), {**gap, "lost": 2}, header=HEADER))
    first, second = Gaps(), Gaps()
    assert trace.header == HEADER
    assert calls_of(trace, Part(0, 2), first) != calls_of(trace, Part(1, 2), second)
    assert (first.lost, second.lost) == ({"queue full": 5}, {})


def test_a_line_cut_off_by_a_crash_is_left_out_and_named(both: Any) -> None:
    """All that was written whole counts; the rest is said to be missing."""
    gaps = Gaps()
    trace = both(lines(call(1), call(2), header=HEADER)[:-9])
    assert [each[2] for each in calls_of(trace, gaps=gaps)] == [1]
    assert [Path(name).name for name in gaps.cut_off] == ["trace.jsonl"]


def test_a_recording_of_nothing_is_a_trace(both: Any) -> None:
    """A gateway may have had no traffic."""
    trace = both(lines(header=HEADER))
    assert (trace.header, calls_of(trace)) == (HEADER, [])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lines(call(1), call(2))[:-9], "line 2: is cut off"),
        (lines(call(1), call(1)), "line 2: 'seq' is 1 after 1; it must rise"),
        (lines(call(2), call(1)), "line 2: 'seq' is 1 after 2; it must rise"),
        (lines(call(1, t_ms=5), call(2, t_ms=4)), "line 2: 't_ms' is 4.0 after 5.0; it must not"),
        (lines(call(1, seq=2**63)), "line 1: 'seq' is out of range"),
        (lines(call(1), call(2, result=[])), "line 2: 'result' is an array"),
        (lines(call(1), header=HEADER) + b"{}\n", "line 3: has no key 'tool'"),
        (lines(call(1), header=HEADER) + b"{\n" + lines(call(2)), "line 3: is no JSON"),
        (lines(call(1)) + b'{"kind":"gap","lost":1,"reason":"x"}\n', "line 2: has no key 'tool'"),
        (lines({"kind": "run", "format": 2}), "line 1: is of kind 'run': the file is no trace"),
        (lines({"kind": "trace", "format": 2}), "line 1: has trace format 2; format 1 is"),
        (lines({"kind": "trace", "format": 1, "run": 3}), "line 1: has a header whose 'run' is"),
        (lines({"kind": "trace", "format": 1, "config": 3}), "line 1: has a header whose 'config'"),
        (lines({"kind": "trace", "format": 1, "versions": {"a": 1}}), "header whose 'versions'"),
        (lines({"kind": "other"}, header=HEADER), "line 2: is of kind 'other'; calls and gaps"),
        (lines({"kind": "gap", "lost": -1, "reason": "x"}, header=HEADER), "line 2: has a gap"),
        (lines({"kind": "gap", "lost": 1}, header=HEADER), "line 2: has a gap whose 'reason'"),
        (b'{"tool":"t","request_id":"r","seq":1,"t_ms":1,"result":{"a":NaN}}\n', "has NaN"),
        (b'{"tool":"t","request_id":"r","seq":1,"t_ms":1,"result":{}]}\n', "line 1: is no JSON"),
        (b'{"tool":"\xff","request_id":"r","seq":1,"t_ms":1,"result":{}}\n', "is not UTF-8"),
        (b"PAR1", "is no Parquet file that can be read"),
        (b"", "is empty"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(
    tmp_path: Path, data: bytes, message: str
) -> None:
    """File, line, what was given, what is allowed."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    with pytest.raises(TraceError, match=message) as refused:
        calls_of(open_trace([path]))
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_every_part_sees_a_clock_that_went_back(tmp_path: Path) -> None:
    """No part may be replayed as if the recording were good."""
    data = lines(*(call(seq, t_ms=5 if seq < 9 else 1) for seq in range(1, 10)))
    trace = written(tmp_path / "a.jsonl", data)
    for number in range(3):
        with pytest.raises(TraceError, match=r"line 9: 't_ms' is 1\.0 after 5\.0"):
            calls_of(trace, Part(number, 3))


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
SCALARS = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.lists(
        st.tuples(NAMES, NAMES, st.dictionaries(st.text(max_size=5), JSON, max_size=3)),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
    st.booleans(),
)
def test_any_way_to_write_json_is_read_alike(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, dict[str, Any]]],
    spaced: bool,  # noqa: FBT001 - Hypothesis draws it
    escaped: bool,  # noqa: FBT001 - as above
) -> None:
    """Spaces and escapes decide only how quickly a line is read; Parquet has the same calls."""
    given_calls = [
        call(seq, tool=tool, request_id=request_id, result=result)
        for seq, (tool, request_id, result) in enumerate(rows)
    ]
    separators = (", ", ": ") if spaced else (",", ":")
    data = "".join(
        json.dumps(row, separators=separators, ensure_ascii=escaped) + "\n" for row in given_calls
    )
    folder = tmp_path_factory.mktemp("alike")
    trace = written(folder / "a.jsonl", data.encode())
    wanted = [
        (row["tool"], row["request_id"], row["seq"], row["t_ms"], repr(row["result"]))
        for row in given_calls
    ]
    assert calls_of(trace) == wanted
    assert calls_of(converted(trace, folder / "a.parquet")) == wanted


def test_numbers_survive_parquet_exactly(tmp_path: Path) -> None:
    """Integers of any size, floats to the last bit, NaN and the infinities, lone surrogates."""
    result = {"a": 2**200, "b": 0.1 + 0.2, "c": -0.0, "d": None, "e": "\ud800", "f": [None]}
    data = lines(call(1, result=result, nonfinite={"/d": "NaN", "/f/0": "-Infinity"}))
    trace = converted(written(tmp_path / "a.jsonl", data), tmp_path / "a.parquet")
    wanted = {**result, "d": math.nan, "f": [-math.inf]}
    assert calls_of(trace)[0][4] == repr(wanted)


def test_batches_are_bounded(both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the number of calls, and by the text of their results."""
    for module in (batching, parquet):
        monkeypatch.setattr(module, "MOST_CALLS", 10)
        monkeypatch.setattr(module, "MOST_BYTES", 400)
    large = [call(seq, result={"text": "x" * 90, "n": seq}) for seq in range(20)]
    small = [call(seq, result={}) for seq in range(20, 60)]
    sizes = [len(batch) for batch in both(lines(*large, *small)).batches(WHOLE, Gaps())]
    assert max(sizes) <= 10
    assert sum(sizes) == 60
    assert len([size for size in sizes if size < 10]) >= 4


def test_reading_is_lazy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first batch is there before the rest of the file is looked at."""
    monkeypatch.setattr(batching, "MOST_CALLS", 2)
    data = lines(call(1), call(2), call(3)) + b"{\n"
    batches = written(tmp_path / "a.jsonl", data).batches(WHOLE, Gaps())
    assert list(next(batches).seqs) == [1, 2]
    with pytest.raises(TraceError, match="line 4"):
        next(batches)


@pytest.mark.parametrize("cached", [1, 1024])
def test_one_object_stands_for_a_result_that_comes_again(
    both: Any, monkeypatch: pytest.MonkeyPatch, cached: int
) -> None:
    """Results are made once per text, as far as the cache reaches; what they are never changes."""
    for module in (batching, parquet):
        monkeypatch.setattr(module, "MOST_CALLS", 2)
    for module in (jsonl, parquet):
        monkeypatch.setattr(module, "MOST_CACHED", cached)
    trace = both(lines(*(call(seq, result={"n": seq % 2}) for seq in range(8))))
    batches = list(trace.batches(WHOLE, Gaps()))
    assert [batch.results for batch in batches] == [[{"n": 0}, {"n": 1}]] * 4
    made = {id(result) for batch in batches for result in batch.results}
    assert len(made) == (2 if cached > 1 else 8)


def test_progress_adds_up_to_the_size(both: Any) -> None:
    """Whatever the part."""
    trace = both(CORPUS.read_bytes())
    for part in (WHOLE, Part(1, 3)):
        told: list[int] = []
        list(trace.batches(part, Gaps(), told.append))
        assert sum(told) == trace.size_bytes
        assert min(told) >= 0


def test_a_trace_file_can_be_sent_to_a_worker(tmp_path: Path) -> None:
    """It is what its path and header are; each process opens the file for itself."""
    trace = written(tmp_path / "a.jsonl", lines(call(1), header=HEADER))
    assert pickle.loads(pickle.dumps(trace.files[0])) == trace.files[0]  # noqa: S301 - our own


# --- Parquet that is no trace


GOOD = {
    "tool": ["t", "t"],
    "request_id": ["r", "r"],
    "seq": [1, 2],
    "t_ms": [0.5, 0.5],
    "result": ["{}", '{"a": NaN}'],
    "chain": pa.array([chain_hash("t", "r")] * 2, pa.uint64()),
}


def parquet_file(path: Path, metadata: dict[str, str] | None = None, **changes: Any) -> Trace:
    """Write plain Parquet, as any other program would; a column of ... is left out."""
    columns = {name: column for name, column in {**GOOD, **changes}.items() if column is not ...}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return open_trace([path])


def test_parquet_of_another_program_is_read(tmp_path: Path) -> None:
    """The names and types of the columns are all it needs."""
    trace = parquet_file(tmp_path / "a.parquet")
    assert trace.calls == 2
    assert calls_of(trace) == [("t", "r", 1, 0.5, "{}"), ("t", "r", 2, 0.5, "{'a': nan}")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tool": ...}, ": has no column 'tool'"),
        ({"seq": ["1", "2"]}, ": has a column 'seq' of text, not int64"),
        ({"result": [1, 2]}, ": has a column 'result' of int64, not text"),
        ({"chain": [1, 2]}, ": has a column 'chain' of int64, not uint64"),
        ({"chain": pa.array([1, 2], pa.uint64())}, ", row 1: 'chain' is not the hash"),
        ({"tool": ["t", None]}, ", row 2: 'tool' is null"),
        ({"t_ms": [None, 0.5]}, ", row 1: 't_ms' is null"),
        ({"t_ms": [0.5, math.nan]}, ", row 2: 't_ms' is out of range"),
        ({"t_ms": [-0.5, 1.0]}, ", row 1: 't_ms' is out of range"),
        ({"t_ms": [0.5, 0.25]}, ", row 2: 't_ms' is 0.25 after 0.5; it must not fall"),
        ({"seq": [2, 2]}, ", row 2: 'seq' is 2 after 2; it must rise"),
        ({"seq": [-1, 2]}, ", row 1: 'seq' is -1 after -1; it must rise"),
        ({"result": ["{}", "{"]}, ", row 2: 'result' is JSON that cannot be read"),
        ({"result": ["[]", "{}"]}, ", row 1: 'result' is no JSON object"),
        ({"result": ["{}", "[" * 100_000]}, ", row 2: 'result' is JSON that cannot be read"),
        ({"metadata": {parquet.HEADER_KEY: "x"}}, "has metadata 'retry-parity.header'"),
        ({"metadata": {parquet.HEADER_KEY: '{"format": 9}'}}, "has trace format 9"),
        ({"metadata": {parquet.GAPS_KEY: '{"lost": 1}'}}, "has metadata 'retry-parity.gaps'"),
    ],
)
def test_parquet_that_is_no_trace_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """File, row, what was given, what is allowed, in one line."""
    path = tmp_path / "a.parquet"
    with pytest.raises(TraceError, match=message) as refused:
        calls_of(parquet_file(path, **changes))
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    """A file that was damaged in the middle names itself."""
    path = tmp_path / "a.parquet"
    converted(written(tmp_path / "a.jsonl", CORPUS.read_bytes()), path)
    data = bytearray(path.read_bytes())
    data[1000:200_000] = bytes(199_000)
    path.write_bytes(data)
    with pytest.raises(TraceError, match="row group 0 cannot be read"):
        calls_of(open_trace([path]))


def test_parquet_without_its_packages_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is named; JSON lines need none."""
    trace = parquet_file(tmp_path / "a.parquet")
    monkeypatch.delitem(sys.modules, parquet.__name__)
    monkeypatch.delattr("retry_parity.traces.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(TraceError, match=r"Parquet needs pyarrow; install retry-parity\[traces\]"):
        calls_of(trace)
    assert calls_of(written(tmp_path / "a.jsonl", lines(call(1))))


# --- several files


def test_a_folder_of_evidence_is_all_its_traces(tmp_path: Path) -> None:
    """Counts and samples are no traces, nor is the empty file of a worker that was killed."""
    for run in ("one", "two", "dead"):
        folder = tmp_path / "evidence" / "retry" / run
        folder.mkdir(parents=True)
        header = Header(plugin="retry", run=run, config={"a": 1})
        data = b"" if run == "dead" else lines(call(1), call(len(run)), header=header)
        (folder / "trace.jsonl").write_bytes(data)
        (folder / "counts.jsonl").write_bytes(b"{}\n")
    trace = open_trace([tmp_path / "evidence"])
    assert [file.path.parent.name for file in trace.files] == ["one", "two"]
    assert trace.header == Header(plugin="retry", config={"a": 1})
    assert [each[2] for each in calls_of(trace)] == [1, 3, 1, 3]
    assert trace.calls is None


def test_the_order_of_paths_does_not_matter(tmp_path: Path) -> None:
    """The same files are the same trace, with the same hash; other contents have another one."""
    for name in ("a", "b", "c"):
        written(tmp_path / name, lines(call(1, tool=name)))
    a, b, c = (tmp_path / name for name in ("a", "b", "c"))
    assert open_trace([a, b]) == open_trace([b, a])
    assert open_trace([a, b]).sha256 == open_trace([b, a]).sha256
    assert len({open_trace(each).sha256 for each in ([a], [b], [a, b], [a, c])}) == 4


def test_a_file_named_twice_is_read_once_and_named(tmp_path: Path) -> None:
    """Whether by the same path, by another one, or as a copy."""
    path, link, copy = (tmp_path / name for name in ("a", "b", "c"))
    written(path, lines(call(1)))
    link.symlink_to(path)
    shutil.copy(path, copy)
    trace = open_trace([copy, path, path, link])
    assert trace.twice == (path, link, copy)
    assert [each[2] for each in calls_of(trace)] == [1]


def test_two_states_of_one_run_are_refused(tmp_path: Path) -> None:
    """A copy that was made while the worker still recorded would count its calls twice."""
    written(tmp_path / "a", lines(call(1), header=HEADER))
    written(tmp_path / "b", lines(call(1), call(2), header=HEADER))
    with pytest.raises(TraceError, match=r"b: is of the same run as .*a, with other contents"):
        open_trace([tmp_path / "a", tmp_path / "b"])


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    """No paths, no such file, a folder without traces."""
    with pytest.raises(TraceError, match="no trace was named"):
        open_trace([])
    with pytest.raises(TraceError, match="no such file"):
        open_trace([tmp_path / "none"])
    with pytest.raises(TraceError, match=r"has no trace.jsonl and no \*.parquet"):
        open_trace([tmp_path])


# --- the command


@pytest.mark.parametrize(("terminal", "shown"), [(False, "making [1] call\n"), (True, "100%")])
def test_progress_is_a_bar_on_a_terminal_and_a_line_elsewhere(
    terminal: bool,  # noqa: FBT001 - a case of the test
    shown: str,
) -> None:
    """A log is not filled with bars, and no text is taken for markup."""
    out = io.StringIO()
    with progress(Console(file=out, force_terminal=terminal), "making [1] call", 2) as advance:
        advance(1)
        advance(1)
    assert "making [1] call" in out.getvalue()
    assert shown in out.getvalue()


def run_convert(*arguments: str) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser()
    add_convert(parser.add_subparsers())
    return convert_command(parser.parse_args(["convert", *arguments]))


def test_convert_writes_the_same_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is a fraction of the size, and the calls are the same; it says so."""
    out = tmp_path / "out.parquet"
    assert run_convert(str(CORPUS), "--out", str(out)) == 0
    assert calls_of(open_trace([out])) == calls_of(open_trace([CORPUS]))
    assert out.stat().st_size < CORPUS.stat().st_size / 4
    assert "4,853 calls" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("none/a.parquet", "its folder does not exist"),
        ("folder.parquet", "it is a folder, a file is allowed"),
        ("a.jsonl", r"its name does not end in \.parquet"),
        ("trace.parquet", "it is the trace that is read"),
    ],
)
def test_a_target_that_cannot_be_is_refused_before_the_work(
    tmp_path: Path, out: str, message: str
) -> None:
    """Nothing that is there is lost."""
    (tmp_path / "folder.parquet").mkdir()
    parquet_file(tmp_path / "trace.parquet")
    before = (tmp_path / "trace.parquet").read_bytes()
    with pytest.raises(TraceError, match=message):
        run_convert(str(tmp_path / "trace.parquet"), "--out", str(tmp_path / out))
    assert (tmp_path / "trace.parquet").read_bytes() == before


def test_a_trace_that_turns_out_bad_leaves_no_file(tmp_path: Path) -> None:
    """Half a trace would look like a whole one."""
    source = tmp_path / "a.jsonl"
    source.write_bytes(lines(call(1)) + b"{\n")
    with pytest.raises(TraceError, match="line 2"):
        run_convert(str(source), "--out", str(tmp_path / "a.parquet"))
    assert list(tmp_path.iterdir()) == [source]
