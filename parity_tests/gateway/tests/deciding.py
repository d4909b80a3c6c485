"""The way from shadow evidence to a decision, as an operator goes it, with the corpus' traffic."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.flags import FlagsFile
from gateway.recorded_traffic import CORPUS, PLUGINS, Recording
from gateway.stack import EVIDENCE, FLAGS, Settings, running
from gateway.tests.commands import ended
from gateway.tests.evidence import decided, lines
from gateway.tests.page import settled_page
from gateway.traffic import Outcome, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.stack import Stack
    from gateway.tests.commands import Ended

#: Chains, spread over the whole corpus: some 15 s of traffic.
CHAINS: Final = 150
WORKERS: Final = 2
#: Chains of the candidate that is wrong.
WRONG_CHAINS: Final = 60
WRONG: Final = "never-retries"

_PATIENCE_S: Final = 180.0
#: The same scenarios in every run of these tests.
_SEED: Final = "7"


class Told(NamedTuple):
    """What a command said."""

    status: int
    output: str
    errors: str


def retry_parity(*arguments: str | Path) -> Told:
    """Run the plugin's command."""
    script = Path(sys.executable).with_name("retry-parity")
    return _run([script, *arguments])


def emitted_test(file: Path, candidate: str) -> Told:
    """Run a test that ``minimize`` has written, on a candidate."""
    pytest = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    return _run([*pytest, file], RETRY_PARITY_CANDIDATE=candidate)


def _run(command: Sequence[str | Path], **variables: str) -> Told:
    ended = subprocess.run(  # noqa: S603 - our own commands
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE_S,
        # One line of a table is one line, however wide.
        env=os.environ | {"COLUMNS": "300"} | variables,
    )
    return Told(ended.returncode, ended.stdout, ended.stderr)


@dataclass(frozen=True, slots=True)
class Decision:
    """A gateway whose flag needs a certificate, and what its traffic left.

    Attributes:
        stack: Under shadow, with the flag in a file.
        certificate: What its plugin requires; not there.
        evidence: A copy of the evidence, taken after the traffic.
        outcomes: What became of the calls.
        complaints: Those that did not end as they have to.
    """

    stack: Stack
    certificate: Path
    evidence: Path
    outcomes: dict[Outcome, int]
    complaints: list[str]

    @property
    def folder(self) -> Path:
        """Where there is room for files."""
        return self.stack.folder

    def runs(self) -> list[Path]:
        """Give the folders of the workers in the copy."""
        return sorted((self.evidence / self.stack.settings.plugin_name).iterdir())

    def strata(self) -> dict[str, dict[str, int]]:
        """Add up the comparisons of all workers, by stratum and verdict."""
        return summed(lines(run / "counts.jsonl")[-1]["strata"] for run in self.runs())


@contextmanager
def to_be_decided(folder: Path) -> Iterator[Decision]:
    """Start the gateway, send the traffic, and keep its evidence."""
    recording = Recording()
    certificate = folder / "certificate.json"
    folder.mkdir()
    FlagsFile(folder / FLAGS).write("shadow")
    settings = Settings(
        plugin_name=recording.plugin_name,
        plugin=recording.plugin,
        migration={
            "implementation": "shadow",
            "flags": {"path": str(folder / FLAGS)},
            "evidence": {"directory": str(folder / EVIDENCE), "capture": "full"},
            "require_certificate": str(certificate),
        },
        workers=WORKERS,
    )
    complaints: list[str] = []
    with running(settings, folder, recording.behind) as stack:
        traffic = Traffic(stack, recording.calls(CHAINS), complaints.append)
        traffic.send()
        kept = _kept_evidence(stack)
        yield Decision(stack, certificate, kept, dict(traffic.counts), complaints)


def _kept_evidence(stack: Stack) -> Path:
    """Copy the evidence once all that the gateway has decided is in it."""
    settled_page(stack)
    evidence = stack.folder / EVIDENCE / stack.settings.plugin_name

    def written() -> int:
        last = (lines(run / "counts.jsonl")[-1] for run in evidence.iterdir())
        return sum(decided(counts).total() for counts in last)

    stack.program.wait_until(lambda: written() == stack.attempts(), _PATIENCE_S)
    kept = stack.folder / "kept"
    shutil.copytree(stack.folder / EVIDENCE, kept)
    return kept


@dataclass(frozen=True, slots=True)
class Wrong:
    """What a candidate that is wrong leaves under shadow.

    Attributes:
        ended: How the command ended that sent the traffic.
        evidence: Its evidence.
    """

    ended: Ended
    evidence: Path


def wrong_traffic(folder: Path) -> Wrong:
    """Run ``make gateway`` with a wrong candidate and the corpus' traffic."""
    evidence = ("--candidate", WRONG, "--capture", "full", "--folder", str(folder))
    return Wrong(
        ended("--traffic", "corpus", "--once", str(WRONG_CHAINS), *evidence), folder / EVIDENCE
    )


@dataclass(frozen=True, slots=True)
class Offline:
    """Evidence that needs no gateway.

    Attributes:
        folder: Of the evidence.
        replayed: What the replay of the corpus said.
        generated: What the generated scenarios came to.
    """

    folder: Path
    replayed: Told
    generated: Told


def offline_evidence(folder: Path) -> Offline:
    """Replay the whole corpus, and generate what no traffic shows."""
    generated = retry_parity("generate", "--seed", _SEED, "--out", folder)
    replayed = retry_parity("replay", CORPUS, "--config", PLUGINS, "--out", folder)
    return Offline(folder, replayed, generated)


def summed(each: Iterator[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Add counts up, by both of their keys; what is 0 is left out."""
    found: dict[str, dict[str, int]] = {}
    for counts in each:
        for stratum, verdicts in counts.items():
            cell = found.setdefault(stratum, {})
            for verdict, number in verdicts.items():
                if number:
                    cell[verdict] = cell.get(verdict, 0) + number
    return found
