"""Reading evidence: every run counts once or is named, and nothing damaged is taken for whole."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from typing import TYPE_CHECKING, Any

import evidence_material as material
import pytest
from evidence_material import COMMON, counts_line, lines, run_line, sample_line, write_run

from retry_parity.deciding.catalogue import catalogue, load_run
from retry_parity.deciding.kept_samples import KeptSamples
from retry_parity.deciding.problems import Problems
from retry_parity.deciding.reading import Reading, read_evidence
from retry_parity.deciding.run_files import EvidenceError, Guards

if TYPE_CHECKING:
    from pathlib import Path

FEW = dict.fromkeys(COMMON, 5)


def only_problem(reading: Reading) -> str:
    """Give the one line that is told."""
    (line,) = reading.problems
    return line


def test_all_runs_of_a_folder_are_added_up(tmp_path: Path) -> None:
    """Whatever level is named: the root, a plugin's folder, one run's, one file."""
    material.write_evidence(tmp_path)
    root = read_evidence([tmp_path])
    assert root.totals.runs == {"live": 2, "replay": 1, "generated": 1}
    assert root.totals.compared == {"live": 4000, "replay": 3000, "generated": 21600}
    assert root.problems == []
    runs = list((tmp_path / "retry").iterdir())
    same = [
        [tmp_path / "retry"],
        runs,
        [run / "counts.jsonl" for run in runs],
    ]
    for paths in same:
        assert read_evidence(paths).identity == root.identity


def test_only_the_last_counts_of_a_run_count(tmp_path: Path) -> None:
    """Each line has all counts so far, so that adding two of them would count calls twice."""
    write_run(tmp_path, run_line("a"), counts_line(FEW, 1), counts_line(FEW, 2))
    assert read_evidence([tmp_path]).totals.matches == 10


def test_times_of_a_replay_are_beside_its_counts(tmp_path: Path) -> None:
    """They are added to the latency of its source, and never to that of live traffic."""
    material.write_evidence(tmp_path)
    latency_of = read_evidence([tmp_path]).totals.latency_of
    assert {source: set(sides) for source, sides in latency_of.items()} == {
        "live": {"legacy", "rust"},
        "replay": {"legacy", "rust"},
    }
    assert latency_of["replay"]["rust"].count == 4000
    assert latency_of["live"]["rust"].count == 8000


def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path: Path) -> None:
    """The counts before it are the evidence."""
    folder = write_run(tmp_path, run_line("a"), counts_line(FEW, 1))
    whole = lines(counts_line(dict.fromkeys(COMMON, 9), 2))
    with (folder / "counts.jsonl").open("ab") as file:
        file.write(whole[: len(whole) // 2])
    reading = read_evidence([tmp_path])
    assert reading.totals.matches == 10
    assert only_problem(reading).startswith("a last line that was cut off, left out: ")
    assert reading.unreadable == 0


def test_a_last_line_without_its_newline_is_whole(tmp_path: Path) -> None:
    """What parses is what was written; only the newline is missing."""
    folder = write_run(tmp_path, run_line("a"), counts_line(FEW, 1))
    with (folder / "counts.jsonl").open("ab") as file:
        file.write(lines(counts_line(dict.fromkeys(COMMON, 9), 2))[:-1])
    assert read_evidence([tmp_path]).totals.matches == 18


@pytest.mark.parametrize("torn", [b"{", b"\xff\xfe", b"[1]", b'{"kind":"counts"}', b"[" * 99_999])
def test_lines_that_are_no_json_are_left_out(tmp_path: Path, torn: bytes) -> None:
    """A full disk tears lines in the middle of a file; what comes after them counts."""
    folder = write_run(tmp_path, run_line("a"), counts_line(FEW, 1))
    with (folder / "counts.jsonl").open("ab") as file:
        file.write(torn + b"\n\n" + lines(counts_line(dict.fromkeys(COMMON, 9), 2)))
    reading = read_evidence([tmp_path])
    assert reading.totals.matches == 18
    assert only_problem(reading) == (
        f"lines that are no counts, left out: {folder / 'counts.jsonl'} (1)"
    )


def test_a_last_line_that_only_looks_whole_does_not_count(tmp_path: Path) -> None:
    """Reading fast trusts the look of a line; the one that counts is parsed all the same."""
    folder = write_run(tmp_path, run_line("a"), counts_line(FEW, 1))
    with (folder / "counts.jsonl").open("ab") as file:
        file.write(b'{"kind":"counts","sequence":2,"at":1.5,"matches":}\n')
    reading = read_evidence([tmp_path])
    assert reading.totals.matches == 10
    assert only_problem(reading).startswith("lines that are no counts")


@pytest.mark.parametrize("number", [1, 3, None])
def test_another_format_is_no_evidence(tmp_path: Path, number: int | None) -> None:
    """What is not known might mean anything; the other runs are read."""
    write_run(tmp_path, run_line("a"), counts_line(FEW))
    write_run(tmp_path, run_line("b", format=number), counts_line(FEW))
    reading = read_evidence([tmp_path])
    assert reading.totals.matches == 10
    assert reading.unreadable == 1
    assert f"its format is {number}, 2 is known" in only_problem(reading)


@pytest.mark.parametrize(
    "counts",
    [
        [],
        [{"kind": "counts", "sequence": 1, "at": 1.0}],
        [counts_line(FEW) | {"matches": -1}],
        [counts_line(FEW) | {"divergent": {"delay": "3"}}],
        [counts_line(FEW) | {"strata": [1]}],
        [counts_line(FEW, latency={"rust": "no histogram"})],
    ],
    ids=["no counts", "nothing in them", "negative", "text", "a list", "latency"],
)
def test_a_run_that_cannot_be_counted_is_named_and_not_added(
    tmp_path: Path, counts: list[dict[str, Any]]
) -> None:
    """Not even a part of it: half a run would be evidence of something that never happened."""
    write_run(tmp_path, run_line("a"), counts_line(FEW))
    write_run(tmp_path, run_line("b"), *counts)
    reading = read_evidence([tmp_path])
    assert [run.run for run in reading.runs] == ["a"]
    assert reading.totals.matches == 10
    assert reading.totals.strata == {name: {"match": 5} for name in COMMON}
    assert reading.unreadable == 1
    assert only_problem(reading).startswith("a run that cannot be read, ")


def test_nothing_that_can_be_read_is_bad_input(tmp_path: Path) -> None:
    """Neither ready nor insufficient: there is nothing to judge."""
    write_run(tmp_path, run_line("a", format=1), counts_line(FEW))
    with pytest.raises(EvidenceError, match=r"no run can be read, 1 cannot: .*its format is 1"):
        read_evidence([tmp_path])


def test_what_is_no_evidence_is_refused_in_one_line(tmp_path: Path) -> None:
    """A path that does not exist, an empty folder, another file."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello\n")
    for name, why in {
        "nowhere": "no such file or folder",
        "empty": "no evidence in this folder",
        "notes.txt": "is neither a merged file nor a counts.jsonl",
    }.items():
        with pytest.raises(EvidenceError) as refused:
            read_evidence([tmp_path / name])
        assert str(refused.value).startswith(f"{tmp_path / name}: {why}")
        assert "\n" not in str(refused.value)


def test_files_that_are_given_twice_count_once(tmp_path: Path) -> None:
    """A folder and a folder in it, or a link to it."""
    write_run(tmp_path / "a", run_line("a"), counts_line(FEW))
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for paths in ([tmp_path / "a", tmp_path / "a" / "retry"], [tmp_path / "a", tmp_path / "link"]):
        reading = read_evidence(paths)
        assert reading.totals.matches == 10
        assert only_problem(reading).startswith("a file that is given more than once")


def test_a_copy_of_a_run_counts_once(tmp_path: Path) -> None:
    """It is known by its id, wherever it lies."""
    write_run(tmp_path / "a", run_line("a"), counts_line(FEW))
    shutil.copytree(tmp_path / "a", tmp_path / "backup")
    reading = read_evidence([tmp_path])
    assert reading.totals.matches == 10
    assert only_problem(reading) == "a run of which there are copies, counted once: a"


def test_of_two_states_of_a_run_the_later_one_counts(tmp_path: Path) -> None:
    """Its counts have those of the earlier one in them."""
    write_run(tmp_path / "monday", run_line("a"), counts_line(FEW, 3))
    write_run(tmp_path / "friday", run_line("a"), counts_line(dict.fromkeys(COMMON, 50), 7))
    for order in (("monday", "friday"), ("friday", "monday")):
        reading = read_evidence([tmp_path / name for name in order])
        assert reading.totals.matches == 100
        assert only_problem(reading) == "an earlier state of a run, left out: a (3 of 7)"


def test_two_contents_of_one_state_are_refused(tmp_path: Path) -> None:
    """One of them was edited; to take either would be a guess."""
    write_run(tmp_path / "a", run_line("a"), counts_line(FEW))
    write_run(tmp_path / "b", run_line("a"), counts_line(dict.fromkeys(COMMON, 6)))
    with pytest.raises(EvidenceError, match="two different contents at sequence 1 of a: "):
        read_evidence([tmp_path])


def test_two_runs_of_one_id_are_refused(tmp_path: Path) -> None:
    """Ids are random; the same one twice is no accident."""
    write_run(tmp_path / "a", run_line("a"), counts_line(FEW))
    write_run(tmp_path / "b", run_line("a", pid=1), counts_line(FEW, 2))
    with pytest.raises(EvidenceError, match="two different runs have the id a: "):
        read_evidence([tmp_path])


def test_a_replay_that_was_measured_twice_counts_once(tmp_path: Path) -> None:
    """Its counts are the same each time, its times are not; one measurement is taken."""
    for name, rust_ns in {"a": 5000, "b": 9000}.items():
        timing = {"latency": material.measured(rust_ns=rust_ns)}
        write_run(tmp_path / name, run_line("r", "replay"), counts_line(FEW), timing=timing)
    readings = [read_evidence([tmp_path / one, tmp_path / two]) for one, two in ("ab", "ba")]
    assert [reading.totals.latency["rust"].count for reading in readings] == [4000, 4000]
    assert readings[0].identity == readings[1].identity


@pytest.mark.parametrize(
    ("first", "second"),
    [((5, 10.0), (4, 11.0)), ((5, 10.0), (5, 11.0)), ((5, 10.0), (6, 9.0))],
    ids=["sequence", "same sequence", "clock"],
)
def test_going_backwards_within_a_file_is_named(
    tmp_path: Path, first: tuple[int, float], second: tuple[int, float]
) -> None:
    """Two writers, or a clock that was put back: the highest sequence counts."""
    counts = [counts_line(FEW, sequence, at=at) for sequence, at in (first, second)]
    write_run(tmp_path, run_line("a"), *counts)
    reading = read_evidence([tmp_path])
    assert reading.totals.matches == 10
    assert "goes backwards" in only_problem(reading)


def test_other_versions_do_not_count(tmp_path: Path) -> None:
    """Evidence of another build says nothing about the installed one; the line says which."""
    other = material.VERSIONS | {"retry-with-backoff": "0.0.9"}
    write_run(tmp_path, run_line("a"), counts_line(FEW))
    write_run(tmp_path, run_line("b", versions=other), counts_line(FEW))
    reading = read_evidence([tmp_path])
    assert [run.run for run in reading.runs] == ["a"]
    assert reading.left_out == {"other versions": 1}
    assert only_problem(reading) == (
        "a run of other versions (retry-with-backoff 0.0.9 instead of 0.1.0), left out: b"
    )


@pytest.mark.parametrize(("wanted", "runs"), [("*", ["a", "b"]), ("0.0.9", ["b"])])
def test_thresholds_may_say_which_versions_count(
    tmp_path: Path, wanted: str, runs: list[str]
) -> None:
    """Where the verdict is made somewhere else, or a package does not matter."""
    other = material.VERSIONS | {"retry-parity": "0.0.9"}
    write_run(tmp_path, run_line("a"), counts_line(FEW))
    write_run(tmp_path, run_line("b", versions=other), counts_line(FEW))
    reading = read_evidence([tmp_path], versions={"retry-parity": wanted})
    assert [run.run for run in reading.runs] == runs
    assert reading.identity["versions"] == material.VERSIONS | {"retry-parity": wanted}


def test_several_configs_have_to_be_told_apart(tmp_path: Path) -> None:
    """The config decides what is compared; which one is meant is for the operator to say."""
    write_run(tmp_path, run_line("a"), counts_line(FEW))
    write_run(tmp_path, run_line("b", config="cd" * 32), counts_line(FEW))
    write_run(tmp_path, run_line("c", config="cd" * 32), counts_line(FEW))
    with pytest.raises(EvidenceError) as refused:
        read_evidence([tmp_path])
    assert "cdcdcdcdcdcd (2 runs)" in str(refused.value)
    assert f"{material.CONFIG_HASH[:12]} (1 runs); say which one with --config" in str(
        refused.value
    )
    reading = read_evidence([tmp_path], config=material.CONFIG_HASH)
    assert [run.run for run in reading.runs] == ["a"]
    assert reading.left_out == {"another config": 2}


def test_generated_runs_count_for_every_config_and_plugin(tmp_path: Path) -> None:
    """They are under many configs, and under none of a plugin's."""
    write_run(tmp_path, run_line("a"), counts_line(FEW))
    write_run(tmp_path, run_line("g", "generated", plugin="any"), counts_line(FEW))
    reading = read_evidence([tmp_path], plugin="retry", config=material.CONFIG_HASH)
    assert reading.totals.compared == {"live": 10, "generated": 10}
    assert reading.identity["config"] == material.CONFIG_HASH
    assert reading.identity["seeds"] == ["7"]


def test_several_plugins_have_to_be_told_apart(tmp_path: Path) -> None:
    """Each is migrated by itself."""
    write_run(tmp_path, run_line("a"), counts_line(FEW))
    write_run(tmp_path, run_line("b", plugin="other"), counts_line(dict.fromkeys(COMMON, 7)))
    with pytest.raises(EvidenceError, match=r"other \(1 runs\), retry \(1 runs\); choose one"):
        read_evidence([tmp_path])
    with pytest.raises(EvidenceError, match="--plugin x: no evidence of it"):
        read_evidence([tmp_path], plugin="x")
    assert read_evidence([tmp_path], plugin="other").totals.matches == 14


def test_another_ledger_does_not_count(tmp_path: Path) -> None:
    """It may have accepted what the installed one does not."""
    write_run(tmp_path, run_line("a", ledger="ef" * 32), counts_line(FEW))
    reading = read_evidence([tmp_path])
    assert reading.totals.comparisons == 0
    assert only_problem(reading) == "a run of another ledger (efefefefefef), left out: a"


def test_drills_do_not_count_beside_the_core(tmp_path: Path) -> None:
    """A candidate that loses retries on purpose says nothing about the core."""
    write_run(tmp_path, run_line("a"), counts_line(FEW))
    drill = counts_line(FEW, divergent={"retry-lost": 9})
    write_run(tmp_path, run_line("b", candidate="never-retries"), drill)
    reading = read_evidence([tmp_path])
    assert reading.totals.divergences == 0
    assert only_problem(reading) == "a run of another candidate (never-retries), left out: b"
    only_drills = read_evidence([tmp_path / "retry" / "b"])
    assert only_drills.identity["candidate"] == "never-retries"


def test_names_of_evidence_are_told_on_one_short_line(tmp_path: Path) -> None:
    """Whoever can name a thing in it cannot write to the operator's terminal."""
    name = "x\x1b[2J\n" + "y" * 500
    write_run(tmp_path, run_line("a"), counts_line(FEW))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "counts.jsonl").write_bytes(
        lines(run_line("b", candidate=name), counts_line(FEW))
    )
    line = only_problem(read_evidence([tmp_path]))
    assert line.isprintable()
    assert len(line) < 200


def test_samples_are_the_smallest_three_of_a_signature(tmp_path: Path) -> None:
    """Over all runs; what is short to read shows the same as what is long."""
    for run, chains in {"a": (5, 2, 9), "b": (1, 7, 3)}.items():
        samples = [sample_line(chain=chain, request=f"{run}{chain}") for chain in chains]
        samples.append(sample_line("delay"))
        write_run(tmp_path, run_line(run), counts_line(FEW), samples=samples)
    found = read_evidence([tmp_path], with_samples=True).samples
    assert [len(sample["chain"]) for sample in found["retry-lost"]] == [1, 2, 3]
    assert set(found) == {"retry-lost", "delay"}
    assert read_evidence([tmp_path]).samples == {}


def test_samples_of_many_signatures_are_bounded() -> None:
    """256 signatures, three of each, whatever a candidate invents."""
    kept = KeptSamples()
    for number in range(1000):
        assert kept.add(sample_line(f"raised-differently:E{number:04}"))
    assert len(kept.by_signature()) == 256
    assert "raised-differently:E0000" in kept.by_signature()


def test_what_a_captured_result_takes_is_bounded() -> None:
    """What is long stays in the run's folder."""
    kept = KeptSamples()
    assert kept.add(sample_line("delay", captured="x" * 100_000))
    assert kept.add(sample_line("metadata", captured="x" * 100))
    assert "captured" not in kept.by_signature()["delay"][0]
    assert kept.by_signature()["metadata"][0]["captured"] == "x" * 100


@pytest.mark.parametrize("odd", [{}, {"signature": 1, "chain": []}, {"signature": "x", "chain": 0}])
def test_what_is_no_sample_is_named(tmp_path: Path, odd: dict[str, Any]) -> None:
    """And so are lines of samples that are no JSON."""
    folder = write_run(tmp_path, run_line("a"), counts_line(FEW), samples=[sample_line()])
    with (folder / "samples.jsonl").open("ab") as file:
        file.write(b"{torn\n" + lines(odd) + b'{"kind":"sam')
    reading = read_evidence([tmp_path], with_samples=True)
    assert len(reading.samples["retry-lost"]) == 1
    assert [line.partition(":")[0] for line in reading.problems] == [
        "a line of samples that is no JSON, left out",
        "a sample that is none, left out",
        "a last line that was cut off, left out",
    ]


def test_a_verdict_does_not_open_samples(tmp_path: Path) -> None:
    """They may be a gigabyte, and no requirement looks at them."""
    folder = write_run(tmp_path, run_line("a"), counts_line(FEW))
    (folder / "samples.jsonl").mkdir()
    assert read_evidence([tmp_path]).totals.matches == 10
    with pytest.raises(EvidenceError, match="cannot be read: is a directory"):
        read_evidence([tmp_path], with_samples=True)


def test_a_worker_s_folder_without_anything_is_a_run_that_cannot_be_read(tmp_path: Path) -> None:
    """A cleaner by age takes the files and leaves the folders; the run was not missed."""
    folder = write_run(tmp_path, run_line("a"), counts_line(FEW))
    folder.with_name("gateway-12-1764580000000-0a1b2c").mkdir()
    assert read_evidence([tmp_path]).unreadable == 1


def test_a_gateway_may_go_on_writing(tmp_path: Path) -> None:
    """What has grown is put in a new file while it is read; the later state counts then."""
    folder = write_run(tmp_path, run_line("a"), *(counts_line(FEW, n) for n in range(1, 20)))
    problems = Problems()
    (copies,) = catalogue([tmp_path], problems, Guards()).values()
    later = lines(run_line("a"), counts_line(dict.fromkeys(COMMON, 70), 20))
    (folder / "counts.jsonl").write_bytes(later)
    assert load_run(copies, problems).counts["matches"] == 140
    (folder / "counts.jsonl").write_bytes(lines(run_line("z"), counts_line(FEW)))
    with pytest.raises(EvidenceError, match="was changed while it was read"):
        load_run(copies, problems)


def test_memory_does_not_grow_with_the_evidence(tmp_path: Path) -> None:
    """Some 20 MB of counts and samples: what is held is one run, and an index."""
    whole = lines(counts_line(material.everywhere(9), 1))
    for number in range(40):
        folder = write_run(tmp_path, run_line(f"r{number}"), counts_line(FEW, 0))
        with (folder / "counts.jsonl").open("ab") as file:
            file.write(whole * 20)
        (folder / "samples.jsonl").write_bytes(lines(sample_line(chain=3)) * 100)
    read_evidence([tmp_path / "retry" / "r0"])
    tracemalloc.start()
    reading = read_evidence([tmp_path], with_samples=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reading.totals.runs["live"] == 40
    assert peak < 4_000_000


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    """First the bytes, then the runs."""
    material.write_evidence(tmp_path)
    told: list[tuple[int, int]] = []
    read_evidence([tmp_path], advance=lambda done, total: told.append((done, total)))
    size = sum(path.stat().st_size for path in tmp_path.rglob("counts.jsonl"))
    assert (size, size) in told
    assert told[-1] == (4, 4)


def test_what_evidence_is_about_is_told(tmp_path: Path) -> None:
    """Shapes are what any run's config makes possible; a trace is named once."""
    shapes = ([[False, False]], [[False, False], [True, False]])
    for run, shape in zip("ab", shapes, strict=True):
        write_run(tmp_path, run_line(run, "replay", shapes=shape), counts_line(FEW))
    identity = read_evidence([tmp_path]).identity
    assert identity["shapes"] == [(False, False), (True, False)]
    assert [trace["sha256"] for trace in identity["traces"]] == ["ab" * 32]  # type: ignore[attr-defined] # a list
    json.dumps(identity)
    write_run(tmp_path, run_line("c", shapes=None), counts_line(FEW))
    assert read_evidence([tmp_path]).identity["shapes"] is None
