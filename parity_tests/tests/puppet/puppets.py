"""Two puppets: one gives every step back, the other one does what the step says."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable


class Calm:
    """Gives every step back."""

    def act(self, step: str) -> Any:
        """Do nothing."""
        return step


class Wild(Calm):
    """Does what the step's first word names, if it names anything."""

    def __init__(self) -> None:
        """Begin to count."""
        self._acts = 0

    def act(self, step: str) -> Any:
        """Do it."""
        self._acts += 1
        if step == "count":
            return self._acts
        name, _, rest = step.partition(" ")
        act = _ACTS.get(name)
        return step if act is None else act(rest)


class UnspeakableError(Exception):
    """An error that raises when it is to be told."""

    def __str__(self) -> str:
        """Raise."""
        raise RuntimeError("it cannot be told")


def _spin(_: str) -> NoReturn:
    while True:
        pass


def _sleep(_: str) -> None:
    time.sleep(3600)


def _stop(seconds: str) -> str:
    if seconds and os.fork() == 0:
        time.sleep(float(seconds))
        os.kill(os.getppid(), signal.SIGCONT)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGSTOP)
    return f"stop {seconds}"


def _deadlock(_: str) -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def _segfault(_: str) -> None:
    ctypes.string_at(0)


def _interrupt(_: str) -> NoReturn:
    raise KeyboardInterrupt


def _unspeakable(_: str) -> NoReturn:
    raise UnspeakableError


def _recurse(text: str) -> None:
    _recurse(text)


def _print(text: str) -> str:
    print(text)  # noqa: T201 - what it is for
    return f"print {text}"


def _write(text: str) -> str:
    os.write(1, text.encode("utf-8", "surrogateescape"))
    return f"write {text}"


def _close_stream(_: str) -> str:
    sys.stdout.close()
    return "close-stream"


def _close_descriptor(_: str) -> str:
    os.close(1)
    return "close-descriptor"


def _replace_stream(_: str) -> str:
    sys.stdout = io.StringIO()
    print("into the void")  # noqa: T201 - what it is for
    return "replace-stream"


def _replace_descriptor(path: str) -> str:
    os.dup2(os.open(path or os.devnull, os.O_RDWR), 1)
    return f"replace-descriptor {path}"


def _reopen_descriptor(path: str) -> str:
    os.close(1)
    os.open(path, os.O_RDWR)  # the lowest number that is free: 1
    return f"reopen-descriptor {path}"


def _pipes() -> list[int]:
    """Find the worker's own pipes: what a build never has to know."""
    return [int(text) for text in sys.argv[1:3]]


def _close_all(_: str) -> None:
    os.closerange(3, 256)


def _garble_length(_: str) -> None:
    os.write(_pipes()[1], b"\xff" * 8 + b"rubbish")


def _garble_huge(_: str) -> None:
    os.write(_pipes()[1], struct.pack("<Q", 2**46) + b"rubbish")


def _garble_pickle(_: str) -> None:
    os.write(_pipes()[1], struct.pack("<Q", 7) + b"rubbish")


def _garble_shape(_: str) -> None:
    import pickle

    message = pickle.dumps(5)
    os.write(_pipes()[1], struct.pack("<Q", len(message)) + message)


def _leave_child(path: str) -> None:
    """Leave a child that holds the pipes, and a named one if there is a name, and die."""
    if path:
        os.open(path, os.O_WRONLY)
    if os.fork() == 0:
        time.sleep(3600)
    os._exit(4)


def _flood(_: str) -> str:
    sys.stderr.write("x" * 10_000_000)
    return "flood"


_ACTS: dict[str, Callable[[str], Any]] = {
    "spin": _spin,
    "sleep": _sleep,
    "stop": _stop,
    "deadlock": _deadlock,
    "exit": lambda rest: os._exit(int(rest)),
    "sys-exit": lambda rest: sys.exit(int(rest)),
    "segfault": _segfault,
    "abort": lambda _: os.abort(),
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "interrupt": _interrupt,
    "unspeakable": _unspeakable,
    "recurse": _recurse,
    "print": _print,
    "write": _write,
    "close-stream": _close_stream,
    "close-descriptor": _close_descriptor,
    "replace-stream": _replace_stream,
    "replace-descriptor": _replace_descriptor,
    "reopen-descriptor": _reopen_descriptor,
    "close-all": _close_all,
    "garble-length": _garble_length,
    "garble-huge": _garble_huge,
    "garble-pickle": _garble_pickle,
    "garble-shape": _garble_shape,
    "leave-child": _leave_child,
    "flood": _flood,
    "not-json": lambda _: {1, 2},
    "wrong": lambda rest: f"not {rest}",
}
