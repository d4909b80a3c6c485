"""The evidence that a gateway's workers have written."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gateway.stack import EVIDENCE, PLUGIN_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.stack import Stack

_DEADLINE_S: Final = 30.0
_POLL_S: Final = 0.1


class Evidence:
    """A stack's evidence folder."""

    def __init__(self, stack: Stack) -> None:
        """Name the folder; nothing is read yet."""
        self.folder = stack.folder / EVIDENCE
        self._stack = stack

    def runs(self) -> list[Path]:
        """Give the folders of the workers that have written, the dead included."""
        return sorted((self.folder / PLUGIN_NAME).iterdir())

    def run_of(self, worker: int) -> Path:
        """Give the folder of a worker by its process id."""
        (found,) = (run for run in self.runs() if lines(run / "counts.jsonl")[0]["pid"] == worker)
        return found

    def counts(self) -> list[dict[str, Any]]:
        """Give the latest counts of each worker."""
        return [lines(run / "counts.jsonl")[-1] for run in self.runs()]

    def samples(self) -> list[dict[str, Any]]:
        """Give all samples."""
        return [
            sample
            for run in self.runs()
            if (run / "samples.jsonl").exists()
            for sample in lines(run / "samples.jsonl")
        ]

    def decisions(self) -> int:
        """Add up the answers that callers got, of all workers."""
        return sum(sum(decided(counts).values()) for counts in self.counts())

    def wait_for_decisions(self, number: int) -> None:
        """Wait until so many have been written."""
        deadline = time.monotonic() + _DEADLINE_S
        while (found := self.decisions()) != number:
            assert time.monotonic() < deadline, f"{found} decisions are written, not {number}"
            time.sleep(_POLL_S)

    def wait_for_first(self, worker: int) -> Counter[str]:
        """Wait until a worker has written its first decisions, and give who made them."""
        deadline = time.monotonic() + _DEADLINE_S
        while not (found := decided(lines(self.run_of(worker) / "counts.jsonl")[-1])):
            assert time.monotonic() < deadline, f"worker {worker} has written no decision"
            time.sleep(_POLL_S)
        return found


def decided(counts: Mapping[str, Any]) -> Counter[str]:
    """Give the number of decisions by implementation; the line about the run has none."""
    made: Mapping[str, Mapping[str, int]] = counts.get("decisions", {})
    return +Counter({name: sum(outcomes.values()) for name, outcomes in made.items()})


def lines(file: Path) -> list[dict[str, Any]]:
    """Read the whole lines of a file, as a reader has to: what is no JSON is left out."""
    found: list[dict[str, Any]] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):
            found.append(json.loads(line))
    return found
