"""The tool calls that every implementation gets alike; they run while other tests do."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

from gateway.stack import Tool
from gateway.tests.configurations import BUDGET, POLICIES, SECRET, SLOW_TOOL, TEAM_TOOL

if TYPE_CHECKING:
    from gateway.client import Answer
    from gateway.stack import Stack

_DEADLINE_S: Final = 60.0
_POLL_S: Final = 0.02


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


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        tool: Which tool is called.
        failures: How many attempts fail.
        manner: How they fail.
        rebuilds: How many attempts are followed by a change of the tool's plugin binding.
    """

    tool: str
    failures: int
    manner: str = "error"
    rebuilds: int = 0

    def __str__(self) -> str:
        """Name the test case."""
        return f"{self.tool}-{self.manner}-{self.failures}"

    def make(self, stack: Stack) -> Ended:
        """Call, and wait for the end."""
        case = f"background-{self}"
        before = stack.plugins_built()
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(stack.call, self.tool, case, self.failures, self.manner, note=SECRET)
            for attempt in range(1, self.rebuilds + 1):
                wait_for_attempt(stack, case, attempt)
                stack.rebuild_plugin(self.tool)
            answer = call.result()
        return Ended(answer, stack.attempts(case), stack.plugins_built() - before)


def wait_for_attempt(stack: Stack, case: str, number: int) -> None:
    """Wait until an attempt has arrived behind the gateway; the first one is 1."""
    deadline = time.monotonic() + _DEADLINE_S
    while stack.attempts(case) < number:
        assert time.monotonic() < deadline, f"attempt {number} of {case} did not come"
        time.sleep(_POLL_S)


#: By a result that says so, and by an exception in the gateway.
MANNERS: Final = ("error", "break")

#: Each number of failures in the budget, and beyond it.
RECOVERED: Final = range(BUDGET + 1)
SURFACING: Final = (BUDGET + 1, 100)
ORDINARY: Final = tuple(
    Call(tool, failures, manner)
    for tool, manner, failures in product(Tool, MANNERS, (*RECOVERED, *SURFACING))
)
#: What shows a policy: whether one failure is recovered from, and how many attempts there are.
UNDER_POLICIES: Final = tuple(
    Call(tool, failures, manner)
    for tool, (manner, failures) in product(POLICIES, (("break", 1), ("error", 100)))
)
#: Timeouts that are recovered from, and one that is not.
TIMEOUTS: Final = tuple(
    Call(tool, failures, "silence") for tool in Tool for failures in (1, BUDGET, BUDGET + 1)
)
#: The plugin object that decides on the second attempt is not the one that decided on the first.
OUTLIVING: Final = (Call(SLOW_TOOL, 1), Call(SLOW_TOOL, 9))
#: No two attempts of the chain are decided by the same plugin object.
REBUILT: Final = Call(TEAM_TOOL, 100, rebuilds=2)

QUICK: Final = (*ORDINARY, *UNDER_POLICIES)
SLOW: Final = (*TIMEOUTS, *OUTLIVING, REBUILT)
