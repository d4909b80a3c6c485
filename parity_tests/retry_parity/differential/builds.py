"""What `compare` is given: a name for a build, and where that build's interpreter is."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from retry_parity.differential.environments import Environments
    from retry_parity.differential.subject import Subject

FORMS: Final = (
    "python:MODULE:CLASS (this environment)",
    "venv:PATH:MODULE:CLASS",
    "pypi:NAME==VERSION[:MODULE:CLASS]",
)

_NAME: Final = re.compile(r"[A-Za-z_][\w.]*\Z")


class BuildError(Exception):
    """A build cannot be used; the message is one line and says what to do."""


class StarvedError(BuildError):
    """A build was kept from running for too long: nothing can be said of it."""


@dataclass(frozen=True, slots=True)
class Build:
    """A build of the plugin.

    Attributes:
        spec: As it was asked for.
        python: The interpreter it runs in.
        plugin: Module and class, "package.module:Class"; empty where the distribution's entry
            point says it.
        distribution: Name of the distribution whose entry point says it; empty otherwise.
        packages: Folders of packages that are lent to the interpreter, by name.
        requirements: What has to be installed in an environment that is still to be made; ``None``
            where the interpreter is there.
    """

    spec: str
    python: Path
    plugin: str = ""
    distribution: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    requirements: tuple[str, ...] | None = None

    @property
    def top(self) -> str:
        """The top package of the plugin; empty where only the interpreter knows."""
        return self.plugin.partition(":")[0].partition(".")[0]


def find_build(spec: str, subject: Subject, environments: Environments) -> Build:
    """Find a build by its name; its environment, where it needs one, is made by `with_interpreter`.

    Nothing is installed for a comparison of which the other build cannot be used.

    Raises:
        BuildError: The name is of no known form, or there is no such build.
    """
    if spec in subject.named_builds:
        plugin, packages = subject.named_builds[spec]
        if environments.cpex is None:
            return Build(spec, Path(sys.executable), plugin)
        # The packages of this environment, under another framework.
        folders = {name: folder_of(name) for name in packages}
        return Build(spec, Path(), plugin, packages=folders, requirements=())
    kind, _, rest = spec.partition(":")
    if kind == "pypi" and rest:
        return _published(spec, rest)
    if kind in {"python", "venv"} and environments.cpex is not None:
        message = (
            f"{spec}: --cpex picks the framework of environments made here; this one has its own"
        )
        raise BuildError(message)
    if kind == "python":
        return Build(spec, Path(sys.executable), _plugin(spec, rest.split(":")))
    if kind == "venv":
        path, *names = rest.rsplit(":", 2)
        python = Path(path, "bin", "python")
        if not is_there(python):
            message = f"{spec}: there is no {python}"
            raise BuildError(message)
        return Build(spec, python, _plugin(spec, names))
    known = ", ".join((*subject.named_builds, *FORMS))
    message = f"'{spec}' is no build; use one of {known}"
    raise BuildError(message)


def with_interpreter(build: Build, environments: Environments) -> Build:
    """Make the environment of a build that needs one.

    Raises:
        BuildError: It cannot be made.
    """
    if build.requirements is None:
        return build
    return replace(build, python=environments.make(build.requirements), requirements=None)


def is_there(path: Path) -> bool:
    """Whether a file is there, as far as anybody can see."""
    try:
        return path.exists()
    except OSError:  # a name too long, a folder that is somebody else's
        return False


def folder_of(package: str) -> str:
    """Give the folder of a package of this environment, without importing it.

    Raises:
        BuildError: It is not installed here.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        message = f"the package {package} is not installed here"
        raise BuildError(message)
    return found.submodule_search_locations[0]


def _published(spec: str, rest: str) -> Build:
    requirement, *names = rest.split(":")
    try:
        wanted = Requirement(requirement)
    except InvalidRequirement as error:
        message = f"{spec}: '{requirement}' is no requirement: {' '.join(str(error).split())}"
        raise BuildError(message) from error
    pinned = [each.version for each in wanted.specifier if each.operator == "=="]
    if len(pinned) != 1 or len(wanted.specifier) != 1 or "*" in pinned[0]:
        message = f"{spec}: name one version, such as {wanted.name}==1.2.3"
        raise BuildError(message)
    plugin = _plugin(spec, names) if names else ""
    distribution = "" if plugin else canonicalize_name(wanted.name)
    return Build(spec, Path(), plugin, distribution, requirements=(str(wanted),))


def _plugin(spec: str, names: Sequence[str]) -> str:
    if len(names) != 2 or not all(map(_NAME.match, names)):  # noqa: PLR2004 - module and class
        message = f"{spec}: module and class are missing or no names; forms: {', '.join(FORMS)}"
        raise BuildError(message)
    return ":".join(names)
