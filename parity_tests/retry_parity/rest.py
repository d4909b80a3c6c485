"""The candidate's rest: one that is slow too often is not asked for a while.

A hook holds up the event loop while it decides, and both sides decide one after the other. Where
the hybrid decides, a slow candidate would slow down every call only to be compared. One per plugin
name and process. Meanwhile the hybrid decides, but on chains that only the candidate has seen.
Unlike the guard it ends by itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from retry_parity._native import Switch

#: Slow calls that are borne within the window; one more sends the candidate to rest.
MOST_SLOW: Final = 3
#: Length of the sliding window, and of a rest, seconds.
REST_S: Final = 300.0

_log = logging.getLogger("retry_parity")


class Rest:
    """Counts slow calls of the candidate within a sliding window."""

    def __init__(
        self, name: str, switch: Switch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start with a candidate that is asked.

        Args:
            name: The plugin's name.
            switch: Told at once when a rest begins, and when it is found to be over.
            clock: Gives seconds.
        """
        self._name = name
        self._switch = switch
        self._clock = clock
        self._lock = threading.Lock()
        self._times: deque[float] = deque(maxlen=MOST_SLOW + 1)
        self._ends_s = 0.0
        #: Rests so far.
        self.count = 0

    def note_slow(self) -> None:
        """Count a slow call that ends now. The first rest is logged."""
        with self._lock:
            now_s = self._clock()
            self._times.append(now_s)
            while now_s - self._times[0] > REST_S:
                self._times.popleft()
            if self._switch.resting or len(self._times) <= MOST_SLOW:
                return
            self._ends_s = now_s + REST_S
            self._switch.resting = True
            self.count += 1
            is_first = self.count == 1
        if is_first:
            _log.warning(
                "%s: the candidate was slow %d times within %g s: it is not asked for %g s, and "
                "after each further slow call; its calls are counted as not compared",
                self._name,
                MOST_SLOW + 1,
                REST_S,
                REST_S,
            )

    def is_on(self) -> bool:
        """Say whether the candidate rests. After a rest, the next slow call begins another one."""
        with self._lock:
            now_s = self._clock()
            if self._switch.resting and now_s >= self._ends_s:
                self._switch.resting = False
                self._times.clear()
                self._times.extend([now_s] * MOST_SLOW)
            return self._switch.resting

    def begin_anew(self) -> None:
        """Do in a child of a fork what it needs: a lock that nobody holds."""
        self._lock = threading.Lock()
