"""Small files in which the workers of a gateway leave something for each other."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST: Final = 1024 * 1024


def read(path: Path, longest: int = _LONGEST) -> bytes:
    """Read a regular file; never wait for whoever writes to a pipe.

    Args:
        path: The file.
        longest: What is longer is not read to its end, bytes.

    Raises:
        FileNotFoundError: There is none.
        OSError: It cannot be read, or is no regular file (ENXIO).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.ENXIO, "no regular file")
        return file.read(longest)


def write(path: Path, text: str) -> None:
    """Put a file in the place of the old one; whoever reads meanwhile has one of them whole.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Hidden: whoever looks for runs takes another file that was never finished for a run's.
    part = path.with_name(f".{path.name[:100]}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
