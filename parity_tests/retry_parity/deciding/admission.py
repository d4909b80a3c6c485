"""Whether the flag may say ``rust``: where a certificate is required, only with one that holds.

Looked at when an object is loaded and when the flag is flipped, never in a call. The gateway loads
its plugin objects anew every 30 s: what a process has admitted once is loaded there for good, as a
certificate that ends at midnight must not take the retries away from a gateway that is running. A
flip looks anew each time.
"""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from typing import TYPE_CHECKING

from retry_parity.deciding.certificate import CertificateError
from retry_parity.flag import CONFIG_SECTION, FlagError, Implementation

if TYPE_CHECKING:
    from retry_parity.deciding.certificate import Requirement
    from retry_parity.lane import Lane

_log = logging.getLogger("retry_parity")


class Admission:
    """What the plugin objects of one name require, and what was made of it."""

    def __init__(self, name: str) -> None:
        """Start with nothing required.

        Args:
            name: The plugin's, for the log.
        """
        #: Flips that were not taken; one that stays refused counts once.
        self.refused = 0
        self._name = name
        self._required: weakref.WeakKeyDictionary[Lane, Requirement] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._admitted: set[Requirement] = set()
        self._warned: set[str] = set()
        self._wanted: Implementation | None = None

    def check(self, required: Requirement | None) -> None:
        """See whether a plugin object may be loaded under ``rust``.

        Raises:
            FlagError: Its certificate does not hold, and never did in this process.
        """
        if required is None:
            return
        try:
            required.check()
        except CertificateError as error:
            line = f"{CONFIG_SECTION}.require_certificate: {error}"
            if required not in self._admitted:
                raise FlagError(line) from error
            if line not in self._warned:
                self._warned.add(line)
                _log.warning(
                    "%s: %s; rust goes on here, and is refused at the next flip or start",
                    self._name,
                    line,
                )
            return
        self._admitted.add(required)

    def note(self, lane: Lane, required: Requirement | None) -> None:
        """Note what an object requires of a flip."""
        with self._lock:
            if required is None:
                self._required.pop(lane, None)
            else:
                self._required[lane] = required

    def admits(self, wanted: Implementation, in_force: Implementation) -> bool:
        """See whether the flag may be flipped; all objects of a name are flipped together.

        Args:
            wanted: What the flag is to say.
            in_force: What it says now.

        Returns:
            Whether it may; if not, it is logged and counted, once until something else is wanted.
        """
        before, self._wanted = self._wanted, wanted
        if wanted is not Implementation.RUST or in_force is Implementation.RUST:
            return True
        if before is Implementation.RUST:
            # Refused, and nobody has flipped it since.
            return False
        try:
            required = self._check_all()
        except CertificateError as error:
            self.refused += 1
            _log.warning(
                "%s: rust is refused, %s decides on: %s.require_certificate: %s",
                self._name,
                in_force,
                CONFIG_SECTION,
                # Its text alone: a log record that keeps the error keeps the frames, and objects.
                str(error),
            )
            return False
        self._admitted |= required
        return True

    def _check_all(self) -> set[Requirement]:
        """Check what the objects that are still in use require.

        Raises:
            CertificateError: It does not hold for one of them.
        """
        required = self._in_use()
        try:
            for each in required:
                each.check()
        except CertificateError:
            if len(required) == 1:
                raise
            # An object that the gateway has replaced stays until its cycles are collected.
            gc.collect()
            required = self._in_use()
            for each in required:
                each.check()
        return required

    def _in_use(self) -> set[Requirement]:
        with self._lock:
            return set(self._required.values())

    def begin_anew(self) -> None:
        """Do in a child of a fork what it needs."""
        self._lock = threading.Lock()
