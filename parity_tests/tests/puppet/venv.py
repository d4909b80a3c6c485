"""Something like a virtual environment, in no time: this one's packages, and the tests' modules."""

from __future__ import annotations

import site
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parents[1]


def imitate_venv(folder: Path) -> Path:
    """Make it in a new folder."""
    packages = folder / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    packages.mkdir(parents=True)
    (folder / "bin").mkdir()
    base = Path(sys.executable).resolve()
    (folder / "bin" / "python").symlink_to(base)
    (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\n")
    lines = [f"import site; site.addsitedir({each!r})" for each in site.getsitepackages()]
    (packages / "tests.pth").write_text("\n".join([*lines, str(_HERE)]) + "\n")
    return folder
