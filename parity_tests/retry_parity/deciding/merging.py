"""Evidence of a fleet in one file: a union by run id.

INVARIANT: merging is associative, commutative and idempotent, and equal evidence merges to equal
bytes: a run's line follows from the run alone, and lines are in the order of the run ids.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retry_parity.deciding.catalogue import catalogue, ignore, load_run
from retry_parity.deciding.problems import Problems
from retry_parity.deciding.run_files import MERGED, UNREADABLE, EvidenceError, canonical

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import BinaryIO

    from retry_parity.deciding.catalogue import Advance
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
    """Merge evidence into a file; it may be one of those that are merged.

    Args:
        paths: Folders of evidence at any level, and merged files.
        out: The file; it appears whole or not at all.
        without_unreadable: Whether runs that cannot be read are left out. What they would have
            shown is lost then, to the verdict as well.
        advance: Told of what was read: first bytes, then runs.

    Raises:
        EvidenceError: Evidence cannot be used, or the file cannot be written.
    """
    problems = Problems()
    runs = catalogue(paths, problems, advance)
    if not without_unreadable and (count := problems.count(UNREADABLE)):
        first = next(line for line in problems.lines() if line.startswith(UNREADABLE))
        message = (
            f"{first}; {count:,} in all: what they would show must not get lost unseen, so nothing "
            "is merged; --without-unreadable leaves them out"
        )
        raise EvidenceError(message)
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("wb") as file:
            for number, copies in enumerate(runs.values(), start=1):
                _write(file, load_run(copies, problems, with_samples=True))
                advance(number, len(runs))
        part.replace(out)
    except OSError as error:
        message = f"{out}: cannot be written: {(error.strerror or 'error').lower()}"
        raise EvidenceError(message) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return Merged(len(runs), problems.lines())


def _write(file: BinaryIO, run: Loaded) -> None:
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
