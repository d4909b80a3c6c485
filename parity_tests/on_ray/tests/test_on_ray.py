"""Replays on a real Ray cluster; alone, because its start does not bear a busy machine."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from retry_parity.cli import main
from retry_parity.replaying.playing import Played, ReplayRefusedError, Task, play, salt_of
from retry_parity.replaying.ray_engine import play_on_ray
from retry_parity.traces.calls import Part
from retry_parity.traces.reading import open_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = Path(__file__).parents[2] / "corpus" / "tool_results.jsonl"
LINES = 700

# Ray's own, at its start and end.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the beginning of the shipped corpus with its config beside it."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = CORPUS.read_bytes().split(b"\n")[:LINES]
    (folder / "head.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (folder / "plugins.yaml").write_bytes(CORPUS.with_name("plugins.yaml").read_bytes())
    return folder / "head.jsonl"


@pytest.fixture
def tasks(head: Path) -> list[Task]:
    """Divide the trace in three; the candidate is one that loses retries."""
    (plugin,) = yaml.safe_load(head.with_name("plugins.yaml").read_text())["plugins"]
    config = {key: value for key, value in plugin["config"].items() if key != "migration"}
    files = open_trace([head]).files
    return [
        Task(files, Part(number, 3), "retry", config, "never-retries", salt_of("x"))
        for number in range(3)
    ]


def told(played: Played) -> dict[str, Any]:
    """Give what must not depend on how it was played."""
    return {
        "counts": json.loads(json.dumps(played.counts, sort_keys=True)),
        "samples": played.samples,
        "calls": played.calls,
    }


def test_a_lost_worker_changes_nothing(tasks: list[Task], tmp_path: Path) -> None:
    """Its part is played again and counted once; the sum is that of one process, bit for bit."""
    # The worker that dies leaves a mark, so that the next one does not.
    marker = tmp_path / "died"

    def player(task: Task) -> Played:
        if task.part.number == 1 and not marker.exists():
            marker.touch()
            play(task, lambda _: os.kill(os.getpid(), signal.SIGKILL))
        return play(task)

    whole = play_on_ray(tasks, 2, None, player=player)
    assert marker.exists()
    alone = Played()
    for task in tasks:
        alone.add(play(task))
    assert whole.calls == LINES
    assert told(whole) == told(alone)


def test_the_command_leaves_the_same_bytes_as_without_ray(head: Path, tmp_path: Path) -> None:
    """Counts and samples, whichever engine played."""
    for engine in ("local", "ray"):
        asked = ["--engine", engine, "--candidate", "never-retries", "--workers", "2"]
        assert main(["replay", str(head), "--out", str(tmp_path / engine), *asked]) == 1

    def files(engine: str) -> Iterator[tuple[str, bytes]]:
        for path in sorted((tmp_path / engine).rglob("*.jsonl")):
            yield path.relative_to(tmp_path / engine).as_posix(), path.read_bytes()

    local = dict(files("local"))
    assert len(local) == 2
    assert dict(files("ray")) == local


def test_a_cluster_that_is_not_there_is_said_in_one_line(tasks: list[Task]) -> None:
    """With the address that was given."""
    with pytest.raises(ReplayRefusedError, match=r"--address 127\.0\.0\.1:9: no Ray cluster"):
        play_on_ray(tasks, None, "127.0.0.1:9")
