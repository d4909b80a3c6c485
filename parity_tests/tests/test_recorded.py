"""`retry-parity compare --trace`: recorded chains through any two builds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from retry_parity.cli import main
from retry_parity.recorded import chains_of
from retry_parity.scenarios import Call, Wait
from retry_parity.traces.reading import open_trace

CORPUS = Path(__file__).parents[1] / "corpus" / "tool_results.jsonl"
LINES = 400


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the beginning of the shipped corpus with its config beside it."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = CORPUS.read_bytes().split(b"\n")[:LINES]
    (folder / "head.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (folder / "plugins.yaml").write_bytes(CORPUS.with_name("plugins.yaml").read_bytes())
    return folder / "head.jsonl"


def compare(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    """Run the command with JSON on stdout."""
    status = main(["compare", *map(str, arguments), "--json", "-"])
    return status, json.loads(capsys.readouterr().out)


def test_chains_are_whole_and_keep_their_waits(head: Path) -> None:
    """In the order in which they began, each call once, and the time between its calls."""
    lines = [json.loads(line) for line in head.read_text().splitlines()]
    (file,) = open_trace([head]).files
    chains = chains_of(file, {"max_retries": 2})
    calls = [[step for step in chain.steps if isinstance(step, Call)] for chain in chains]
    assert sum(map(len, calls)) == LINES
    begun = list(dict.fromkeys((line["tool"], line["request_id"]) for line in lines))
    assert [(chain[0].tool, chain[0].request_id) for chain in calls] == begun
    waits = sum(step.seconds for chain in chains for step in chain.steps if isinstance(step, Wait))
    times: dict[tuple[str, str], list[float]] = {}
    for line in lines:
        times.setdefault((line["tool"], line["request_id"]), []).append(line["t_ms"])
    assert waits == pytest.approx(sum(each[-1] - each[0] for each in times.values()) / 1000)


def test_two_builds_that_decide_alike_are_equal(
    head: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every recorded call is a decision that was compared."""
    status, outcome = compare(capsys, "legacy", "rust", "--one-process", "--trace", head)
    assert (status, outcome["decisions"]) == (0, LINES)


def test_a_build_that_loses_retries_is_found_in_recorded_chains(
    head: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each in its own interpreter, reduced to the smallest chain that shows it."""
    wrong = "python:retry_parity.broken_example:NeverRetriesPlugin"
    status, outcome = compare(capsys, "legacy", wrong, "--trace", head)
    assert status == 1
    assert set(outcome["divergent"]) == {"retry-lost"}
    assert outcome["causes"]


def test_a_trace_without_a_config_is_refused(
    head: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line that says what to do."""
    alone = tmp_path / "alone.jsonl"
    alone.write_bytes(head.read_bytes())
    assert main(["compare", "legacy", "rust", "--trace", str(alone)]) == 2
    assert "name a plugins file with --config" in capsys.readouterr().err
