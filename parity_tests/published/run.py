# ruff: noqa: INP001 - a script
"""Runs the behaviour suite on the published hybrid, in an environment of its own.

The published package and this repository's never share an environment: the suite is told apart
from what it tests. Needs uv, cargo, 64-bit Linux, and the network when the environment or the clock
library has to be built. Started by the environment that `make setup` makes::

    .venv/bin/python parity_tests/published/run.py [--cpex 0.1.2] [FOLDER] [-- PYTEST ARGUMENTS]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from retry_parity.differential.builds import BuildError
from retry_parity.differential.clock import NoClockError, clock_library
from retry_parity.differential.environments import find_uv, run_uv
from retry_parity.lifetime import bound

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SUITE = ROOT / "python_shim" / "tests" / "behaviour"
CPEX_VERSIONS = ("0.1.4", "0.1.2")  # the newest, and the last whose copy-on-write dict is lazy
STAMP = "installed.txt"
NOT_RUN = 2


def main(arguments: list[str] | None = None) -> int:
    """Prepare everything, run the suite, and give its exit status (2: it could not be run)."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    folder: Path = options.folder or _default_folder(options.cpex)
    try:
        python = prepare(folder, HERE / f"requirements-cpex-{options.cpex}.txt")
        library = clock_library()
    except (BuildError, NoClockError) as error:
        sys.stderr.write(f"published: {error}\n")
        return NOT_RUN
    return run_suite(python, library, options.pytest)


def prepare(folder: Path, requirements: Path) -> Path:
    """Give the Python of an environment with exactly these requirements, made anew if it differs.

    Raises:
        BuildError: There is no uv, or it cannot make the environment.
    """
    python = folder / "bin" / "python"
    stamp = folder / STAMP
    wanted = f"# CPython {sys.version_info.major}.{sys.version_info.minor}\n"
    wanted += requirements.read_text(encoding="utf-8")
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    uv = find_uv()
    run_uv(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    run_uv(uv, "pip", "sync", "--quiet", "--python", str(python), str(requirements))
    # Last, so that an environment that was left half made is not taken for a whole one.
    stamp.write_text(wanted, encoding="utf-8")
    return python


def run_suite(python: Path, library: Path, extra: list[str]) -> int:
    """Run the suite on the published package and give pytest's exit status."""
    with tempfile.TemporaryDirectory() as working_directory:
        command = [
            *(str(python), "-m", "pytest", str(SUITE)),
            # Neither the repository's pytest settings nor its other conftest files apply here.
            *("-c", str(HERE / "pytest.ini"), "--rootdir", str(SUITE), "--confcutdir", str(SUITE)),
            *("-p", "adapter", "-p", "no:cacheprovider", "--implementation", "published", *extra),
        ]
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTHONHOME", "VIRTUAL_ENV"}
        }
        environment |= {
            "LD_PRELOAD": str(library),
            "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        finished = subprocess.run(  # noqa: S603 - our own command
            bound(command), cwd=working_directory, env=environment, check=False
        )
    return finished.returncode


def _default_folder(cpex: str) -> Path:
    suffix = "" if cpex == CPEX_VERSIONS[0] else f"-cpex-{cpex}"
    return ROOT / ".venvs" / f"published-0.3.1{suffix}"


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        help="the environment, made where it is not there (default .venvs/published-0.3.1)",
    )
    parser.add_argument("--cpex", choices=CPEX_VERSIONS, default=CPEX_VERSIONS[0])
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:end])
    options.pytest = arguments[end + 1 :]
    return options


if __name__ == "__main__":
    sys.exit(main())
