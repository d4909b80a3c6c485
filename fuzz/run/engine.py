"""One run of the engine, and what it says of itself."""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import corpora
from targets import BUILT, ROOT, CannotRunError

if TYPE_CHECKING:
    from pathlib import Path

    from targets import Target

FINDINGS: Final = BUILT / "findings"

#: Seconds after which one input has taken too long, and MiB that a target may take.
_TIMEOUT_S: Final = 20
_MEMORY_MIB: Final = 2048
#: Lines of the engine's output that a finding keeps.
_KEPT_LINES: Final = 80

_PROGRESS: Final = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)/")
_INSTRUMENTED: Final = re.compile(r"Loaded \d+ modules\s+\((\d+) inline 8-bit counters\)")
_WRITTEN: Final = re.compile(r"Test unit written to (\S+)")
_EXECUTED: Final = re.compile(r"stat::number_of_executed_units: (\d+)")


@dataclass
class Run:
    """What a run of a target has shown so far.

    Attributes:
        target: The target's name.
        seconds: How long it was to run.
        executions: Inputs run, the stored ones included.
        edges: Branches met.
        edges_of: Branches that are counted, of Rust code; those of Python come up as they are met.
        features: Branches met, told apart by how often.
        corpus: Inputs that the engine holds to be worth keeping.
        findings: Findings, by their files.
        commands: What repeats each of them.
    """

    target: str
    seconds: int
    executions: int = 0
    edges: int = 0
    edges_of: int = 0
    features: int = 0
    corpus: int = 0
    findings: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Give a line of a report."""
        told = (
            f"{self.target:<10}{self.executions:>14,} runs {self.edges:>7,} branches "
            f"{self.corpus:>6,} inputs kept"
        )
        return f"{told}  {len(self.findings)} findings"

    def read(self, line: str) -> None:
        """Take in a line of the engine's output."""
        if progress := _PROGRESS.search(line):
            self.executions, self.edges, self.features, self.corpus = map(int, progress.groups())
        elif executed := _EXECUTED.search(line):
            self.executions = int(executed[1])
        elif instrumented := _INSTRUMENTED.search(line):
            self.edges_of = int(instrumented[1])


def fuzz(target: Target, run: Run) -> None:
    """Run a target, the stored inputs first; ends at the first finding.

    Raises:
        CannotRunError: The engine ended without a finding and not as it should.
    """
    stored, work = BUILT / "stored" / target.name, BUILT / "corpus" / target.name
    corpora.spread(corpora.read(target.corpus), stored)
    work.mkdir(parents=True, exist_ok=True)
    prefix = FINDINGS / f"{target.name}-"
    FINDINGS.mkdir(parents=True, exist_ok=True)
    said: list[str] = []
    ended = _run(
        target,
        [f"-max_total_time={run.seconds}", f"-artifact_prefix={prefix}", *_limits(), work, stored],
        run,
        said,
    )
    written = [match[1] for line in said if (match := _WRITTEN.search(line))]
    if ended and not written:
        message = f"{target.name} ended with status {ended}: {said[-1] if said else 'silent'}"
        raise CannotRunError(message)
    for name in written:
        run.findings.append(name)
        run.commands.append(shlex.join(["python", "fuzz/run", "--repeat", name]))
        # Beside the input: what was said, which names the rule that did not hold.
        (FINDINGS / f"{name.rpartition('/')[2]}.said").write_text("\n".join(said), "utf-8")


def repeat(target: Target, finding: Path) -> tuple[bool, str]:
    """Run one input; say whether it is a finding still, and what was said."""
    said: list[str] = []
    ended = _run(target, [*_limits(), finding], Run(target.name, 0), said)
    return bool(ended), "\n".join(said)


def minimize(target: Target, finding: Path, seconds: int) -> Path:
    """Look for a smaller input that is a finding too; give the smallest."""
    smallest = finding.with_name(f"{finding.name}.min")
    smallest.write_bytes(finding.read_bytes())
    # The engine sets the longest input itself here, and bears no other: the last one counts.
    arguments = ["-max_len=0", "-minimize_crash=1", f"-max_total_time={seconds}", *_limits()]
    _run(target, [*arguments, f"-exact_artifact_path={smallest}", finding], Run("", 0), [])
    return smallest


def store(target: Target) -> int:
    """Store the fewest inputs that reach all that the kept ones reach; give their number.

    Raises:
        CannotRunError: They cannot be merged.
    """
    by_hand = [
        corpora.unescaped(line)
        for line in corpora.kept_by_hand(target.corpus)
        if not line.startswith("#")
    ]
    folders = [BUILT / name / target.name for name in ("merged", "corpus", "stored")]
    corpora.spread(by_hand, folders[0])
    said: list[str] = []
    if _run(target, ["-merge=1", *folders], Run(target.name, 0), said):
        message = f"{target.name} cannot be merged: {said[-1] if said else 'silent'}"
        raise CannotRunError(message)
    names = {hashlib.sha1(given, usedforsecurity=False).hexdigest() for given in by_hand}
    found = [each.read_bytes() for each in folders[0].iterdir() if each.name not in names]
    return corpora.store(target.corpus, found)


def _limits() -> list[str]:
    return [f"-timeout={_TIMEOUT_S}", f"-rss_limit_mb={_MEMORY_MIB}"]


def _run(target: Target, arguments: list[str | Path], run: Run, said: list[str]) -> int:
    command = [target.program, *target.arguments, "-print_final_stats=1", *arguments]
    with subprocess.Popen(  # noqa: S603 - our own program
        list(map(str, command)), cwd=ROOT, text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        for line in process.stdout:
            run.read(line)
            said.append(line.rstrip())
            if not _WRITTEN.search(line):
                del said[:-_KEPT_LINES]
    return process.returncode
