"""The process in which one build runs. Started by `lane`, as a script, with ``-sP``.

It runs in environments in which this package is not installed, so it imports the standard library
only, and makes just the packages it is told of importable. Its standard output is a file that is
checked after every step: a plugin that prints there has done something its host would notice.
Orders and answers go over pipes of their own.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.abc
import importlib.metadata
import importlib.util
import logging
import mmap
import os
import pickle  # the two ends of the pipe are one program
import platform
import struct
import sys
import time
from pathlib import Path
from typing import Any

#: Length of a message, before it.
LENGTH = struct.Struct("<Q")
#: What the parent reads while it waits: a counter that moves, the scenario, the step.
PROGRESS = struct.Struct("<QQq")
PROGRESS_SIZE = 4096

_MOST_TOLD = 200
_NS_PER_S = 1_000_000_000
_PLUGINS = "cpex.plugins"
_STDOUT = 1


class Guests(importlib.abc.MetaPathFinder):
    """Makes packages importable from the folders they are in, and nothing else of those folders."""

    def __init__(self, folders: dict[str, str]) -> None:
        """Take the packages' folders by name."""
        self._folders = folders

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find one of the packages; what is inside a package is found by the usual means."""
        del path, target
        folder = self._folders.get(name)
        if folder is None:
            return None
        return importlib.util.spec_from_file_location(
            name, Path(folder, "__init__.py"), submodule_search_locations=[folder]
        )


class Output:
    """The process's standard output: a file that stays empty and in its place.

    A build may print there, close it, or put another in its place; each is told once and undone.
    """

    def __init__(self) -> None:
        """Remember what is in place now."""
        self._stream = sys.stdout
        self._kept = os.dup(_STDOUT)
        self._identity = _identity(os.fstat(_STDOUT))

    def take(self) -> str:
        """Say what has been done to it since the last time; nothing, mostly."""
        with contextlib.suppress(Exception):  # another's flush may do anything
            sys.stdout.flush()
        said = []
        if sys.stdout is not self._stream or self._stream.closed:
            said.append("closes sys.stdout" if self._stream.closed else "replaces sys.stdout")
            self._put_stream_back()
        try:
            in_place = _identity(os.fstat(_STDOUT)) == self._identity
        except OSError:
            in_place = False
        if not in_place:
            said.append("closes or replaces file descriptor 1")
            os.dup2(self._kept, _STDOUT)
        if os.fstat(_STDOUT).st_size:
            text = os.pread(_STDOUT, _MOST_TOLD, 0).decode(errors="replace")
            said.append(f"prints {text!r} to standard output")
            os.ftruncate(_STDOUT, 0)
            os.lseek(_STDOUT, 0, os.SEEK_SET)
        return " and ".join(said)

    def _put_stream_back(self) -> None:
        if self._stream.closed:
            self._stream = open(_STDOUT, "w", closefd=False)  # noqa: SIM115 - it stays open
        with contextlib.suppress(Exception):
            self._stream.flush()
        sys.stdout = self._stream


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class Worker:
    """One build and its end of the pipes.

    Args:
        orders: What to do comes from here.
        answers: What was done goes there.
        progress: Shared with the parent, which sees there where a step hangs or dies.
    """

    def __init__(self, orders: Any, answers: Any, progress: mmap.mmap) -> None:
        """Keep them; nothing is imported yet."""
        self._orders = orders
        self._answers = answers
        self._progress = progress
        self._moves = 0
        self._scenario = 0
        self._output = Output()
        self._printed: tuple[int, str] | None = None
        self._driver: Any = None

    def run(self) -> None:
        """Answer until there are no more orders."""
        hello = self._receive()
        self._send(self._load(hello))
        while self._driver is not None:
            for scenario in self._receive():
                self._scenario += 1
                told = self._driver.run(scenario)
                self._send((told, self._printed))
                # Not before: what was printed at import belongs to the first scenario.
                self._printed = None

    def _load(self, hello: dict[str, Any]) -> dict[str, Any]:
        """Import the build; tell of it, or in one line why it cannot be imported."""
        sys.meta_path.insert(0, Guests(hello["packages"]))
        logging.disable(logging.CRITICAL)  # what is logged is no decision, and nobody reads it
        set_time = clock()
        try:
            plugin_class = imported(hello["plugin"] or _entry_point(hello["distribution"]))
            driver_class = imported(hello["driver"])
            driver = driver_class(plugin_class, set_time, self._begin, self._end)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent says it
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return {"error": reason}
        self._driver = driver
        self._end(-1)
        return about(plugin_class, driver)

    def _begin(self, step: int) -> None:
        self._moves += 1
        PROGRESS.pack_into(self._progress, 0, self._moves, self._scenario, step)

    def _end(self, step: int) -> None:
        self._moves += 1
        PROGRESS.pack_into(self._progress, 0, self._moves, self._scenario, step)
        told = self._output.take()
        if told and self._printed is None:
            self._printed = (step, told)

    def _receive(self) -> Any:
        head = self._orders.read(LENGTH.size)
        if len(head) < LENGTH.size:
            # The parent has gone, or wants no more.
            os._exit(0)
        return pickle.loads(self._orders.read(LENGTH.unpack(head)[0]))  # noqa: S301 - see import

    def _send(self, answer: Any) -> None:
        message = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
        self._answers.write(LENGTH.pack(len(message)) + message)
        self._answers.flush()


def clock() -> Any:
    """Give what sets the process's monotonic clock; ``None`` without the library that can.

    Builds that keep times as floats since their first reading get a whole second for that one, so
    that quarters of a second stay exact.
    """
    try:
        stop_at = ctypes.CDLL(None).retry_clock_stop_at
    except AttributeError:
        return None
    stop_at.argtypes = [ctypes.c_int64]
    stop_at.restype = ctypes.c_int
    origin_ns = time.monotonic_ns() // _NS_PER_S * _NS_PER_S
    stop_at(origin_ns)

    def set_time(now_s: float) -> None:
        if stop_at(origin_ns + int(now_s * _NS_PER_S)):
            message = f"the clock has no reading for {now_s} s"
            raise OverflowError(message)

    return set_time


def imported(place: str) -> Any:
    """Import "package.module:Class"."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def about(plugin_class: Any, driver: Any) -> dict[str, Any]:
    """Tell of a build that was loaded here; see `lane.About`."""
    return {
        "plugin": f"{plugin_class.__module__}:{plugin_class.__qualname__}",
        "python": platform.python_version(),
        "versions": {
            name.lower(): each.version
            for each in importlib.metadata.distributions()
            # An interrupted installation leaves a folder without a name.
            if (name := each.metadata["Name"])
        },
        "has_clock": driver.has_clock,
        "modules": [each.__module__ for each in plugin_class.__mro__],
    }


def _entry_point(distribution: str) -> str:
    found = [
        point.value
        for point in importlib.metadata.distribution(distribution).entry_points
        if point.group == _PLUGINS
    ]
    if len(found) != 1:
        message = f"{distribution} has {len(found)} plugins ({', '.join(found)}); name one"
        raise LookupError(message)
    return found[0]


def main() -> None:
    """Run with the file descriptors that the command line names."""
    orders, answers, progress = map(int, sys.argv[1:])
    # A copy: what the build prints must not land between two answers.
    with (
        os.fdopen(orders, "rb") as incoming,
        os.fdopen(answers, "wb") as outgoing,
        mmap.mmap(progress, PROGRESS_SIZE) as shared,
    ):
        Worker(incoming, outgoing, shared).run()


if __name__ == "__main__":
    main()
