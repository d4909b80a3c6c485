"""What a feature-flag service said last, for workers that start while it says nothing usable.

Without it a worker that starts then would decide by the plugin's config, while those that run keep
the last value. The file is beside the evidence; where none is written, nothing is kept.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from retry_parity import state_file
from retry_parity.flag import Implementation

if TYPE_CHECKING:
    from pathlib import Path

#: A value that goes on holding is written again, so that its age says when it was last read.
_CONFIRMED_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class LastFlags:
    """The last good values of both flags.

    Attributes:
        implementation: ``None`` where the service did not set it.
        canary_percent: Likewise, 0 to 100.
        read_at: When a worker read them last, seconds of the epoch.
    """

    implementation: Implementation | None
    canary_percent: float | None
    read_at: float

    @property
    def age(self) -> str:
        """How long ago they were read, for the operator."""
        seconds = max(0, int(time.time() - self.read_at))
        for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
            if seconds >= 2 * length:
                return f"{seconds // length} {unit}"
        return f"{seconds} seconds"


class LastFlagsFile:
    """The file of one plugin name and one service."""

    def __init__(self, path: Path, service: str) -> None:
        """Name both; nothing is read yet.

        Args:
            path: The file.
            service: Which service is followed: what another one said is not used.
        """
        self._path = path
        self._service = service
        self._written: LastFlags | None = None

    def read(self) -> LastFlags | None:
        """Give what was kept; ``None`` where nothing was, or nothing that makes sense.

        Raises:
            OSError: It is there and cannot be read.
        """
        try:
            stored = json.loads(state_file.read(self._path))
            if stored["service"] != self._service:
                return None
            name, percent, at = (stored[key] for key in ("implementation", "percent", "read_at"))
            found = LastFlags(
                None if name is None else Implementation(name),
                None if percent is None else float(percent),
                float(at),
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None
        self._written = found
        usable = found.canary_percent is None or 0 <= found.canary_percent <= 100  # noqa: PLR2004 - per cent
        return found if usable and math.isfinite(found.read_at) else None

    def keep(
        self,
        implementation: Implementation | None,
        canary_percent: float | None,
        *,
        is_current: bool = True,
    ) -> None:
        """Write what is in force, unless the file says so already.

        Args:
            implementation: The value that was taken last.
            canary_percent: Likewise.
            is_current: Whether the service says so now. An older value that goes on holding
                because another one was not taken gets no younger.

        Raises:
            OSError: It cannot be written.
        """
        now, before = time.time(), self._written
        if (
            before is not None
            and (before.implementation, before.canary_percent) == (implementation, canary_percent)
            and (not is_current or 0 <= now - before.read_at < _CONFIRMED_EVERY_S)
        ):
            return
        stored = {
            "service": self._service,
            "implementation": implementation,
            "percent": canary_percent,
            "read_at": now,
        }
        state_file.write(self._path, json.dumps(stored) + "\n")
        self._written = LastFlags(implementation, canary_percent, now)
