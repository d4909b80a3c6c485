"""Merging: a union by run id, the same bytes in any order and grouping, and nothing lost."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import evidence_material as material
import pytest
from evidence_material import COMMON, RARE, counts_line, run_line, sample_line, write_run
from hypothesis import given, settings
from hypothesis import strategies as st

from retry_parity._native import Latency
from retry_parity.deciding.merging import merge
from retry_parity.deciding.reading import read_evidence
from retry_parity.deciding.run_files import EvidenceError
from retry_parity.deciding.totals import Totals
from retry_parity.guard import Trip, guard_file

TRIP = Trip("w", "then", 7, id="1")
FEW = dict.fromkeys(COMMON, 5)

VERDICTS = ("match", "accepted", "divergent")

names = st.sampled_from(["retry-lost", "delay+metadata", "raised-only-by-candidate:ValueError"])
counters = st.dictionaries(names, st.integers(0, 2**40), max_size=3)
strata = st.dictionaries(
    st.sampled_from([*COMMON, RARE]),
    st.fixed_dictionaries({}, optional=dict.fromkeys(VERDICTS, st.integers(1, 2**40))),
)
histograms = st.lists(st.integers(1, 10**10), max_size=5)


def encoded(durations: list[int]) -> str:
    """Count durations, and encode the histogram."""
    latency = Latency()
    for duration in durations:
        latency.add(duration)
    return latency.encoded()


@st.composite
def counted(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a line of counts, in which cells have what there is."""
    cells = draw(strata)
    there = {name: sum(each.get(name, 0) for each in cells.values()) for name in VERDICTS}
    line = counts_line(
        FEW,
        draw(st.integers(1, 5)),
        divergent={**draw(counters), "odd": there["divergent"]},
        latency={side: encoded(draw(histograms)) for side in ("legacy", "rust")},
        strata=cells,
        not_compared=draw(counters),
        fallbacks=draw(st.integers(0, 9)),
        guard={"tripped": draw(st.booleans()), "trips": draw(st.integers(0, 3)), "trouble": ""},
    )
    line |= {"matches": there["match"], "accepted_calls": there["accepted"]}
    chains, store_bytes = draw(st.integers(0, 9999)), draw(st.integers(0, 10**9))
    line["memory"]["rust"] = {"chains": chains, "store_bytes": store_bytes}
    return line


sources = st.sampled_from(["live", "replay", "generated"])
runs = st.lists(st.tuples(sources, counted()), max_size=4)


def totals_of(told: list[tuple[str, dict[str, Any]]]) -> Totals:
    """Add up runs one by one."""
    totals = Totals()
    for source, counts in told:
        totals.add_run(source, counts)
    return totals


def plain(totals: Totals) -> dict[str, Any]:
    """Give totals as data that can be compared."""
    told = {field.name: getattr(totals, field.name) for field in fields(totals)}
    told["latency"] = {side: each.buckets() for side, each in totals.latency.items()}
    told["latency_of"] = {
        source: {side: each.buckets() for side, each in sides.items()}
        for source, sides in totals.latency_of.items()
    }
    return told


@settings(max_examples=80)
@given(runs, runs)
def test_totals_of_parts_add_up_to_those_of_the_whole(
    one: list[tuple[str, dict[str, Any]]], other: list[tuple[str, dict[str, Any]]]
) -> None:
    """Whoever adds up a fleet may do it host by host."""
    added = totals_of(one)
    added.add(totals_of(other))
    assert plain(added) == plain(totals_of(one + other))


@settings(max_examples=60)
@given(runs, runs, runs)
def test_the_order_of_totals_does_not_matter(
    one: list[tuple[str, dict[str, Any]]],
    two: list[tuple[str, dict[str, Any]]],
    three: list[tuple[str, dict[str, Any]]],
) -> None:
    """Nor does their grouping."""
    forwards, backwards, grouped = totals_of(one), totals_of(three), totals_of(two)
    for others in (two, three):
        forwards.add(totals_of(others))
    for others in (two, one):
        backwards.add(totals_of(others))
    grouped.add(totals_of(three))
    left = totals_of(one)
    left.add(grouped)
    assert plain(forwards) == plain(backwards) == plain(left)


#: States of some runs: copies of one state differ only in what may differ.
states = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.integers(1, 3),
        st.lists(st.integers(0, 9), max_size=5),
        st.sampled_from([None, 5000, 7000]),
    ),
    min_size=1,
    max_size=7,
)


def lay_out(root: Path, told: list[tuple[str, int, list[int], int | None]]) -> list[Path]:
    """Write the states of runs, each in a folder of its own."""
    folders = []
    for number, (run, sequence, chains, rust_ns) in enumerate(told):
        folder = root / str(number)
        # As if it had been written up to there; a replay, so that its times may be others.
        line = counts_line(dict.fromkeys(COMMON, 10 * sequence), sequence)
        samples = [sample_line(("delay", "metadata")[chain % 2], chain) for chain in chains]
        measured = None if rust_ns is None else {"latency": {"rust": encoded([rust_ns])}}
        write_run(folder, run_line(run, "replay"), line, samples=samples, timing=measured)
        folders.append(folder)
    return folders


@settings(max_examples=60)
@given(states, st.randoms(use_true_random=False))
def test_any_order_and_grouping_merges_to_the_same_bytes(told: Any, random: Any) -> None:
    """Parts that were merged before, in any order, twice, or not at all."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        folders = lay_out(root, told)
        merge(folders, root / "whole.jsonl")
        whole = (root / "whole.jsonl").read_bytes()
        parts = list(folders)
        for number in range(4):
            some = random.choices(parts, k=random.randint(1, len(parts)))
            merge(some, root / f"part{number}.jsonl")
            parts.append(root / f"part{number}.jsonl")
            random.shuffle(parts)
        merge(parts, root / "again.jsonl")
        assert (root / "again.jsonl").read_bytes() == whole


@settings(max_examples=30)
@given(states)
def test_a_merged_file_says_what_the_folders_say(told: Any) -> None:
    """Counts, samples and the digest of the evidence."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        folders = lay_out(root, told)
        merge(folders, root / "merged.jsonl")
        apart = read_evidence(folders, with_samples=True)
        merged = read_evidence([root / "merged.jsonl"], with_samples=True)
        assert plain(merged.totals) == plain(apart.totals)
        assert merged.samples == apart.samples
        assert merged.identity == apart.identity
        assert merged.runs == apart.runs


def test_merging_again_changes_nothing(tmp_path: Path) -> None:
    """A merged file by itself, with its folders, and with a copy."""
    root = material.write_evidence(tmp_path / "evidence", "not ready")
    out = tmp_path / "merged.jsonl"
    assert merge([root], out).runs == 4
    once = out.read_bytes()
    for paths in ([out], [out, root], [out, shutil.copy(out, tmp_path / "copy.jsonl")]):
        merge([Path(path) for path in paths], tmp_path / "again.jsonl")
        assert (tmp_path / "again.jsonl").read_bytes() == once
    assert not list(tmp_path.glob(".*"))


def test_hundreds_of_runs_are_merged(tmp_path: Path) -> None:
    """A line for each, in the order of the ids, and one that says how many."""
    for number in range(300):
        host = tmp_path / f"host{number % 7}"
        write_run(host, run_line(f"run-{number:03}"), counts_line(FEW), samples=[sample_line()])
    out = tmp_path / "merged.jsonl"
    assert merge(sorted(tmp_path.glob("host*")), out).runs == 300
    *told, end = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert end == {"kind": "merged-end", "runs": 300}
    assert [each["run"]["run"] for each in told] == [f"run-{number:03}" for number in range(300)]
    assert {each["kind"] for each in told} == {"merged-run"}
    assert read_evidence([out]).totals.matches == 3000


def test_times_are_in_the_counts_of_a_merged_run(tmp_path: Path) -> None:
    """A merged file has no files beside it."""
    material.write_evidence(tmp_path / "evidence")
    merge([tmp_path / "evidence"], tmp_path / "merged.jsonl")
    *told, _ = [json.loads(line) for line in (tmp_path / "merged.jsonl").read_bytes().splitlines()]
    (replay,) = [each for each in told if each["run"]["source"] == "replay"]
    assert replay["counts"]["latency"] == material.measured()


def test_a_run_that_cannot_be_read_is_not_lost_unseen(tmp_path: Path) -> None:
    """It might have shown a divergence; leaving it out is for a person to decide."""
    write_run(tmp_path / "in", run_line("a"), counts_line(FEW))
    write_run(tmp_path / "in", run_line("b"))
    out = tmp_path / "merged.jsonl"
    with pytest.raises(EvidenceError, match=r"a run that cannot be read.*--without-unreadable"):
        merge([tmp_path / "in"], out)
    assert not out.exists()
    merged = merge([tmp_path / "in"], out, without_unreadable=True)
    assert merged.runs == 1
    assert merged.problems[0].startswith("a run that cannot be read, it has no counts: ")


@pytest.mark.parametrize(
    "torn", [b'{"kind":"merged-run","run":{}', b"\n", b'{"kind":"merged-run","run":{"format":2}}\n']
)
def test_a_merged_file_that_is_not_whole_is_no_whole_evidence(tmp_path: Path, torn: bytes) -> None:
    """Each of its lines is a run; one that cannot be read is named."""
    material.write_evidence(tmp_path / "in")
    out = tmp_path / "merged.jsonl"
    merge([tmp_path / "in"], out)
    out.write_bytes(out.read_bytes() + torn)
    reading = read_evidence([out])
    assert reading.totals.runs.total() == 4
    assert reading.unreadable == 1


def test_guards_are_merged_in_any_order_and_one_that_was_reset_stays_so(tmp_path: Path) -> None:
    """A gateway's folder may have been copied before the reset, and another one's after it."""
    trips = {"a": TRIP, "b": replace(TRIP, reset="2026-12-01T00:00:00+00:00")}
    for name, trip in trips.items():
        write_run(tmp_path / name, run_line(name), counts_line(FEW))
        guard_file(tmp_path / name, "retry").write_text(json.dumps(asdict(trip)))
    outs = [tmp_path / f"{number}.jsonl" for number in range(3)]
    merge([tmp_path / "a", tmp_path / "b"], outs[0])
    merge([tmp_path / "a"], outs[1])
    merge([tmp_path / "b", outs[1], outs[1]], outs[2])
    assert outs[0].read_bytes() == outs[2].read_bytes()
    assert read_evidence([outs[0]]).trips == [trips["b"]]
    assert read_evidence([outs[1]]).trips == [trips["a"]]


def test_evidence_that_contradicts_itself_is_not_merged(tmp_path: Path) -> None:
    """Whatever was written so far is not left behind, and what was there before is."""
    for name, count in {"a": 5, "b": 6}.items():
        line = counts_line(dict.fromkeys(COMMON, count))
        write_run(tmp_path / name, run_line("z"), line)
    write_run(tmp_path / "a", run_line("a"), counts_line(FEW))
    out = tmp_path / "merged.jsonl"
    out.write_bytes(b"before")
    with pytest.raises(EvidenceError, match="two different contents"):
        merge([tmp_path / "a", tmp_path / "b"], out)
    assert out.read_bytes() == b"before"
    assert not list(tmp_path.glob(".*"))


def test_a_file_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    """Its folder does not exist, for example."""
    write_run(tmp_path / "in", run_line("a"), counts_line(FEW))
    with pytest.raises(EvidenceError, match=r"merged\.jsonl: cannot be written: no such"):
        merge([tmp_path / "in"], tmp_path / "nowhere" / "merged.jsonl")


def test_merging_keeps_evidence_of_every_kind(tmp_path: Path) -> None:
    """Other plugins, configs, versions and drills: what counts is for the verdict to say."""
    write_run(tmp_path / "in", run_line("a"), counts_line(FEW))
    write_run(tmp_path / "in", run_line("b", config="cd" * 32), counts_line(FEW))
    write_run(tmp_path / "in", run_line("c", plugin="other"), counts_line(FEW))
    write_run(tmp_path / "in", run_line("d", candidate="never-retries"), counts_line(FEW))
    assert merge([tmp_path / "in"], tmp_path / "merged.jsonl").runs == 4
