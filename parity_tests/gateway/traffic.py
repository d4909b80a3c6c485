"""Tool calls through a stack, each with how it has to end, counted by what became of them."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.client import Answer, RequestError
from gateway.stack import FLAKY, PLUGIN_NAME, Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from gateway.stack import Behind, Stack

#: Calls that wait for their retries must not hold up the next ones.
_AT_ONCE: Final = 8
_MOST_SHOWN: Final = 200
#: The budget under mixed traffic.
_RETRIES: Final = 2


class Outcome(StrEnum):
    """What became of a call."""

    SUCCEEDED = "succeeded at once"
    RECOVERED = "recovered by retries"
    FAILED = "failed for good, as they have to"
    WRONG = "did not end as it has to"


@dataclass(frozen=True, slots=True)
class Call:
    """One call, and how it has to end.

    Attributes:
        tool: The tool, as the gateway names it.
        case: Whose attempts are counted behind the gateway.
        arguments: The tool's.
        told: What a complaint says of it.
        attempts: How many there have to be.
        fails: Whether the caller has to see a failure.
        text: What the caller has to get; ``None`` leaves it open.
        breaks: Whether the gateway itself fails on the answer, so that the caller gets none.
    """

    tool: str
    case: str
    arguments: Mapping[str, object]
    told: str
    attempts: int
    fails: bool
    text: str | None = None
    breaks: bool = False


class Source(Protocol):
    """A kind of traffic."""

    @property
    def plugin_name(self) -> str:
        """The plugin's name."""

    @property
    def plugin(self) -> Mapping[str, Any]:
        """The plugin's config, without the ``migration`` section."""

    @property
    def behind(self) -> Behind:
        """What has to be behind the gateway."""

    def calls(self, number: int | None = None) -> Iterator[Call]:
        """Give so many calls; ``None`` means as many as it takes to see all kinds."""

    def endless(self) -> Iterator[Call]:
        """Give calls without an end."""


class Traffic:
    """Calls through one stack, counted by what became of them."""

    def __init__(
        self, stack: Stack, calls: Iterable[Call], complain: Callable[[str], None]
    ) -> None:
        """Set it up.

        Args:
            stack: Where the calls go.
            calls: The calls.
            complain: Receives a line for each call that did not end as it has to.
        """
        self.counts: Counter[Outcome] = Counter()
        self.attempts = 0
        self._stack = stack
        self._calls = iter(calls)
        self._complain = complain
        self._lock = threading.Lock()

    def send(self) -> None:
        """Make all calls, some at the same time, and wait for them."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            sent = [pool.submit(self._make, call) for call in self._calls]
        for each in sent:
            each.result()

    def flow(self, calls_per_second: float, stop: threading.Event) -> None:
        """Make calls at a steady rate, or as fast as they end, until told to stop."""
        room = threading.Semaphore(_AT_ONCE)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for call in self._calls:
                if stop.wait(1 / calls_per_second):
                    return
                room.acquire()
                pool.submit(self._make, call).add_done_callback(lambda _ended: room.release())

    def summary(self) -> list[str]:
        """Say what became of the calls."""
        lines = [f"{sum(self.counts.values())} calls, {self.attempts} attempts behind the gateway"]
        lines += [f"  {self.counts[outcome]:>6} {outcome}" for outcome in Outcome]
        return lines

    def _make(self, call: Call) -> None:
        try:
            answer = self._answer(call)
            attempts = self._stack.attempts(call.case)
        except RequestError as error:
            self._count(Outcome.WRONG, 0)
            self._complain(f"{call.tool} {call.case}: {error}")
            return
        is_other = call.text is not None and answer.text != call.text
        if answer.failed is not call.fails or attempts != call.attempts or is_other:
            self._count(Outcome.WRONG, attempts)
            self._complain(
                f"{call.tool} {call.case}: {call.told}: {answer.text[:_MOST_SHOWN]!r} "
                f"after {attempts} attempts, not {call.attempts}"
            )
        elif call.fails:
            self._count(Outcome.FAILED, attempts)
        else:
            self._count(Outcome.RECOVERED if attempts > 1 else Outcome.SUCCEEDED, attempts)

    def _answer(self, call: Call) -> Answer:
        try:
            return self._stack.gateway.call_tool(call.tool, call.arguments)
        except RequestError as error:
            if not call.breaks:
                raise
            return Answer(failed=True, text=str(error))

    def _count(self, outcome: Outcome, attempts: int) -> None:
        with self._lock:
            self.counts[outcome] += 1
            self.attempts += attempts


@dataclass(frozen=True, slots=True)
class _Kind:
    tool: Tool
    failures: int
    manner: str = "error"

    def call(self, case: str, retries: int) -> Call:
        return Call(
            tool=self.tool,
            case=case,
            arguments={"case": case, "failures": self.failures, "manner": self.manner},
            told=f"{self.failures} failures by {self.manner}",
            attempts=min(self.failures, retries) + 1,
            fails=self.failures > retries,
        )


class Mixed:
    """Calls of the tools that fail as told: a bit of everything."""

    plugin_name = PLUGIN_NAME
    #: Small delays, so that a call that is retried ends soon. No jitter: the hybrid draws from 0,
    #: and takes a delay of 0 for no retry, so that some calls would fail that have to recover.
    plugin: Mapping[str, Any] = MappingProxyType(
        {
            "max_retries": _RETRIES,
            "backoff_base_ms": 10,
            "max_backoff_ms": 100,
            "jitter": False,
        }
    )
    behind = FLAKY

    def calls(self, number: int | None = None) -> Iterator[Call]:
        """Give so many calls; ``None`` means each kind twice."""
        kinds = self._kinds()
        return itertools.islice(self.endless(), 2 * len(kinds) if number is None else number)

    def endless(self) -> Iterator[Call]:
        """Give one kind after the other, again and again."""
        # Upstreams that outlive these calls must not take other calls' cases for theirs.
        run = secrets.token_hex(4)
        for number, kind in enumerate(itertools.cycle(self._kinds())):
            yield kind.call(f"traffic-{run}-{number}", _RETRIES)

    @staticmethod
    def _kinds() -> list[_Kind]:
        """Mostly successes, each failure in each manner, some beyond the budget."""
        kinds = [_Kind(tool, 0) for tool in Tool] * 2
        for tool, manner in itertools.product(Tool, ("error", "break")):
            kinds.append(_Kind(tool, 1, manner))
            kinds.append(_Kind(tool, _RETRIES, manner))
        kinds.extend(_Kind(tool, _RETRIES + 1) for tool in Tool)
        return kinds
