"""Files that a command is given to read: plain ones, that can be read again.

Traces and evidence are read more than once, by several processes, so that a pipe is refused before
anybody waits for it, and so is what has no name of its own: standard input, another descriptor.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

#: How a Parquet file begins.
PARQUET: Final = b"PAR1"

_FIRST_BYTES: Final = 512
_STDIN: Final = "-"
_DESCRIPTOR: Final = re.compile(r"/dev/(stdin|fd/\d+)|/proc/(self|thread-self|\d+)/(.*/)?fd/\d+")
_ODD_KINDS: Final = (
    (stat.S_ISDIR, "is a folder; a file is read"),
    (stat.S_ISFIFO, "is a pipe, and is read more than once; write it to a file first"),
    (stat.S_ISSOCK, "is a socket; a file is read"),
    (stat.S_ISCHR, "is a device, and is read more than once; write it to a file first"),
    (stat.S_ISBLK, "is a device; a file is read"),
)
#: How a file begins that has to be unpacked, or written anew, before it is read.
_ODD_BEGINNINGS: Final = (
    (b"\x1f\x8b", "is compressed by gzip; unpack it first, with gunzip"),
    (b"\x1f\x9d", "is compressed by compress; unpack it first, with uncompress"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd; unpack it first, with unzstd"),
    (b"\x04\x22\x4d\x18", "is compressed by lz4; unpack it first, with unlz4"),
    (b"BZh", "is compressed by bzip2; unpack it first, with bunzip2"),
    (b"\xfd7zXZ\x00", "is compressed by xz; unpack it first, with unxz"),
    (b"PK\x03\x04", "is a zip archive; unpack it first, with unzip"),
    (b"\xff\xfe", "is UTF-16 or UTF-32; write it as UTF-8 first"),
    (b"\xfe\xff", "is UTF-16 or UTF-32; write it as UTF-8 first"),
    (b"\xef\xbb\xbf", "begins with a byte order mark; write it as UTF-8 without one first"),
)


def trouble_with(path: Path, *, parquet: bool = False) -> str | None:
    """Say why what is there cannot be read as it is; ``None`` where it can.

    Nothing waits for whoever writes to a pipe.

    Args:
        path: Whose file; the path is not in the text.
        parquet: Whether it may be Parquet.

    Raises:
        OSError: There is no such file, or it cannot be opened.
    """
    if str(path) == _STDIN and not os.path.lexists(path):
        return "standard input is not read; write it to a file first"
    mode = path.stat().st_mode
    for is_kind, trouble in _ODD_KINDS:
        if is_kind(mode):
            return trouble
    if _DESCRIPTOR.fullmatch(os.path.abspath(path)):  # noqa: PTH100 - links are not followed
        return "is an open descriptor, which not every process has; name the file itself"
    with path.open("rb") as file:
        beginning = file.read(_FIRST_BYTES)
    if beginning.startswith(PARQUET):
        return None if parquet else "is Parquet; a text file is read here"
    for begins, trouble in _ODD_BEGINNINGS:
        if beginning.startswith(begins):
            return trouble
    return "has zero bytes, as UTF-16 has; write it as UTF-8 first" if 0 in beginning else None
