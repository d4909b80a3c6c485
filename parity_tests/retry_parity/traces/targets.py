"""Where a command writes a trace to, and how many calls a person means."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from retry_parity.traces.calls import TraceError
from retry_parity.traces.reading import PARQUET

if TYPE_CHECKING:
    from pathlib import Path

    from retry_parity.traces.reading import Trace

_MOST_CALLS: Final = 10**12


def check_target(out: Path, source: Trace) -> None:
    """Refuse a file before the work is done rather than afterwards.

    Raises:
        TraceError: It is a folder, its folder does not exist, its name would hide what it is, or it
            is what is read.
    """
    if out.is_dir():
        message = f"{out}: it is a folder, a file is allowed"
        raise TraceError(message)
    if not out.absolute().parent.is_dir():
        message = f"{out}: its folder does not exist"
        raise TraceError(message)
    if out.suffix != PARQUET:
        message = f"{out}: its name does not end in {PARQUET}, the format that is written"
        raise TraceError(message)
    if out.exists() and any(out.samefile(file.path) for file in source.files):
        message = f"{out}: it is the trace that is read; another file is allowed"
        raise TraceError(message)


def number_of_calls(text: str) -> int:
    """Read a number of calls; thousands may be set apart by commas or underscores.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    digits = text.replace(",", "").replace("_", "")
    if not (digits.isascii() and digits.isdigit() and 1 <= int(digits[:13]) <= _MOST_CALLS):
        message = f"{text!r:.40} is no number of calls; 1 to {_MOST_CALLS:,} is allowed"
        raise argparse.ArgumentTypeError(message)
    return int(digits)
