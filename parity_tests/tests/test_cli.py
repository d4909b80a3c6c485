"""What all commands do alike where their output goes nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from evidence_material import write_evidence

COMMAND = Path(sys.executable).with_name("retry-parity")


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """Write evidence that is ready."""
    root = tmp_path / "evidence"
    write_evidence(root, "ready")
    return root


def test_a_reader_that_has_gone_gets_no_verdict(evidence: Path) -> None:
    """Neither "ready" nor "not ready": as of any program that a closed pipe ends."""
    reading = subprocess.Popen(  # noqa: S603 - our own command
        [COMMAND, "verdict", evidence, "--all"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert reading.stdout is not None
    reading.stdout.close()
    _, said = reading.communicate()
    assert (reading.returncode, b"Traceback" in said) == (141, False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_the_output_is_one_line(evidence: Path) -> None:
    """And no verdict either."""
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(  # noqa: S603 - our own command
            [COMMAND, "verdict", evidence], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ended.returncode == 3
    assert ended.stderr.decode().strip() == "retry-parity: output: no space left on device"
