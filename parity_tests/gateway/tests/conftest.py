"""The stacks: started beside the tests, a few at the same time, and shared by all of them.

A start is work for one core and takes some 10 s, so the tests are in the order in which their
stacks come up, and what takes long only because somebody waits runs in the background.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import pytest

from gateway.stack import Stack, running
from gateway.tests import calls
from gateway.tests.commands import ended, left_running, refusal
from gateway.tests.configurations import DRILL, LIVE, Configuration, register_tools
from gateway.tests.deciding import offline_evidence, to_be_decided, wrong_traffic
from gateway.tests.drill import Drill
from gateway.tests.live import FLIPS, Live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from gateway.programs import StartError
    from gateway.tests.calls import Call, Ended
    from gateway.tests.commands import Ended as EndedCommand
    from gateway.tests.commands import Left
    from gateway.tests.deciding import Decision, Offline, Wrong

#: The modules in the order in which they run. What ends processes of a stack comes after everything
#: else in it; what waits for calls in the background, and what needs a command, comes last.
_ORDER: Final = (
    "test_programs",
    "test_flag",
    "test_workers",
    "test_metrics",
    "test_evidence",
    "test_drill",
    "test_retries",
    "test_rebuilding",
    "test_recorded",
    "test_deciding",
    "test_command",
    "test_slow_calls",
    "test_agreement",
    "test_secrets",
    "test_load",
    "test_ends",
)
#: Starts at the same time.
_STARTS: Final = 2
#: The fixtures that give commands, or what commands have made.
_COMMANDS: Final = ("decision", "wrong", "offline", "once", "refused", "left")
#: Quick calls at the same time, in each stack.
_CALLS: Final = 3

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Begun:
    """A stack and the calls that are made in it."""

    stack: Stack
    calls: Mapping[Call, Future[Ended]] = field(default_factory=dict)

    def wait(self) -> None:
        """Wait until all calls have ended."""
        for call in self.calls.values():
            call.result()


class Stacks:
    """The stacks by configuration; each is started when it is asked for, or before."""

    def __init__(self, folder: Path) -> None:
        """Start nothing yet."""
        self._folder = folder
        self._begun: dict[Configuration, Future[Begun]] = {}
        self._ends: list[ExitStack] = []
        self._starts = ThreadPoolExecutor(_STARTS)
        self._commands: dict[str, Future[Any]] = {}

    def end(self) -> None:
        """End all of them, at the same time; calls that still run fail by it."""
        self._starts.shutdown(cancel_futures=True)
        with ThreadPoolExecutor() as pool:
            list(pool.map(ExitStack.close, self._ends))

    def begin(self, configuration: Configuration) -> None:
        """Start a stack, unless it was begun already; do not wait for it."""
        if configuration not in self._begun:
            self._begun[configuration] = self._starts.submit(self._start, configuration)

    def begin_command(self, name: str) -> None:
        """Run one of the commands, unless it was begun already; do not wait for it."""
        starts: dict[str, Callable[[], object]] = {
            "decision": lambda: self._kept(to_be_decided(self._folder / "decision")),
            "offline": lambda: offline_evidence(self._folder / "offline"),
            "wrong": lambda: wrong_traffic(self._folder / "wrong"),
            "once": lambda: ended("--once", "14", "--implementation", "rust"),
            "refused": lambda: refusal(self._folder / "refused"),
            "left": lambda: self._kept(left_running(self._folder / "left")),
        }
        if name not in self._commands:
            self._commands[name] = self._starts.submit(starts[name])

    def command(self, name: str) -> Any:
        """Wait for what a command comes to: its end, or what it says when all is up."""
        self.begin_command(name)
        return self._commands[name].result()

    def __getitem__(self, configuration: Configuration) -> Begun:
        """Wait until a stack is up."""
        self.begin(configuration)
        return self._begun[configuration].result()

    def _start(self, configuration: Configuration) -> Begun:
        folder = self._folder / str(configuration)
        stack = self._kept(running(configuration.settings(folder), folder))
        register_tools(stack)
        return Begun(stack, self._calls(stack) if configuration.has_background else {})

    def _kept(self, resource: AbstractContextManager[_T]) -> _T:
        end = ExitStack()
        self._ends.append(end)
        return end.enter_context(resource)

    def _calls(self, stack: Stack) -> dict[Call, Future[Ended]]:
        # Pools end after the stack, whose end is that of calls which still run.
        quick, slow = ThreadPoolExecutor(_CALLS), ThreadPoolExecutor(len(calls.SLOW))
        begun = {call: slow.submit(call.make, stack) for call in calls.SLOW}
        begun |= {call: quick.submit(call.make, stack) for call in calls.QUICK}
        for pool in (quick, slow):
            pool.shutdown(wait=False)
        return begun


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests in order; those of one module stay as they are."""
    places = {name: place for place, name in enumerate(_ORDER)}
    items.sort(key=lambda item: places.get(item.path.stem, 0))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how long the flips took that were made."""
    if FLIPS:
        median, longest = sorted(FLIPS)[len(FLIPS) // 2], max(FLIPS)
        terminalreporter.write_line(
            f"{len(FLIPS)} flips, from the edit to the last worker: "
            f"median {median:.2f} s, longest {longest:.2f} s"
        )


@pytest.fixture(scope="session")
def stacks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stacks]:
    """Begin what the selected tests need, in their order."""
    stacks = Stacks(tmp_path_factory.mktemp("stacks"))
    try:
        for item in request.session.items:
            for configuration in _configurations(item):
                stacks.begin(configuration)
            names = getattr(item, "fixturenames", ())
            for name in _COMMANDS:
                if name in names:
                    stacks.begin_command(name)
        yield stacks
    finally:
        stacks.end()


@pytest.fixture
def begun(request: pytest.FixtureRequest, stacks: Stacks) -> Begun:
    """Give the stack of the test's configuration, with its calls."""
    return stacks[request.param]


@pytest.fixture
def stack(begun: Begun) -> Stack:
    """Give the stack of the test's configuration."""
    return begun.stack


@pytest.fixture
def live(stacks: Stacks) -> Live:
    """Give the stack that follows a flags file."""
    return Live(stacks[LIVE].stack)


@pytest.fixture
def drill(stacks: Stacks) -> Drill:
    """Give the stack with the wrong candidate, its guard reset."""
    drill = Drill(stacks[DRILL].stack)
    drill.make_ready()
    return drill


@pytest.fixture(scope="session")
def decision(stacks: Stacks) -> Decision:
    """Give the gateway whose flag needs a certificate."""
    return cast("Decision", stacks.command("decision"))


@pytest.fixture(scope="session")
def offline(stacks: Stacks) -> Offline:
    """Give evidence that needs no gateway."""
    return cast("Offline", stacks.command("offline"))


@pytest.fixture(scope="session")
def wrong(stacks: Stacks) -> Wrong:
    """Give what the command leaves whose candidate is wrong."""
    return cast("Wrong", stacks.command("wrong"))


@pytest.fixture
def once(stacks: Stacks) -> EndedCommand:
    """Give how the command ended that ends by itself."""
    return cast("EndedCommand", stacks.command("once"))


@pytest.fixture
def refused(stacks: Stacks) -> StartError:
    """Give what is told of a gateway that does not start."""
    return cast("StartError", stacks.command("refused"))


@pytest.fixture
def left(stacks: Stacks) -> Left:
    """Give the command that stays."""
    return cast("Left", stacks.command("left"))


def _configurations(item: pytest.Item) -> list[Configuration]:
    found: list[Configuration] = []
    names = getattr(item, "fixturenames", ())
    found += [LIVE] * ("live" in names) + [DRILL] * ("drill" in names)
    callspec = getattr(item, "callspec", None)
    if callspec is not None and "begun" in callspec.params:
        found.append(callspec.params["begun"])
    return found
