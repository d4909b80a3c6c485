"""What fuzzing the shim against the hybrid has found stays fixed.

The stored inputs run as the engine runs them, without the engine. Those of the Rust targets run in
`fuzz/tests/corpora.rs`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FUZZ: Final = Path(__file__).parents[2] / "fuzz"


def replay(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Replay the stored inputs; give the exit status and what was counted."""
    corpus = str(FUZZ / "corpus" / "decisions.txt")
    command = [sys.executable, "-m", "decisions", "replay", corpus]
    done = subprocess.run(  # noqa: S603 - our own program
        [*command, *arguments],
        env=os.environ | {"PYTHONPATH": str(FUZZ / "run")},
        stdout=subprocess.PIPE,
        check=False,
        timeout=300,
    )
    return done.returncode, json.loads(done.stdout)


def test_stored_inputs_are_decided_alike(record_property: Callable[[str, object], None]) -> None:
    """Each is a scenario; every difference in it has its entry in the ledger."""
    status, told = replay()
    record_property("tried", told["tried"])
    record_property("lost", told["lost"])
    assert (status, told["lost"]) == (0, 0)
    # An input that the generators no longer understand would compare nothing.
    assert told["compared"] > told["tried"] > 100


def test_stored_inputs_tell_a_core_that_never_retries() -> None:
    """A replay that compared nothing would pass whatever the core did."""
    status, told = replay("--candidate", "never-retries")
    assert status == 1
    assert told["lost"] > 50
