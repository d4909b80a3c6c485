"""Every run once, in however many copies and states it is given.

Of the states of one run the one with the highest sequence counts: a run's counts only ever grow.
"""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from retry_parity.deciding.loaded_runs import MEASURED, Loaded, load
from retry_parity.deciding.problems import shown
from retry_parity.deciding.run_files import (
    EvidenceError,
    Found,
    Guards,
    canonical,
    count_files,
    scan,
)
from retry_parity.evidence_files import Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from retry_parity.deciding.problems import Problems

#: The copies of a run with the highest sequence first.
Copies: TypeAlias = tuple[Found, ...]


class Advance(Protocol):
    """Is told how far reading is."""

    def __call__(self, done: int, total: int, /) -> None:
        """Show it.

        Args:
            done: Bytes, or runs, that were read.
            total: Of how many.
        """
        ...  # pragma: no cover


def ignore(_done: int, _total: int, /) -> None:
    """Show nothing."""


def catalogue(
    paths: Sequence[Path], problems: Problems, guards: Guards, advance: Advance = ignore
) -> dict[str, Copies]:
    """Find all runs.

    Args:
        paths: Folders of evidence at any level, and merged files.
        problems: What is odd goes there.
        guards: Those that have tripped go there.
        advance: Told of the bytes that were read.

    Returns:
        The copies of each run, by its id, in the order of the ids.

    Raises:
        EvidenceError: A path is no evidence or cannot be read, or two different runs have one id.
    """
    files: dict[str, Path] = {}
    for path in count_files(paths, guards):
        if files.setdefault(os.path.realpath(path), path) is not path:
            problems.add("a file that is given more than once, counted once", path)
    sizes = {path: _size(path) for path in files.values()}
    done, total = 0, sum(sizes.values())
    found: dict[str, Copies] = {}
    for path, size in sizes.items():
        for each in scan(path, problems, guards):
            copies = found.get(each.run, ())
            if copies and copies[0].about != each.about:
                what = "two different runs have the id"
                raise _conflict(what, copies[0], each)
            found[each.run] = (*copies, each)
        done += size
        advance(done, total)
    return {run: _ordered(found[run], problems) for run in sorted(found)}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # and whoever opens it says why


def _ordered(copies: Copies, problems: Problems) -> Copies:
    if len(copies) == 1:
        return copies
    ordered = tuple(sorted(copies, key=lambda each: -each.sequence))
    for each in ordered[1:]:
        if each.sequence == ordered[0].sequence:
            problems.add("a run of which there are copies, counted once", each.run)
        else:
            what = "an earlier state of a run, left out"
            problems.add(what, f"{each.run} ({each.sequence} of {ordered[0].sequence})")
    return ordered


def load_run(copies: Copies, problems: Problems, *, with_samples: bool = False) -> Loaded:
    """Load a run from its copies.

    A replay is the same each time, but for what it measured. Of several measurements the one
    with the greater encoded text is taken: which one does not matter, but it has to be the same
    in whatever order they come.

    Raises:
        EvidenceError: Two copies with one sequence have different contents, or one is not there
            any more.
    """
    highest = copies[0].sequence
    first, *others = (
        load(each, problems, with_samples=with_samples)
        for each in copies
        if with_samples or each.sequence == highest
    )
    for other, place in zip(others, copies[1:], strict=False):
        first.samples.add_all(other.samples)
        if other.counts["sequence"] != first.counts["sequence"]:
            continue
        if _state(first) != _state(other):
            what = f"two different contents at sequence {highest} of"
            raise _conflict(what, copies[0], place)
        for name in MEASURED:
            given = [each.counts[name] for each in (first, other) if name in each.counts]
            if given:
                # An empty one is none, and its text is the greatest.
                first.counts[name] = max(filter(None, given), key=canonical, default=given[0])
    return first


def _state(loaded: Loaded) -> Mapping[str, object]:
    """Give what has to be the same in two copies of a run."""
    if loaded.about.get("source") == Source.LIVE:
        return loaded.counts
    return {key: value for key, value in loaded.counts.items() if key not in MEASURED}


def _conflict(what: str, one: Found, other: Found) -> EvidenceError:
    return EvidenceError(
        f"{what} {shown(one.run)}: {one.path} and {other.path}; one of them was changed, and only "
        "you can know which"
    )
