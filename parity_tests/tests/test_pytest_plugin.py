"""The harness's pytest plugin is loaded in every pytest run, and costs nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import pathlib, sys, pytest
pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "."])
watched = ("cpex", "pydantic", "retry_legacy", "retry_parity", "retry_with_backoff", "rich")
found = sorted(name for name in sys.modules if name.partition(".")[0] in watched)
pathlib.Path("modules").write_text(" ".join(found))
"""


def test_a_pytest_run_elsewhere_imports_nothing_of_the_harness(tmp_path: Path) -> None:
    """Only the plugin's own module, until the behaviour suite calls its hook."""
    command = [sys.executable, "-c", SCRIPT]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)  # noqa: S603 - our own
    modules = (tmp_path / "modules").read_text().split()
    assert modules == ["retry_parity", "retry_parity.pytest_plugin"]


def test_the_package_is_marked_as_typed() -> None:
    """Type checkers ignore the annotations of a package without the marker."""
    assert files("retry_parity").joinpath("py.typed").is_file()
