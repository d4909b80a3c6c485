"""What the product's own tests have that the migration's use too: one home for each."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).resolve().parents[2] / "python_shim" / "tests"
_PLUGIN: Final = "retry_parity:MigrationPlugin"


def module(name: str) -> Any:
    """Import a module of the product's tests, and what it imports of them."""
    if str(_FOLDER) not in sys.path:
        # At the end: both folders have modules of some names, such as `conftest`.
        sys.path.append(str(_FOLDER))
    return importlib.import_module(name)


def told(program: str, asked: object) -> Any:
    """Run a program of the product's tests on `MigrationPlugin`; give what it says."""
    return module("alone").told(program, asked, _PLUGIN)
