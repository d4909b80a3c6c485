"""What goes on beside the calls: following the flag service, writing evidence, mirroring metrics.

One thread per process, once a second. It begins with the first plugin that cpex initialises, which
is after a server has forked its workers; where a fork comes later all the same, the child begins
anew with the next plugin that is initialised there.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING, Final

from retry_parity import metrics
from retry_parity.evidence import Step, where
from retry_parity.evidence_files import EvidenceFiles
from retry_parity.flag import FlagError
from retry_parity.flag_service import FlagFollower, missing_extra
from retry_parity.guard import file_name, guard_file
from retry_parity.migration import migrations
from retry_parity.observation import ends

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retry_parity.figures import Figures
    from retry_parity.migration import Migration
    from retry_parity.settings import EvidenceSettings, MigrationSettings

_EVERY_S: Final = 1.0
#: The longest that the first plugin object waits for what the guard's file says.
_FIRST_LOOK_S: Final = 1.0
#: The longest that a flush waits for a round under way, perhaps on a file system that hangs.
_FLUSH_S: Final = 5.0

_log = logging.getLogger("retry_parity")


def check(settings: MigrationSettings) -> None:
    """Refuse settings that need what is not installed.

    Raises:
        FlagError: One line says what is missing.
    """
    missing = missing_extra() if settings.flags is not None else None
    if missing is not None:
        raise FlagError(missing)


class Upkeep:
    """The thread of one process."""

    def __init__(self) -> None:
        """Prepare; nothing runs yet."""
        self._pid = os.getpid()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._followers: dict[str, FlagFollower] = {}
        self._files: dict[str, EvidenceFiles] = {}
        self._told_settings: set[str] = set()
        self._mirror: metrics.Mirror | None = None
        self._thread: threading.Thread | None = None
        self._is_exposed = False
        self._round_lock = threading.Lock()
        #: By plugin name: whether its guard's file was looked at, or waited for in vain.
        self._first_look: dict[str, threading.Event] = {}
        self._told_trouble: set[str] = set()

    @property
    def is_of_this_process(self) -> bool:
        """Whether it is; a child of a fork inherits the object, and no thread."""
        return self._pid == os.getpid()

    def take_on(self, migration: Migration) -> None:
        """Look after a migration as well, and see first whether its guard is tripped.

        Never raises. What cannot be begun now is tried again with the next plugin object. Waits for
        the guard's file, but not for long, and only with the first object of the name.
        """
        with self._lock:
            migration.guard.on_trip = lambda _: self._wake.set()
            for part in (self._expose, self._begin, self._follow):
                try:
                    part(migration)
                except BaseException as error:
                    if ends(error):
                        raise
                    migration.evidence.harness_error(Step.UPKEEP, error)
            looked = self._first_look.setdefault(migration.name, threading.Event())
        if self._thread is None:
            with contextlib.suppress(Exception):
                self.synchronise(migration)
        elif not looked.is_set() and migration.settings.evidence.directory is not None:
            self._wake.set()
            looked.wait(_FIRST_LOOK_S)
            looked.set()

    def _expose(self, _migration: Migration) -> None:
        if not self._is_exposed:
            self._mirror = metrics.expose(figures)
            self._is_exposed = True

    def _begin(self, _migration: Migration) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        thread = threading.Thread(target=self._run, name="retry-parity-upkeep", daemon=True)
        thread.start()
        if self._thread is None:
            atexit.register(self.stop)
        self._thread = thread

    def _follow(self, migration: Migration) -> None:
        service = migration.settings.flags
        if service is None:
            return
        follower = self._followers.get(migration.name)
        if follower is None:
            directory = migration.settings.evidence.directory
            keep_in = directory and directory / f"{file_name(migration.name)}.flags.json"
            follower = FlagFollower(migration.name, service, migration.follow, keep_in)
            self._followers[migration.name] = follower
        follower.start()

    def stop(self) -> None:
        """End the thread, after a last round."""
        if not self.is_of_this_process:
            return
        with self._lock:
            followers = list(self._followers.values())
            self._followers.clear()
        for follower in followers:
            with contextlib.suppress(Exception):
                follower.stop()
        self._ended.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wake.wait(_EVERY_S)
            self._wake.clear()
            try:
                self.round()
            except BaseException as error:  # noqa: BLE001 - the thread must live
                self._say_once("the upkeep failed", error)

    def round(self, wait_s: float = -1.0) -> None:
        """Do all that is due; a part that fails leaves the others alone.

        Args:
            wait_s: How long another thread's round is waited for, seconds; nothing is done where
                that is in vain. -1 waits for good.
        """
        if not self._round_lock.acquire(timeout=wait_s):
            return
        try:
            self._do_round()
        finally:
            self._round_lock.release()

    def _do_round(self) -> None:
        for migration in migrations().values():
            for part in (self._look, self._write):
                try:
                    part(migration)
                except BaseException as error:  # noqa: BLE001 - whatever it is, the rest is due
                    with contextlib.suppress(BaseException):
                        migration.evidence.harness_error(Step.EVIDENCE, error)
        try:
            if self._mirror is not None:
                self._mirror.update(figures())
        except BaseException as error:  # noqa: BLE001 - as above
            self._say_once("metrics cannot be mirrored", error)

    def _say_once(self, what: str, error: BaseException) -> None:
        if what not in self._told_trouble:
            self._told_trouble.add(what)
            _log.error("%s: %s", what, where(error))

    def _look(self, migration: Migration) -> None:
        try:
            self.synchronise(migration)
        finally:
            self._first_look.setdefault(migration.name, threading.Event()).set()

    @staticmethod
    def synchronise(migration: Migration) -> None:
        """Bring a guard and its file together."""
        directory = migration.settings.evidence.directory
        if directory is None:
            return
        try:
            migration.guard.synchronise(guard_file(directory, migration.name))
        except OSError as error:
            migration.evidence.drop(f"guard state: {(error.strerror or 'error').lower()}")

    def _write(self, migration: Migration) -> None:
        settings = migration.settings.evidence
        if settings.directory is None:
            # Nobody will come for them.
            migration.evidence.take_samples()
            return
        self._files_of(migration, settings).write(migration)

    def _files_of(self, migration: Migration, settings: EvidenceSettings) -> EvidenceFiles:
        """Give the files of a name, which are the process's.

        The counts are the process's too: objects of one name that ask for different files would
        each have all of them, and everything would be counted several times.
        """
        files = self._files.get(migration.name)
        if files is None:
            files = self._files[migration.name] = EvidenceFiles(settings, migration)
        elif files.settings != settings and migration.name not in self._told_settings:
            self._told_settings.add(migration.name)
            _log.warning(
                "%s: another evidence section than the first one's, which holds until the process "
                "ends: %s",
                migration.name,
                files.settings.directory,
            )
        return files


_upkeep: Upkeep | None = None
_upkeep_lock = threading.Lock()


def start(migration: Migration) -> None:
    """Look after a migration from now on, in this process."""
    global _upkeep  # noqa: PLW0603 - one per process
    with _upkeep_lock:
        if _upkeep is None or not _upkeep.is_of_this_process:
            _upkeep = Upkeep()
    _upkeep.take_on(migration)


def flush() -> None:
    """Write now what would be written within the next second.

    A server that is told to stop may end without running what Python runs at an exit.
    """
    upkeep = _upkeep
    if upkeep is not None and upkeep.is_of_this_process:
        upkeep.round(_FLUSH_S)


def stop() -> None:
    """End what `start` began; for tests."""
    global _upkeep
    with _upkeep_lock:
        ended, _upkeep = _upkeep, None
    if ended is not None:
        ended.stop()


def _begin_anew() -> None:
    """Give a child of a fork a lock that nobody holds."""
    global _upkeep_lock  # noqa: PLW0603 - one per process
    _upkeep_lock = threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)


def figures() -> Mapping[str, Figures]:
    """Give the figures of every migration of the process, by plugin name."""
    return {name: migration.figures() for name, migration in migrations().items()}
