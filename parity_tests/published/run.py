# ruff: noqa: INP001 - a script
"""Runs the behaviour suite on the published hybrid, in an environment of its own.

The published package and this repository's never share an environment: the suite is told apart
from what it tests. Needs uv, cargo, 64-bit Linux, and the network when the environment or the clock
library has to be built. Uses the standard library only, so that any Python >= 3.11 can start it::

    python parity_tests/published/run.py [--cpex 0.1.2] [FOLDER] [-- PYTEST ARGUMENTS]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SUITE = ROOT / "python_shim" / "tests" / "behaviour"
CPEX_VERSIONS = ("0.1.4", "0.1.2")  # the newest, and the last whose copy-on-write dict is lazy
STAMP = "installed.txt"
NOT_RUN = 2
_LONGEST_REASON = 400


class CannotRunError(Exception):
    """The suite cannot be run here; the message is one line and says what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Prepare everything, run the suite, and give its exit status (2: it could not be run)."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    folder: Path = options.folder or _default_folder(options.cpex)
    try:
        python = prepare(folder, HERE / f"requirements-cpex-{options.cpex}.txt")
        library = build_clock()
    except CannotRunError as error:
        sys.stderr.write(f"published: {error}\n")
        return NOT_RUN
    return run_suite(python, library, options.pytest)


def prepare(folder: Path, requirements: Path) -> Path:
    """Give the Python of an environment with exactly these requirements, made anew if it differs.

    Raises:
        CannotRunError: There is no uv, or it cannot make the environment.
    """
    python = folder / "bin" / "python"
    stamp = folder / STAMP
    wanted = f"# CPython {sys.version_info.major}.{sys.version_info.minor}\n"
    wanted += requirements.read_text(encoding="utf-8")
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        message = "uv is not installed; install it from PyPI (pip install uv) and run again"
        raise CannotRunError(message)
    _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
    _run([uv, "pip", "sync", "--quiet", "--python", str(python), str(requirements)])
    # Last, so that an environment that was left half made is not taken for a whole one.
    stamp.write_text(wanted, encoding="utf-8")
    return python


def build_clock() -> Path:
    """Build the clock library and give its path.

    Raises:
        CannotRunError: This is no Linux, there is no cargo, or the build fails.
    """
    if not sys.platform.startswith("linux"):
        message = "the clock library is preloaded into the interpreter, which needs Linux"
        raise CannotRunError(message)
    cargo = shutil.which("cargo")
    if cargo is None:
        message = "cargo is not installed; install Rust (https://rustup.rs) and run again"
        raise CannotRunError(message)
    command = [cargo, "build", "--quiet", "--package", "retry-clock", "--message-format=json"]
    for line in _run(command).splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "retry_clock" and message.get("filenames"):
            return Path(message["filenames"][0])
    message = "cargo built retry-clock but did not say where"
    raise CannotRunError(message)


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
            command, cwd=working_directory, env=environment, check=False
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


def _run(command: list[str]) -> str:
    """Run a command and give what it prints; what it says when it fails becomes one line."""
    try:
        finished = subprocess.run(  # noqa: S603 - our own commands
            command, cwd=ROOT, check=True, text=True, capture_output=True
        )
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.split())[:_LONGEST_REASON] or "it gave no reason"
        message = f"{Path(command[0]).name} {command[1]} failed; is there a network? {reason}"
        raise CannotRunError(message) from error
    return finished.stdout


if __name__ == "__main__":
    sys.exit(main())
