"""Processes that end with the one that started them, however that one ends.

A killed parent cleans nothing up. A program is started through this file as a script,
``Popen(bound([...]))``, which leaves a watcher in the program's process group: it ends the group
when the parent or the program ends, and so what the program has started (a compiler of cargo's, a
worker of pytest's). A worker of our own asks Linux for the same; elsewhere a thread of it looks.

It imports the standard library only, and nothing of this package.
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import ProcessPoolExecutor

_PR_SET_PDEATHSIG: Final = 1
#: Seconds between two looks at whether the parent is there, where the system does not tell.
_LOOK_S: Final = 1.0


def bound(command: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Give the command that runs another one, which ends when this process does.

    The program has the process id, the standard streams and the descriptors that it would have had,
    and leads a process group: Ctrl-C reaches this process alone, which ends the program.

    Raises:
        FileNotFoundError: There is no such program.
    """
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    launcher = [sys.executable, "-IS", __file__, str(os.getpid())]
    return [*launcher, *(os.fspath(part) for part in command)]


def end_pool(pool: ProcessPoolExecutor) -> None:
    """End the workers of a pool, whatever they are doing, and forget what was still to be done."""
    for process in list((pool._processes or {}).values()):  # noqa: SLF001 - it has no way to do it
        process.kill()
    pool.shutdown(cancel_futures=True)


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
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    _leave_a_watcher(parent)
    try:
        os.execvp(command[0], command)  # noqa: S606 - that is what it is for
    except OSError as error:
        os.write(2, f"{command[0]} cannot be started: {error.strerror}\n".encode())
        os._exit(127)


def _leave_a_watcher(parent: int) -> None:
    """Fork the process that ends this one's group; nobody's child, or the program might await it.

    INVARIANT: it is of the group, whose number is therefore no other's as long as it may kill.
    """
    program = os.getpid()
    ends = [_end_of(each) for each in (parent, program)]
    if os.getppid() != parent:  # it ended before it could be watched
        os._exit(1)
    # Whoever asks the group to end asks the program.
    mask = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    middle = os.fork()
    if middle == 0:
        if os.fork() == 0:
            _watch_both((parent, program), ends)
        os._exit(0)
    os.waitpid(middle, 0)
    for end in ends:
        if end is not None:
            os.close(end)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _end_of(process: int) -> int | None:
    """Give what can be waited on until a process has ended; ``None`` where there is no such."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # an old kernel, a sandbox, an old build
            return os.pidfd_open(process)
    return None


def _watch_both(processes: Sequence[int], ends: Sequence[int | None]) -> None:
    try:
        kept = {end for end in ends if end is not None}
        # Whoever reads what the program writes must see its end.
        for descriptor in range(max(kept, default=-1) + 1):
            if descriptor not in kept:
                with suppress(OSError):
                    os.close(descriptor)
        os.closerange(max(kept, default=-1) + 1, os.sysconf("SC_OPEN_MAX"))
        if len(kept) == len(ends):
            ended = select.poll()
            for end in kept:
                ended.register(end, select.POLLIN)
            ended.poll()
        else:
            while all(_is_there(process) for process in processes):
                time.sleep(_LOOK_S)
    finally:
        os.kill(0, signal.SIGKILL)


def _is_there(process: int) -> bool:
    """Look where nothing can be waited on; one that nobody has awaited yet is still there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
