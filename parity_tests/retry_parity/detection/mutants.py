"""Single faults of the candidate: where they come from, and how one is built."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from retry_parity.lifetime import bound

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[3]

_CORE: Final = "retry-core"
_BINDINGS: Final = "retry-python"
_PACKAGE: Final = Path("python_shim", "retry_with_backoff")
_SOURCES: Final = ("Cargo.toml", "Cargo.lock", "rust", str(_PACKAGE))
_TTL: Final = re.compile(r"expire|TTL")
_AREAS: Final = {
    "backoff": "backoff",
    "config": "config",
    "check": "config",
    "coerce": "config",
    "notice": "config",
    "value": "config",
    "error": "config",
    "content": "failure",
    "failure": "failure",
    "text": "text",
    "chain": "state",
    "state": "state",
    "metadata": "metadata",
    "engine": "engine",
}
_PROFILE: Final = "detection"
#: Quick to build, and with the arithmetic of a release build.
_PROFILE_TOML: Final = f"""
[profile.{_PROFILE}]
inherits = "dev"
opt-level = 1
debug = false
overflow-checks = false
"""


class DetectionError(Exception):
    """The measurement cannot be made; the message is one line."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file.

    Attributes:
        name: Names it in reports; unique.
        area: Which part of the candidate it is in.
        file: The file, from the root of the repository.
        start: Where what is replaced begins, in characters.
        end: Where it ends.
        replacement: What stands there instead.
        by_hand: Whether a person wrote it.
    """

    name: str
    area: str
    file: str
    start: int
    end: int
    replacement: str
    by_hand: bool


def generated(cargo_mutants: str) -> list[Mutant]:
    """List the mutants that cargo-mutants makes of the core.

    Raises:
        DetectionError: It is not installed, or fails.
    """
    command = [cargo_mutants, "mutants", "--list", "--json", "--package", _CORE]
    try:
        listed = subprocess.run(  # noqa: S603 - our own command
            bound(command), cwd=ROOT, check=True, text=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        said = " ".join(str(getattr(error, "stderr", "") or error).split())
        message = f"cargo-mutants cannot list mutants: {said[:300]}"
        raise DetectionError(message) from error
    texts: dict[str, str] = {}
    found = []
    for each in json.loads(listed.stdout):
        file = each["file"]
        text = texts.setdefault(file, (ROOT / file).read_text(encoding="utf-8"))
        start, end = (_offset(text, each["span"][edge]) for edge in ("start", "end"))
        replacement = each["replacement"]
        found.append(
            Mutant(_stable(each), _area(each), file, start, end, replacement, by_hand=False)
        )
    return _distinct(found)


def by_hand() -> list[Mutant]:
    """Read the mutants that were written by hand.

    Raises:
        DetectionError: One of them does not fit its file any longer.
    """
    told = files("retry_parity.detection").joinpath("boundary.toml").read_text(encoding="utf-8")
    found = []
    for each in tomllib.loads(told)["mutant"]:
        text = (ROOT / each["file"]).read_text(encoding="utf-8")
        if text.count(each["find"]) != 1:
            message = (
                f"boundary.toml, '{each['name']}': its text occurs {text.count(each['find'])} "
                f"times in {each['file']}; it must occur once"
            )
            raise DetectionError(message)
        start = text.index(each["find"])
        end = start + len(each["find"])
        found.append(
            Mutant(
                each["name"], each["area"], each["file"], start, end, each["replace"], by_hand=True
            )
        )
    return found


class Workshop:
    """A copy of the sources in which one mutant at a time is built.

    Args:
        folder: Where the copy, its target folder and the built packages go.
    """

    def __init__(self, folder: Path) -> None:
        """Copy the sources as they are in the work tree."""
        self._tree = folder / "tree"
        self._target = folder / "build"
        self._packages = folder / "packages"
        for old in (self._tree, self._packages):
            shutil.rmtree(old, ignore_errors=True)
        listed = subprocess.run(  # noqa: S603 - our own command
            bound(["git", "ls-files", "-z", "--", *_SOURCES]),
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).exists():
                (self._tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, self._tree / name)
        with (self._tree / "Cargo.toml").open("a", encoding="utf-8") as manifest:
            manifest.write(_PROFILE_TOML)

    def build(self, mutant: Mutant | None, name: str) -> Path | None:
        """Build the candidate's package with a mutant, or without one.

        Returns:
            The package's folder; ``None`` where the mutant does not compile.

        Raises:
            DetectionError: The candidate does not compile without a mutant either.
        """
        changed = None if mutant is None else self._tree / mutant.file
        original = "" if changed is None else changed.read_text(encoding="utf-8")
        try:
            if mutant is not None and changed is not None:
                text = original[: mutant.start] + mutant.replacement + original[mutant.end :]
                changed.write_text(text, encoding="utf-8")
            library = self._compile()
            if library is None:
                if mutant is None:
                    message = "the candidate does not compile"
                    raise DetectionError(message)
                return None
            package = self._packages / name / _PACKAGE.name
            ignored = shutil.ignore_patterns("*.so", "__pycache__")
            shutil.copytree(self._tree / _PACKAGE, package, ignore=ignored)
            shutil.copyfile(library, package / "_core.abi3.so")
            return package
        finally:
            if changed is not None:
                changed.write_text(original, encoding="utf-8")

    def _compile(self) -> Path | None:
        command = ["cargo", "build", "--locked", "--quiet", "--profile", _PROFILE]
        built = subprocess.run(  # noqa: S603 - our own command
            bound([*command, "--package", _BINDINGS, "--message-format=json"]),
            cwd=self._tree,
            # A mutant may well make something unused; that is no reason not to build it.
            env={
                **os.environ,
                "RUSTFLAGS": "--cap-lints=warn",
                "CARGO_TARGET_DIR": str(self._target),
            },
            text=True,
            capture_output=True,
            check=False,
        )
        if built.returncode:
            return None
        for line in _json_lines(built.stdout):
            if line.get("target", {}).get("name") == "_core" and line.get("filenames"):
                return Path(line["filenames"][0])
        return None


def _json_lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def _offset(text: str, at: dict[str, int]) -> int:
    lines = text.splitlines(keepends=True)
    return sum(map(len, lines[: at["line"] - 1])) + at["column"] - 1


def _stable(each: dict[str, Any]) -> str:
    """Name a mutant without its line and column, which move with every edit."""
    name = re.sub(r":\d+:\d+:", ":", each["name"])
    return name.removeprefix("rust/core/src/")


def _area(each: dict[str, Any]) -> str:
    area = _AREAS[Path(each["file"]).stem]
    return "TTL" if area == "state" and _TTL.search(each["name"]) else area


def _distinct(mutants: list[Mutant]) -> list[Mutant]:
    """Number the mutants that have one name."""
    seen: dict[str, int] = {}
    named = []
    for mutant in mutants:
        seen[mutant.name] = seen.get(mutant.name, 0) + 1
        number = seen[mutant.name]
        name = mutant.name if number == 1 else f"{mutant.name} ({number})"
        named.append(replace(mutant, name=name))
    return named
