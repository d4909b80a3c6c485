"""The targets, and how each becomes a program that takes the engine's arguments.

All is built by stable Rust: the flags that make a program count its branches are the compiler's own
and those of LLVM behind it. No address sanitizer: the core has no unsafe code.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).resolve().parent
ROOT: Final = _HERE.parents[1]
FUZZ: Final = ROOT / "fuzz"
BUILT: Final = ROOT / "target" / "fuzz"

_COUNT_BRANCHES: Final = (
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "--cfg=fuzzing",
)
#: For the extension, which is built by the product's workspace and its profile.
_AS_THE_TARGETS: Final = {
    "CARGO_PROFILE_RELEASE_LTO": "off",
    "CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS": "true",
    "CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS": "true",
}


class CannotRunError(Exception):
    """Something that a target needs is missing, or does not build; the message is one line."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target.

    Attributes:
        name: Its name, and that of its corpus.
        in_python: Whether it drives the Python packages, by atheris.
        arguments: The engine's arguments that are its own.
    """

    name: str
    in_python: bool
    arguments: tuple[str, ...]

    @property
    def corpus(self) -> Path:
        """Its stored inputs."""
        return FUZZ / "corpus" / f"{self.name}.txt"

    @property
    def program(self) -> Path:
        """Where its program is, once it is built."""
        if self.in_python:
            return BUILT / "programs" / self.name
        return BUILT / _host() / "release" / self.name


_ALL: Final = (
    Target("text", in_python=False, arguments=("-max_len=5000", f"-dict={FUZZ / 'text.dict'}")),
    Target("config", in_python=False, arguments=("-max_len=1024",)),
    Target("state", in_python=False, arguments=("-max_len=1024",)),
    Target("decisions", in_python=True, arguments=("-max_len=600", "-len_control=0")),
)


def targets() -> list[Target]:
    """Give the targets; the one against the hybrid is there as long as its folder is."""
    return [each for each in _ALL if not each.in_python or (_HERE / each.name).is_dir()]


def build(chosen: list[Target]) -> None:
    """Build the programs of targets.

    Raises:
        CannotRunError: Something is missing, or does not build.
    """
    if shutil.which("cargo") is None:
        message = "cargo is not on PATH; needed: Rust 1.88 or newer"
        raise CannotRunError(message)
    in_rust = [each for each in chosen if not each.in_python]
    if in_rust:
        if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
            message = "no C++ compiler is on PATH; the engine is built with one"
            raise CannotRunError(message)
        bins = [argument for each in in_rust for argument in ("--bin", each.name)]
        _cargo(FUZZ / "Cargo.toml", *bins)
    for each in chosen:
        if each.in_python:
            _build_in_python(each)


def _build_in_python(target: Target) -> None:
    found = importlib.util.find_spec("atheris")
    if found is None or found.origin is None:
        message = f"atheris is not installed for {sys.executable}; there is one for Linux"
        raise CannotRunError(message)
    # The engine, apart from atheris: loaded first, so that the extension finds it.
    engine = Path(found.origin).parents[1] / "ubsan_with_fuzzer.so"
    if not engine.exists():
        message = f"{engine} is missing; atheris brings it"
        raise CannotRunError(message)
    _cargo(ROOT / "Cargo.toml", "--package", "retry-python", **_AS_THE_TARGETS)
    shim = _shim_with(BUILT / _host() / "release" / "lib_core.so")
    target.program.parent.mkdir(parents=True, exist_ok=True)
    target.program.write_text(
        "#!/bin/sh\n"
        f'PYTHONPATH="{shim}:{_HERE}${{PYTHONPATH:+:$PYTHONPATH}}" LD_PRELOAD="{engine}" \\\n'
        f'  exec "{sys.executable}" -m {target.name} fuzz "$0" "$@"\n',
        encoding="utf-8",
    )
    target.program.chmod(0o755)


def _shim_with(core: Path) -> Path:
    """Lay out the shim with another build of its extension; give the folder to import it from."""
    folder = BUILT / "python"
    package = folder / "retry_with_backoff"
    shutil.rmtree(folder, ignore_errors=True)
    package.mkdir(parents=True)
    for part in (ROOT / "python_shim" / "retry_with_backoff").iterdir():
        if part.is_file() and part.suffix != ".so":
            (package / part.name).symlink_to(part)
    (package / "_core.abi3.so").symlink_to(core)
    return folder


def _cargo(manifest: Path, *arguments: str, **variables: str) -> None:
    """Build with branches counted, apart from what other commands have built."""
    command: list[str | Path] = [
        "cargo", "build", "--quiet", "--locked", "--release", "--manifest-path", manifest,
        "--target", _host(), "--target-dir", BUILT, *arguments,
    ]  # fmt: skip
    flags = "\x1f".join(_COUNT_BRANCHES)
    environment = os.environ | variables | {"CARGO_ENCODED_RUSTFLAGS": flags}
    built = subprocess.run(  # noqa: S603 - our own arguments
        command, env=environment, capture_output=True, text=True, check=False
    )
    if built.returncode:
        said = [line for line in built.stderr.splitlines() if line.startswith("error")]
        message = f"{manifest} does not build: {(said or ['cargo failed'])[0]}"
        raise CannotRunError(message)


def _host() -> str:
    """Give the triple of this machine. Named, so that build scripts are built without the flags."""
    said = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True)  # noqa: S607 - the one on PATH
    return next(
        line.removeprefix("host: ") for line in said.stdout.splitlines() if line.startswith("host")
    )
