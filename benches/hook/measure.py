"""Times all implementations in turns of a few milliseconds: all of them meet the same machine."""

from __future__ import annotations

import json
import os
import random
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import implementations as who
import scenarios
from retry_parity.differential.builds import BuildError
from retry_parity.lifetime import bound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_WORKER: Final = Path(__file__).with_name("worker.py")
_BURST_NS: Final = 10_000_000
_MOST_CALLS: Final = 200_000
#: What the worker is asked for, and on which scenario.
_STICKS: Final = (("scan", "text-1MB"), ("get", "success-cow-0.1.2"))
_STICK_TIMES: Final = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to measure.

    Attributes:
        rounds: Turns of each implementation on each scenario.
        fill_s: Seconds in which a store has to be filled. One whose every call walks all entries
            takes hours for a million.
    """

    rounds: int
    fill_s: float


class Lane:
    """A worker's process."""

    def __init__(
        self, implementation: who.Implementation, python: Path, packages: dict[str, str]
    ) -> None:
        """Start it."""
        self.implementation = implementation
        # Packages of this environment that another one is lent, and nothing else of it.
        self._lent = tempfile.TemporaryDirectory()
        for name, folder in packages.items():
            Path(self._lent.name, name).symlink_to(folder)
        command = [str(python), str(_WORKER), implementation.plugin]
        environment = {**os.environ, "PYTHONPATH": self._lent.name}
        environment.pop("RETRY_IMPLEMENTATION", None)
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            bound(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, **asked: Any) -> dict[str, Any]:
        """Have the worker do something.

        Raises:
            BuildError: It cannot, or it has ended.
        """
        process = self._process
        assert process.stdin is not None  # noqa: S101 - a pipe, as asked for
        assert process.stdout is not None  # noqa: S101 - as above
        assert process.stderr is not None  # noqa: S101 - as above
        try:
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            said = process.stderr.read().strip().splitlines() or ["it said nothing"]
            message = f"{self.implementation.title}: its interpreter has ended: {said[-1]}"
            raise BuildError(message)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            message = f"{self.implementation.title}: {asked['do']}: {answer['error']}"
            raise BuildError(message)
        return answer

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        self._lent.cleanup()


@dataclass(frozen=True, slots=True)
class Timing:
    """One cell of the table.

    Attributes:
        scenario: The row.
        implementation: The column.
        values_ns: Nanoseconds per awaited call, one value a round; rounds of a row belong together.
        live: Live entries that were reached.
        entry_bytes: Resident bytes of a live entry, ids included; 0 where none were made.
    """

    scenario: str
    implementation: str
    values_ns: tuple[float, ...]
    live: int = 0
    entry_bytes: float = 0.0


class Cell:
    """One implementation on one scenario, while it is being measured."""

    def __init__(self, scenario: scenarios.Scenario, lane: Lane, filled: dict[str, Any]) -> None:
        """Prepare the worker and find how many calls take some milliseconds.

        Raises:
            BuildError: The implementation cannot be measured.
        """
        self._scenario = scenario
        self._lane = lane
        self._filled = filled
        self._values: list[float] = []
        lane.ask(do="prepare", scenario=scenario.name)
        self._calls = self._calls_of_a_burst()

    def turn(self) -> None:
        """Measure once."""
        ran = self._lane.ask(do="run", scenario=self._scenario.name, calls=self._calls)
        self._values.append(ran["ns"] / ran["calls"])

    def timing(self) -> Timing:
        """Give what was measured."""
        return Timing(
            self._scenario.name,
            self._lane.implementation.name,
            tuple(self._values),
            int(self._filled["live"]),
            float(self._filled["bytes"]),
        )

    def _calls_of_a_burst(self) -> int:
        calls = 1
        while True:
            ran = self._lane.ask(do="run", scenario=self._scenario.name, calls=calls)
            if ran["ns"] >= _BURST_NS or calls >= _MOST_CALLS:
                return calls
            calls *= 2


@dataclass(frozen=True, slots=True)
class Yardsticks:
    """What some times are compared with; medians, and 0 where their row was not measured.

    Attributes:
        memchr_ns: A search for one byte in the largest text.
        lazy_get_ns: One `get` of the dict of cpex 0.1.2, which is Python code.
    """

    memchr_ns: float
    lazy_get_ns: float


def measure(
    columns: Iterable[who.Implementation],
    rows: Sequence[scenarios.Scenario],
    interpreters: who.Interpreters,
    limits: Limits,
    say: Callable[[str], None],
) -> tuple[list[Timing], Yardsticks]:
    """Measure everybody on everything, in turns.

    Returns:
        The cells of the table, and what some of them are compared with.

    Raises:
        BuildError: An implementation cannot be measured.
    """
    everybody = list(columns)
    lanes: dict[tuple[str, str, int], Lane] = {}
    cells: list[Cell] = []
    try:
        for scenario in rows:
            for implementation in everybody:
                if not takes_part(implementation, scenario):
                    continue
                # Whoever has a store full of chains is measured on nothing else.
                key = (implementation.name, scenario.cpex, scenario.live)
                filled = {"live": 0, "bytes": 0.0}
                if key not in lanes:
                    lane = Lane(implementation, *interpreters.of(implementation, scenario.cpex))
                    lanes[key] = lane
                    if scenario.live:
                        filled = _fill(lane, scenario.live, limits, say)
                cells.append(Cell(scenario, lanes[key], filled))
            say(f"prepared: {scenario.title}")
        sticks = [
            (do, scenario.name, lanes[who.RUST, scenario.cpex, 0])
            for scenario in rows
            for do, name in _STICKS
            if scenario.name == name
        ]
        found: dict[str, list[float]] = {do: [] for do, _ in _STICKS}
        for turn in range(limits.rounds):
            say(f"round {turn + 1} of {limits.rounds}")
            # In another order each time: nobody always follows the same one.
            order = random.Random(turn)  # noqa: S311 - no secret, and the same in every run
            for cell in order.sample(cells, len(cells)):
                cell.turn()
            for do, name, lane in sticks:
                found[do].append(float(lane.ask(do=do, scenario=name, times=_STICK_TIMES)["ns"]))
    finally:
        for lane in lanes.values():
            lane.close()
    scan, get = (median(values) if values else 0.0 for values in found.values())
    return [cell.timing() for cell in cells], Yardsticks(scan, get)


def takes_part(implementation: who.Implementation, scenario: scenarios.Scenario) -> bool:
    """Whether an implementation is measured on a scenario."""
    if implementation.name == who.SHADOW:
        return scenario.name in scenarios.SHADOWED
    if implementation.name == who.PUBLISHED_NEWEST and scenario.cpex:
        # It wants mcp 2, with which this cpex cannot be imported.
        return False
    # Neither has the floor a budget, a text or a state.
    return implementation.name != who.FLOOR or scenario.name in {"success", "manager"}


def _fill(lane: Lane, live: int, limits: Limits, say: Callable[[str], None]) -> dict[str, Any]:
    filled = lane.ask(do="fill", live=live, limit_s=limits.fill_s)
    if filled["live"] < live:
        title = lane.implementation.title
        say(f"{title}: {filled['live']:,} of {live:,} entries in {limits.fill_s:.0f} s")
    return filled
