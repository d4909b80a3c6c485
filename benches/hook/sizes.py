"""What an implementation weighs: its wheel, and the time that importing it takes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

import implementations as who
from retry_parity.differential.environments import find_uv
from retry_parity.lifetime import bound

ROOT: Final = Path(__file__).resolve().parents[2]
_IMPORTS: Final = 9
_PROJECTS: Final = {who.RUST: ROOT, who.HYBRID: ROOT / "python_legacy"}


def wheel_bytes(implementation: who.Implementation) -> int:
    """Give the size of the wheel, built here or downloaded.

    Raises:
        subprocess.CalledProcessError: It cannot be built, or downloaded.
    """
    with tempfile.TemporaryDirectory() as folder:
        if implementation.name in _PROJECTS:
            project = str(_PROJECTS[implementation.name])
            command = [find_uv(), "build", "--quiet", "--wheel", "--out-dir", folder, project]
        else:
            requirement = implementation.spec.removeprefix("pypi:")
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--disable-pip-version-check", "--dest", folder, requirement]
        subprocess.run(bound(command), check=True, capture_output=True)  # noqa: S603 - our own command
        (wheel,) = Path(folder).glob("*.whl")
        return wheel.stat().st_size


def import_ms(implementation: who.Implementation, python: Path) -> float:
    """Give the milliseconds that importing the plugin takes where cpex is loaded already."""
    module = implementation.plugin.partition(":")[0]
    program = (
        "import time, cpex.framework\n"
        "begin = time.perf_counter_ns()\n"
        f"import {module}\n"
        "print(time.perf_counter_ns() - begin)\n"
    )
    times = []
    for _ in range(_IMPORTS):
        ran = subprocess.run(  # noqa: S603 - our own program
            bound([python, "-c", program]), check=True, capture_output=True, text=True
        )
        times.append(int(ran.stdout.split()[-1]))
    return median(times) / 1e6
