"""The library that stops an interpreter's monotonic clock, built from this repository's source.

A published build reads the clock in compiled code that cannot be told the time. Preloaded into its
interpreter, the library (`parity_tests/rust_clock`) answers in libc's place.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from retry_parity.lifetime import bound

_ROOT: Final = Path(__file__).resolve().parents[3]
_CRATE: Final = _ROOT / "parity_tests" / "rust_clock" / "Cargo.toml"


class NoClockError(Exception):
    """The library cannot be had; the message says why, in one line."""


@functools.cache
def clock_library() -> Path:
    """Build the library, unless it is built, and give its path.

    Raises:
        NoClockError: This is no 64-bit Linux, the source is not here, there is no cargo, or the
            build fails.
    """
    if not sys.platform.startswith("linux") or sys.maxsize < 2**32:
        message = "the clock library is for 64-bit Linux"
        raise NoClockError(message)
    if not _CRATE.exists():
        message = "the clock library's source is in a checkout of the repository, and this is none"
        raise NoClockError(message)
    cargo = shutil.which("cargo")
    if cargo is None:
        message = "the clock library is built with cargo, which is not installed"
        raise NoClockError(message)
    command = [cargo, "build", "--locked", "--quiet", "--message-format=json"]
    try:
        built = subprocess.run(  # noqa: S603 - our own command
            bound([*command, "--manifest-path", _CRATE]),
            check=True,
            text=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        message = f"the clock library cannot be built: {' '.join(said.split())[:300]}"
        raise NoClockError(message) from error
    for line in built.stdout.splitlines():
        told = json.loads(line)
        if told.get("target", {}).get("name") == "retry_clock" and told.get("filenames"):
            return Path(told["filenames"][0])
    message = "cargo built the clock library and did not say where"
    raise NoClockError(message)
