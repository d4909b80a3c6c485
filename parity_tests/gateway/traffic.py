"""A bit of everything: tool calls that succeed, recover, and fail for good, again and again."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.client import RequestError
from gateway.stack import Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.stack import Stack

#: Calls that wait for their retries must not hold up the next ones.
_AT_ONCE: Final = 8


class Outcome(StrEnum):
    """What became of a call."""

    SUCCEEDED = "succeeded at once"
    RECOVERED = "recovered by retries"
    EXHAUSTED = "failed beyond the budget, as told"
    WRONG = "did not end as it has to"


@dataclass(frozen=True, slots=True)
class _Kind:
    tool: Tool
    failures: int
    manner: str = "error"


def _mix(retries: int) -> tuple[_Kind, ...]:
    """Give one round: mostly successes, each failure in each manner, some beyond the budget."""
    round_of_one = [_Kind(tool, 0) for tool in Tool] * 2
    for tool, manner in itertools.product(Tool, ("error", "break")):
        round_of_one.append(_Kind(tool, min(1, retries), manner))
        round_of_one.append(_Kind(tool, retries, manner))
    round_of_one.extend(_Kind(tool, retries + 1) for tool in Tool)
    return tuple(round_of_one)


class Traffic:
    """Calls through one stack, one kind after the other, counted by what became of them."""

    def __init__(self, stack: Stack, retries: int, complain: Callable[[str], None]) -> None:
        """Set it up.

        Args:
            stack: Where the calls go.
            retries: The budget of the plugin: this many failures are recovered from.
            complain: Receives a line for each call that did not end as it has to.
        """
        self.counts: Counter[Outcome] = Counter()
        self.attempts = 0
        self._stack = stack
        self._retries = retries
        self._complain = complain
        self._lock = threading.Lock()
        # Upstreams that outlive this object must not take its cases for old ones.
        self._run = secrets.token_hex(4)

    def send(self, number: int) -> None:
        """Make a number of calls and wait for all."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            sent = [pool.submit(call) for call in itertools.islice(self._calls(), number)]
        for call in sent:
            call.result()

    def flow(self, calls_per_second: float, stop: threading.Event) -> None:
        """Make calls at a steady rate until told to stop."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for call in self._calls():
                if stop.wait(1 / calls_per_second):
                    return
                pool.submit(call)

    def summary(self) -> list[str]:
        """Say what became of the calls."""
        lines = [f"{sum(self.counts.values())} calls, {self.attempts} attempts behind the gateway"]
        lines += [f"  {self.counts[outcome]:>6} {outcome}" for outcome in Outcome]
        return lines

    def _calls(self) -> Iterator[Callable[[], None]]:
        for number, kind in enumerate(itertools.cycle(_mix(self._retries))):
            yield partial(self._call, kind, f"traffic-{self._run}-{number}")

    def _call(self, kind: _Kind, case: str) -> None:
        expected = min(kind.failures, self._retries) + 1
        recovers = kind.failures <= self._retries
        try:
            answer = self._stack.call(kind.tool, case, kind.failures, kind.manner)
            attempts = self._stack.attempts(case)
        except RequestError as error:
            self._count(Outcome.WRONG, 0)
            self._complain(f"{kind.tool} {case}: {error}")
            return
        if answer.failed is recovers or attempts != expected:
            self._count(Outcome.WRONG, attempts)
            self._complain(
                f"{kind.tool} {case}: {kind.failures} failures by {kind.manner}: {answer.text!r} "
                f"after {attempts} attempts, not {expected}"
            )
            return
        outcome = Outcome.RECOVERED if recovers else Outcome.EXHAUSTED
        self._count(outcome if kind.failures else Outcome.SUCCEEDED, attempts)

    def _count(self, outcome: Outcome, attempts: int) -> None:
        with self._lock:
            self.counts[outcome] += 1
            self.attempts += attempts
