"""Whether the flag may say ``rust``: where a certificate is required, only with one that holds.

Looked at when an object is loaded and when the flag is flipped, never in a call. The gateway loads
its plugin objects anew every 30 s: what a process has admitted once is loaded there for good, as a
certificate that ends at midnight must not take the retries away from a gateway that is running. A
flip looks anew each time.
"""

from __future__ import annotations

import gc
import logging
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from retry_parity.deciding.certificate import CertificateError
from retry_parity.flag import CONFIG_SECTION, FlagError, Implementation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from retry_parity.deciding.certificate import Requirement

_KEY: Final = f"{CONFIG_SECTION}.require_certificate"

_log = logging.getLogger("retry_parity")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Claim:
    """What a plugin object goes by; the object keeps it, and it ends with the object.

    Attributes:
        own: The flag's value where the service says nothing.
        required: What it requires of ``rust``; ``None`` for nothing.
    """

    own: Implementation
    required: Requirement | None

    def under(self, service: Implementation | None) -> Implementation:
        """Give what is in force for the object while the service says so."""
        return service or self.own


class Admission:
    """What the plugin objects of one name require, and what was made of it.

    Not for two threads at once: between a look and what is made of it, nothing may change.
    """

    def __init__(self, name: str) -> None:
        """Start with nothing required.

        Args:
            name: The plugin's, for the log.
        """
        #: Flips that were not taken; one that stays refused counts once.
        self.refused = 0
        self._name = name
        self._claims: weakref.WeakSet[Claim] = weakref.WeakSet()
        #: ``None`` stands for the objects that require nothing.
        self._admitted: set[Requirement | None] = set()
        self._warned: set[tuple[str, Implementation]] = set()
        #: What the service said when a flip was refused, until it says something else.
        self._refused: Implementation | None = None
        self._is_refusing = False

    def load(self, claim: Claim, service: Implementation | None) -> None:
        """See whether a plugin object may be loaded; from now on flips ask for what it requires.

        An object that requires nothing needs what the others require: all are flipped together.

        Args:
            claim: The object's.
            service: What the service says.

        Raises:
            FlagError: It asks for ``rust``, or that is in force for it; and a certificate does not
                hold, and never did in this process.
        """
        in_force = claim.under(service)
        if Implementation.RUST in {claim.own, in_force}:
            self._check(claim, in_force)
        self._claims.add(claim)

    def forget(self, claim: Claim) -> None:
        """Forget a plugin object that could not be loaded."""
        self._claims.discard(claim)

    def _check(self, claim: Claim, in_force: Implementation) -> None:
        def required() -> set[Requirement]:
            return self._required() if claim.required is None else {claim.required}

        trouble = _trouble(required())
        known = trouble.keys() if claim.required in self._admitted else self._admitted
        if trouble.keys() - known:
            trouble = _still(trouble, required)
        for each, line in trouble.items():
            if each not in known:
                message = f"{_KEY}: {line}"
                raise FlagError(message)
            self._warn(line, in_force)
        if not trouble:
            self._admitted.add(claim.required)

    def _warn(self, line: str, in_force: Implementation) -> None:
        if (line, in_force) in self._warned:
            return
        self._warned.add((line, in_force))
        _log.warning(
            "%s: %s: %s; %s goes on here, and rust is refused at the next flip or start",
            self._name,
            _KEY,
            line,
            in_force,
        )

    def admits(self, service: Implementation | None, wanted: Implementation | None) -> bool:
        """See whether the flag may be flipped; all objects of a name are flipped together.

        Args:
            service: What is taken of the service so far.
            wanted: What it says now; ``None`` leaves each object to its own flag.

        Returns:
            Whether it may; if not, it is logged and counted, once until something else is wanted.
        """
        if self._is_refusing and wanted is self._refused:
            # Nobody has flipped it since.
            return False
        self._is_refusing = False
        flipped = [
            claim.under(service)
            for claim in list(self._claims)
            if claim.under(wanted) is Implementation.RUST is not claim.under(service)
        ]
        if not flipped:
            return True

        def required() -> set[Requirement]:
            return self._required(wanted)

        if trouble := _still(_trouble(required()), required):
            self._is_refusing, self._refused = True, wanted
            self.refused += 1
            _log.warning(
                "%s: rust is refused, %s decides on: %s: %s",
                self._name,
                flipped[0],
                _KEY,
                min(trouble.values()),
            )
            return False
        self._admitted |= required()
        return True

    def _required(self, service: Implementation | None = Implementation.RUST) -> set[Requirement]:
        """Give what the objects require that would be under ``rust`` if the service said so."""
        return {
            claim.required
            for claim in list(self._claims)
            if claim.required is not None and claim.under(service) is Implementation.RUST
        }


def _trouble(required: Iterable[Requirement]) -> dict[Requirement, str]:
    """Give what does not hold, with the line that says why.

    Only its text: who keeps the error keeps its frames, and with them objects that were replaced.
    """
    trouble = {}
    for each in required:
        try:
            each.check()
        except CertificateError as error:
            trouble[each] = str(error)
    return trouble


def _still(
    trouble: dict[Requirement, str], required: Callable[[], set[Requirement]]
) -> dict[Requirement, str]:
    """Give the trouble of objects that are in use."""
    if not trouble:
        return trouble
    # An object that the gateway has replaced stays until its cycles are collected.
    gc.collect()
    in_use = required()
    return {each: line for each, line in trouble.items() if each in in_use}
