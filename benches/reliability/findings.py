"""What fuzzing has found: read from fuzz/findings.toml."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Final

from rows import ROOT, RowError

FILE: Final = ROOT / "fuzz" / "findings.toml"


@dataclass(frozen=True)
class Finding:
    """One thing that fuzzing has found.

    Attributes:
        target: The target that met it.
        input: The smallest input that shows it.
        wrong: What was wrong.
        became: What became of it.
        test: The test that keeps it so, as ``FILE::NAME``.
    """

    target: str
    input: str
    wrong: str
    became: str
    test: str


def read_findings() -> list[Finding]:
    """Read all findings.

    Raises:
        RowError: One names a test that is not there.
    """
    told = tomllib.loads(FILE.read_text(encoding="utf-8"))["finding"]
    findings = [Finding(**each) for each in told]
    for each in findings:
        file, _, name = each.test.partition("::")
        path = ROOT / file
        defined = rf"(?m)^\s*(?:def|fn) {re.escape(name)}\("
        if not path.exists() or not re.search(defined, path.read_text(encoding="utf-8")):
            message = f"fuzz/findings.toml: test = {each.test!r} given; there is no such test"
            raise RowError(message)
    return findings
