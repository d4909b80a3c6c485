"""How long another process has been waited for, without the time in which it was kept from running.

A process that hangs computes or sleeps; one on a machine without a free core is ready to run and
does not, and one that was stopped is neither. Where the system does not say (it does on Linux), all
time counts.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: States in which a process does not choose to wait: ready to run, waiting for a disk, stopped.
_KEPT_WAITING: Final = frozenset("RDTt")
#: Fields of ``/proc/PID/stat`` behind the name: the state, and ticks in user and system mode.
_STATE, _USER, _SYSTEM = 0, 11, 12


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has done, by the system.

    Attributes:
        cpu_s: Seconds of CPU time, of all its threads.
        kept_waiting: Whether one of its threads waits for a core or a disk now, or is stopped. One
            that runs looks the same; its CPU time grows.
    """

    cpu_s: float
    kept_waiting: bool


def usage(pid: int) -> Usage | None:
    """Ask the system about a process; ``None`` where it does not say."""
    try:
        process = Path(f"/proc/{pid}")
        fields = _fields(process / "stat")
        states = {fields[_STATE]}
        for thread in (process / "task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                states.add(_fields(thread / "stat")[_STATE])
        ticks = int(fields[_USER]) + int(fields[_SYSTEM])
        return Usage(ticks / os.sysconf("SC_CLK_TCK"), not _KEPT_WAITING.isdisjoint(states))
    except (OSError, ValueError, IndexError):
        return None


def _fields(path: Path) -> list[str]:
    # The name, in parentheses, may hold anything.
    return path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


class Wait:
    """A process that is waited for, from now on.

    Args:
        pid: The process.
        longest_look_s: The most seconds between two looks that count: more is this process's own
            being kept from running.

    Attributes:
        total_s: Seconds that it was waited for.
        own_s: Seconds of these in which it ran, or slept of its own accord.
        cpu_s: Seconds of CPU time it has used meanwhile; ``None`` where nobody knows.
    """

    def __init__(
        self,
        pid: int,
        longest_look_s: float,
        *,
        read: Callable[[int], Usage | None] = usage,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to wait; `read` and `now_s` are for tests."""
        self._pid = pid
        self._longest_look_s = longest_look_s
        self._read = read
        self._now_s = now_s
        self.begin()

    def begin(self) -> None:
        """Forget what was: it has moved."""
        self.total_s = self.own_s = 0.0
        self.cpu_s: float | None = None
        self._looked_s = self._now_s()
        self._usage = self._read(self._pid)

    def look(self) -> None:
        """Count the time since the last look. To be called often."""
        now_s, found = self._now_s(), self._read(self._pid)
        passed_s = min(now_s - self._looked_s, self._longest_look_s)
        ran_s = None
        if found is not None and self._usage is not None:
            ran_s = found.cpu_s - self._usage.cpu_s
            self.cpu_s = ran_s + (self.cpu_s or 0.0)
        self.total_s += passed_s
        if ran_s is None or found is None or not found.kept_waiting:
            self.own_s += passed_s
        else:
            self.own_s += min(ran_s, passed_s)
        self._looked_s, self._usage = now_s, found

    def __str__(self) -> str:
        """Say what was seen, as the end of a line."""
        return "" if self.cpu_s is None else f", {self.cpu_s:.1f} s of CPU time used"
