"""The chart of a run: how many times as long the others take as the Rust core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib import pyplot as plt

import implementations as who
from targets import NOT_OURS, Results

if TYPE_CHECKING:
    from pathlib import Path

_SHOWN: Final = {
    who.PUBLISHED_HYBRID: "#0072b2",
    who.PUBLISHED_NEWEST: "#e69f00",
    who.PYTHON: "#999999",
}
_BAR: Final = 0.26
_LEAST: Final = 2.5


def draw(told: dict[str, Any], file: Path) -> None:
    """Write the chart as SVG, with the same bytes for the same results."""
    results = Results(told)
    rows = [row for row in told["scenarios"] if row not in NOT_OURS]
    mpl.rcParams.update({"svg.hashsalt": "benchmarks", "font.size": 9})
    figure, axes = plt.subplots(figsize=(9, 0.55 * len(rows) + 1.2), layout="constrained")
    least = 1.0
    for number, (name, colour) in enumerate(_SHOWN.items()):
        present = [(place, row) for place, row in enumerate(rows) if results.cell(row, name)]
        ratios = [results.ratio(row, name) for _, row in present]
        least = min(least, *ratios)
        places = [place + (number - 1) * _BAR for place, _ in present]
        bars = axes.barh(places, ratios, _BAR, color=colour, label=told["implementations"][name])
        axes.bar_label(bars, [f"{ratio:.1f}" for ratio in ratios], padding=2, fontsize=7)
    axes.set_xscale("log")
    axes.set_xlim(left=least)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.axvline(_LEAST, color="black", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(rows)), [told["scenarios"][row] for row in rows])
    axes.invert_yaxis()
    axes.margins(x=0.08, y=0.01)
    axes.set_xlabel(f"times as long as the Rust core, logarithmic; dotted: {_LEAST}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", ncols=len(_SHOWN), frameon=False)
    figure.savefig(file, metadata={"Date": None})
