"""What is published, and what an install from a checkout leaves: all of it, and no way back.

What cargo has compiled is taken from its folder, and dependencies on others are left out, so that
these tests take seconds.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tomllib
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT: Final = Path(__file__).resolve().parents[2]
BIN: Final = Path(sys.executable).parent
#: The folder of each project, and where its Python code is in there.
PROJECTS: Final = {
    "retry-with-backoff": (ROOT, "python_shim/retry_with_backoff"),
    "retry-with-backoff-legacy": (ROOT / "python_legacy", "retry_legacy"),
    "retry-parity": (ROOT / "parity_tests", "retry_parity"),
}
#: Suffixes of what one machine has built.
BUILT: Final = {".so", ".pyc", ".d", ".whl"}


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a program that has to succeed, and give what it says."""
    ended = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=cwd, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def project_of(folder: Path) -> dict[str, Any]:
    """Read the project file of a folder."""
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def sources_of(name: str) -> dict[str, Path]:
    """Give the files of a package's Python code that git has, by their names in the package."""
    folder, sources = PROJECTS[name]
    listed = run(
        *("git", "ls-files", "--cached", "--others", "--exclude-standard", sources), cwd=folder
    )
    here = [folder / each for each in listed.splitlines() if (folder / each).exists()]
    return {each.relative_to((folder / sources).parent).as_posix(): each for each in here}


def files_in(folder: Path) -> dict[str, Path]:
    """Give all files in a folder, by their names in it."""
    return {
        each.relative_to(folder).as_posix(): each for each in folder.rglob("*") if each.is_file()
    }


def differing(wanted: dict[str, Path], given: dict[str, Path]) -> list[str]:
    """Say which files are missing or have another content."""
    return [
        name
        for name, file in wanted.items()
        if name not in given or given[name].read_bytes() != file.read_bytes()
    ]


def missing_licences(metadata: str, folder: Path, name: str) -> list[str]:
    """Say which licences a distribution's metadata or its folder of licences lacks."""
    home, _ = PROJECTS[name]
    headers = HeaderParser().parsestr(metadata)
    project = project_of(home)["project"]
    assert headers["License-Expression"] == project["license"]
    wanted = {
        each.relative_to(home).as_posix(): each
        for pattern in project["license-files"]
        for each in home.glob(pattern)
    }
    assert wanted["LICENSE"].read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert set(headers.get_all("License-File", [])) == wanted.keys()
    return differing(wanted, files_in(folder))


@pytest.mark.parametrize("name", PROJECTS)
def test_a_source_distribution_is_whole_and_its_lock_file_fits(name: str, tmp_path: Path) -> None:
    """Code, licences, a lock file that needs no change; nothing that a machine has built or is."""
    home, sources = PROJECTS[name]
    run(BIN / "maturin", "sdist", "--out", tmp_path, cwd=home)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    folder = tmp_path / archive.name.removesuffix(".tar.gz")
    files = files_in(folder)

    given = files_in(folder / Path(sources).parent)
    assert differing(sources_of(name), given) == []
    named = {"Cargo.lock", "Cargo.toml", "LICENSE", "PKG-INFO", "pyproject.toml"}
    named |= {project_of(home)["project"].get("readme", "LICENSE")}
    loose = {each for each in files if not each.startswith((sources, "rust/", "models/"))}
    assert loose == named
    assert [each for each, file in files.items() if file.suffix in BUILT] == []
    machine = [str(path).encode() for path in (ROOT, Path.home() / ".c")]
    texts = {each: file.read_bytes() for each, file in files.items()}
    assert [each for each, text in texts.items() if any(path in text for path in machine)] == []
    assert missing_licences(texts["PKG-INFO"].decode(), folder, name) == []

    manifest = project_of(folder)["tool"]["maturin"]["manifest-path"]
    for each in ("Cargo.toml", manifest):
        command = ("cargo", "metadata", "--locked", "--format-version=1", "--manifest-path", each)
        run(*command, cwd=folder)


@pytest.mark.parametrize("name", PROJECTS)
def test_uv_knows_each_file_that_makes_an_earlier_build_stale(name: str) -> None:
    """It asks the cache keys alone whether what it has built before is still the package."""
    home, _ = PROJECTS[name]
    keys = [each["file"] for each in project_of(home)["tool"]["uv"]["cache-keys"]]
    known = {file.resolve() for key in keys for file in home.glob(key)}
    crates = [folder.resolve() for folder in (home / "rust", home / "models") if folder.exists()]
    files = [file for crate in crates for file in crate.rglob("*.rs")]
    files += [home / each for each in ("Cargo.lock", "Cargo.toml", "LICENSE", "pyproject.toml")]
    assert {file.resolve() for file in (*sources_of(name).values(), *files)} - known == set()


def documented() -> list[str]:
    """Give what the operators' guide installs."""
    guide = (ROOT / "docs" / "MIGRATION.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^\$ pip install (.*?)(?: +#.*)?$", guide, re.MULTILINE)
    return shlex.split(command)


def without_others() -> list[str]:
    """Give an override for each dependency on somebody else's package that leaves it out."""
    projects = [project_of(folder)["project"] for folder, _ in PROJECTS.values()]
    lists = [each["dependencies"] for each in projects]
    lists += [
        extra for each in projects for extra in each.get("optional-dependencies", {}).values()
    ]
    names = {Requirement(line).name for each in lists for line in each} - PROJECTS.keys()
    return [f"{name}; python_version < '3'" for name in sorted(names)]


def pip(folder: Path) -> str:
    """Install as the guide says."""
    run(BIN / "uv", "venv", folder / "venv", "--python", sys.executable, cwd=ROOT)
    (place,) = (folder / "venv" / "lib").glob("python*/site-packages")
    install = ("install", "--no-deps", "--no-build-isolation", "--quiet", "--target", place)
    path = f"{BIN}:{os.environ['PATH']}"
    run(sys.executable, "-m", "pip", *install, *documented(), cwd=ROOT, PATH=path)
    return "venv"


def uv_pip(folder: Path, packages: Iterable[str] | None = None) -> str:
    """Install as the guide says, with uv."""
    run(BIN / "uv", "venv", folder / "venv", "--python", sys.executable, cwd=ROOT)
    (folder / "overrides").write_text("\n".join(without_others()), encoding="utf-8")
    options = ("--python", folder / "venv", "--overrides", folder / "overrides")
    run(BIN / "uv", "pip", "install", *options, *(packages or documented()), cwd=ROOT)
    return "venv"


def uv_pip_of_one(folder: Path) -> str:
    """Install the package that depends on the two others, and say nothing of those."""
    return uv_pip(folder, ["./parity_tests"])


def uv_tool(folder: Path) -> str:
    """Install the commands."""
    (folder / "overrides").write_text("\n".join(without_others()), encoding="utf-8")
    options = ("--python", sys.executable, "--overrides", folder / "overrides")
    places = {"UV_TOOL_DIR": str(folder), "UV_TOOL_BIN_DIR": str(folder / "bin")}
    run(BIN / "uv", "tool", "install", *options, "./parity_tests", cwd=ROOT, **places)
    return "retry-parity"


def uv_add(folder: Path) -> str:
    """Make them dependencies of a project."""
    (folder / "pyproject.toml").write_text(
        "[project]\nname = 'gateway'\nversion = '1'\nrequires-python = '>=3.11'\n"
        f"[tool.uv]\noverride-dependencies = {json.dumps(without_others())}\n",
        encoding="utf-8",
    )
    projects = [home for home, _ in PROJECTS.values()]
    run(BIN / "uv", "add", "--python", sys.executable, *projects, cwd=folder)
    return ".venv"


def uv_sync(folder: Path) -> str:
    """Install what the lock file has for the package that depends on the two others."""
    options = ("--frozen", "--no-default-groups", "--package", "retry-parity")
    place = str(folder / "venv")
    run(
        BIN / "uv",
        "sync",
        *options,
        "--python",
        sys.executable,
        cwd=ROOT,
        UV_PROJECT_ENVIRONMENT=place,
    )
    return "venv"


@pytest.mark.parametrize("install", [pip, uv_pip, uv_pip_of_one, uv_tool, uv_add, uv_sync])
def test_an_install_is_a_copy_that_has_all_and_does_not_point_back(
    install: Callable[[Path], str], tmp_path: Path
) -> None:
    """A pull changes no gateway: not by an editable install, not by a path that Python follows."""
    venv = tmp_path / install(tmp_path)
    (place,) = (venv / "lib").glob("python*/site-packages")
    pointing = [each for each in place.glob("*.pth") if str(ROOT) in each.read_text("utf-8")]
    assert pointing == []
    for name, (_, sources) in PROJECTS.items():
        (info,) = place.glob(f"{name.replace('-', '_')}-[0-9]*.dist-info")
        origin = json.loads((info / "direct_url.json").read_text(encoding="utf-8"))
        assert not origin["dir_info"].get("editable")
        metadata = (info / "METADATA").read_text(encoding="utf-8")
        assert missing_licences(metadata, info / "licenses", name) == []

        module = Path(sources).name
        wanted = sources_of(name)
        given = {each: place / each for each in files_in(place) if each.startswith(f"{module}/")}
        assert differing(wanted, given) == []
        more = [each for each in given if each not in wanted and not each.endswith(".pyc")]
        assert more == [
            f"{module}/{'_core' if module == 'retry_with_backoff' else '_native'}.abi3.so"
        ]
        found = f"import importlib.util as util; print(util.find_spec('{module}').origin)"
        origin = run(venv / "bin" / "python", "-c", found, cwd=ROOT / "docs").strip()
        assert origin == str(place / module / "__init__.py")
