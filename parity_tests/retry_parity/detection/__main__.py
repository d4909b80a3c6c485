"""`python -m retry_parity.detection`: measure, write the figures and docs/DETECTION.md."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from retry_parity.detection.measure import Result, alarms, as_rows, measure
from retry_parity.detection.mutants import ROOT, DetectionError, by_hand, generated
from retry_parity.detection.report import document, reason_for, stale
from retry_parity.differential.builds import BuildError
from retry_parity.lifetime import bound

RESULT: Final = ROOT / "parity_tests" / "detection.json"
DOCUMENT: Final = ROOT / "docs" / "DETECTION.md"
DECISIONS: Final = 1_000_000
_SOURCES: Final = ("rust/core/src", "rust/python/src", "python_shim/retry_with_backoff")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; exit status 0, 1 (a hole, or an alarm) or 2 (could not run)."""
    options = _parse(arguments)
    if options.render:
        measured = json.loads(RESULT.read_text(encoding="utf-8"))
        if measured["sources"] != sources():
            _tell("docs/DETECTION.md: the core has changed since; `make detection` measures anew")
        sys.stdout.write(document(measured))
        return 0
    logging.disable(logging.CRITICAL)  # the hybrid warns of every exhausted chain
    try:
        return _measure(options)
    except (DetectionError, BuildError) as error:
        sys.stderr.write(f"detection: {error}\n")
        return 2


def sources() -> str:
    """Give the hash of what is mutated."""
    digest = hashlib.sha256()
    for folder in _SOURCES:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in {".rs", ".py"}:
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _measure(options: argparse.Namespace) -> int:
    mutants = by_hand() + generated(options.cargo_mutants)
    if options.only:
        mutants = [mutant for mutant in mutants if re.search(options.only, mutant.name)]
    partial = bool(options.only) or options.scenarios_only
    results, broken = measure(mutants, options.folder, _tell, scenarios_only=options.scenarios_only)
    if options.again:
        return _again(results)
    measured: dict[str, Any] = {
        "sources": sources(),
        "versions": f"Python {platform.python_version()}, {_cargo_version()}",
        "do_not_compile": len(broken),
        "mutants": as_rows(results),
        "alarms": alarms(options.decisions, _tell),
    }
    if not partial:
        _write(measured)
    sys.stdout.write(document(measured))
    for pattern in stale(measured):
        _tell(f"equivalent.toml: {pattern} matches no missed mutant")
    holes = [each.name for each in results if not each.found_by and not reason_for(each.name)]
    return 1 if holes or measured["alarms"]["alarms"] else 0


def _again(results: list[Result]) -> int:
    """Put results in the place of those of the last run."""
    measured = json.loads(RESULT.read_text(encoding="utf-8"))
    fresh = {row["name"]: row for row in as_rows(results)}
    measured["mutants"] = [fresh.pop(row["name"], row) for row in measured["mutants"]]
    # What is new did not compile the last time.
    measured["mutants"] += fresh.values()
    measured["do_not_compile"] -= len(fresh)
    _write(measured)
    return int(any(not each.found_by and not reason_for(each.name) for each in results))


def _write(measured: dict[str, Any]) -> None:
    RESULT.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    DOCUMENT.write_text(document(measured), encoding="utf-8")


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _cargo_version() -> str:
    told = subprocess.run(  # noqa: S603 - ours
        bound(["cargo", "--version"]),
        check=True,
        text=True,
        capture_output=True,
    )
    return " ".join(told.stdout.split()[:2])


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m retry_parity.detection", description=__doc__)
    parser.add_argument("--cargo-mutants", default="cargo-mutants", help="path of cargo-mutants")
    parser.add_argument("--folder", type=Path, default=ROOT / "target" / "detection")
    parser.add_argument("--decisions", type=int, default=DECISIONS, help="decisions for alarms")
    parser.add_argument(
        "--only",
        default="",
        help="only mutants with a name in which this regular expression is found",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="with --only: put the results in the place of the last run's, after a hole is closed",
    )
    parser.add_argument(
        "--scenarios-only", action="store_true", help="leave out the rest of the suite; for a look"
    )
    parser.add_argument("--render", action="store_true", help="print the document of the last run")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
