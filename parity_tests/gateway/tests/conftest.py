"""The stacks: started at the same time before the first test, and shared by all of them.

Slow calls begin in a stack as soon as it is up, and run while the other tests do.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from gateway.stack import Stack, running
from gateway.tests.configurations import EVERY, Configuration, register_tools
from gateway.tests.slow_calls import SLOW_CALLS, Ended, SlowCall

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Begun:
    """A stack and the slow calls that run in it."""

    stack: Stack
    slow: Mapping[SlowCall, Future[Ended]]


class Stacks:
    """The stacks by configuration; each is started when it is asked for, or before."""

    def __init__(self, folder: Path, *, with_slow_calls: bool) -> None:
        """Start nothing yet."""
        self._folder = folder
        self._with_slow_calls = with_slow_calls
        self._begun: dict[Configuration, Future[Begun]] = {}
        self._ends: list[ExitStack] = []
        self._starts = ThreadPoolExecutor(len(EVERY))
        self._calls = ThreadPoolExecutor(len(EVERY) * len(SLOW_CALLS))

    def end(self) -> None:
        """End all of them, at the same time; calls that still run fail by it."""
        with self._calls, self._starts:
            for begun in self._begun.values():
                begun.exception()
            list(self._starts.map(ExitStack.close, self._ends))

    def begin(self, configuration: Configuration) -> None:
        """Start a stack, unless it was begun already; do not wait for it."""
        if configuration not in self._begun:
            self._begun[configuration] = self._starts.submit(self._start, configuration)

    def __getitem__(self, configuration: Configuration) -> Begun:
        """Wait until a stack is up."""
        self.begin(configuration)
        return self._begun[configuration].result()

    def _start(self, configuration: Configuration) -> Begun:
        end = ExitStack()
        self._ends.append(end)
        folder = self._folder / str(configuration)
        stack = end.enter_context(running(configuration.settings(), folder))
        register_tools(stack)
        slow = SLOW_CALLS if self._with_slow_calls else ()
        return Begun(stack, {call: self._calls.submit(call.make, stack) for call in slow})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that wait for slow calls last."""
    items.sort(key=_waits)


@pytest.fixture(scope="session")
def stacks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stacks]:
    """Begin the stacks that the selected tests name."""
    items = request.session.items
    stacks = Stacks(tmp_path_factory.mktemp("stacks"), with_slow_calls=any(map(_waits, items)))
    try:
        for item in items:
            configuration = _parameters(item).get("stack")
            if configuration is not None:
                stacks.begin(configuration)
        yield stacks
    finally:
        stacks.end()


@pytest.fixture
def stack(request: pytest.FixtureRequest, stacks: Stacks) -> Stack:
    """Give the stack of the test's configuration."""
    return stacks[request.param].stack


@pytest.fixture
def slow(request: pytest.FixtureRequest, stacks: Stacks) -> Mapping[SlowCall, Future[Ended]]:
    """Give the slow calls in the stack of the test's configuration."""
    return stacks[_parameters(request.node)["stack"]].slow


def _parameters(item: pytest.Item) -> dict[str, Any]:
    callspec = getattr(item, "callspec", None)
    return {} if callspec is None else dict(callspec.params)


def _waits(item: pytest.Item) -> bool:
    return "slow" in getattr(item, "fixturenames", ())
