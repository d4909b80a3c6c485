"""Runs in memory, one at a time.

Gateways may be writing meanwhile: what was found is found again when it is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from retry_parity.deciding.kept_samples import KeptSamples
from retry_parity.deciding.problems import Problems
from retry_parity.deciding.run_files import (
    CUT_OFF,
    LONGEST_LINE,
    EvidenceError,
    Found,
    opened,
    parsed,
    scan_counts,
)
from retry_parity.evidence_files import SAMPLES, TIMING, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

#: What a replay measures: keys of `TIMING`, and of the counts of a live run.
MEASURED: Final = ("latency", "memory")


@dataclass(slots=True)
class Loaded:
    """A run in memory.

    Attributes:
        about: Its first line.
        counts: Its last counts; with latency and memory, wherever they were measured.
        samples: Those that are kept; none where they were not asked for.
    """

    about: dict[str, Any]
    counts: dict[str, Any]
    samples: KeptSamples


def load(found: Found, problems: Problems, *, with_samples: bool = False) -> Loaded:
    """Load a run.

    Raises:
        EvidenceError: It is not there any more.
    """
    try:
        if found.merged:
            line = _merged_line(found)
            samples = KeptSamples()
            if with_samples:
                _take(samples, line.get("samples", ()), found.path, problems)
            return Loaded(line["run"], line["counts"], samples)
        loaded = _load_folder(found, problems)
        if with_samples:
            _read_samples(found.path.with_name(SAMPLES), loaded.samples, problems)
    except OSError as error:
        message = f"{found.path}: cannot be read: {(error.strerror or 'error').lower()}"
        raise EvidenceError(message) from error
    return loaded


def _merged_line(found: Found) -> dict[str, Any]:
    with opened(found.path) as file:
        file.seek(found.offset)
        line = parsed(file.readline(LONGEST_LINE)) or {}
    about, counts = line.get("run"), line.get("counts")
    is_found = isinstance(about, dict) and about.get("run") == found.run
    if not is_found or not isinstance(counts, dict) or counts.get("sequence") != found.sequence:
        message = (
            f"{found.path}: byte {found.offset}: is no whole line of a merged file, or was changed "
            "while it was read"
        )
        raise EvidenceError(message)
    return line


def _load_folder(found: Found, problems: Problems) -> Loaded:
    with opened(found.path) as file:
        about = parsed(file.readline(LONGEST_LINE))
        file.seek(found.offset)
        counts = parsed(file.readline(LONGEST_LINE))
        if counts is None or counts.get("sequence") != found.sequence:
            # The worker has put a shorter file in its place meanwhile.
            file.seek(0)
            about = parsed(file.readline(LONGEST_LINE))
            again = about and scan_counts(found.path, file, about, Problems())
            if again:
                file.seek(again.offset)
                counts = parsed(file.readline(LONGEST_LINE))
    if about is None or counts is None or about.get("run") != found.run:
        message = f"{found.path}: was changed while it was read"
        raise EvidenceError(message)
    if about.get("source") != Source.LIVE:
        counts |= _measured(found.path.with_name(TIMING), problems)
    return Loaded(about, counts, KeptSamples())


def _measured(path: Path, problems: Problems) -> dict[str, Any]:
    try:
        with opened(path) as file:
            timing = parsed(file.read(LONGEST_LINE)) or {}
    except FileNotFoundError:
        return {}
    told = {name: timing[name] for name in MEASURED if isinstance(timing.get(name), dict)}
    if "latency" not in told:
        problems.add("a file of times that cannot be read, left out", path)
        return {}
    return told


def _read_samples(path: Path, samples: KeptSamples, problems: Problems) -> None:
    try:
        with opened(path) as file:
            _take(samples, _samples(path, file, problems), path, problems)
    except FileNotFoundError:
        return


def _samples(path: Path, file: BinaryIO, problems: Problems) -> Iterator[Mapping[str, Any]]:
    while line := file.readline(LONGEST_LINE):
        if line == b"\n":
            continue
        sample = parsed(line)
        if sample is not None:
            yield sample
        elif line.endswith(b"\n"):
            problems.add("a line of samples that is no JSON, left out", path)
        else:
            problems.add(CUT_OFF, path)


def _take(
    samples: KeptSamples, every: Iterable[Mapping[str, Any]], path: Path, problems: Problems
) -> None:
    for sample in every:
        if not samples.add(sample):
            problems.add("a sample that is none, left out", path)
