"""Processes that end with the one that started them, however that one ends.

A killed parent cleans nothing up. Linux kills its children where they asked for that before; the
request outlives an ``exec``, and a grandchild has to make its own. Elsewhere a thread of the child
looks each second whether its parent is there.

A program is started through this file as a script: ``Popen(bound([...]))``. It imports the standard
library only, and nothing of this package.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_SET_PDEATHSIG: Final = 1
#: Seconds between two looks at whether the parent is there, where the system does not tell.
_LOOK_S: Final = 1.0


def bound(command: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Give the command that runs another one, which ends when this process does.

    The program has the process id, the standard streams and the descriptors that it would have had.
    Start it from a thread that lives as long as it shall: the system takes the end of that thread
    for the end of the parent.

    Raises:
        FileNotFoundError: There is no such program.
    """
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    launcher = [sys.executable, "-IS", __file__, str(os.getpid())]
    return [*launcher, *(os.fspath(part) for part in command)]


def end_worker_with_parent() -> None:
    """End this process, which `multiprocessing` has started, when its parent ends."""
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None and parent.pid is not None:
        end_with_parent(parent.pid)


def end_with_parent(parent: int) -> None:
    """End this process when its parent ends.

    Args:
        parent: Process id of the parent, as it was when this process was made.
    """
    if not _ask_the_system():
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        # It ended before anybody was asked.
        os.kill(os.getpid(), signal.SIGKILL)


def _ask_the_system() -> bool:
    if sys.platform != "linux":
        return False
    import ctypes

    try:
        set_option = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return False
    return bool(set_option(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) == 0)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def _become(parent: int, command: list[str]) -> None:
    """Become another program; end with 127 and one line where there is none, as a shell does."""
    _ask_the_system()
    if os.getppid() != parent:
        os._exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - that is what it is for
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127)


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
