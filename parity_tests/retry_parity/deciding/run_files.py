"""Finding runs on disk without keeping them in memory.

A run is in a folder of its own (`evidence_files`), or a line of a merged file (`merging`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, NoReturn

from retry_parity.deciding.problems import shown
from retry_parity.deciding.values import is_count, is_shallow, is_time
from retry_parity.evidence_files import COUNTS, FORMAT, SAMPLES, TIMING, Source
from retry_parity.guard import Trip, parse_trip, stored_trips
from retry_parity.input import trouble_with
from retry_parity.traces.reading import TRACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from retry_parity.deciding.problems import Problems

#: The kind of a merged file's lines.
MERGED: Final = "merged-run"
#: The kind of its lines about guards that have tripped.
MERGED_GUARD: Final = "merged-guard"
#: The kind of its last line, which says how many they are: one that was cut off between two lines
#: does not look whole.
MERGED_END: Final = "merged-end"
#: A line that is longer is none that the harness wrote, bytes.
LONGEST_LINE: Final = 64 * 1024 * 1024
#: What is wrong with a run that cannot be counted. Such a run might have shown anything.
UNREADABLE: Final = "a run that cannot be read"
#: What is wrong where a kill or a full disk ended a line.
CUT_OFF: Final = "a last line that was cut off, left out"

_DECODER: Final = json.JSONDecoder()
_HEAD: Final = re.compile(rb'\{"kind":"counts","sequence":(\d{1,15}),"at":(\d{1,12}(?:\.\d+)?),')
_MERGED_HEAD: Final = b'{"kind":"%s","run":' % MERGED.encode()
#: The name of a worker's folder: a cleaner by age leaves the folder and takes what is in it.
_RUN_ID: Final = re.compile(r".*-\d+-\d+-[0-9a-f]{6}")
#: What a run leaves beside its counts, or before them.
_BESIDE: Final = frozenset({SAMPLES, TRACE, TIMING})
#: A file system's own folder at its root, which only root may read.
_FOUND_BY_FSCK: Final = "lost+found"
_MERGED_NEXT: Final = re.compile(r',"sequence":(\d{1,15}),"counts":\{')


class EvidenceError(ValueError):
    """Evidence cannot be used; the message is one line."""


class Traits(NamedTuple):
    """What decides whether a run counts."""

    plugin: str
    source: str
    config: str
    ledger: str
    candidate: str
    versions: tuple[tuple[str, str | None], ...]


class Found(NamedTuple):
    """Where a run is.

    Attributes:
        run: Its id.
        sequence: Running number of its last counts.
        traits: What decides whether it counts.
        about: Digest of its first line.
        path: ``counts.jsonl``, or the merged file.
        offset: Where in it the last counts begin, or the merged line.
        merged: Whether it is in a merged file.
    """

    run: str
    sequence: int
    traits: Traits
    about: bytes
    path: Path
    offset: int
    merged: bool


def canonical(data: object) -> bytes:
    """Give data as the one JSON text that stands for it."""
    return json.dumps(data, separators=(",", ":"), sort_keys=True).encode()


def parsed(line: bytes) -> dict[str, Any] | None:
    """Give a line that is a JSON object; ``None`` for any other."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def opened(path: Path) -> BinaryIO:
    """Open a file for reading; a pipe would wait for whoever writes to it.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "is no regular file")
    return path.open("rb")


def evidence_paths(given: Sequence[str]) -> list[Path]:
    """Give the paths that a command line names.

    Raises:
        EvidenceError: One is empty, which would stand for the current folder.
    """
    for each in given:
        if not each.strip():
            message = f"EVIDENCE: {each!r} is no path; name a folder or a file"
            raise EvidenceError(message)
    return [Path(each) for each in given]


class Guards:
    """The guards that have tripped, by plugin and id of the trip: each once, its reset if any."""

    def __init__(self) -> None:
        """Know of none."""
        self._trips: dict[tuple[str, str, str], Trip] = {}
        self._seen: set[Path] = set()

    def add(self, plugin: str, trip: Trip) -> None:
        """Add a trip; one that was reset stays so, if it can be read."""
        # Nonsense that one folder has is not that of another, whatever was reset there.
        key = plugin, trip.id, "" if trip.is_readable else trip.reset
        known = self._trips.setdefault(key, trip)
        self._trips[key] = max(known, trip, key=lambda each: (each.reset, repr(each)))

    def look_into(self, folder: Path) -> None:
        """Read the guards' files of a folder, once.

        Raises:
            EvidenceError: The folder, or such a file, cannot be read.
        """
        if folder in self._seen:
            return
        self._seen.add(folder)
        try:
            trips = stored_trips(folder)
        except OSError as error:
            _refuse(error)
        for plugin, trip in trips.items():
            self.add(plugin, trip)

    def items(self) -> Iterator[tuple[str, Trip]]:
        """Give plugin and trip, always in the same order."""
        for (plugin, _, _), trip in sorted(self._trips.items()):
            yield plugin, trip


def count_files(paths: Sequence[Path], guards: Guards) -> Iterator[Path]:
    """Give the files with counts under folders, and files that are named themselves.

    Links to folders are followed, and each folder is looked at once. A folder in which a run left
    anything else is one whose counts are lost: the file that should be there is given.

    Args:
        paths: The folders and files.
        guards: Those that have tripped go there; their files lie beside the folders of the runs.

    Raises:
        EvidenceError: A path is neither, cannot be read, or a folder has no evidence.
    """
    for path in paths:
        if not path.is_dir():
            _refuse_what_cannot_be_read(path)
            if path.name == COUNTS:
                _look_above(path.parent, guards)
            yield path
            continue
        empty = True
        seen: set[str] = set()
        for folder, folders, names in os.walk(path, onerror=_refuse, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            guards.look_into(Path(real))
            if _RUN_ID.fullmatch(Path(folder).name) or _is_of_a_run(folders, names):
                empty = False
                _look_above(Path(folder), guards)
                yield Path(folder) / COUNTS
            folders[:] = sorted(set(folders) - {COUNTS, _FOUND_BY_FSCK})
        if empty:
            message = f"{path}: no evidence in this folder; a merged file is given by its own name"
            raise EvidenceError(message)


def _refuse_what_cannot_be_read(path: Path) -> None:
    try:
        trouble = trouble_with(path)
    except FileNotFoundError:
        trouble = "no such file or folder"
    except OSError as error:
        _refuse(error)
    if trouble:
        message = f"{path}: {trouble}"
        raise EvidenceError(message)


def _look_above(run: Path, guards: Guards) -> None:
    """Look for guards in the folder of evidence that a run is in: that of its plugin, or above.

    Raises:
        EvidenceError: What is there cannot be read.
    """
    plugin = run.resolve().parent
    for folder in (plugin, plugin.parent):
        guards.look_into(folder)


def _is_of_a_run(folders: Sequence[str], names: Sequence[str]) -> bool:
    return COUNTS in folders or any(
        name == COUNTS or name in _BESIDE or (name.endswith(".part") and name[0] != ".")
        for name in names
    )


def _refuse(error: OSError) -> NoReturn:
    message = f"{error.filename}: cannot be read: {(error.strerror or 'error').lower()}"
    raise EvidenceError(message) from error


def scan(path: Path, problems: Problems, guards: Guards) -> list[Found]:
    """Find the runs of a file: one in ``counts.jsonl``, any number in a merged file.

    Args:
        path: The file.
        problems: What is odd goes there.
        guards: Those of a merged file go there.

    Raises:
        EvidenceError: The file cannot be read, or is no evidence at all.
    """
    if not path.is_file():
        why = f"its {COUNTS} is no file" if os.path.lexists(path) else f"it has no {COUNTS}"
        problems.add(f"{UNREADABLE}, {why}", path.parent)
        return []
    try:
        with opened(path) as file:
            first = parsed(file.readline(LONGEST_LINE))
            kind = None if first is None else first.get("kind")
            if kind == MERGED:
                file.seek(0)
                return list(_scan_merged(path, file, problems, guards))
            if first is not None and kind == "run":
                found = scan_counts(path, file, first, problems)
                return [] if found is None else [found]
    except OSError as error:
        message = f"{path}: cannot be read: {(error.strerror or 'error').lower()}"
        raise EvidenceError(message) from error
    if path.name != COUNTS:
        message = f"{path}: is neither a merged file nor a {COUNTS}"
        raise EvidenceError(message)
    problems.add(f"{UNREADABLE}, no line about the run at the beginning", path)
    return []


def _scan_merged(path: Path, file: BinaryIO, problems: Problems, guards: Guards) -> Iterator[Found]:
    offset = since_end = guards_since_end = 0
    is_whole = True
    while raw := file.readline(LONGEST_LINE):
        line = _glance_merged(raw) or parsed(raw)
        if line is not None and line.get("kind") == MERGED_END:
            # Merged files one after the other are as good as one.
            expected = line.get("runs"), line.get("guards", 0)
            if expected != (since_end, guards_since_end) or not raw.endswith(b"\n"):
                what = f"{UNREADABLE}, lines of a merged file are missing"
                problems.add(what, f"{path} ({since_end:,} of {shown(line.get('runs'))})")
            since_end = guards_since_end = 0
        elif line is not None and line.get("kind") == MERGED_GUARD:
            guards.add(str(line.get("plugin")), parse_trip(line.get("trip"), canonical(line)))
            guards_since_end += 1
        else:
            since_end += 1
            found = _found_in_line(line, path, offset, problems)
            if found is not None:
                yield found
            is_whole = found is not None
        offset += len(raw)
    if since_end and is_whole:
        # Where the last line is torn, that was told.
        problems.add(f"{UNREADABLE}, a merged file was cut off", f"{path} after {since_end:,} runs")


def _found_in_line(
    line: Mapping[str, Any] | None, path: Path, offset: int, problems: Problems
) -> Found | None:
    if line is None or line.get("kind") != MERGED:
        problems.add(f"{UNREADABLE}, no whole line in a merged file", f"{path} byte {offset}")
        return None
    about, counts = line.get("run"), line.get("counts")
    traits = _traits(about, path, problems)
    if traits is None or not isinstance(about, dict):
        return None
    sequence = counts.get("sequence") if isinstance(counts, dict) else None
    if not is_count(sequence):
        problems.add(f"{UNREADABLE}, it has no counts", f"{path} byte {offset}")
        return None
    return Found(about["run"], sequence, traits, _digest(about), path, offset, merged=True)


def scan_counts(
    path: Path, file: BinaryIO, about: dict[str, Any], problems: Problems
) -> Found | None:
    """Find the last whole line of counts.

    Args:
        path: The file's.
        file: The file, after its first line.
        about: The first line.
        problems: What is odd goes there.

    Returns:
        Where it is; ``None`` where the run cannot be read.
    """
    traits = _traits(about, path, problems)
    if traits is None:
        return None
    start = file.tell()
    lines = _Lines(file, trusting=True)
    if lines.best is not None:
        file.seek(lines.best[1])
        if _read_counts(file.readline(LONGEST_LINE)) is None:
            file.seek(start)
            lines = _Lines(file, trusting=False)
    lines.tell(path, problems)
    if lines.best is None:
        problems.add(f"{UNREADABLE}, it has no counts", path)
        return None
    sequence, offset = lines.best
    return Found(about["run"], sequence, traits, _digest(about), path, offset, merged=False)


class _Lines:
    """What the lines of counts say together."""

    def __init__(self, file: BinaryIO, *, trusting: bool) -> None:
        """Read all lines.

        Args:
            file: After the line about the run.
            trusting: Whether a line that looks whole is taken to be whole: parsing all of them
                takes longer than everything else, and only one counts.
        """
        #: Sequence and place of the line that counts.
        self.best: tuple[int, int] | None = None
        self._last_at = 0.0
        self._goes_back = self._is_cut_off = False
        self._bad = 0
        offset = file.tell()
        while line := file.readline(LONGEST_LINE):
            told = (_glance(line) if trusting else None) or _read_counts(line)
            if told is not None:
                self._take(*told, offset)
            elif not line.endswith(b"\n"):
                self._is_cut_off = True
            elif line != b"\n":
                self._bad += 1
            offset += len(line)

    def _take(self, sequence: int, at: float, offset: int) -> None:
        best = -1 if self.best is None else self.best[0]
        self._goes_back |= at < self._last_at or sequence <= best
        self._last_at = at
        if sequence >= best:
            self.best = sequence, offset

    def tell(self, path: Path, problems: Problems) -> None:
        if self._is_cut_off:
            problems.add(CUT_OFF, path)
        if self._bad:
            problems.add("lines that are no counts, left out", f"{path} ({self._bad:,})")
        if self._goes_back:
            what = "the clock or the sequence goes backwards; the highest sequence counts"
            problems.add(what, path)


def _traits(about: object, path: Path, problems: Problems) -> Traits | None:
    """Give what decides whether a run counts; ``None`` where it cannot be read at all."""
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        given = about.get("format") if isinstance(about, dict) else None
        problems.add(f"{UNREADABLE}, its format is {given!r:.20}, {FORMAT} is known", path)
        return None
    texts = [about.get(name) for name in ("plugin", "source", "config", "ledger", "candidate")]
    versions, run = about.get("versions"), about.get("run")
    is_complete = all(isinstance(text, str) for text in [run, *texts])
    if not is_complete or not isinstance(versions, dict) or not is_shallow(about):
        problems.add(f"{UNREADABLE}, its first line lacks what has to be there", path)
        return None
    if about["source"] not in set(Source):
        problems.add(f"{UNREADABLE}, its source is {shown(about['source'])!r:.20}", path)
        return None
    # Equal texts of many runs are one object.
    plugin, source, config, ledger, candidate = (sys.intern(str(text)) for text in texts)
    return Traits(plugin, source, config, ledger, candidate, _interned(versions))


_versions: dict[tuple[tuple[str, str | None], ...], tuple[tuple[str, str | None], ...]] = {}


def _interned(versions: Mapping[str, object]) -> tuple[tuple[str, str | None], ...]:
    key = tuple(
        sorted((name, None if each is None else str(each)) for name, each in versions.items())
    )
    return _versions.setdefault(key, key)


def _glance_merged(raw: bytes) -> dict[str, Any] | None:
    """Read a line that looks whole as far as it tells which run it is, and in which state."""
    if not raw.startswith(_MERGED_HEAD) or not raw.endswith(b"]}\n") or not _is_balanced(raw):
        return None
    try:
        text = raw.decode("ascii")
        about, end = _DECODER.raw_decode(text, len(_MERGED_HEAD))
    except (ValueError, RecursionError):
        return None
    following = _MERGED_NEXT.match(text, end)
    if following is None:
        return None
    return {"kind": MERGED, "run": about, "counts": {"sequence": int(following[1])}}


def _is_balanced(line: bytes) -> bool:
    """Whether as many braces are closed as are opened; not so where a line was cut off."""
    return line.count(b"{") == line.count(b"}")


def _glance(line: bytes) -> tuple[int, float] | None:
    """Read sequence and time of a line that looks whole."""
    head = _HEAD.match(line)
    if head is None or not line.endswith(b"}\n") or not _is_balanced(line):
        return None
    return int(head[1]), float(head[2])


def _read_counts(line: bytes) -> tuple[int, float] | None:
    told = parsed(line)
    if told is None or told.get("kind") != "counts" or not is_shallow(told):
        return None
    # A replay says no times, so that it is the same each time.
    sequence, at = told.get("sequence"), told.get("at", 0.0)
    if not is_count(sequence) or not is_time(at):
        return None
    return sequence, float(at)


def _digest(about: Mapping[str, object]) -> bytes:
    return hashlib.sha256(canonical(about)).digest()
