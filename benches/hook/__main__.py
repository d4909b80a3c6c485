"""`make bench`: all implementations side by side in one run, then the core alone.

Writes benches/results.json, docs/BENCHMARKS.md and docs/benchmarks.svg, and pyperf's own format to
target/bench/pyperf.json. `--render` prints the document of the last run and measures nothing.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import implementations as who
import scenarios
import sizes
from document import comparison, document, summary
from measure import Limits, Timing, measure
from retry_parity.differential.builds import BuildError
from retry_parity.lifetime import bound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
RESULT: Final = ROOT / "benches" / "results.json"
DOCUMENT: Final = ROOT / "docs" / "BENCHMARKS.md"
CHART: Final = ROOT / "docs" / "benchmarks.svg"
PYPERF: Final = ROOT / "target" / "bench" / "pyperf.json"
_CRITERION: Final = ROOT / "target" / "bench" / "criterion"
_FILL_S: Final = 30.0
_HOURS_S: Final = 6 * 3600.0
_SIGNIFICANT: Final = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit status 0, or 2 (it could not be run)."""
    options = _parse(arguments)
    if options.render:
        sys.stdout.write(document(_stored()))
        return 0
    try:
        if options.only:
            return _look(options)
        told = _measured(options)
    except (BuildError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
        sys.stderr.write(f"bench: {error} {said.splitlines()[-1] if said else ''}\n")
        return 2
    RESULT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    told = _stored()
    DOCUMENT.write_text(document(told), encoding="utf-8")
    from chart import draw

    draw(told, CHART)
    sys.stdout.write(summary(told))
    return 0


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    implementations = who.implementations()
    interpreters = who.Interpreters(_say)
    cells, table = _timed(implementations, interpreters, options)
    _store_for_pyperf(cells)
    _say("wheels and imports")
    weighed = [each for each in implementations if each.name in _WEIGHED]
    return table | {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": _machine(),
        "versions": _versions(),
        "rounds": options.rounds,
        "wheel_bytes": {each.name: sizes.wheel_bytes(each) for each in weighed},
        "import_ms": {
            each.name: _rounded(sizes.import_ms(each, interpreters.of(each, "")[0]))
            for each in weighed
        },
        "pauses": list(_pauses()),
        "core": _core(quick=options.rounds < _FEW_ROUNDS),
    }


def _look(options: argparse.Namespace) -> int:
    """Measure some rows, show them and keep nothing."""
    implementations = who.implementations()
    _, table = _timed(implementations, who.Interpreters(_say), options)
    sys.stdout.write(comparison(table))
    return 0


def _timed(
    implementations: Sequence[who.Implementation],
    interpreters: who.Interpreters,
    options: argparse.Namespace,
) -> tuple[list[Timing], dict[str, Any]]:
    """Give the cells of the table, and the table as it is stored."""
    limits = Limits(options.rounds, _HOURS_S if options.full else _FILL_S)
    rows = [row for row in scenarios.SCENARIOS if row.name in (options.only or {row.name})]
    cells, sticks = measure(implementations, rows, interpreters, limits, _say)
    return cells, {
        "scenarios": {row.name: row.title for row in rows},
        "implementations": {each.name: each.title for each in implementations},
        "cells": [
            {
                "scenario": cell.scenario,
                "implementation": cell.implementation,
                "values_ns": [_rounded(value) for value in cell.values_ns],
                "live": cell.live,
                "entry_bytes": _rounded(cell.entry_bytes),
            }
            for cell in cells
        ],
        "memchr_ns": sticks.memchr_ns,
        "lazy_get_ns": sticks.lazy_get_ns,
    }


_WEIGHED: Final = (who.RUST, who.HYBRID, who.PUBLISHED_HYBRID, who.PUBLISHED_NEWEST)
_FEW_ROUNDS: Final = 10
_CARGO_BENCH: Final = (
    *("cargo", "bench", "--quiet", "--locked"),
    *("--manifest-path", "benches/Cargo.toml"),
)


def _pauses() -> Iterator[dict[str, int]]:
    _say("the longest single call of the core")
    command = [*_CARGO_BENCH, "--bench", "pauses"]
    ran = subprocess.run(bound(command), check=True, capture_output=True, text=True, cwd=ROOT)  # noqa: S603 - ours
    for line in ran.stdout.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def _core(*, quick: bool) -> list[dict[str, Any]]:
    """Run the criterion benches and read what they store."""
    command = [
        *_CARGO_BENCH,
        "--bench",
        "decision",
        "--bench",
        "state",
        "--bench",
        "text",
        "--",
        "--noplot",
    ]
    command += ["--quick"] if quick else ["--warm-up-time", "1", "--measurement-time", "2"]
    _say("criterion benches of the core")
    # What an earlier run has left there may be of benches that are gone.
    shutil.rmtree(_CRITERION, ignore_errors=True)
    environment = {**os.environ, "CRITERION_HOME": str(_CRITERION)}
    subprocess.run(bound(command), check=True, capture_output=True, cwd=ROOT, env=environment)  # noqa: S603 - ours
    found = []
    for file in sorted(_CRITERION.glob("**/new/estimates.json")):
        bench = json.loads(file.with_name("benchmark.json").read_text(encoding="utf-8"))
        estimates = json.loads(file.read_text(encoding="utf-8"))
        throughput = bench.get("throughput")
        found.append(
            {
                "bench": bench["title"],
                "median_ns": _rounded(estimates["median"]["point_estimate"]),
                "spread_ns": _rounded(estimates["median_abs_dev"]["point_estimate"]),
                "bytes": throughput["Bytes"] if throughput else None,
            }
        )
    return found


def _store_for_pyperf(cells: list[Timing]) -> None:
    """Store the values so that pyperf's commands can look at them."""
    import pyperf

    metadata = {"unit": "second", "loops": 1}
    benchmarks = [
        pyperf.Benchmark(
            [
                pyperf.Run(
                    [value / 1e9 for value in cell.values_ns],
                    metadata={**metadata, "name": f"{cell.scenario}: {cell.implementation}"},
                    collect_metadata=False,
                )
            ]
        )
        for cell in cells
    ]
    PYPERF.parent.mkdir(parents=True, exist_ok=True)
    pyperf.BenchmarkSuite(benchmarks).dump(str(PYPERF), replace=True)


def _machine() -> str:
    import pyperf

    told = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    return f"{told['cpu_model_name']}, {told['cpu_count']} cores, {platform.system()}"


def _versions() -> str:
    rustc = subprocess.run(  # noqa: S603 - ours
        bound(["rustc", "--version"]), check=True, capture_output=True, text=True
    )
    names = ("cpex", "pydantic")
    return ", ".join(
        [
            f"Python {platform.python_version()}",
            *(f"{name} {version(name)}" for name in names),
            " ".join(rustc.stdout.split()[:2]),
        ]
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{_SIGNIFICANT}g}")


def _stored() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    return told


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=41, help="turns of each cell (default 41)")
    parser.add_argument(
        "--only", nargs="*", metavar="SCENARIO", help="only these rows; keeps nothing"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="fill every store, also those whose every call walks all entries: that takes hours",
    )
    parser.add_argument("--render", action="store_true", help="print the document of the last run")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds: {options.rounds} given; allowed: an integer of at least 1")
    known = {row.name for row in scenarios.SCENARIOS}
    for name in options.only or ():
        if name not in known:
            parser.error(f"--only: {name!r} given; allowed: {', '.join(sorted(known))}")
    return options


if __name__ == "__main__":
    sys.exit(main())
