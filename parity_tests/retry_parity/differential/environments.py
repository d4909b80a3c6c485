"""Environments for published builds: made with uv, kept in a cache, found by what is in them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from retry_parity.differential.builds import BuildError, is_there
from retry_parity.input import trouble_with
from retry_parity.lifetime import bound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CACHE_VARIABLE: Final = "RETRY_PARITY_CACHE"

#: cpex up to 0.1.2 allows mcp 2 and cannot be imported with it. Can go with the last of them.
_OLD_CPEX: Final = re.compile(r"0\.1\.[012]\Z")
_OLD_CPEX_NEEDS: Final = "mcp<2"

_MOST_SAID: Final = 400
_TIMEOUT_S: Final = 300


class Environments:
    """Makes environments, or finds them made.

    Args:
        cpex: Version of the framework that goes into each; ``None`` leaves it to the requirements.
        constraints: A file of pinned versions that narrows the choice; ``None`` for none.
        folder: Where they are kept; ``None`` means ``RETRY_PARITY_CACHE``, or the user's cache.
        say: Told, in one line, of what takes long.
    """

    def __init__(
        self,
        cpex: str | None = None,
        constraints: Path | None = None,
        folder: Path | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Prepare; nothing is made yet."""
        self.cpex = cpex
        self._constraints = constraints
        self._folder = folder or _default_folder()
        self._say = say

    def make(self, requirements: Sequence[str]) -> Path:
        """Give the interpreter of an environment with these requirements and the framework.

        Raises:
            BuildError: There is no uv, it finds no such versions, or there is no network.
        """
        wanted = [*requirements, "cpex" if self.cpex is None else f"cpex=={self.cpex}"]
        if self.cpex is not None and _OLD_CPEX.match(self.cpex):
            wanted.append(_OLD_CPEX_NEEDS)
        pinned = self._read_constraints()
        key = hashlib.sha256(repr((sys.version, sys.executable, wanted, pinned)).encode())
        home = self._folder / key.hexdigest()[:20]
        if not is_there(home / "bin" / "python"):
            self._say(f"making an environment with {', '.join(wanted)}")
            self._build(home, wanted)
        return home / "bin" / "python"

    def _read_constraints(self) -> str:
        if self._constraints is None:
            return ""
        try:
            if trouble := trouble_with(self._constraints):
                message = f"{self._constraints}: {trouble}"
                raise BuildError(message)
            return self._constraints.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = str(getattr(error, "strerror", None) or error).lower()
            message = f"{self._constraints}: cannot be read: {reason}"
            raise BuildError(message) from error

    def _build(self, home: Path, wanted: Sequence[str]) -> None:
        uv = find_uv()
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(dir=home.parent, prefix="unfinished-"))
        except OSError as error:
            message = (
                f"{home.parent}: cannot be written: {error.strerror or error}; set {CACHE_VARIABLE}"
            )
            raise BuildError(message) from error
        narrowed = [] if self._constraints is None else ["--constraints", str(self._constraints)]
        try:
            run_uv(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(unfinished))
            python = str(unfinished / "bin" / "python")
            run_uv(uv, "pip", "install", "--quiet", "--python", python, *narrowed, *wanted)
            _put(unfinished, home)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _put(made: Path, home: Path) -> None:
    """Put an environment in its place."""
    try:
        made.rename(home)
    except OSError as error:
        # Another process was faster, and its environment is as good; or something has cleaned up
        # in the cache and left half of one.
        if is_there(home / "bin" / "python"):
            return
        if home.is_dir():  # opening a pipe would wait
            shutil.rmtree(home, ignore_errors=True)
        try:
            made.rename(home)
        except OSError:
            message = f"{home}: cannot be written: {error.strerror or error}; set {CACHE_VARIABLE}"
            raise BuildError(message) from error


def find_uv() -> str:
    """Give the path of uv.

    Raises:
        BuildError: It is not installed.
    """
    beside = str(Path(sys.executable).parent)
    uv = shutil.which("uv", path=beside) or shutil.which("uv")
    if uv is None:
        message = "uv is not installed; install it from PyPI (pip install uv) and run again"
        raise BuildError(message)
    return uv


def run_uv(uv: str, *arguments: str) -> None:
    """Run uv.

    Raises:
        BuildError: It fails; what it says becomes one line.
    """
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    environment.pop("VIRTUAL_ENV", None)
    try:
        subprocess.run(  # noqa: S603 - our own command
            bound([uv, *arguments]),
            check=True,
            text=True,
            errors="replace",
            capture_output=True,
            env=environment,
            timeout=_TIMEOUT_S,
        )
    except OSError as error:
        message = f"{uv} cannot be started: {error.strerror or error}"
        raise BuildError(message) from error
    except subprocess.TimeoutExpired as error:
        message = (
            f"uv {arguments[0]} took more than {_TIMEOUT_S} s; check the network and run again"
        )
        raise BuildError(message) from error
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split())[:_MOST_SAID] or "it gave no reason"
        message = (
            f"uv {arguments[0]} failed; check the version's name and the network, and run again. "
            f"uv says: {said}"
        )
        raise BuildError(message) from error


def _default_folder() -> Path:
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - never raises
    return Path(cache, "retry-parity", "environments")
