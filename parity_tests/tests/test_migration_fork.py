"""The migration after a fork: sound state, own jitter where the core decides, threads come back."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import product_tests
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Record = Callable[[str, object], None]

FLAGS: dict[str, dict[str, Any]] = {
    "shadow": {"implementation": "shadow"},
    "canary": {"implementation": "canary", "canary_percent": 100},
}
BUDGET = [10, 20, 40, 0]


@pytest.fixture(scope="module", params=FLAGS)
def forks(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """A value of the flag, and what became of the forks under it."""
    flag: str = request.param
    return flag, product_tests.told("forking", {"migration": FLAGS[flag]})


def test_a_process_draws_its_own_jitter_where_the_core_decides(
    forks: tuple[str, dict[str, Any]], record_property: Record
) -> None:
    """Where the hybrid does, all draw what their parent would have drawn (ledger: fork-jitter)."""
    flag, told = forks
    drawn = [delay for process in told["draws"] for delay in process]
    again = len(drawn) - len(set(drawn))
    if flag == "shadow":
        assert again > 0
        return
    record_property("tried", len(drawn))
    record_property("lost", again)
    assert again == 0


def test_a_chain_is_copied(forks: tuple[str, dict[str, Any]]) -> None:
    """A child takes a chain further from where it was, and the parent does not notice."""
    assert forks[1]["copies"] == [[10, 20], [40, 0, 10], [40, 0, 10]]


def test_a_fork_while_threads_are_calling_inherits_no_lock(
    forks: tuple[str, dict[str, Any]], record_property: Record
) -> None:
    """The threads are not there to give a lock back; the child decides all the same, exactly."""
    lost = sum(told != BUDGET * 2 for told in forks[1]["loaded"])
    record_property("tried", len(forks[1]["loaded"]))
    record_property("lost", lost)
    assert lost == 0


WORKERS = 3
PRELOADED = """
import asyncio, json, os, sys, threading, time
from pathlib import Path
from types import SimpleNamespace as N
from cpex.framework import PluginConfig
from retry_parity import MigrationPlugin
from retry_parity.evidence import evidence_of
from retry_parity.migration import migration_of

folder, workers = Path(sys.argv[1]), int(sys.argv[2])
flags = folder / "flags.json"
migration = {
    "implementation": "legacy",
    "flags": {"path": str(flags)},
    "evidence": {"directory": str(folder / "evidence")},
}
config = PluginConfig(name="retry", kind="k", config={"jitter": False, "migration": migration})

def loaded():
    plugin = MigrationPlugin(config)
    asyncio.run(plugin.initialize())
    return plugin

def call(plugin, number):
    payload = N(name="tool", result={"isError": True, "structuredContent": None})
    context = N(global_context=N(request_id=f"r{number}"))
    return asyncio.run(plugin.tool_post_invoke(payload, context, None)).retry_delay_ms

def ours():
    return sorted(each.name for each in threading.enumerate() if each.name.startswith("retry-"))

def flip(value):
    flag = {"state": "ENABLED", "variants": {value: value}, "defaultVariant": value}
    new = flags.with_suffix(".new")
    new.write_text(json.dumps({"flags": {"retry-implementation": flag}}))
    new.replace(flags)

def until(value):
    end = time.monotonic() + 60
    while migration_of("retry").flag.implementation != value:
        assert time.monotonic() < end, f"the flag's {value} does not arrive"
        time.sleep(0.01)

flip("shadow")
plugin = loaded()
until("shadow")
for number in range(7):
    call(plugin, number)
for worker in range(workers):
    if os.fork() == 0:
        before, plugin = ours(), loaded()
        for number in range(5 + worker):
            call(plugin, f"own {number}")
        matches = evidence_of("retry").counts().matches
        value = ("canary", "shadow")[worker % 2]
        flip(value)
        until(value)
        asyncio.run(plugin.shutdown())
        print(json.dumps([os.getpid(), before, ours(), matches]), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0
"""


def test_the_harness_goes_on_in_each_worker(tmp_path: Path, record_property: Record) -> None:
    """A worker that loads its plugin has upkeep again: it follows flips and writes its evidence.

    What it counts is its own calls, not those of the server that forked it.
    """
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PRELOADED, str(tmp_path), str(WORKERS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    lost = 0
    for worker, (pid, before, after, matches) in enumerate(told):
        assert before == []
        assert "retry-parity-upkeep" in after
        (counts,) = (tmp_path / "evidence").glob(f"**/*{pid}*/counts.jsonl")
        written = json.loads(counts.read_text(encoding="utf-8").splitlines()[-1])
        lost += abs(5 + worker - written["matches"]) + abs(5 + worker - matches)
    record_property("tried", sum(5 + worker for worker in range(WORKERS)))
    record_property("lost", lost)
    assert len(told) == WORKERS
    assert lost == 0
