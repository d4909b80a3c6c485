"""Opening traces, whatever they are in: a file, several, or a folder of evidence."""

from __future__ import annotations

import hashlib
import os.path
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

from retry_parity.input import PARQUET as MAGIC
from retry_parity.input import trouble_with
from retry_parity.traces.calls import Header, TraceError
from retry_parity.traces.jsonl import header_of, read_jsonl

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from retry_parity.traces.calls import Batch, Gaps, Part

#: What a worker records, beside its counts.
TRACE: Final = "trace.jsonl"
PARQUET: Final = ".parquet"

Advance: TypeAlias = Callable[[int], object]


def _nobody(_: int) -> None:
    """Tell nobody of progress."""


@dataclass(frozen=True)
class TraceFile:
    """One recording: a process, its clock and its chains. It can be pickled.

    Attributes:
        path: The file.
        header: What it says of itself; empty where it says nothing.
        size_bytes: Its size when it was opened.
        calls: How many there are; ``None`` where only reading would tell.
        is_parquet: Whether it is Parquet; otherwise it is JSON lines.
    """

    path: Path
    header: Header
    size_bytes: int
    calls: int | None
    is_parquet: bool

    def batches(self, part: Part, gaps: Gaps, advance: Advance = _nobody) -> Iterator[Batch]:
        """Read the calls of a part, in order.

        Args:
            part: Which chains.
            gaps: What is no call is added here. Only the first part does, so that parts add up.
            advance: Told how many more bytes of the file were read; `size_bytes` in all.

        Raises:
            TraceError: The file cannot be used; one line says where and why.
        """
        if self.is_parquet:
            batches: Iterator[Batch] = parquet(self.path).read_parquet(
                self.path, part, gaps, advance
            )
            return batches
        return read_jsonl(self.path, part, gaps, advance)

    @cached_property
    def sha256(self) -> str:
        """Hash of the file's bytes; the file is read for it.

        Raises:
            TraceError: It cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(self.path, error) from error


@dataclass(frozen=True)
class Trace:
    """One recording or several.

    Several are read one after the other. Each has its own clock, and request ids are unique within
    one only: whoever replays forgets all chains between two files.

    Attributes:
        files: The recordings, by path. The order in which they were named does not matter.
        twice: Paths of files that are there already under another path; they are not read again.
    """

    files: tuple[TraceFile, ...]
    twice: tuple[Path, ...] = ()

    @property
    def header(self) -> Header:
        """What all files say alike."""
        first, *others = (file.header for file in self.files)
        alike = {
            field.name: getattr(first, field.name)
            for field in fields(Header)
            if all(getattr(other, field.name) == getattr(first, field.name) for other in others)
        }
        return Header(**alike)

    @property
    def calls(self) -> int | None:
        """How many calls there are; ``None`` where only reading would tell."""
        known = [file.calls for file in self.files if file.calls is not None]
        return sum(known) if len(known) == len(self.files) else None

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def sha256(self) -> str:
        """Hash of the contents: that of the file, or of several files' hashes, sorted."""
        if len(self.files) == 1:
            return self.files[0].sha256
        hashes = sorted(file.sha256 for file in self.files)
        return hashlib.sha256("\n".join(hashes).encode()).hexdigest()

    def batches(self, part: Part, gaps: Gaps, advance: Advance = _nobody) -> Iterator[Batch]:
        """Read all files, one after the other; ``seq`` and time begin anew with each.

        Args:
            part: Which chains of each file.
            gaps: What is no call is added here, by the first part only.
            advance: Told how many more bytes were read; `size_bytes` in all.

        Raises:
            TraceError: A file cannot be used.
        """
        for file in self.files:
            yield from file.batches(part, gaps, advance)


def open_trace(paths: Sequence[Path]) -> Trace:
    """Open recordings; what is in them is read later.

    Args:
        paths: Files of JSON lines or Parquet, by their content, whatever their names; and folders,
            in which every ``trace.jsonl`` and ``*.parquet`` counts, however deep.

    Raises:
        TraceError: There is none, one cannot be opened, or two are different states of one run.
    """
    found = [each for path in paths for each in _files_at(path)]
    if not found:
        message = "no trace was named"
        raise TraceError(message)
    files: list[TraceFile] = []
    twice: list[Path] = []
    known: set[str] = set()
    for path in sorted(found):
        resolved = os.path.realpath(path)
        if resolved in known:
            twice.append(path)
            continue
        known.add(resolved)
        file = _open(path)
        if any(_is_same(file, other) for other in files):
            twice.append(path)
        else:
            files.append(file)
    return Trace(tuple(files), tuple(twice))


def parquet(path: Path) -> ModuleType:
    """Give the module that reads and writes Parquet; it needs packages of an extra.

    Raises:
        TraceError: They are not installed.
    """
    try:
        from retry_parity.traces import parquet as module
    except ImportError as error:
        message = f"{path}: Parquet needs {error.name}; install retry-parity[traces]"
        raise TraceError(message) from error
    return module


def is_recording(path: Path) -> bool:
    """Say whether there is a trace to open, in a folder in which one may be.

    A worker that was killed before its first line leaves an empty file, which is none. What is
    neither file nor folder (a pipe, a link that leads nowhere) is one, to be refused when it is
    opened: its calls must not get lost unseen.
    """
    if path.is_file():
        return path.stat().st_size > 0
    return os.path.lexists(path) and not path.is_dir()


def _files_at(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    # Asked for by its whole name, a link that leads nowhere is not found.
    found = (each for each in path.rglob("*") if each.name == TRACE or each.name.endswith(PARQUET))
    files = [each for each in found if is_recording(each)]
    if not files:
        message = f"{path}: has no {TRACE} and no *{PARQUET}; name other files one by one"
        raise TraceError(message)
    return files


def _open(path: Path) -> TraceFile:
    try:
        if trouble := trouble_with(path, parquet=True):
            message = f"{path}: {trouble}"
            raise TraceError(message)
        with path.open("rb") as file:
            is_parquet = file.read(len(MAGIC)) == MAGIC
            size = path.stat().st_size
    except FileNotFoundError as error:
        message = f"{path}: no such file"
        raise TraceError(message) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if is_parquet:
        header, calls = parquet(path).look_into(path)
        return TraceFile(path, header, size, calls, is_parquet)
    return TraceFile(path, header_of(path) or Header(), size, None, is_parquet)


def _is_same(file: TraceFile, other: TraceFile) -> bool:
    """Say whether two files are one recording.

    Raises:
        TraceError: They are, and one has more of it than the other.
    """
    if file.size_bytes == other.size_bytes and file.sha256 == other.sha256:
        return True
    run = file.header.run
    if run and run == other.header.run and file.header.source == other.header.source:
        message = f"{file.path}: is of the same run as {other.path}, with other contents; name one"
        raise TraceError(message)
    return False


def _unreadable(path: Path, error: OSError) -> TraceError:
    return TraceError(f"{path}: cannot be read: {error.strerror or error}")
