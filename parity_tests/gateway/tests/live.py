"""The stack whose flags file is changed while it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gateway.flags import FlagsFile
from gateway.stack import FLAGS
from gateway.tests.configurations import LIVE
from gateway.tests.page import page_when

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.stack import Stack
    from gateway.tests.page import Page

_DEADLINE_S: Final = 30.0
_POLL_S: Final = 0.02

#: Seconds from an edit until the last worker had it, of every flip that was made.
FLIPS: Final[list[float]] = []


class Live:
    """The stack and its flags."""

    def __init__(self, stack: Stack) -> None:
        """Take the stack."""
        self.stack = stack
        self.flags = FlagsFile(stack.folder / FLAGS)

    def flip(self, implementation: str, canary: str = "some") -> float:
        """Edit the flags file, and wait until every worker says that it has another value.

        Returns:
            How long that took, seconds.
        """
        before = len(self.stack.said())
        edited = time.monotonic()
        self.flags.write(implementation, canary)
        line = f": {implementation} decides from now on"
        wait_for_lines(self.stack, before, (line,), LIVE.workers)
        FLIPS.append(time.monotonic() - edited)
        return FLIPS[-1]

    def set(self, implementation: str, canary: str = "some") -> Page:
        """Edit the flags file, and wait until the page says that it holds on every worker.

        Nothing happens where it holds already.
        """
        self.flags.write(implementation, canary)
        share = self.flags.canary_percent(canary) / 100
        return self.page_when(
            lambda page: (
                page.values("flag_info", "implementation") == {implementation: LIVE.workers}
                and page.total("canary_ratio") == share * LIVE.workers
                and page.total("flag_service_state", state="ready") == LIVE.workers
            )
        )

    def page_when(self, is_so: Callable[[Page], bool]) -> Page:
        """Wait until the page is as expected."""
        return page_when(self.stack.gateway, is_so)


def wait_for_lines(stack: Stack, before: int, texts: Sequence[str], number: int) -> None:
    """Wait until the plugin has logged so many lines.

    Args:
        stack: Whose plugin.
        before: Lines at the beginning that do not count.
        texts: A line that counts has one of them in it.
        number: How many there have to be.
    """
    deadline = time.monotonic() + _DEADLINE_S
    while sum(any(text in line for text in texts) for line in stack.said()[before:]) < number:
        assert time.monotonic() < deadline, stack.said()[before:]
        time.sleep(_POLL_S)
