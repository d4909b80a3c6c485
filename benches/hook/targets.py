"""What has to be reached, as ratios of one run, and whether it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import implementations as who

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

#: Rows in which the framework's own work, or Python's logging, is most of what is measured: shown,
#: and no part of the ratios that are to be reached.
NOT_OURS: Final = ("manager", "warned")

#: Rows whose cost grows without bound for some.
_GROWING: Final = ("live-", "text-17KB", "text-1MB", "items-")

_LEAST: Final = (
    (who.PUBLISHED_HYBRID, 2.5, 5.0),
    (who.PUBLISHED_NEWEST, 2.5, 3.0),
    (who.PYTHON, 3.0, None),
)
_MOST_OF_FLOOR: Final = 1.3
#: Searches for one byte: two for each of the three needles.
_MOST_SCAN: Final = 6.0
_TEXT_BYTES: Final = 1_000_000
_MOST_GROWTH: Final = 1.3
_MOST_PAUSE_NS: Final = 50_000
_MOST_ENTRY_BYTES: Final = 64
_MOST_SHADOW_NS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Target:
    """One target.

    Attributes:
        text: What is to be reached.
        reached: What was.
        holds: Whether that is enough.
    """

    text: str
    reached: str
    holds: bool


class Results:
    """A run's results, as they are stored."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        """Read them."""
        self.told = told
        self._cells = {(cell["scenario"], cell["implementation"]): cell for cell in told["cells"]}

    def cell(self, scenario: str, implementation: str) -> dict[str, Any] | None:
        """Give a cell; ``None`` where nobody took part."""
        return self._cells.get((scenario, implementation))

    def median_ns(self, scenario: str, implementation: str) -> float:
        """Give the median of a cell."""
        return float(median(self._cells[scenario, implementation]["values_ns"]))

    def ratio(self, scenario: str, other: str, one: str = who.RUST) -> float:
        """Give how many times as long ``other`` takes as ``one``: the median over the rounds."""
        pairs = zip(
            self._cells[scenario, other]["values_ns"],
            self._cells[scenario, one]["values_ns"],
            strict=True,
        )
        return float(median(theirs / ours for theirs, ours in pairs))

    def growth(self, few: str, many: str, implementation: str) -> float:
        """Give how many times as long one scenario takes as another: the median over the rounds."""
        pairs = zip(
            self._cells[few, implementation]["values_ns"],
            self._cells[many, implementation]["values_ns"],
            strict=True,
        )
        return float(median(after / before for before, after in pairs))

    def rows(self, implementation: str) -> list[str]:
        """Give the scenarios that an implementation was measured on."""
        return [scenario for scenario, name in self._cells if name == implementation]


def targets(results: Results) -> Iterator[Target]:
    """Say of every target whether it holds."""
    for other, on_every_row, in_the_mean in _LEAST:
        yield from _ratios(results, other, on_every_row, in_the_mean)
    floor = 1 / results.ratio("success", who.FLOOR)
    yield Target(
        f"success takes at most {_MOST_OF_FLOOR} times the floor",
        f"{floor:.2f} times",
        floor <= _MOST_OF_FLOOR,
    )
    yield _scan(results)
    growth = results.growth("live-10", "live-1000000", who.RUST)
    yield Target(
        "the same cost at 10 and at 1,000,000 live entries, another request each time: at most "
        f"{_MOST_GROWTH} times",
        f"{growth:.2f} times",
        growth <= _MOST_GROWTH,
    )
    pause = max(pause["expiring_ns"] for pause in results.told["pauses"])
    yield Target(
        f"no call longer than {_MOST_PAUSE_NS // 1000} us while entries expire",
        f"{pause / 1000:.1f} us",
        pause <= _MOST_PAUSE_NS,
    )
    entry = entry_bytes(results, who.RUST)
    yield Target(
        f"at most {_MOST_ENTRY_BYTES} bytes per live entry, plus the ids",
        f"{entry:.0f} bytes, and no ids",
        entry <= _MOST_ENTRY_BYTES,
    )
    for scenario in results.rows(who.SHADOW):
        yield _shadow(results, scenario)


def entry_bytes(results: Results, implementation: str) -> float:
    """Give the bytes of a live entry, from the fullest store that was measured."""
    cells = [results.cell(row, implementation) for row in results.rows(implementation)]
    filled = [cell for cell in cells if cell is not None and cell["live"]]
    return float(max(filled, key=lambda cell: cell["live"])["entry_bytes"])


def _ratios(
    results: Results, other: str, on_every_row: float, in_the_mean: float | None
) -> Iterator[Target]:
    title = results.told["implementations"][other]
    ratios = {row: results.ratio(row, other) for row in results.rows(other) if row not in NOT_OURS}
    least = min(ratios, key=lambda row: ratios[row])
    yield Target(
        f"at least {on_every_row} times as fast as {title} on every row",
        f"{ratios[least]:.2f} times at least ({results.told['scenarios'][least]})",
        ratios[least] >= on_every_row,
    )
    if in_the_mean is not None:
        mean = _geometric_mean(ratios.values())
        others = [ratio for row, ratio in ratios.items() if not row.startswith(_GROWING)]
        yield Target(
            f"{in_the_mean} times as fast as {title} in the geometric mean",
            f"{mean:.2f} times; {_geometric_mean(others):.2f} without the rows whose cost grows, "
            "for some, with the text or with the live entries",
            mean >= in_the_mean,
        )


def _geometric_mean(ratios: Collection[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def _scan(results: Results) -> Target:
    """Compare the time that a text costs with a search for one byte in it."""
    passes = _scan_ns(results) / results.told["memchr_ns"]
    return Target(
        f"a text without a failure costs at most {_MOST_SCAN:.0f} searches for one byte (memchr): "
        "two for each of its three needles",
        f"{passes:.1f} searches",
        passes <= _MOST_SCAN,
    )


def scan_rate(results: Results) -> float:
    """Give the bytes of the largest text that are looked at in a nanosecond."""
    return _TEXT_BYTES / _scan_ns(results)


def _scan_ns(results: Results) -> float:
    return results.median_ns("text-1MB", who.RUST) - results.median_ns("success", who.RUST)


def _shadow(results: Results, scenario: str) -> Target:
    cells = [results.cell(scenario, name) for name in (who.SHADOW, who.HYBRID, who.RUST)]
    rounds = zip(*(cell["values_ns"] for cell in cells if cell), strict=True)
    extra = median(shadow - hybrid - rust for shadow, hybrid, rust in rounds)
    return Target(
        f"shadow mode takes at most 1 us more than both together: "
        f"{results.told['scenarios'][scenario]}",
        f"{extra / 1000:+.2f} us",
        extra <= _MOST_SHADOW_NS,
    )
