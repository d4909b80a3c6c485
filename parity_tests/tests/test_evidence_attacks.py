"""Evidence that is damaged, or made to deceive, is never taken for whole evidence."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING, Any

import evidence_material as material
import pytest
from evidence_material import COMMON, RARE, counts_line, durations, lines, run_line, write_run

from retry_parity.deciding.judging_evidence import judge
from retry_parity.deciding.merge_cli import add_merge, merge_command
from retry_parity.deciding.merging import merge
from retry_parity.deciding.reading import read_evidence
from retry_parity.deciding.run_files import EvidenceError
from retry_parity.deciding.thresholds import ThresholdsError, read_thresholds
from retry_parity.deciding.verdict import Answer, Check, Verdict
from retry_parity.deciding.verdict_cli import add_verdict, verdict_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HUGE = 10**400
FEW = dict.fromkeys(COMMON, 5)
LOST = {"retry-lost": 5}


def judged(*paths: Path) -> Verdict:
    """Judge evidence by the defaults."""
    return judge(read_evidence(paths), read_thresholds())


def check_of(verdict: Verdict, name: str) -> Check:
    """Give one requirement."""
    (check,) = [check for check in verdict.checks if check.name == name]
    return check


def memory_of(legacy: tuple[int, int], rust: tuple[int, int]) -> dict[str, dict[str, int]]:
    """Give chains and bytes of both sides as counts have them."""
    sides = {"legacy": legacy, "rust": rust}
    return {side: {"chains": n, "store_bytes": size} for side, (n, size) in sides.items()}


@pytest.mark.parametrize("left", ["samples.jsonl", "trace.jsonl", "counts.part"])
def test_a_run_folder_without_counts_cannot_be_read(tmp_path: Path, left: str) -> None:
    """What else a run left says that there was one, and its counts might have shown anything."""
    material.write_evidence(tmp_path)
    (tmp_path / "retry" / "lost").mkdir()
    (tmp_path / "retry" / "lost" / left).write_bytes(b"{}\n")
    assert read_evidence([tmp_path]).unreadable == 1
    assert judged(tmp_path).answer is Answer.INSUFFICIENT


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("nowhere")])
def test_counts_that_are_no_file_are_not_opened(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """A pipe would wait for a writer for ever."""
    material.write_evidence(tmp_path)
    (tmp_path / "odd").mkdir()
    make(tmp_path / "odd" / "counts.jsonl")
    reading = read_evidence([tmp_path])
    assert reading.unreadable == 1
    assert reading.problems == [
        f"a run that cannot be read, its counts.jsonl is no file: {tmp_path / 'odd'}"
    ]


@pytest.mark.parametrize("name", ["samples.jsonl", "timing.json"])
def test_a_pipe_beside_the_counts_is_not_opened(tmp_path: Path, name: str) -> None:
    """It is refused in one line."""
    folder = write_run(tmp_path, run_line("r", "replay"), counts_line(FEW))
    os.mkfifo(folder / name)
    with pytest.raises(EvidenceError, match="cannot be read: is no regular file"):
        read_evidence([tmp_path], with_samples=True)


def test_folders_behind_links_are_read_once(tmp_path: Path) -> None:
    """Whatever loops they make."""
    write_run(tmp_path / "elsewhere", run_line("a"), counts_line(FEW, divergent=LOST))
    root = tmp_path / "root"
    write_run(root, run_line("b"), counts_line(FEW))
    for name in ("host9", "host9 again"):
        (root / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(root)
    reading = read_evidence([root])
    assert [run.run for run in reading.runs] == ["a", "b"]
    assert reading.totals.divergences == 5
    assert reading.problems == []


@pytest.mark.parametrize(
    "others",
    [
        {"strata": {COMMON[0]: {"match": 11}}},
        {"strata": {COMMON[0]: {"match": 5}, RARE: {"match": 6}}},
        {"strata": {COMMON[0]: {"accepted": 1}}},
        {"strata": {COMMON[0]: {"divergent": 1}}},
        {"strata": {COMMON[0]: {"match": 1, "foo": 1}}},
        {"matches": 2**53 + 1},
        {"matches": HUGE},
        {"matches": True},
        {"matches": 10.0},
        {"not_compared": {"x": HUGE}},
        {"impact": {"t": {"retry-lost": HUGE}}},
        {"memory": memory_of((HUGE, HUGE), (HUGE, HUGE))},
        {"at": HUGE},
        {"at": float("inf")},
        {"configs": float("nan")},
        {"configs": True},
        {"configs": 0},
        {"configs": 2},
        {"configs": "5"},
        {"guard": {"tripped": "", "trips": 0}},
        {"guard": {"tripped": None, "trips": 0}},
    ],
    ids=str,
)
def test_counts_that_cannot_be_make_a_run_unreadable(
    tmp_path: Path, others: dict[str, Any]
) -> None:
    """And nothing of it is added."""
    write_run(tmp_path, run_line("a"), counts_line(FEW))
    before = read_evidence([tmp_path]).totals
    write_run(tmp_path, run_line("b"), counts_line(FEW) | others)
    reading = read_evidence([tmp_path])
    assert reading.unreadable == 1
    assert [run.run for run in reading.runs] == ["a"]
    assert reading.totals == before


@pytest.mark.parametrize("others", [{"source": "banana"}, {"shapes": [["a", ""]]}], ids=str)
def test_a_first_line_in_unknown_words_makes_a_run_unreadable(
    tmp_path: Path, others: dict[str, Any]
) -> None:
    """It might be about anything."""
    write_run(tmp_path, run_line("a"), counts_line(FEW))
    write_run(tmp_path, run_line("b", **others), counts_line(FEW))
    reading = read_evidence([tmp_path])
    assert (reading.unreadable, len(reading.runs)) == (1, 1)


@pytest.mark.parametrize("started", [HUGE, True, float("nan"), -1, 10**15])
def test_a_start_that_is_no_time_is_none(tmp_path: Path, started: object) -> None:
    """Nothing is decided by it, so the run counts."""
    write_run(tmp_path, run_line("a", started=started), counts_line(FEW))
    assert read_evidence([tmp_path]).runs[0].started is None


def test_cells_may_have_less_than_was_compared(tmp_path: Path) -> None:
    """A call whose setting cannot be read is in no cell, and neither is a changed result."""
    line = counts_line(FEW) | {"divergent": {"payload-mutated": 1}, "matches": 12}
    write_run(tmp_path, run_line("a"), line)
    assert read_evidence([tmp_path]).totals.comparisons == 13


def test_a_cell_that_nobody_knows_is_no_coverage(tmp_path: Path) -> None:
    """However much is in it."""
    write_run(tmp_path, run_line("a"), counts_line({"a cell of tomorrow": 10_000}))
    coverage = check_of(judged(tmp_path), "coverage")
    assert coverage.said.startswith("0 of 216 cells")


def test_memory_is_judged_in_the_process_that_does_worst(tmp_path: Path) -> None:
    """Many small chains elsewhere do not make up for it."""
    for run, memory in {
        "bad": memory_of((1200, 480_000), (1200, 12_000_000)),
        "good": memory_of((100_000, 40_000_000), (100_000, 150_000)),
        "few": memory_of((10, 40), (10, 9_000_000)),
    }.items():
        write_run(tmp_path, run_line(run), counts_line(FEW, memory=memory))
    check = check_of(judged(tmp_path), "memory")
    assert check.answer is Answer.NOT_READY
    assert check.said == "10,000 bytes per chain, allowed 1 x hybrid 400"


def test_chains_that_take_no_memory_are_no_figures(tmp_path: Path) -> None:
    """Nothing takes nothing."""
    write_run(tmp_path, run_line("a"), counts_line(FEW, memory=memory_of((5000, 0), (5000, 0))))
    check = check_of(judged(tmp_path), "memory")
    assert (check.answer, check.said) == (Answer.INSUFFICIENT, "no figures of both sides")


def test_memory_of_a_replay_is_judged(tmp_path: Path) -> None:
    """It is beside its counts, as its times are; a merged file has it too."""
    timing = {
        "latency": material.measured(),
        "memory": memory_of((2000, 800_000), (2000, 900_000)),
    }
    line = counts_line(FEW, memory={})
    write_run(tmp_path / "in", run_line("r", "replay"), line, timing=timing)
    merge([tmp_path / "in"], tmp_path / "merged.jsonl")
    for path in (tmp_path / "in", tmp_path / "merged.jsonl"):
        check = check_of(judged(path), "memory")
        assert check.said == "450 bytes per chain, allowed 1 x hybrid 400"


def test_a_clock_that_stood_still_measured_nothing(tmp_path: Path) -> None:
    """Otherwise 0 would not be more than 0."""
    still = dict.fromkeys(("legacy", "rust"), durations(0))
    write_run(tmp_path, run_line("a"), counts_line(FEW, latency=still))
    assert check_of(judged(tmp_path), "latency").answer is Answer.INSUFFICIENT


@pytest.mark.parametrize(
    "text",
    [
        "confidence = true",
        'confidence = "0.5"',
        "[coverage]\nmost_rate = true",
        '[coverage]\nmost_not_compared = "0.5"',
        "[latency]\nmedian_ratio = true",
        '[memory]\nratio = "1"',
        "[impact]\nmost = true",
        "[impact]\nnot_idempotent_factor = true",
        "[impact.weights]\ndelay = true",
        "[trouble]\ndropped = true",
        "[impact]\nmost = 1" + "0" * 400,
        '[[waive]]\nstratum = "*"\nreason = "all"\nreview_by = 2027-03-31',
        "".join(
            f'[[waive]]\nstratum = "* | {each} | *"\nreason = "all"\nreview_by = 2027-03-31\n'
            for each in ("base", "override")
        ),
    ],
)
def test_thresholds_that_only_look_like_some_are_refused(tmp_path: Path, text: str) -> None:
    """In one line."""
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(ThresholdsError) as refused:
        read_thresholds(tmp_path / "t.toml")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_rate_that_nobody_can_bound_is_insufficient(tmp_path: Path) -> None:
    """It would take more comparisons than can be counted."""
    write_run(tmp_path, run_line("a"), counts_line(FEW))
    (tmp_path / "t.toml").write_text("[coverage]\nmost_rate = 1e-18\n")
    verdict = judge(read_evidence([tmp_path / "retry"]), read_thresholds(tmp_path / "t.toml"))
    check = check_of(verdict, "divergences")
    assert check.answer is Answer.INSUFFICIENT
    assert check.missing == ("more comparisons than anybody can make",)


@pytest.mark.parametrize("gone", [slice(None, -1), slice(1, None), slice(1, 2)])
def test_a_merged_file_without_some_lines_is_noticed(tmp_path: Path, gone: slice) -> None:
    """Where it was cut between two lines as well."""
    material.write_evidence(tmp_path / "in")
    merge([tmp_path / "in"], tmp_path / "merged.jsonl")
    whole = (tmp_path / "merged.jsonl").read_bytes().splitlines(keepends=True)
    kept = whole[gone] if gone.start is None or gone.stop is None else whole[:1] + whole[2:]
    (tmp_path / "merged.jsonl").write_bytes(b"".join(kept))
    assert read_evidence([tmp_path / "merged.jsonl"]).unreadable == 1


def test_merged_files_one_after_the_other_are_one(tmp_path: Path) -> None:
    """As `cat` puts them together."""
    for run in "ab":
        write_run(tmp_path / run, run_line(run), counts_line(FEW))
        merge([tmp_path / run], tmp_path / f"{run}.jsonl")
    both = b"".join((tmp_path / f"{run}.jsonl").read_bytes() for run in "ab")
    (tmp_path / "both.jsonl").write_bytes(both)
    reading = read_evidence([tmp_path / "both.jsonl"])
    assert (reading.unreadable, reading.totals.matches) == (0, 20)


@pytest.mark.parametrize(
    "out", ["in.jsonl", "link", "in/retry/a/counts.jsonl", "in/retry/a/samples.jsonl", "in", "pipe"]
)
def test_a_merge_writes_over_nothing_that_it_reads(tmp_path: Path, out: str) -> None:
    """Nor over what is no file; one line says so, and nothing has changed."""
    folder = write_run(tmp_path / "in", run_line("a"), counts_line(FEW))
    merge([tmp_path / "in"], tmp_path / "in.jsonl")
    (tmp_path / "link").symlink_to("in.jsonl")
    os.mkfifo(tmp_path / "pipe")
    before = [(folder / "counts.jsonl").read_bytes(), (tmp_path / "in.jsonl").read_bytes()]
    with pytest.raises(EvidenceError, match=r"is among what is merged|is no regular file"):
        merge([tmp_path / "in", tmp_path / "in.jsonl"], tmp_path / out)
    assert [(folder / "counts.jsonl").read_bytes(), (tmp_path / "in.jsonl").read_bytes()] == before


def test_a_merge_touches_no_file_of_the_user(tmp_path: Path) -> None:
    """Such as one that is called as a part of the merged file could be."""
    write_run(tmp_path / "in", run_line("a"), counts_line(FEW))
    merge([tmp_path / "in"], tmp_path / "m.jsonl.part")
    merge([tmp_path / "m.jsonl.part"], tmp_path / "m.jsonl")
    assert (tmp_path / "m.jsonl").read_bytes() == (tmp_path / "m.jsonl.part").read_bytes()


def test_counts_that_are_nested_too_deep_are_not_merged(tmp_path: Path) -> None:
    """Writing them again would fail in the middle of a file."""
    deep: list[Any] = []
    for _ in range(40):
        deep = [deep]
    write_run(tmp_path, run_line("a"), counts_line(FEW, deep=deep))
    with pytest.raises(EvidenceError, match="a run that cannot be read, it has no counts"):
        merge([tmp_path], tmp_path / "m.jsonl")


def command(*arguments: object) -> int:
    """Run a command line."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command")
    add_verdict(commands)
    add_merge(commands)
    options = parser.parse_args([str(each) for each in arguments])
    return {"verdict": verdict_command, "merge": merge_command}[options.command](options)


@pytest.mark.parametrize(
    "case",
    [
        (["verdict", ""], 3, "EVIDENCE: '' is no path"),
        (["merge", "", "--out", "m.jsonl"], 2, "EVIDENCE: '' is no path"),
        (["merge", "torn", "--out", "-"], 2, "--out -: a merged file is not written to"),
        (["merge", "torn", "--out", "."], 2, ".: it is a folder, a file is allowed"),
        (
            ["merge", "torn", "--out", "m.jsonl", "--without-unreadable"],
            2,
            "no run is left, nothing is merged: a run that cannot be read, ",
        ),
        (["verdict", "torn"], 3, "no run can be read, 1 cannot: a run that cannot be read, it has"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[list[str], int, str],
) -> None:
    """The reason that matters, also where something else was odd first."""
    folder = write_run(tmp_path / "torn", run_line("a"))
    (folder / "counts.jsonl").write_bytes(lines(run_line("a")) + b'torn\n{"kind":"cou')
    monkeypatch.chdir(tmp_path)
    arguments, status, line = case
    assert command(*arguments) == status
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"retry-parity: {line}")
    assert not (tmp_path / "m.jsonl").exists()


def test_the_last_line_of_a_merged_file_says_how_many_runs_it_has(tmp_path: Path) -> None:
    """As documented."""
    material.write_evidence(tmp_path / "in")
    merge([tmp_path / "in"], tmp_path / "m.jsonl")
    last = (tmp_path / "m.jsonl").read_bytes().splitlines()[-1]
    assert json.loads(last) == {"kind": "merged-end", "runs": 4}
