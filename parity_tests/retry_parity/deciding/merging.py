"""Evidence of a fleet in one file: a union by run id.

INVARIANT: merging is associative, commutative and idempotent, and equal evidence merges to equal
bytes: a run's line follows from the run alone, lines are in the order of the run ids, guards that
have tripped follow, and the last line says how many there are.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retry_parity.deciding.catalogue import catalogue, ignore, load_run
from retry_parity.deciding.problems import Problems, shown
from retry_parity.deciding.run_files import (
    MERGED,
    MERGED_END,
    MERGED_GUARD,
    UNREADABLE,
    EvidenceError,
    Guards,
    canonical,
)
from retry_parity.deciding.values import is_shallow
from retry_parity.evidence_files import COUNTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import BinaryIO

    from retry_parity.deciding.catalogue import Advance, Copies
    from retry_parity.deciding.loaded_runs import Loaded


@dataclass(frozen=True, slots=True)
class Merged:
    """What was merged.

    Attributes:
        runs: How many.
        problems: One line for each way in which the evidence is odd.
    """

    runs: int
    problems: Sequence[str]


def merge(
    paths: Sequence[Path],
    out: Path,
    *,
    without_unreadable: bool = False,
    advance: Advance = ignore,
) -> Merged:
    """Merge evidence into a file.

    Args:
        paths: Folders of evidence at any level, and merged files.
        out: The file; it appears whole or not at all. A link to a file goes on pointing there.
        without_unreadable: Whether runs that cannot be read are left out. What they would have
            shown is lost then, to the verdict as well.
        advance: Told of what was read: first bytes, then runs.

    Raises:
        EvidenceError: Evidence cannot be used, or the file cannot be written; it may be none that
            is merged, nor in the folder of such a run.
    """
    target = Path(os.path.realpath(out))
    if target.exists() and not target.is_file():
        message = f"{out}: is no regular file, a merged file can only be one"
        raise EvidenceError(message)
    problems = Problems()
    guards = Guards()
    runs = catalogue(paths, problems, guards, advance)
    if not without_unreadable and (count := problems.count(UNREADABLE)):
        message = (
            f"{problems.first(UNREADABLE)}; {count:,} in all: what they would show must not get "
            "lost unseen, so nothing is merged; --without-unreadable leaves them out"
        )
        raise EvidenceError(message)
    if not runs:
        message = f"no run is left, nothing is merged: {problems.first(UNREADABLE)}"
        raise EvidenceError(message)
    _refuse_input(out, paths, runs.values())
    part = target.with_name(f".merging-{secrets.token_hex(8)}.tmp")
    try:
        with part.open("xb") as file:
            for number, copies in enumerate(runs.values(), start=1):
                _write(file, load_run(copies, problems, with_samples=True))
                advance(number, len(runs))
            tripped = list(guards.items())
            for plugin, trip in tripped:
                line = {"kind": MERGED_GUARD, "plugin": plugin, "trip": asdict(trip)}
                file.write(canonical(line) + b"\n")
            end = {"kind": MERGED_END, "runs": len(runs)}
            file.write(canonical(end | ({"guards": len(tripped)} if tripped else {})) + b"\n")
        part.replace(target)
    except OSError as error:
        message = f"{out}: cannot be written: {(error.strerror or 'error').lower()}"
        raise EvidenceError(message) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return Merged(len(runs), problems.lines())


def _refuse_input(out: Path, paths: Iterable[Path], runs: Iterable[Copies]) -> None:
    """Refuse to write over what is read.

    Raises:
        EvidenceError: It is one of the files, or lies in the folder of a run.
    """
    target = os.path.realpath(out)
    inputs = {os.path.realpath(path) for path in paths}
    inputs |= {os.path.realpath(each.path) for copies in runs for each in copies}
    if target in inputs or str(Path(target).parent / COUNTS) in inputs:
        message = f"--out {out}: is among what is merged, name another file"
        raise EvidenceError(message)


def _write(file: BinaryIO, run: Loaded) -> None:
    if not is_shallow(run.counts):
        message = f"{shown(run.about['run'])}: its counts are nested too deep to be merged"
        raise EvidenceError(message)
    file.write(b'{"kind":"%s","run":' % MERGED.encode())
    file.write(canonical(run.about))
    # So that whoever looks for runs need not read the counts.
    file.write(b',"sequence":%d,"counts":' % run.counts["sequence"])
    file.write(canonical(run.counts))
    file.write(b',"samples":[')
    for number, text in enumerate(run.samples.texts()):
        file.write(b"," if number else b"")
        file.write(text)
    file.write(b"]}\n")
