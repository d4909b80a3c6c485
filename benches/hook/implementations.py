"""Who is measured, and the interpreters they run in."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from retry_parity.differential.builds import BuildError, find_build
from retry_parity.differential.environments import Environments, find_uv
from retry_parity.lifetime import bound
from retry_parity.subject import RetrySubject

if TYPE_CHECKING:
    from collections.abc import Callable

NEWEST_CPEX: Final = ""
PUBLISHED: Final = "cpex-retry-with-backoff"
HYBRID_VERSION: Final = "0.3.1"

RUST: Final = "rust"
HYBRID: Final = "hybrid"
PYTHON: Final = "hybrid-python"
PUBLISHED_HYBRID: Final = "published-hybrid"
PUBLISHED_NEWEST: Final = "published-newest"
FLOOR: Final = "floor"
SHADOW: Final = "shadow"

_PUBLISHED_CLASS: Final = "cpex_retry_with_backoff.retry_with_backoff:RetryWithBackoffPlugin"


@dataclass(frozen=True, slots=True)
class Implementation:
    """One column of the table.

    Attributes:
        name: Its name in results.
        title: What it is.
        plugin: What the worker is started with: module and class.
        spec: Where it comes from, as `retry-parity compare` names builds.
    """

    name: str
    title: str
    plugin: str
    spec: str


def implementations() -> tuple[Implementation, ...]:
    """Give everybody who is measured, the newest published version looked up.

    Raises:
        BuildError: There is no network.
    """
    newest = newest_published()
    return (
        Implementation(RUST, "Rust core", "retry_with_backoff:RetryWithBackoffPlugin", "rust"),
        Implementation(HYBRID, "hybrid", "retry_legacy:RetryWithBackoffPlugin", "legacy"),
        Implementation(
            PYTHON, "Python only", "retry_legacy.plugin:PythonRetryWithBackoffPlugin", "legacy"
        ),
        Implementation(
            PUBLISHED_HYBRID,
            f"published hybrid {HYBRID_VERSION}",
            _PUBLISHED_CLASS,
            f"pypi:{PUBLISHED}=={HYBRID_VERSION}",
        ),
        Implementation(
            PUBLISHED_NEWEST,
            f"newest published {newest}",
            _PUBLISHED_CLASS,
            f"pypi:{PUBLISHED}=={newest}",
        ),
        Implementation(FLOOR, "floor", "floor", "rust"),
        Implementation(SHADOW, "shadow mode", "retry_parity:MigrationPlugin", "rust"),
    )


def newest_published() -> str:
    """Give the newest version on the package index.

    Raises:
        BuildError: The index does not answer.
    """
    ran = subprocess.run(  # noqa: S603 - our own command
        bound([find_uv(), "pip", "compile", "--quiet", "--no-header", "--no-deps", "-"]),
        input=PUBLISHED,
        text=True,
        capture_output=True,
        check=False,
    )
    found = re.search(rf"{PUBLISHED}==(\S+)", ran.stdout)
    if ran.returncode or found is None:
        message = f"the newest {PUBLISHED} cannot be looked up: {ran.stderr.strip()[:200]}"
        raise BuildError(message)
    return found[1]


class Interpreters:
    """Finds the interpreter for an implementation under a version of cpex."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Prepare; ``say`` is told of what takes long."""
        self._say = say

    def of(self, implementation: Implementation, cpex: str) -> tuple[Path, dict[str, str]]:
        """Give the interpreter, and the folders of packages that it is lent.

        Raises:
            BuildError: The environment cannot be made.
        """
        newest = cpex == NEWEST_CPEX
        if newest and not implementation.spec.startswith("pypi:"):
            return Path(sys.executable), {}
        environments = Environments(cpex or version("cpex"), say=self._say)
        build = find_build(implementation.spec, RetrySubject(), environments)
        # The same Pydantic for all: a good part of what is measured is Pydantic's work.
        wanted = (*(build.requirements or ()), f"pydantic=={version('pydantic')}")
        return environments.make(wanted), dict(build.packages)
