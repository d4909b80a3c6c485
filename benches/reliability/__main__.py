"""Tries to break the plugin, in every way that the rows list, and writes docs/RELIABILITY.md.

Exit status 0 where every row held, 1 where something was lost or nothing tried, 2 where it could
not run.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from typing import Any, Final

from document import document
from findings import read_findings
from measuring import Measured, measure
from rows import ROOT, Row, RowError, read_rows

RESULT: Final = ROOT / "benches" / "reliability.json"
DOCUMENT: Final = ROOT / "docs" / "RELIABILITY.md"


def main() -> int:
    """Run the command."""
    options = _parse()
    try:
        rows, findings = read_rows(), read_findings()
        chosen = [row for row in rows if re.search(options.only, row.name)]
    except (RowError, re.error) as error:
        return _refuse(str(error))
    if options.render:
        sys.stdout.write(document(rows, findings, _stored()))
        return 0
    if not chosen:
        names = ", ".join(row.name for row in rows)
        return _refuse(f"--only {options.only}: no row has that name; there are {names}")
    held = [_take(row, number, len(chosen)) for number, row in enumerate(chosen, 1)]
    return 0 if all(held) else 1


def _take(row: Row, number: int, count: int) -> bool:
    """Measure a row and store it at once: an interrupted run keeps what it has."""
    _tell(f"{number}/{count} {row.name}: {row.command}")
    measured = measure(row)
    stored = _stored()
    stored["versions"] = _versions()
    stored["rows"][row.name] = measured.stored()
    names = sorted(each.name for each in read_rows() if each.name in stored["rows"])
    stored["rows"] = {name: stored["rows"][name] for name in names}
    RESULT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    DOCUMENT.write_text(document(read_rows(), read_findings(), stored), encoding="utf-8")
    _tell(_told(row, measured))
    return measured.held


def _told(row: Row, measured: Measured) -> str:
    tried = "nothing tried" if measured.tried is None else f"{measured.tried:,} {row.unit}"
    line = f"    {tried}, {measured.lost:,} lost, {measured.seconds:g} s"
    return f"{line}\n{measured.said}" if measured.said else line


def _stored() -> dict[str, Any]:
    if not RESULT.exists():
        return {"versions": _versions(), "rows": {}}
    stored: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    return stored


def _versions() -> str:
    rustc = subprocess.run(
        ["rustc", "--version"],  # noqa: S607 - it is on the path
        check=True,
        text=True,
        capture_output=True,
    )
    compiler = " ".join(rustc.stdout.split()[:2])
    return f"Python {platform.python_version()}, {compiler}, cpex {version('cpex')}"


def _refuse(line: str) -> int:
    _tell(f"reliability: {line}")
    return 2


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/reliability", description=__doc__)
    parser.add_argument(
        "--only",
        default="",
        help="only rows with a name in which this regular expression is found",
    )
    parser.add_argument("--render", action="store_true", help="print the document of the last run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
