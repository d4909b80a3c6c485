"""What the process knows of one plugin's migration: flag, guard, evidence.

The gateway rebuilds its plugin objects every 30 s, for each team and tool; what has to outlive
them is here, once per plugin name.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from retry_parity import _native, evidence
from retry_parity._native import Switch
from retry_parity.deciding.admission import Admission, Claim
from retry_parity.evidence import evidence_of, reset
from retry_parity.figures import Figures, ServiceState
from retry_parity.flag import Flag, Implementation
from retry_parity.guard import Guard
from retry_parity.rest import Rest
from retry_parity.settings import MigrationSettings
from retry_parity.traces import recording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from retry_parity.deciding.certificate import Requirement
    from retry_parity.evidence import Evidence
    from retry_parity.flag_service import Told
    from retry_parity.lane import Lane

SERVICE_SOURCE: Final = "flag service"

#: Beyond it the number says enough.
_MOST_CONFIGS: Final = 16

_NUMBERS: Final = {value: number for number, value in enumerate(Implementation)}

_log = logging.getLogger("retry_parity")


def number_of(implementation: Implementation) -> int:
    """Give the number by which `_native` knows a value of the flag."""
    return _NUMBERS[implementation]


class Migration:
    """The migration of one plugin name."""

    def __init__(self, name: str) -> None:
        """Start without a word from a service, and without trouble."""
        self.name = name
        self.switch = Switch()
        self.guard = Guard(name, self.switch)
        self.rest = Rest(name, self.switch)
        #: SHA-256 of the plugin config without ``migration:``.
        self.config_hash = ""
        #: Those of all plugin objects of this process; evidence is of one.
        self.config_hashes: set[str] = set()
        self.settings = MigrationSettings()
        self._flag = Flag(Implementation.LEGACY, "default")
        self._told: Told | None = None
        self._admission = Admission(name)
        self._lanes: weakref.WeakSet[Lane] = weakref.WeakSet()
        self._lock = threading.Lock()

    @property
    def evidence(self) -> Evidence:
        """What was counted."""
        return evidence_of(self.name)

    @property
    def flag(self) -> Flag:
        """The value in force before the guard, and where it came from."""
        told = self._told
        if told is not None and told.implementation is not None:
            return Flag(told.implementation, SERVICE_SOURCE)
        return self._flag

    @property
    def canary_percent(self) -> float:
        """The share of chains that the Rust core decides under ``canary``."""
        told = self._told
        if told is not None and told.canary_percent is not None:
            return told.canary_percent
        return self.settings.canary_percent

    def configure(self, settings: MigrationSettings, flag: Flag, config_hash: str) -> None:
        """Take the settings of the plugin object that was loaded last."""
        self.settings, self._flag, self.config_hash = settings, flag, config_hash
        if len(self.config_hashes) < _MOST_CONFIGS:
            self.config_hashes.add(config_hash)
        self.guard.configure(settings.guard)

    @contextlib.contextmanager
    def loading(self, flag: Flag, required: Requirement | None) -> Iterator[Claim]:
        """See whether a plugin object may be loaded, and load it within.

        Args:
            flag: The object's own.
            required: What it requires of ``rust``.

        Yields:
            What the object has to keep as long as a flip is to ask for what it requires.

        Raises:
            FlagError: ``rust`` is its flag or in force, and a certificate does not hold.
        """
        claim = Claim(flag.implementation, required)
        with self._lock:
            self._admission.load(claim, self._service_says)
        try:
            yield claim
        except BaseException:
            with self._lock:
                self._admission.forget(claim)
            raise

    def admit(self, lane: Lane) -> None:
        """Know a plugin object, so that a flip reaches it."""
        with self._lock:
            self._lanes.add(lane)

    def follow(self, told: Told) -> Told:
        """Take what the flag service says; every plugin object decides by it from now on.

        Returns:
            What is taken of it.
        """
        before = self.flag
        # INVARIANT: no object begins to load between what is admitted and what is in force.
        with self._lock:
            self._told = told = self._admitted(told)
            number = None if told.implementation is None else number_of(told.implementation)
            self.switch.follow(number, told.canary_percent)
            lanes = list(self._lanes)
        for lane in lanes:
            lane.flag_has_changed()
        if self.flag.implementation is not before.implementation:
            _log.warning(
                "%s: %s decides from now on, was %s (source: %s)",
                self.name,
                self.flag.implementation,
                before.implementation,
                self.flag.source,
            )
        return told

    def _admitted(self, told: Told) -> Told:
        """Give what is taken of it: all, or all but a flip to ``rust`` that is not admitted."""
        in_force = self._service_says
        if self._admission.admits(in_force, told.implementation):
            return told
        return replace(told, implementation=in_force, state=ServiceState.STALE)

    @property
    def _service_says(self) -> Implementation | None:
        """What is taken of the service; ``None`` leaves each object to its own flag."""
        return None if self._told is None else self._told.implementation

    def begin_anew(self) -> None:
        """Do in a child of a fork what it needs."""
        self._lock = threading.Lock()
        self.guard.begin_anew()
        self.rest.begin_anew()

    def figures(self) -> Figures:
        """Give all figures of this process."""
        told, flag, trip = self._told, self.flag, self.guard.trip
        counts, book = self.evidence.counts(), self.evidence.book
        return Figures(
            implementation=flag.implementation,
            source=flag.source,
            canary_percent=self.canary_percent,
            service=self._service_state(),
            rejected_flags=(0 if told is None else told.rejected) + self._admission.refused,
            guard_tripped=trip is not None,
            guard_trips=self.guard.trips,
            guard_trouble="" if trip is None else trip.trouble or "unknown",
            decisions=self.evidence.decisions(),
            outcomes=self.evidence.outcomes(),
            fallbacks=book.fallbacks,
            matches=counts.matches,
            accepted_calls=counts.accepted_calls,
            accepted=counts.accepted,
            divergent=counts.divergent,
            not_compared=counts.ignored,
            candidate_errors=counts.candidate_errors,
            harness_errors=counts.harness_errors,
            latency=self.evidence.latency,
            live=self.evidence.live(),
            evicted=self.evidence.evicted(),
            impact=self.evidence.impact(),
            memory=self.evidence.memory(),
            configs=len(self.config_hashes),
            strata=self.evidence.strata(),
            evidence_dropped=self.evidence.dropped(),
            evidence_bytes=self.evidence.bytes_on_disk,
        )

    def _service_state(self) -> ServiceState:
        if self._told is not None:
            return self._told.state
        return ServiceState.ABSENT if self.settings.flags is None else ServiceState.NOT_READY


_by_name: dict[str, Migration] = {}
_by_name_lock = threading.Lock()


def migration_of(plugin_name: str) -> Migration:
    """Give the process's migration of a plugin name, begun at the first mention."""
    with _by_name_lock:
        found = _by_name.get(plugin_name)
        if found is None:
            found = _by_name[plugin_name] = Migration(plugin_name)
        return found


def migrations() -> dict[str, Migration]:
    """Give all migrations of the process by plugin name."""
    with _by_name_lock:
        return dict(_by_name)


def forget(plugin_name: str) -> None:
    """Start a plugin's migration anew, its evidence included; for tests and replays."""
    with _by_name_lock:
        _by_name.pop(plugin_name, None)
    reset(plugin_name)
    recording.forget(plugin_name)


def _begin_anew() -> None:
    """Count from zero in a child of a fork: what its parent counted is the parent's to report.

    Another thread of the parent may have held a lock, and is not there to release it.
    """
    global _by_name_lock  # noqa: PLW0603 - one per process
    _by_name_lock = threading.Lock()
    evidence.begin_anew()
    for migration in _by_name.values():
        migration.begin_anew()
    _native.forget_chains()


os.register_at_fork(after_in_child=_begin_anew)
