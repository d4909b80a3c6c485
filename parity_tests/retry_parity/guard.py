"""The guard: too many unexplained divergences, and the hybrid decides again.

One per plugin name and process. It opens nothing by itself: once tripped, it stays so until a
person resets it. Where evidence is written, the state is a file beside it, so that it holds for
every worker and outlives a restart.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from retry_parity.settings import GuardSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from retry_parity._native import Switch

_log = logging.getLogger("retry_parity")

_SUFFIX: Final = ".guard.json"
#: Why a guard is tripped whose file cannot be read: it is there, and that is what counts.
_UNREADABLE: Final = "its state file cannot be read"


@dataclass(frozen=True, slots=True)
class Trip:
    """Why and since when the hybrid decides again.

    Attributes:
        why: One line for a person.
        since: When, ISO 8601 in UTC.
        worker: Process id of the worker that saw it.
        trouble: Name of the last piece of trouble: a signature, or an error of the candidate.
    """

    why: str
    since: str
    worker: int
    trouble: str = ""


class Guard:
    """Counts trouble within a sliding window."""

    def __init__(
        self, name: str, switch: Switch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start without trouble.

        Args:
            name: The plugin's name.
            switch: Told at once when the guard trips.
            clock: Gives seconds.
        """
        self._name = name
        self._switch = switch
        self._clock = clock
        self._lock = threading.Lock()
        self._settings = GuardSettings()
        self._times: deque[float] = deque(maxlen=1)
        self._trip: Trip | None = None
        self._stored_in: Path | None = None
        #: How often it tripped by what this process saw; what it follows is another's to count.
        self.trips = 0
        #: Called when it trips, after the switch is set.
        self.on_trip: Callable[[Trip], None] = lambda _: None
        self.configure(self._settings)

    @property
    def trip(self) -> Trip | None:
        """Why it is tripped; ``None`` while it is not."""
        return self._trip

    def configure(self, settings: GuardSettings) -> None:
        """Take other limits; what was counted so far still counts."""
        with self._lock:
            self._settings = settings
            self._times = deque(self._times, maxlen=settings.limit + 1)

    def note(self, trouble: str) -> None:
        """Count a piece of trouble that happens now.

        Args:
            trouble: Its name: a divergence's signature, or an error of the candidate.
        """
        with self._lock:
            now_s, settings = self._clock(), self._settings
            self._times.append(now_s)
            while now_s - self._times[0] > settings.window_s:
                self._times.popleft()
            if self._trip is not None or len(self._times) <= settings.limit:
                return
            why = (
                f"{len(self._times)} unexplained divergences or errors of the candidate within "
                f"{settings.window_s:g} s, {settings.limit} are borne; the last one: {trouble}"
            )
            since = datetime.now(UTC).isoformat(timespec="seconds")
            trip = Trip(why, since, os.getpid(), trouble)
            self._set(trip)
            self.trips += 1
        _log.error(
            "%s: the guard has tripped, the hybrid decides all new chains until the guard is "
            "reset (retry-parity guard): %s",
            self._name,
            why,
        )
        self.on_trip(trip)

    def reset(self) -> None:
        """Let the flag decide again."""
        with self._lock:
            if self._trip is None:
                return
            self._trip = None
            self._stored_in = None
            self._times.clear()
            self._switch.tripped = False
        _log.warning("%s: the guard has been reset, the flag decides again", self._name)

    def synchronise(self, path: Path) -> None:
        """Bring the state and its file together; called about once a second.

        Args:
            path: The file. It is written by whoever trips, and removed by who resets. A folder
                that is gone as a whole, or another one, is no reset: the state is written again.

        Raises:
            OSError: The file can be neither read nor written.
        """
        stored = read_trip(path)
        trip = self._trip
        if trip is None and stored is not None:
            with self._lock:
                self._set(stored)
                self._stored_in = path
            _log.error(
                "%s: the guard is tripped since %s, the hybrid decides all new chains: %s",
                self._name,
                stored.since,
                stored.why,
            )
        elif trip is not None and stored is None:
            if self._stored_in == path and path.parent.is_dir():
                self.reset()
            else:
                _write_trip(path, trip)
                self._stored_in = path
        elif trip is not None:
            self._stored_in = path

    def begin_anew(self) -> None:
        """Do in a child of a fork what it needs: a lock of its own, and no trips of its parent."""
        self._lock = threading.Lock()
        self.trips = 0

    def _set(self, trip: Trip) -> None:
        self._switch.tripped = True
        self._trip = trip


def guard_file(directory: Path, name: str) -> Path:
    """Give the file that holds the state of a plugin's guard."""
    return directory / f"{file_name(name)}{_SUFFIX}"


def file_name(name: str) -> str:
    """Give a name that any file may have; `unquote` gives the plugin's again."""
    return quote(name, safe="").replace(".", "%2E")


def tripped_guards(directory: Path) -> dict[str, Trip]:
    """Give the guards that are tripped, by plugin name.

    Raises:
        OSError: The folder, or a file in it, cannot be read.
    """
    found: dict[str, Trip] = {}
    for path in sorted(directory.iterdir()):
        if path.name.endswith(_SUFFIX) and (trip := read_trip(path)) is not None:
            found[unquote(path.name.removesuffix(_SUFFIX))] = trip
    return found


def read_trip(path: Path) -> Trip | None:
    """Read a guard's file; ``None`` where there is none.

    Raises:
        OSError: It is there, or may be, and cannot be read.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        told = json.loads(raw)
        return Trip(
            str(told["why"]), str(told["since"]), int(told["worker"]), str(told.get("trouble", ""))
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return Trip(_UNREADABLE, "an unknown time", 0)


def _write_trip(path: Path, trip: Trip) -> None:
    told = {
        "why": trip.why,
        "since": trip.since,
        "worker": trip.worker,
        "trouble": trip.trouble,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(f".{os.getpid()}.part")
    whole.write_text(json.dumps(told) + "\n", encoding="utf-8")
    whole.replace(path)
