"""Follows a feature-flag service in the background and tells what it says about the flag.

The service is an OpenFeature provider (flagd's: a flags file, or a flagd) under a domain of our
own, so that whoever else uses OpenFeature in this process does not notice. Everything that can
wait - imports, connections, files, evaluations - happens on the follower's own thread, never on
that of a caller.

What the service says, and what is taken from it:

- a value that is allowed is taken;
- a value that is not (unknown, out of range, of a wrong type, a broken rule) is not taken: the
  last good one holds;
- a flag that is disabled, has no default variant, or is not there any more says nothing: there
  is no value, and the environment or the plugin config hold. That is also what a worker that
  starts now would read, so workers agree whatever their age;
- a service that is gone (file deleted or not readable, connection lost) says nothing new: the
  last values hold.

A worker that starts while nothing usable is said takes the last values that any worker has read, if
they are kept (`last_flags`), so that it agrees with those that run. ``RETRY_IMPLEMENTATION`` goes
before them: it is the way back that needs no service.

This module does not say whether the service, the environment or the config wins, and it does not
read flags files itself. gRPC does not promise to work in the child of a process that used it: with
a flagd, start in the worker only.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import threading
import time
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from retry_parity.figures import ServiceState
from retry_parity.flag import ENVIRONMENT_VARIABLE, Implementation
from retry_parity.flag_provider import (
    CANARY_FLAG,
    IMPLEMENTATION_FLAG,
    MOST_EXPLAINED,
    MOST_REMEMBERED,
    REREAD_S,
    Once,
    Reading,
    Refused,
    Service,
    short,
)
from retry_parity.last_flags import LastFlagsFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from retry_parity.settings import ServiceSettings

EXTRA: Final = "retry-parity[flags]"

_NEEDED: Final = ("openfeature.api", "openfeature.contrib.provider.flagd", "grpc")
_STOP_WAIT_S: Final = 2.0
#: What the provider takes from the environment where the settings leave it out.
_FROM_ENVIRONMENT: Final = (
    *("FLAGD_HOST", "FLAGD_PORT", "FLAGD_SYNC_PORT", "FLAGD_SOCKET_PATH", "FLAGD_TARGET_URI"),
    *("FLAGD_SOURCE_SELECTOR", "FLAGD_PROVIDER_ID", "FLAGD_OFFLINE_FLAG_SOURCE_PATH"),
)
_ALLOWED: Final = {
    IMPLEMENTATION_FLAG: f"one of {', '.join(Implementation)}",
    CANARY_FLAG: "a number from 0 to 100",
}

_log = logging.getLogger("retry_parity")


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of the service.

    Attributes:
        implementation: The last good value; ``None``: there never was one, or the service does
            not set the flag (any more).
        canary_percent: Likewise, 0 to 100.
        state: How the service is doing. ``GONE`` is only what had answered before.
        rejected: Values that were not taken so far; a value that stays counts once.
    """

    implementation: Implementation | None
    canary_percent: float | None
    state: ServiceState
    rejected: int


#: What holds before anything is told.
NOTHING_TOLD: Final = Told(None, None, ServiceState.NOT_READY, 0)


def missing_extra() -> str | None:
    """Say what following a service lacks.

    Returns:
        One line that names the package and the extra that brings it; ``None`` when all is there.
    """
    for module in _NEEDED:
        try:
            found = find_spec(module) is not None
        except (ImportError, ValueError):
            found = False
        if not found:
            return (
                f"migration.flags: the package {module} cannot be imported; a feature-flag "
                f"service is followed with the extra '{EXTRA}'"
            )
    return None


def prepare() -> None:
    """Import what following takes.

    Raises:
        ImportError: The extra is not installed.
    """
    for module in (*_NEEDED, "openfeature.evaluation_context", "openfeature.event"):
        importlib.import_module(module)


class FlagFollower:
    """Follows the service for one plugin name of this process.

    One follower for each name: two would take each other's provider away.
    """

    def __init__(
        self,
        name: str,
        settings: ServiceSettings,
        tell: Callable[[Told], Told | None],
        keep_in: Path | None = None,
    ) -> None:
        """Remember what to follow; nothing is imported, opened or started.

        Args:
            name: The plugin's name. Rules of the flags see it as ``targetingKey``.
            settings: Which service.
            tell: Called on the follower's thread whenever `Told` changed, and only then. What
                holds before the first call is `NOTHING_TOLD`. Gives what it takes of it; ``None``
                stands for all. An exception is logged.
            keep_in: File of the last good values; ``None`` keeps none.
        """
        self._name = name
        self._settings = settings
        service = _described(settings)
        kept = None if keep_in is None else LastFlagsFile(keep_in, _identity(settings))
        self._known = _Known(service, tell, kept)
        # By process id: a fork copies this dict, but not the threads that it speaks of.
        self._runs: dict[int, _Run] = {}
        self._is_told = False

    def start(self) -> None:
        """Begin to follow, unless this process does already. Never raises.

        Waits for nothing but imports, with the first plugin object of a process.

        In the child of a fork it begins anew, with a thread and a provider of the child's own,
        and with the values that were known at the fork.
        """
        pid = os.getpid()
        if pid in self._runs:
            return
        # In this thread: the child of a fork can never import a module that another thread of its
        # parent was importing, whose lock it inherits.
        with contextlib.suppress(Exception):
            prepare()
        run = _Run(self._name, self._settings, self._known)
        # INVARIANT: atomic, so that of two threads only one starts; a lock might be held by a
        # thread that the fork did not copy.
        if self._runs.setdefault(pid, run) is not run:
            return
        try:
            run.thread.start()
        except RuntimeError as error:
            self._runs.pop(pid, None)
            if not self._is_told:
                self._is_told = True
                _log.error(
                    "flag service: no thread to follow it with, which is tried again with the "
                    "next plugin object; it is not followed: %s",
                    error,
                )

    def stop(self) -> None:
        """Cease to follow: nothing is told any more, and thread and provider end.

        Waits for the thread for at most 2 s, and not at all when `tell` calls this.
        """
        run = self._runs.pop(os.getpid(), None)
        if run is not None:
            run.stop()


class _Run:
    """Following within one process, from a start to a stop."""

    def __init__(self, name: str, settings: ServiceSettings, known: _Known) -> None:
        self._quiet = Once()
        self.thread = threading.Thread(
            target=self._follow, name=f"retry-parity flags {name}", daemon=True
        )
        self._name = name
        self._settings = settings
        self._known = known
        self._stopping = False
        self._next_read = 0.0
        self._woken = threading.Event()
        self._woken.set()

    def stop(self) -> None:
        self._stopping = True
        self._woken.set()
        # RuntimeError: the thread stops itself, or has not begun.
        with contextlib.suppress(RuntimeError):
            self.thread.join(_STOP_WAIT_S)

    def _follow(self) -> None:
        self._quiet.attach()
        try:
            self._follow_until_stopped(Service(self._name, self._settings, self._woken.set))
        except BaseException as error:  # noqa: BLE001 - a broken installation raises anything
            what = missing_extra() or "flag service: it is not followed"
            _log.error("%s: %s", what, short(repr(error), MOST_EXPLAINED))
        finally:
            self._quiet.detach()

    def _follow_until_stopped(self, service: Service) -> None:
        self._known.begin()
        try:
            while not self._stopping:
                woken = self._woken.wait(service.poll_s)
                self._woken.clear()
                self._step(service, woken=woken)
        finally:
            # While the interpreter ends, the SDK can start no thread to shut the provider down.
            with contextlib.suppress(RuntimeError):
                service.close()

    def _step(self, service: Service, *, woken: bool) -> None:
        read = None
        began = time.monotonic()
        try:
            renewed = service.keep()
            if not (woken or renewed or began >= self._next_read):
                return
            self._next_read = began + REREAD_S
            read = service.read()
            trouble = service.trouble
        except BaseException as error:  # noqa: BLE001 - the thread must live, whatever the SDK raises
            trouble = short(repr(error), MOST_EXPLAINED)
        if self._stopping:
            return
        if self._known.take(read, trouble):
            self._quiet.forget(began)


class _Known:
    """What was learnt, what of it was told, and what operators have read about it."""

    def __init__(
        self, service: str, tell: Callable[[Told], Told | None], kept: LastFlagsFile | None
    ) -> None:
        self._service = service
        self._tell = tell
        self._kept = kept
        self._is_kept_read = self._has_seen_current = False
        self._age = ""
        self._kept_trouble = ""
        self._told = self._taken = NOTHING_TOLD
        self._ever_ready = False
        self._logged: ServiceState | None = None
        self._last: dict[str, object] = {}
        self._warned: set[tuple[str, str]] = set()

    def begin(self) -> None:
        """A new thread follows, which has not seen the service yet; values stay."""
        self._ever_ready = False
        self._logged = None

    def take(self, read: Reading | None, trouble: str) -> bool:
        """Take what was read, or that nothing could be read, and tell if that is new.

        Returns:
            Whether the service is ready and was not before.
        """
        state = self._state(read)
        known = self._told if state is ServiceState.READY else self._known_or_kept()
        told = replace(known, state=state)
        if read is not None:
            implementation, percent = read
            refused = self._refused(IMPLEMENTATION_FLAG, implementation, told.implementation)
            refused += self._refused(CANARY_FLAG, percent, told.canary_percent)
            told = replace(told, rejected=told.rejected + refused)
            if not isinstance(implementation, Refused):
                told = replace(told, implementation=implementation)
            if not isinstance(percent, Refused):
                told = replace(told, canary_percent=percent)
        recovered = self._log_state(told, trouble)
        if told != self._told:
            self._told = told
            self._taken = self._tell_safely(told)
            if told.implementation is not None and self._taken.implementation is None:
                self._take_kept_instead(told)
        if read is not None:
            self._keep(self._taken, is_current=state is ServiceState.READY)
        return recovered

    def _tell_safely(self, told: Told) -> Told:
        """Tell, and give what is taken of it."""
        try:
            return self._tell(told) or told
        except BaseException:  # noqa: BLE001 - it is ours to go on, whoever listens
            _log.exception("flag service: whom it is told to failed")
        return told

    def _state(self, read: Reading | None) -> ServiceState:
        if read is None:
            return ServiceState.GONE if self._ever_ready else ServiceState.NOT_READY
        self._ever_ready = True
        refused = any(isinstance(value, Refused) for value in read)
        return ServiceState.STALE if refused else ServiceState.READY

    def _known_or_kept(self) -> Told:
        """Give what is known; where nothing was read so far, what another worker has read last."""
        if self._kept is None or self._is_kept_read or _is_set(ENVIRONMENT_VARIABLE):
            return self._told
        self._is_kept_read = True
        kept = None
        with self._noting_trouble():
            kept = self._kept.read()
        if kept is None:
            return self._told
        self._age = f", as read {kept.age} ago"
        return replace(
            self._told, implementation=kept.implementation, canary_percent=kept.canary_percent
        )

    def _take_kept_instead(self, told: Told) -> None:
        """Fall back to what the other workers hold where what is said is not admitted here."""
        known = self._known_or_kept()
        if known.implementation not in {None, told.implementation}:
            held = replace(told, implementation=known.implementation, state=ServiceState.STALE)
            self._taken = self._tell_safely(held)

    def _keep(self, taken: Told, *, is_current: bool) -> None:
        """Keep what is in force, refused values left out: a worker that starts now agrees then.

        One that has not seen a current value itself knows no better than who has.
        """
        if is_current:
            self._is_kept_read, self._age = True, ""
            self._has_seen_current = True
        if self._kept is not None and self._has_seen_current:
            with self._noting_trouble():
                self._kept.keep(
                    taken.implementation,
                    taken.canary_percent,
                    is_current=is_current and taken.state is ServiceState.READY,
                )

    @contextlib.contextmanager
    def _noting_trouble(self) -> Iterator[None]:
        """Log a trouble with the file of the last values once, until it is another one."""
        trouble = ""
        try:
            yield
        except OSError as error:
            trouble = (error.strerror or type(error).__name__).lower()
        if trouble and trouble != self._kept_trouble:
            _log.warning(
                "flag service %s: its last values cannot be kept beside the evidence (%s): a "
                "worker that starts while it is gone decides by the environment or the config",
                self._service,
                trouble,
            )
        self._kept_trouble = trouble

    def _refused(self, flag: str, value: object, good: object) -> int:
        """Note a reading of a flag; 1 when it is one to be counted as refused."""
        if flag in self._last and self._last[flag] == value:
            return 0
        self._last[flag] = value
        if not isinstance(value, Refused):
            return 0
        if (flag, value.given) not in self._warned:
            if len(self._warned) >= MOST_REMEMBERED:
                self._warned.clear()
            self._warned.add((flag, value.given))
            _log.warning(
                "flag service %s: %s: %s is not %s; %s",
                self._service,
                flag,
                value.given,
                _ALLOWED[flag],
                self._holding(good),
            )
        return 1

    def _log_state(self, told: Told, trouble: str) -> bool:
        before, self._logged = self._logged, told.state
        if told.state is before:
            return False
        if told.state is ServiceState.READY:
            again = "ready" if before in {None, ServiceState.NOT_READY} else "back"
            _log.info("flag service %s is %s", self._service, again)
            return True
        if told.state is ServiceState.STALE:
            # The value that is not taken was told with what is allowed.
            return before is not None
        _log.warning(
            "flag service %s is %s (%s); %s",
            self._service,
            told.state,
            trouble,
            self._holding(told.implementation),
        )
        return False

    def _holding(self, good: object) -> str:
        if good is None:
            return "the environment or the plugin config holds"
        return f"{good} holds{self._age}"


def _is_set(variable: str) -> bool:
    return bool(os.environ.get(variable, "").strip())


def _identity(settings: ServiceSettings) -> str:
    """Give which service is followed, the parts that the environment sets included."""
    told = settings.model_dump(mode="json")
    if settings.path is not None:
        told["path"] = str(settings.path.absolute())
    told |= {name: os.environ.get(name) for name in _FROM_ENVIRONMENT}
    return json.dumps(told, sort_keys=True)


def _described(settings: ServiceSettings) -> str:
    if settings.resolver == "file":
        return str(settings.path)
    place = ":".join(str(part) for part in (settings.host, settings.port) if part is not None)
    return f"{settings.resolver} {place}".strip()
