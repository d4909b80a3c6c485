"""Where the command line's output goes: consoles, and JSON files."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

from rich.console import Console

STDOUT: Final = "-"
_PLAIN_WIDTH: Final = 100


class OutputError(ValueError):
    """Output cannot be written where it was asked for; the message is one line."""


class _Console(Console):
    """A console whose broken pipe is told as everywhere else; rich's own ends with status 1."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


class _Patient(io.TextIOWrapper):
    """A standard error that cannot be written is no reason to end: what was found stays so."""

    def write(self, text: str) -> int:
        """Write, or do not."""
        with contextlib.suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """Write what waits, or do not."""
        with contextlib.suppress(OSError):
            super().flush()


def occupy_standard_streams() -> None:
    """See that the three standard streams are there, whoever closed them, and can show any name.

    INVARIANT: afterwards no file that is opened has one of their descriptors, so that nothing that
    is printed gets into it. Writing to a standard output that was closed fails as any other output
    that cannot be written.
    """
    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest that is free is given.
            os.open(os.devnull, flags)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays open
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as above
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as above
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Tool names are of any script; a terminal that cannot show one must not end the run.
            stream.reconfigure(errors="replace")
    if type(sys.stderr) is io.TextIOWrapper:
        stderr = sys.stderr
        encoding, buffered = stderr.encoding, stderr.line_buffering
        sys.stderr = _Patient(
            stderr.detach(), encoding, errors="replace", line_buffering=buffered, write_through=True
        )


def discard_output() -> None:
    """Let nothing more be written to standard output: it would fail again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console(*, stderr: bool) -> Console:
    """Give a console; of a fixed width where nobody's terminal has one."""
    made = _Console(stderr=stderr)
    if not made.is_terminal:
        made.width = _PLAIN_WIDTH
    return made


def printable(text: str) -> str:
    """Escape what a terminal would act on: some of the text is a build's."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def refuse(message: str, status: int) -> int:
    """Say in one line, whatever names are in it, why a command ends; give its exit status."""
    sys.stderr.write(f"retry-parity: {printable(message)}\n")
    return status


def check_json_target(target: str | None) -> None:
    """Refuse a JSON file before the work is done rather than afterwards.

    Raises:
        OutputError: Its folder does not exist, or it is a folder.
    """
    if target is None or target == STDOUT:
        return
    if not Path(target).absolute().parent.is_dir():
        message = f"{target}: its folder does not exist"
        raise OutputError(message)
    if Path(target).is_dir():
        message = f"{target}: it is a folder, a file is allowed"
        raise OutputError(message)


def write_json(target: str | None, data: dict[str, Any]) -> None:
    """Write data to a file, to standard output (``-``), or nowhere (``None``).

    Raises:
        OutputError: The file cannot be written.
    """
    if target is None:
        return
    text = json.dumps(data, indent=2) + "\n"
    if target == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()  # no certificate for a verdict that cannot be written
        return
    write_whole(Path(target), text)


def write_whole(path: Path, text: str) -> None:
    """Write a file as a whole: whoever reads meanwhile has the old one or the new one.

    A device or a pipe is written to; a link goes on pointing where it does.

    Raises:
        OutputError: It cannot be written.
    """
    path = Path(os.path.realpath(path))
    part = path.with_name(f".{path.name[:100]}.{os.getpid()}.part")
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8", newline="\n")
            return
        try:
            part.write_text(text, encoding="utf-8", newline="\n")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror or error}"
        raise OutputError(message) from error
