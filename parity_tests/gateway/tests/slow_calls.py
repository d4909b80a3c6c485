"""Tool calls that take long because somebody waits: for an answer, or for the next attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.stack import Tool
from gateway.tests.configurations import BUDGET, SLOW_TOOL

if TYPE_CHECKING:
    from gateway.client import Answer
    from gateway.stack import Stack


@dataclass(frozen=True, slots=True)
class SlowCall:
    """One call.

    Attributes:
        tool: Which tool is called.
        failures: How many attempts fail.
        manner: How they fail.
    """

    tool: str
    failures: int
    manner: str = "silence"

    def __str__(self) -> str:
        """Name the test case."""
        return f"{self.tool}-{self.failures}"

    def make(self, stack: Stack) -> Ended:
        """Call, and wait for the end."""
        case = f"slow-{self}"
        before = stack.plugins_built()
        answer = stack.call(self.tool, case, self.failures, self.manner)
        return Ended(answer, stack.attempts(case), stack.plugins_built() - before)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended.

    Attributes:
        answer: What the caller got.
        attempts: How many attempts arrived behind the gateway.
        rebuilt: How many plugin objects the gateway built meanwhile.
    """

    answer: Answer
    attempts: int
    rebuilt: int


#: Timeouts that are recovered from, and one that is not.
TIMEOUTS: Final = tuple(
    SlowCall(tool, failures) for tool in Tool for failures in (1, BUDGET, BUDGET + 1)
)
#: The plugin object that decides on the second attempt is not the one that decided on the first.
OUTLIVING: Final = (SlowCall(SLOW_TOOL, 1, "error"), SlowCall(SLOW_TOOL, 9, "error"))
SLOW_CALLS: Final = (*TIMEOUTS, *OUTLIVING)
