"""Runs the command of a row and counts what it tried and lost."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from rows import FIGURES, ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rows import Row


@dataclass(frozen=True)
class Measured:
    """What came of one row.

    Attributes:
        tried: How often; ``None`` where the command told nothing.
        lost: How often something was lost; a command that failed without a count lost one.
        seconds: How long it took.
        figures: What else was measured, by name, as it is to be read.
        said: The last lines of its output where it failed.
    """

    tried: int | None
    lost: int
    seconds: float
    figures: Mapping[str, str]
    said: str = ""

    @property
    def held(self) -> bool:
        """Whether something was tried and nothing lost."""
        return bool(self.tried) and self.lost == 0

    def stored(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)


def measure(row: Row) -> Measured:
    """Run a row's command."""
    with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
        figures = Path(folder) / FIGURES
        command = row.command.replace(FIGURES, shlex.quote(str(figures)))
        if row.tally == "junit":
            # The newer family of the format has no place for what a test records.
            command += f" -o junit_family=xunit1 --junitxml={shlex.quote(str(figures))}"
        begun = time.monotonic()
        done = subprocess.run(  # noqa: S602 - the rows are ours, and some set variables
            command,
            shell=True,
            executable="/bin/bash",
            cwd=ROOT,
            text=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        seconds = time.monotonic() - begun
        tried, lost, more = _counts(row.tally, figures, done.stdout)
    failed = done.returncode != 0
    return Measured(
        tried=tried,
        lost=max(lost, int(failed)),
        seconds=round(seconds, 1),
        figures=more,
        said="\n".join(done.stdout.splitlines()[-30:]) if failed or not tried else "",
    )


def _counts(tally: str, file: Path, output: str) -> tuple[int | None, int, dict[str, str]]:
    if tally == "status":
        return 1, 0, {}
    if tally == "lines":
        pairs = re.findall(r"\btried ([\d,]+)(?: [a-z]+)?, lost ([\d,]+)\b", output)
        return *_summed([(int(a.replace(",", "")), int(b.replace(",", ""))) for a, b in pairs]), {}
    if not file.exists():
        return None, 0, {}
    if tally == "json":
        told = json.loads(file.read_text(encoding="utf-8"))
        return told["tried"], told["lost"], dict(told.get("figures", {}))
    cases = [
        {each.get("name"): int(each.get("value", "0")) for each in case.iter("property")}
        for case in ET.parse(file).iter("testcase")  # noqa: S314 - pytest wrote it just now
        if case.find("properties") is not None
    ]
    return *_summed([(each.get("tried", 0), each.get("lost", 0)) for each in cases]), {}


def _summed(counts: list[tuple[int, int]]) -> tuple[int | None, int]:
    if not counts:
        return None, 0
    return sum(tried for tried, _ in counts), sum(lost for _, lost in counts)
