"""Files that a command is given to read: plain ones, that can be read again.

Traces and evidence are read more than once, by several processes, so that a pipe is refused before
anybody waits for it.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_FIRST_BYTES: Final = 6
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
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd; unpack it first, with unzstd"),
    (b"BZh", "is compressed by bzip2; unpack it first, with bunzip2"),
    (b"\xfd7zXZ\x00", "is compressed by xz; unpack it first, with unxz"),
    (b"PK\x03\x04", "is a zip archive; unpack it first, with unzip"),
    (b"\xff\xfe", "is UTF-16; write it as UTF-8 first"),
    (b"\xfe\xff", "is UTF-16; write it as UTF-8 first"),
    (b"\xef\xbb\xbf", "begins with a byte order mark; write it as UTF-8 without one first"),
)


def trouble_with(path: Path) -> str | None:
    """Say why what is there cannot be read as it is; ``None`` where it can.

    Nothing waits for whoever writes to a pipe.

    Args:
        path: Whose file; the path is not in the text.

    Raises:
        OSError: There is no such file, or it cannot be opened.
    """
    mode = path.stat().st_mode
    for is_kind, trouble in _ODD_KINDS:
        if is_kind(mode):
            return trouble
    with path.open("rb") as file:
        beginning = file.read(_FIRST_BYTES)
    return next((why for begins, why in _ODD_BEGINNINGS if beginning.startswith(begins)), None)
