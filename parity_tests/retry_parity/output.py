"""Where the command line's output goes: consoles, and JSON files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from rich.console import Console

STDOUT: Final = "-"
_PLAIN_WIDTH: Final = 100


class OutputError(ValueError):
    """Output cannot be written where it was asked for; the message is one line."""


def console(*, stderr: bool) -> Console:
    """Give a console; of a fixed width where nobody's terminal has one."""
    made = Console(stderr=stderr)
    if not made.is_terminal:
        made.width = _PLAIN_WIDTH
    return made


def check_json_target(target: str | None) -> None:
    """Refuse a JSON file before the work is done rather than afterwards.

    Raises:
        OutputError: Its folder does not exist, or it is a folder.
    """
    if target is None or target == STDOUT:
        return
    if not Path(target).absolute().parent.is_dir():
        message = f"{target}: its folder does not exist"
        raise OutputError(message)
    if Path(target).is_dir():
        message = f"{target}: it is a folder, a file is allowed"
        raise OutputError(message)


def write_json(target: str | None, data: dict[str, Any]) -> None:
    """Write data to a file, to standard output (``-``), or nowhere (``None``).

    Raises:
        OutputError: The file cannot be written.
    """
    if target is None:
        return
    text = json.dumps(data, indent=2) + "\n"
    if target == STDOUT:
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{target}: cannot be written: {error.strerror or error}"
        raise OutputError(message) from error
