"""The guard: too many unexplained divergences, and the hybrid decides again.

One per plugin name and process. It opens nothing by itself: once tripped, it stays so until a
person resets it. Where evidence is written, the state is a file beside it, so that it holds for
every worker and outlives a restart.

INVARIANT: only the mark that `mark_reset` writes resets a guard, and only the trip that it names. A
file that is gone, replaced or unreadable never does.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import math
import os
import secrets
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from retry_parity import state_file
from retry_parity.settings import GuardSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from retry_parity._native import Switch

_log = logging.getLogger("retry_parity")

_SUFFIX: Final = ".guard.json"
#: Why a guard is tripped whose file cannot be read: it is there, and that is what counts.
_UNREADABLE: Final = "its state file cannot be read"
_UNKNOWN: Final = "an unknown time"
#: What opening says of something that is there and will not become a readable file by waiting.
_NO_FILE: Final = frozenset(
    {errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENOENT, errno.ENXIO, errno.EPERM}
)
#: Resets that a state file remembers; a worker that was away for longer trips again.
_MOST_EARLIER: Final = 64
#: A state file is touched when it is older, so that no cleaner by age takes it, seconds.
_TOUCHED_EVERY_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Trip:
    """Why and since when the hybrid decides again.

    Attributes:
        why: One line for a person.
        since: When, ISO 8601 in UTC.
        worker: Process id of the worker that saw it.
        trouble: Name of the last piece of trouble: a signature, or an error of the candidate.
        id: By which a reset names it; the same for all who read one file.
        reset: When a person reset it, ISO 8601 in UTC; empty while it holds.
        earlier: Ids of trips that were reset before, for a worker that was away meanwhile.
    """

    why: str
    since: str
    worker: int
    trouble: str = ""
    id: str = ""
    reset: str = ""
    earlier: tuple[str, ...] = ()

    @property
    def is_readable(self) -> bool:
        """Whether it says what has happened; nonsense has an id that other nonsense may have."""
        return self.since != _UNKNOWN

    @property
    def at_s(self) -> float:
        """When it tripped, or else when it was reset, seconds since 1970; infinite if unknown."""
        found = _seconds(self.since)
        found = _seconds(self.reset) if found is None else found
        return math.inf if found is None else found

    @property
    def resets(self) -> tuple[str, ...]:
        """Ids of all trips that are known to have been reset."""
        return (*self.earlier, self.id) if self.reset else self.earlier


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
            trip = Trip(why, _now(), os.getpid(), trouble, secrets.token_hex(8))
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
            self._times.clear()
            self._switch.tripped = False
        _log.warning("%s: the guard has been reset, the flag decides again", self._name)

    def synchronise(self, path: Path) -> None:
        """Bring the state and its file together; called about once a second.

        A worker that has tripped writes the file again wherever it is gone, or holds the reset of
        another trip. Of two trips at once the one in the file is everybody's.

        Args:
            path: The file; `guard_file` names it.

        Raises:
            OSError: The file can be neither read nor written.
        """
        # INVARIANT: looked at before the file, so that what trips later is never taken for what
        # the file tells of, and reset with it.
        trip = self._trip
        stored = read_trip(path)
        if stored is not None and trip is not None and trip.id in stored.resets:
            self.reset()
            trip = None
        if stored is None or stored.reset:
            if trip is None:
                return
            if stored is not None:
                trip = replace(trip, earlier=stored.resets[-_MOST_EARLIER:])
                with self._lock:
                    self._set(trip)
            _write_trip(path, trip)
            return
        _keep_fresh(path)
        if trip is not None and trip.id == stored.id:
            return
        with self._lock:
            if self._trip is not trip:
                return
            self._set(stored)
        if trip is None:
            _log.error(
                "%s: the guard is tripped since %s, the hybrid decides all new chains: %s",
                self._name,
                stored.since,
                stored.why,
            )

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


def stored_trips(directory: Path) -> dict[str, Trip]:
    """Give the latest trip of each plugin that has one, also where it was reset, by plugin name.

    Raises:
        OSError: The folder, or a file in it, cannot be read.
    """
    found: dict[str, Trip] = {}
    for path in sorted(directory.iterdir()):
        if path.name.endswith(_SUFFIX) and (trip := read_trip(path)) is not None:
            found[unquote(path.name.removesuffix(_SUFFIX))] = trip
    return found


def tripped_guards(directory: Path) -> dict[str, Trip]:
    """Give the guards that are tripped, by plugin name; raises as `stored_trips` does."""
    return {name: trip for name, trip in stored_trips(directory).items() if not trip.reset}


def mark_reset(path: Path, trip: Trip) -> None:
    """Reset a trip: every worker that knows it lets the flag decide again within a second.

    Raises:
        OSError: The mark cannot be written.
    """
    _write_trip(path, replace(trip, reset=_now()))


def read_trip(path: Path) -> Trip | None:
    """Read a guard's file, whether or not the trip was reset; ``None`` where there is none.

    What is there and is no readable file is a trip. Never waits for whoever writes to a pipe.

    Raises:
        OSError: The folder cannot be read, or the disk failed.
    """
    try:
        raw = state_file.read(path)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.is_symlink():
            return None
        if error.errno not in _NO_FILE or not os.path.lexists(path):
            raise
        raw = b""
    try:
        stored = json.loads(raw)
    except (ValueError, RecursionError):
        stored = None
    return parse_trip(stored, raw)


def parse_trip(stored: Any, raw: bytes) -> Trip:
    """Read a trip as it is stored; whatever makes no sense is one that holds.

    Args:
        stored: The JSON object.
        raw: Its bytes. A trip from before trips had an id, and nonsense, is known by their digest.
    """
    content_id = hashlib.sha256(raw).hexdigest()[:16]
    try:
        trip: Trip | None = Trip(
            str(stored["why"]),
            str(stored["since"]),
            int(stored["worker"]),
            str(stored.get("trouble", "")),
            stored.get("id", content_id),
            stored.get("reset", ""),
            tuple(stored.get("earlier", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        trip = None
    if trip is None or not _is_whole(trip, has_id="id" in stored):
        return Trip(_UNREADABLE, _UNKNOWN, 0, id=content_id)
    return trip


def _is_whole(trip: Trip, *, has_id: bool) -> bool:
    """Whether its ids are ids, and a mark names its trip and a time: what resembles one is none."""
    if not all(isinstance(text, str) and text for text in (trip.id, *trip.earlier)):
        return False
    return trip.reset == "" or (has_id and _seconds(trip.reset) is not None)


def _seconds(text: object) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else None
    except (ValueError, OverflowError, OSError):
        return None


def _keep_fresh(path: Path) -> None:
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > _TOUCHED_EVERY_S:
            os.utime(path)


def _write_trip(path: Path, trip: Trip) -> None:
    state_file.write(path, json.dumps(asdict(trip)) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
