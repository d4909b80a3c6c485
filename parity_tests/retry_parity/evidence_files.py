"""Evidence on disk: a folder for each worker, lines that are only ever appended.

``counts.jsonl`` begins with a line about the run; each further line has all counts so far, so that
the last whole line is the evidence and a kill loses at most the time since then. When it has grown
it is replaced by the first and the last line, in one rename. ``samples.jsonl`` has a line for each
sample of a divergence. A line that a full disk or a kill cut off is followed by a new line, never
continued: whoever reads leaves out what is no JSON. ``trace.jsonl`` is the recorded traffic, where
``capture`` is ``full``.

A worker's files are written in a round of the upkeep, of which there is one at a time, and nothing
raises there: what cannot be written is counted.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import secrets
import time
from dataclasses import replace
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from retry_parity.guard import file_name
from retry_parity.ledger import shipped_text
from retry_parity.traces.calls import Header
from retry_parity.traces.reading import TRACE
from retry_parity.traces.recording import Recording, recorder_of
from retry_parity.traces.telling import header_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from retry_parity.figures import Figures
    from retry_parity.migration import Migration
    from retry_parity.settings import EvidenceSettings

#: Of the lines; a reader refuses what it does not know.
FORMAT: Final = 2
COUNTS: Final = "counts.jsonl"
SAMPLES: Final = "samples.jsonl"
#: What a replay measured, beside its counts: it differs each time.
TIMING: Final = "timing.json"

_MIB: Final = 1024 * 1024
#: `COUNTS` is rewritten beyond it.
_MOST_COUNTS: Final = _MIB
PACKAGES: Final = ("retry-with-backoff", "retry-with-backoff-legacy", "retry-parity", "cpex")


class Source(StrEnum):
    """Where a run's calls came from."""

    LIVE = "live"
    REPLAY = "replay"
    GENERATED = "generated"


class EvidenceFiles:
    """The files of one worker and plugin name."""

    def __init__(self, settings: EvidenceSettings, migration: Migration) -> None:
        """Name the folder; it is made with the first line.

        Args:
            settings: Where, and how much.
            migration: Whose evidence.

        Raises:
            ValueError: The settings name no directory.
        """
        if settings.directory is None:
            message = "evidence.directory is not set"
            raise ValueError(message)
        self.settings = settings
        started = time.time()
        host = quote(platform.node(), safe="")
        run = f"{host}-{os.getpid()}-{int(started * 1000)}-{secrets.token_hex(3)}"
        #: The worker's folder.
        self.folder: Path = settings.directory / file_name(migration.name) / run
        self._about = {
            **about_run(run, Source.LIVE, migration),
            "pid": os.getpid(),
            "host": platform.node(),
            "started": started,
            "capture": settings.capture,
        }
        self._sequence = 0
        self._last: dict[str, object] = {}
        self._is_torn = {COUNTS: False, SAMPLES: False}
        self._recording = self._begin_recording(run, migration)

    def _begin_recording(self, run: str, migration: Migration) -> Recording | None:
        if self.settings.capture != "full":
            return None
        header = Header(
            plugin=migration.name,
            config=header_config(recorder_of(migration.name).config),
            versions=installed_versions(),
            origin="recorded",
            run=run,
        )

        def lost(reason: str, calls: int) -> None:
            migration.evidence.drop(f"trace: {reason}", calls)

        return Recording(self.folder / TRACE, header, lost)

    def write(self, migration: Migration) -> None:
        """Append what is new."""
        evidence = migration.evidence
        # Taken before the counts and written after them: a kill in between leaves a divergence
        # that is counted and has no sample, never one that has a sample and is not counted.
        samples = evidence.take_samples()
        if self._recording is not None:
            self._recording.write(recorder_of(migration.name), self._most_recorded())
        # Cells are looked at first: what is compared meanwhile is in the counts and in no cell yet,
        # and never the other way, which a reader refuses.
        strata = evidence.strata()
        try:
            self._write_counts(replace(migration.figures(), strata=strata))
            evidence.bytes_on_disk = self._size()
        except OSError as error:
            evidence.drop(_reason(error))
        if samples:
            try:
                self._write_samples(samples, migration)
            except OSError as error:
                evidence.drop(_reason(error), len(samples))

    def _write_samples(self, samples: Iterable[Mapping[str, object]], migration: Migration) -> None:
        room = self._room() - _size_of(self.folder / SAMPLES) - _size_of(self.folder / TRACE)
        lines = []
        for sample in samples:
            line = _line(sample)
            room -= len(line)
            if room < 0:
                migration.evidence.drop("disk limit")
            else:
                lines.append(line)
        if lines:
            self._append(SAMPLES, b"".join(lines))

    def _room(self) -> int:
        """Give the bytes for all but the counts."""
        return self.settings.limit_mib * _MIB - _MOST_COUNTS

    def _most_recorded(self) -> int:
        """Give the bytes for the trace; samples are left a quarter of the room."""
        return min(self._room() * 3 // 4, self._room() - _size_of(self.folder / SAMPLES))

    def _write_counts(self, figures: Figures) -> None:
        told = told_figures(figures)
        path = self.folder / COUNTS
        if told == self._last and path.exists():
            return
        self._sequence += 1
        line = _line({"kind": "counts", "sequence": self._sequence, "at": time.time(), **told})
        size = _size_of(path)
        if size + len(line) > _MOST_COUNTS:
            _replace(path, _line(self._about) + line)
            self._is_torn[COUNTS] = False
        else:
            self._append(COUNTS, line if size else _line(self._about) + line)
        self._last = told

    def _append(self, name: str, lines: bytes) -> None:
        """Write whole lines at once; after a failure, begin on a line of their own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._is_torn[name]:
            lines = b"\n" + lines
        self._is_torn[name] = True
        with (self.folder / name).open("ab", buffering=0) as file:
            written = file.write(lines)
        if written != len(lines):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._is_torn[name] = False

    def _size(self) -> int:
        return sum(_size_of(self.folder / name) for name in (COUNTS, SAMPLES, TRACE))


def about_run(run: str, source: Source, migration: Migration) -> dict[str, object]:
    """Give what the first line of every run's counts has, whatever the run was."""
    shapes = migration.evidence.shapes
    return {
        "kind": "run",
        "format": FORMAT,
        "run": run,
        "source": source.value,
        "plugin": migration.name,
        "versions": installed_versions(),
        "config": migration.config_hash,
        "ledger": ledger_hash(),
        "candidate": migration.settings.candidate,
        "shapes": None if shapes is None else [list(shape) for shape in sorted(shapes)],
    }


def told_figures(figures: Figures) -> dict[str, object]:
    """Give figures as plain data, with the field's own names."""

    def by_side(counts: Mapping[tuple[Any, str], int]) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for (side, outcome), count in counts.items():
            found.setdefault(side.implementation, {})[outcome] = count
        return found

    return {
        "flag": {
            "implementation": figures.implementation.value,
            "source": figures.source,
            "canary_percent": figures.canary_percent,
            "service": figures.service.value,
            "rejected": figures.rejected_flags,
        },
        "guard": {
            "tripped": figures.guard_tripped,
            "trips": figures.guard_trips,
            "trouble": figures.guard_trouble,
        },
        "decisions": by_side(figures.decisions),
        "outcomes": by_side(figures.outcomes),
        "fallbacks": figures.fallbacks,
        "matches": figures.matches,
        "accepted_calls": figures.accepted_calls,
        "accepted": dict(figures.accepted),
        "divergent": dict(figures.divergent),
        "not_compared": dict(figures.not_compared),
        "candidate_errors": dict(figures.candidate_errors),
        "harness_errors": dict(figures.harness_errors),
        "configs": figures.configs,
        "impact": {tool: dict(kinds) for tool, kinds in figures.impact.items()},
        "memory": {side.implementation: most._asdict() for side, most in figures.memory.items()},
        "strata": {name: dict(cells) for name, cells in figures.strata.items()},
        "latency": {
            side.implementation: latency.encoded() for side, latency in figures.latency.items()
        },
        "live": {side.implementation: count for side, count in figures.live.items()},
        "evicted": dict(figures.evicted),
        "dropped": dict(figures.evidence_dropped),
    }


def config_hash(config: object) -> str:
    """Give the SHA-256 of a plugin config, by which runs of one config are known."""
    try:
        text = json.dumps(config, sort_keys=True, default=repr)
    except (TypeError, ValueError, RecursionError):
        # Keys of several types, or a container in itself: equal texts still mean equal configs.
        text = repr(config)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def installed_versions() -> dict[str, str | None]:
    """Give the versions of the packages that take part."""
    return {name: _version(name) for name in PACKAGES}


def ledger_hash() -> str:
    """Give the SHA-256 of the shipped ledger."""
    return hashlib.sha256(shipped_text().encode()).hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _line(told: Mapping[str, object]) -> bytes:
    return json.dumps(told, separators=(",", ":"), default=repr).encode() + b"\n"


def _replace(path: Path, lines: bytes) -> None:
    """Put new contents in place of a file; a kill leaves the old ones or the new ones."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
