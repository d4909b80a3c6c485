"""Stored inputs: a text file for each target, one input a line.

Printable ASCII stands for itself; a backslash is doubled, and any other byte is escaped as in a
bytes literal. Lines that begin with ``#`` are comments. What stands below the line `FOUND` is the
engine's, and written anew by ``--store``; what stands above it is kept by hand.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FOUND: Final = "# Found by the engine (stored by `python fuzz/run --store`)."

#: Inputs that the engine may leave in the repository, for each target, and their bytes.
MOST_FOUND: Final = 250
MOST_BYTES: Final = 60_000

_NAMED: Final = {"n": b"\n", "r": b"\r", "t": b"\t", "\\": b"\\"}
_NAMES: Final = {value[0]: f"\\{name}" for name, value in _NAMED.items()}
_PART: Final = re.compile(r"\\x([0-9a-f]{2})|\\([nrt\\])|([ -\[\]-~])")


class CorpusError(Exception):
    """A stored corpus cannot be read."""


def escaped(given: bytes) -> str:
    """Write an input as a line."""
    printable = range(0x20, 0x7F)
    line = "".join(
        _NAMES.get(byte) or (chr(byte) if byte in printable else f"\\x{byte:02x}") for byte in given
    )
    # A line that begins as a comment does would be one.
    return f"\\x23{line[1:]}" if line.startswith("#") else line


def unescaped(line: str) -> bytes:
    """Read a line.

    Raises:
        ValueError: Something in it is no printable character and no escape.
    """
    given = bytearray()
    at = 0
    while at < len(line):
        part = _PART.match(line, at)
        if part is None:
            message = f"column {at + 1}: no printable character and no escape"
            raise ValueError(message)
        code, name, plain = part.groups()
        given += bytes.fromhex(code) if code else _NAMED[name] if name else plain.encode()
        at = part.end()
    return bytes(given)


def read(path: Path) -> list[bytes]:
    """Read all inputs of a corpus; none where there is no file yet.

    Raises:
        CorpusError: A line is no input.
    """
    if not path.exists():
        return []
    inputs = []
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        if line.startswith("#"):
            continue
        try:
            inputs.append(unescaped(line))
        except ValueError as error:
            message = f"{path}:{number}: {error}"
            raise CorpusError(message) from error
    return inputs


def kept_by_hand(path: Path) -> list[str]:
    """Give the lines of a corpus that are not the engine's."""
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return lines[: lines.index(FOUND)] if FOUND in lines else lines


def store(path: Path, found: Iterable[bytes]) -> int:
    """Replace the engine's inputs of a corpus, the shortest first, as many as there may be.

    Returns:
        How many are stored.
    """
    lines = kept_by_hand(path)
    known = {line for line in lines if not line.startswith("#")}
    stored: list[str] = []
    size = 0
    for line in sorted(
        {escaped(each) for each in found} - known, key=lambda line: (len(line), line)
    ):
        size += len(line) + 1
        if len(stored) == MOST_FOUND or size > MOST_BYTES:
            break
        stored.append(line)
    path.write_text("\n".join([*lines, FOUND, *stored]) + "\n", encoding="ascii")
    return len(stored)


def spread(inputs: Iterable[bytes], folder: Path) -> None:
    """Write inputs as the engine reads them: a file each, in a folder of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for given in inputs:
        (folder / hashlib.sha1(given, usedforsecurity=False).hexdigest()).write_bytes(given)
