"""What is tried, and the command that repeats it: read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
#: The product's rows, and those of the rooms that go when the migration ends.
FILES: Final = (Path(__file__).with_name("rows.toml"), ROOT / "parity_tests" / "reliability.toml")
#: Stands in a command for the file that its figures are written to.
FIGURES: Final = "FIGURES.json"

_KEYS: Final = {"area", "what", "unit", "command", "tally"}
_TALLIES: Final = {"junit", "json", "lines", "status"}


class RowError(ValueError):
    """A row is wrong; the message is one line."""


@dataclass(frozen=True)
class Row:
    """One thing that is tried.

    Attributes:
        name: Names the row on the command line.
        area: The heading it stands under.
        what: What is tried, in words.
        unit: What is counted.
        command: Repeats it, from the root of the repository.
        tally: Where the counts come from: ``junit`` (``tried`` and ``lost`` among the properties
            that its tests record), ``json`` (an object with ``tried``, ``lost`` and ``figures``
            in the file `FIGURES`), ``lines`` (``tried N calls, lost K`` on its output), or
            ``status`` (a run of it is one try, lost where it fails).
    """

    name: str
    area: str
    what: str
    unit: str
    command: str
    tally: str


def read_rows() -> list[Row]:
    """Read all rows that are there.

    Raises:
        RowError: One is wrong.
    """
    return [
        _row(name, told, file)
        for file in FILES
        if file.exists()
        for name, told in tomllib.loads(file.read_text(encoding="utf-8")).items()
    ]


def _row(name: str, told: dict[str, Any], file: Path) -> Row:
    where = f"{file.relative_to(ROOT)}, [{name}]"
    if unknown := set(told) - _KEYS:
        message = f"{where}: {sorted(unknown)} given; allowed: {sorted(_KEYS)}"
        raise RowError(message)
    if missing := _KEYS - set(told):
        message = f"{where}: {sorted(missing)} missing"
        raise RowError(message)
    if told["tally"] not in _TALLIES:
        message = f"{where}: tally = {told['tally']!r} given; allowed: {sorted(_TALLIES)}"
        raise RowError(message)
    if (told["tally"] == "json") != (FIGURES in told["command"]):
        message = f"{where}: {FIGURES} stands in a command with tally = 'json', and in no other"
        raise RowError(message)
    return Row(name=name, **told)
