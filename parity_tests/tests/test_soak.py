"""The load and soak program, for a few thousand calls: what it counts is exact, and it notices."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Record = Callable[[str, object], None]

PROGRAM = Path(__file__).resolve().parents[2] / "benches" / "soak"
#: Its hash tables are about two thirds full then, so that chance does not double one.
LIVE = 75_000


def soak(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run it; give what it measured."""
    file = folder / "soak.json"
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, str(PROGRAM), "--json", str(file), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return told


def tally(record: Record, told: dict[str, Any]) -> None:
    """Keep how much was tried, and what was lost."""
    record("tried", told["tried"])
    record("lost", told["lost"])


def test_at_its_limit_the_store_takes_what_it_took(tmp_path: Path, record_property: Record) -> None:
    """Each new chain drops the oldest; every chain is accounted for, and the bytes stay."""
    told = soak(tmp_path, "--live", str(LIVE), "--calls", "4200")
    tally(record_property, told)
    measured = told["measured"]
    assert told["tried"] >= LIVE + 4200
    # Eight of a round's fourteen calls begin a chain that is left alone; two others end.
    assert measured["begun"] - measured["ended"] == measured["evicted"] + measured["live"]
    assert measured["evicted"] == pytest.approx(4200 * 8 / 14, rel=0.01)
    assert measured["live"] == pytest.approx(LIVE, abs=2)
    assert measured["store_bytes_at_most"] <= measured["store_bytes"] * 1.05
    assert measured["store_bytes"] <= LIVE * 100 * 2**20 / 1_000_000
    assert measured["expired"] == 0


def test_chains_that_expire_leave_without_being_met_again(
    tmp_path: Path, record_property: Record
) -> None:
    """Where 300 s are a thousand calls, the store empties under the load itself."""
    arguments = ("--live", "800", "--calls", "7000", "--clock-step", "0.3")
    told = soak(tmp_path, *arguments)
    tally(record_property, told)
    measured = told["measured"]
    assert measured["expired"] > 800
    gone = measured["ended"] + measured["evicted"] + measured["expired"]
    assert measured["begun"] - gone == measured["live"]


def test_the_comparison_holds_under_load(tmp_path: Path, record_property: Record) -> None:
    """In shadow mode the two sides agree all the while, and chains end by success."""
    told = soak(tmp_path, "--plugin", "shadow", "--live", "300", "--calls", "4200")
    tally(record_property, told)
    assert told["troubles"] == {}
    assert told["measured"]["live"] == pytest.approx(300, abs=8)
    assert told["measured"]["evicted"] == 0


WRONG = {
    "load.SUBJECTS['product'].settings['max_retries'] = 3": "wrong answers",
    "load._core.evicted_chains = lambda: 0": "chains unaccounted for",
    "load._core.internal_errors = itertools.count().__next__": "internal errors",
    "load._MOST_BYTES_EACH = load._MOST_BYTES_EMPTY = 1": "store beyond its bytes",
    "load._DOUBLING_BYTES_EACH = -1": "store that grows at its limit",
}
CHANGED = """
import importlib.util, itertools, os, sys
folder, *changes = sys.argv[1:]
sys.path.insert(0, folder)
import load
spec = importlib.util.spec_from_file_location("soak", folder + "/__main__.py")
soak = importlib.util.module_from_spec(spec)
sys.modules["soak"] = soak
spec.loader.exec_module(soak)
for change in changes:
    print("---", flush=True)
    if os.fork() == 0:
        exec(change)
        code = soak.main(["--live", "20000", "--calls", "140"])
        sys.stdout.flush()
        os._exit(code)
    print("exit", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


def test_what_is_lost_is_told() -> None:
    """Each thing that the program looks for makes it fail, with a line that names it."""
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", CHANGED, str(PROGRAM), "pass", *WRONG],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    right, *wrong = ran.stdout.split("---\n")[1:]
    assert "LOST" not in right
    assert "exit 0" in right
    for trouble, said in zip(WRONG.values(), wrong, strict=True):
        assert f"LOST {trouble}: " in said
        assert "exit 1" in said
