"""A corpus is checked as a whole, and what is wrong with it is said in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from retry_parity.corpus import CorpusError, read_corpus

GOOD = {"tool": "t", "request_id": "r", "seq": 1, "t_ms": 0.5, "result": {"a": None, "b": [None]}}


def line(**changes: Any) -> bytes:
    """Make a line; a value of ... leaves the key out."""
    row = {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}
    return json.dumps(row).encode() + b"\n"


HUGE_INDEX = "/b/" + "1" * 5000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (line() + b'{"tool": "t", "requ', "line 2: is cut off: the file ends within it"),
        (line() + line(seq=2)[:-2], "line 2: is cut off: the file ends within it"),
        (line() + b"{]\n" + line(), "line 2: is no JSON: .* at column 2"),
        (line() + b"\n" + line(), "line 2: is blank"),
        (line() + b"\xff\n", "line 2: is not UTF-8: byte 0xff at column 1"),
        (b"[1]\n", "line 1: is an array, not an object"),
        (b"3\n", "line 1: is a number, not an object"),
        (b'{"a": NaN}\n', "line 1: has NaN, which is no JSON"),
        (b"[" * 100_000 + b"\n", "line 1: is JSON that cannot be read"),
        (b"9" * 5000 + b"\n", "line 1: is JSON that cannot be read"),
        *(
            (line() + line(**{key: ...}), f"line 2: has no key '{key}'")
            for key in ("tool", "request_id", "seq", "t_ms", "result")
        ),
        (line(tool=3), "line 1: 'tool' is a number, not a string"),
        (line(request_id=None), "line 1: 'request_id' is null, not a string"),
        (line(request_id="\ud800"), "line 1: 'request_id' has a lone surrogate"),
        (line(seq="1"), "line 1: 'seq' is a string, not an integer"),
        (line(seq=True), "line 1: 'seq' is a boolean, not an integer"),
        (line(t_ms="1"), "line 1: 't_ms' is a string, not a number"),
        (line(t_ms=-1), "line 1: 't_ms' is out of range"),
        (line(t_ms=10**400), "line 1: 't_ms' is out of range"),
        (line(seq=5) + line(seq=4), "line 2: 'seq' is 4 after 5; it must rise"),
        ((line(seq=1) + line(seq=2)) * 2, "line 3: 'seq' is 1 after 2; it must rise"),
        (line() + line(seq=2, t_ms=0.4), "line 2: 't_ms' is 0.4 after 0.5; it must not fall"),
        (line(result=[]), "line 1: 'result' is an array, not an object"),
        (line(nonfinite=["/a"]), "line 1: 'nonfinite' is an array, not an object"),
        (line(nonfinite={"/a": "nan"}), "line 1: 'nonfinite' has 'nan'; allowed are NaN"),
        (line(nonfinite={"/a": ["NaN"]}), "line 1: 'nonfinite' has"),
        *(
            (line(nonfinite={pointer: "NaN"}), "line 1: 'nonfinite' points to .*, where no null")
            for pointer in (
                "",
                "a",
                "/x",
                "/b",
                "/b/1",
                "/b/-1",
                "/b/0/0",
                "/b/x",
                "/b/" + "1" * 5000,
            )
        ),
    ],
)
def test_a_bad_corpus_is_refused_with_file_and_line(
    tmp_path: Path, data: bytes, message: str
) -> None:
    """Nothing is replayed from a file that is not good from beginning to end."""
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=message) as refused:
        read_corpus(path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    """The message says which of the two it is."""
    with pytest.raises(CorpusError, match="no such file"):
        read_corpus(tmp_path / "none.jsonl")
    with pytest.raises(CorpusError, match="is a folder"):
        read_corpus(tmp_path)


def test_a_last_line_without_a_newline_is_a_line(tmp_path: Path) -> None:
    """A complete object is not cut off, whatever follows it."""
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(line() + line(seq=2).rstrip(b"\n"))
    assert [record.line for record in read_corpus(path)] == [1, 2]


def test_nonfinite_values_are_restored(tmp_path: Path) -> None:
    """The pointers name the nulls that stood for NaN and the infinities."""
    path = tmp_path / "corpus.jsonl"
    result = {"a": None, "b": [None], "x/y~z": None}
    path.write_bytes(
        line(
            result=result,
            nonfinite={"/a": "NaN", "/b/0": "Infinity", "/x~1y~0z": "-Infinity"},
        )
    )
    (record,) = read_corpus(path)
    assert str(record.result) == "{'a': nan, 'b': [inf], 'x/y~z': -inf}"


def test_the_shipped_corpus_is_what_its_readme_says() -> None:
    """4,853 results of 3,827 tool calls by 196 tools, one of them with NaN and Infinity."""
    records = read_corpus(Path(__file__).parents[1] / "corpus" / "tool_results.jsonl")
    assert len(records) == 4853
    assert len({record.request_id for record in records}) == 3827
    assert len({record.tool for record in records}) == 196
    structured = records[4361].result["structuredContent"]
    assert str(structured) == "{'score': nan, 'bound': inf, 'n': 9}"
