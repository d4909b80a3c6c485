"""Replays: the same trace gives the same evidence, however divided and wherever played."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cpex.framework import (
    GlobalContext,
    PluginConfig,
    PluginContext,
    ToolPostInvokePayload,
    ToolPostInvokeResult,
)

from retry_parity import MigrationPlugin, candidates, upkeep
from retry_parity.chains import MOST_CHAINS
from retry_parity.corpus import read_corpus
from retry_parity.deciding.totals import Totals
from retry_parity.migration import forget
from retry_parity.replaying.local import play_locally
from retry_parity.replaying.playing import Played, ReplayRefusedError, Task, play, salt_of, smallest
from retry_parity.traces.calls import Part
from retry_parity.traces.reading import open_trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from retry_parity.candidates import Candidate

CORPUS = Path(__file__).parents[1] / "corpus" / "tool_results.jsonl"
LINES = 700
CONFIG: dict[str, Any] = yaml.safe_load(CORPUS.with_name("plugins.yaml").read_text())["plugins"][0][
    "config"
]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the beginning of the shipped corpus with its config beside it."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = CORPUS.read_bytes().split(b"\n")[:LINES]
    (folder / "head.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (folder / "plugins.yaml").write_bytes(CORPUS.with_name("plugins.yaml").read_bytes())
    return folder / "head.jsonl"


def tasks(path: Path, parts: int, candidate: str = "never-retries", **config: Any) -> list[Task]:
    """Divide a trace."""
    given = {key: value for key, value in CONFIG.items() if key != "migration"} | config
    files = open_trace([path]).files
    return [
        Task(files, Part(number, parts), "retry", given, candidate, salt_of("x"))
        for number in range(parts)
    ]


def played_in(parts: list[Task]) -> Played:
    """Play parts here, one after the other, and add them up."""
    whole = Played()
    for task in parts:
        whole.add(play(task))
    return whole


def told(played: Played) -> dict[str, Any]:
    """Give what must not depend on how it was played."""
    return {
        "counts": json.loads(json.dumps(played.counts, sort_keys=True)),
        "samples": played.samples,
        "calls": played.calls,
        "mutated": played.mutated,
    }


@pytest.mark.parametrize("config", [{}, {"jitter": True}], ids=["steady", "jitter"])
def test_the_evidence_does_not_depend_on_how_the_trace_is_divided(
    head: Path, config: dict[str, Any]
) -> None:
    """One part or many: chains are never divided, and each call has draws of its own."""
    whole = told(played_in(tasks(head, 1, **config)))
    assert whole["calls"] == LINES
    assert whole["counts"]["divergent"]["retry-lost"] > 50
    for parts in (2, 5):
        assert told(played_in(tasks(head, parts, **config))) == whole


def test_more_shared_keys_than_a_gateway_remembers_change_nothing(tmp_path: Path) -> None:
    """A bound of one process's memory made the outcome depend on how many chains it had.

    Two chains whose names the hybrid joins to one key are an accepted difference, however many
    of them there are, and however the trace is divided.
    """
    failure = {"content": [], "isError": True}
    pairs = [("a", f"b:{number}") for number in range(MOST_CHAINS + 100)]
    pairs += [("a:b", f"{number}") for number in range(MOST_CHAINS + 100)]
    path = tmp_path / "joined.jsonl"
    with path.open("w") as file:
        for seq, (tool, request_id) in enumerate(pairs):
            row = {"tool": tool, "request_id": request_id, "seq": seq, "t_ms": seq / 10}
            file.write(json.dumps(row | {"result": failure}) + "\n")
    one, two = (told(played_in(tasks(path, parts, "rust", max_retries=3))) for parts in (1, 2))
    assert one == two
    assert one["counts"]["divergent"] == {}
    assert one["counts"]["accepted"]["key-collision"] == MOST_CHAINS + 100


def test_the_same_draws_are_drawn_each_time(head: Path) -> None:
    """With jitter two replays give the same delays, and another trace's salt is another one."""
    first, second = (told(played_in(tasks(head, 1, jitter=True))) for _ in range(2))
    assert first == second
    delays = {sample["legacy"]["delay_ms"] for sample in first["samples"]}
    assert len(delays) > 1
    (task,) = tasks(head, 1, jitter=True)
    other = told(play(Task(**{**_fields(task), "salt": salt_of("y")})))
    assert other["samples"][0]["request"] != first["samples"][0]["request"]


def _fields(task: Task) -> dict[str, Any]:
    return {name: getattr(task, name) for name in task.__slots__}


def test_a_replay_counts_as_the_command_run_does(head: Path) -> None:
    """The same calls, one by one through the real framework, have the same strata and matches."""
    played = played_in(tasks(head, 2, "rust"))
    assert played.counts["matches"] == LINES
    assert played.counts["divergent"] == played.counts["not_compared"] == {}
    strata = played.counts["strata"]
    assert sum(sum(verdicts.values()) for verdicts in strata.values()) == LINES
    assert "isError, retryable status | after 1 failure | base | structured | retry" in strata


def test_a_sample_says_where_in_the_trace_it_is(head: Path) -> None:
    """By number and recorded time, with nothing that differs from replay to replay."""
    (sample, *_) = played_in(tasks(head, 3)).samples
    line = next(
        json.loads(line)
        for line in head.read_text().splitlines()
        if json.loads(line)["seq"] == sample["seq"]
    )
    assert sample["tool"] == line["tool"]
    assert sample["at"] == pytest.approx(line["t_ms"] / 1000)
    assert "duration_ns" not in json.dumps(sample)
    assert line["request_id"] not in json.dumps(sample)


def test_of_each_signature_the_first_samples_are_kept() -> None:
    """By their number in the trace, in any order of arrival."""
    samples = [{"signature": "a", "seq": seq} for seq in (9, 2, 7, 5)]
    samples += [{"signature": "b", "seq": 1}]
    kept = [(each["signature"], each["seq"]) for each in smallest(samples)]
    assert kept == [("a", 2), ("a", 5), ("a", 7), ("b", 1)]


def test_a_result_that_a_side_changes_is_a_divergence(
    head: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results of a trace are shared by calls: who writes into one spoils what follows."""

    class Meddler:
        async def tool_post_invoke(
            self, payload: ToolPostInvokePayload, *_: object
        ) -> ToolPostInvokeResult:
            payload.result["touched"] = True
            return ToolPostInvokeResult()

    def load(_: str, __: object) -> Candidate:
        made: Any = Meddler()
        return candidates.Candidate(made, takes_extensions=True)

    monkeypatch.setattr(candidates, "load", load)
    (task,) = tasks(head, 1)
    assert play(task).mutated


def test_a_worker_that_dies_is_replaced_and_its_part_is_counted_once(head: Path) -> None:
    """Its part is played again from the beginning; what it had done before is gone with it."""
    parts = tasks(head, 2)
    killed: list[int] = []

    def kill_one(_: int) -> None:
        for process in multiprocessing.active_children()[:1]:
            if not killed and process.pid is not None:
                killed.append(process.pid)
                os.kill(process.pid, signal.SIGKILL)

    whole = play_locally(parts, 2, kill_one)
    assert killed
    assert told(whole) == told(played_in(tasks(head, 1)))


def test_workers_that_always_die_end_the_replay_with_one_line(head: Path) -> None:
    """Nobody waits for ever; what can be done is said."""

    def kill_all(_: int) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(ReplayRefusedError, match=r"workers died 3 times.*--workers"):
        play_locally(tasks(head, 2), 2, kill_all)


def test_a_config_that_is_refused_is_said_in_one_line(head: Path) -> None:
    """By whichever side refuses it."""
    (task,) = tasks(head, 1, max_retries="many")
    with pytest.raises(ReplayRefusedError, match=r"hybrid cannot be loaded.*max_retries"):
        play(task)


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any]]:
    """Run the command with JSON on stdout."""
    from retry_parity.cli import main

    def run(*arguments: object) -> tuple[int, Any]:
        status = main(["replay", *map(str, arguments), "--json", "-"])
        said = capsys.readouterr()
        return status, json.loads(said.out) if said.out else said.err

    return run


@pytest.fixture
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)


def files_of(folder: Path) -> dict[str, bytes]:
    """Give the files of the one run in an evidence directory."""
    (run,) = (folder / "RetryMigration").iterdir()
    return {path.name: path.read_bytes() for path in run.iterdir()}


def test_two_replays_leave_the_same_bytes(
    head: Path, tmp_path: Path, command: Callable[..., tuple[int, Any]]
) -> None:
    """Counts and samples; what was measured is in a file of its own."""
    for name, more in (("one", ()), ("two", ("--workers", 1, "--parts", 3))):
        status, outcome = command(
            head, "--out", tmp_path / name, "--candidate", "never-retries", *more
        )
        assert status == 1
        assert outcome["calls"] == LINES
    one, two = files_of(tmp_path / "one"), files_of(tmp_path / "two")
    assert set(one) == {"counts.jsonl", "samples.jsonl", "timing.json"}
    assert one["counts.jsonl"] == two["counts.jsonl"]
    assert one["samples.jsonl"] == two["samples.jsonl"]
    about, counts = map(json.loads, one["counts.jsonl"].splitlines())
    assert (about["source"], about["candidate"]) == ("replay", "never-retries")
    assert about["trace"]["calls"] == LINES
    totals = Totals()
    timing = json.loads(one["timing.json"])
    totals.add_run("replay", counts | {"latency": timing["latency"], "memory": timing["memory"]})
    assert totals.comparisons == LINES
    assert totals.latency["legacy"].count == LINES
    assert totals.memory["rust"].store_bytes > 0


def test_a_replay_again_replaces_what_the_first_has_left(
    head: Path, tmp_path: Path, command: Callable[..., tuple[int, Any]]
) -> None:
    """The same run, known by its id: nothing is counted twice, and no half of a run is left."""
    for _ in range(2):
        status, _ = command(head, "--out", tmp_path, "--workers", 1)
        assert status == 0
    assert len(list((tmp_path / "RetryMigration").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere.jsonl", "--out", "x"], "nowhere.jsonl: no such file"),
        (["{head}", "--out", "{head}/x"], "cannot be written"),
        (["{head}", "--out", "x", "--address", "auto"], "--address auto: is for --engine ray"),
        (["{head}", "--out", "x", "--config", "none.yaml"], "none.yaml: no such config file"),
    ],
)
@pytest.mark.usefixtures("in_tmp_path")
def test_bad_input_is_one_line(
    head: Path, command: Callable[..., tuple[int, Any]], arguments: list[str], line: str
) -> None:
    """What was given and what is wrong with it; exit status 2."""
    status, said = command(*(each.format(head=head) for each in arguments), "--workers", "1")
    assert status == 2
    assert said.count("\n") == 1 or "\n" not in said.strip()
    assert line in said


def test_a_trace_without_a_config_is_refused(
    head: Path, tmp_path: Path, command: Callable[..., tuple[int, Any]]
) -> None:
    """Nobody guesses what was in force when it was recorded."""
    alone = tmp_path / "alone.jsonl"
    alone.write_bytes(head.read_bytes())
    status, said = command(alone, "--out", tmp_path / "out")
    assert status == 2
    assert "name a plugins file with --config" in said


# --- recorded traffic ----------------------------------------------------------------------------


def test_what_a_worker_records_replays_to_the_same_strata(
    head: Path, tmp_path: Path, command: Callable[..., tuple[int, Any]]
) -> None:
    """With nothing but what it has written: the trace names the plugin and has its config."""
    given = {key: value for key, value in CONFIG.items() if key != "migration"}
    plugin = MigrationPlugin(
        PluginConfig(
            name="recorded",
            kind="retry_parity.MigrationPlugin",
            config=given
            | {
                "migration": {
                    "implementation": "shadow",
                    "evidence": {"directory": str(tmp_path / "live"), "capture": "full"},
                }
            },
        )
    )

    async def serve() -> None:
        await plugin.initialize()
        for record in read_corpus(head):
            payload = ToolPostInvokePayload(name=record.tool, result=record.result)
            context = PluginContext(global_context=GlobalContext(request_id=record.request_id))
            await plugin.tool_post_invoke(payload, context)
        await plugin.shutdown()

    try:
        asyncio.run(serve())
    finally:
        upkeep.stop()
        forget("recorded")
    (run,) = (tmp_path / "live" / "recorded").iterdir()
    live = json.loads((run / "counts.jsonl").read_text().splitlines()[-1])
    status, outcome = command(run, "--out", tmp_path / "replayed", "--workers", 2)
    assert (status, outcome["calls"], outcome["lost"]) == (0, LINES, {})
    (replayed,) = (tmp_path / "replayed" / "recorded").iterdir()
    counts = json.loads((replayed / "counts.jsonl").read_text().splitlines()[-1])
    for name in ("strata", "outcomes", "matches"):
        assert counts[name] == live[name]


@pytest.mark.parametrize("option", ["--parts", "--workers"])
def test_more_parts_than_cores_are_allowed_and_too_many_are_not(
    head: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """A cluster has more cores than the machine on which the command is given."""
    from retry_parity.arguments import MOST_WORKERS, worker_count
    from retry_parity.cli import main

    assert worker_count(str(MOST_WORKERS)) == MOST_WORKERS
    with pytest.raises(SystemExit):
        main(["replay", str(head), "--out", "x", option, str(MOST_WORKERS + 1)])
    assert "10001 given, a whole number from 1 to 10,000 is allowed" in capsys.readouterr().err
