"""The preloaded clock library: the clock stands still, and a sleep ends all the same."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from retry_parity.differential.clock import NoClockError, clock_library

SCRIPT = """
import ctypes, time
library = ctypes.CDLL(None)
library.retry_clock_stop_at.argtypes = [ctypes.c_int64]
assert library.retry_clock_stop_at(5_000_000_000_000) == 0
time.sleep(0.001)
print(time.monotonic())
library.retry_clock_run()
print(time.monotonic() != 5000.0)
"""


def test_a_sleep_ends_while_the_clock_is_stopped() -> None:
    """Python sleeps until a reading of the clock; one that is stopped never gets there.

    A build that slept for a millisecond in its hook was taken for one that hangs.
    """
    try:
        library = clock_library()
    except NoClockError as error:
        pytest.skip(str(error))  # the library is for 64-bit Linux, and built from a checkout
    ran = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "LD_PRELOAD": str(library)},
        check=True,
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert ran.stdout.split() == ["5000.0", "True"]
