"""What a replay leaves behind: evidence as of a live run, and what was measured beside it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from retry_parity.evidence_files import (
    COUNTS,
    FORMAT,
    SAMPLES,
    TIMING,
    Source,
    installed_versions,
    ledger_hash,
)
from retry_parity.guard import file_name
from retry_parity.output import OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from retry_parity.replaying.playing import Played

#: A replay has no flag and no guard: it decides as shadow mode does.
_STEADY: Final = {
    "flag": {"implementation": "shadow", "source": "replay"},
    "guard": {"tripped": False, "trips": 0, "trouble": ""},
    "evicted": {},
    "memory": {},
    "dropped": {},
}


def make_directory(directory: Path) -> None:
    """Make the evidence directory before the work is done rather than afterwards.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"--out {directory}: cannot be written: {error.strerror or error}"
        raise OutputError(message) from error


def about_replay(
    plugin: str, config_hash: str, candidate: str, trace: Mapping[str, object]
) -> dict[str, Any]:
    """Give the first line of a replay's counts; its run id follows from all that is in it.

    Args:
        plugin: Name of the plugin.
        config_hash: Of its config.
        candidate: What was compared with the hybrid.
        trace: ``sha256`` and what else identifies the trace.
    """
    about: dict[str, Any] = {
        "kind": "run",
        "format": FORMAT,
        "source": Source.REPLAY.value,
        "plugin": plugin,
        "versions": installed_versions(),
        "config": config_hash,
        "ledger": ledger_hash(),
        "candidate": candidate,
        "trace": dict(trace),
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    return {**about, "run": f"replay-{digest[:24]}", "pid": 0, "host": "", "started": 0.0}


def write_replay(
    directory: Path, about: Mapping[str, Any], played: Played, measured: Mapping[str, object]
) -> Path:
    """Write a run's folder, whole or not at all; one that is there already is replaced.

    Args:
        directory: The evidence directory.
        about: From `about_replay`.
        played: All parts added up.
        measured: For `TIMING`.

    Returns:
        The folder.

    Raises:
        OutputError: It cannot be written.
    """
    trace = {**about["trace"], "calls": played.calls}
    if played.lost:
        trace["lost"] = played.lost
    if played.cut_off:
        trace["cut_off"] = [Path(path).name for path in played.cut_off]
    first = {**about, "shapes": played.shapes, "trace": trace}
    # What is not in the trace was not compared, whatever else was.
    dropped = {f"trace: {reason}": calls for reason, calls in played.lost.items()}
    if played.cut_off:
        dropped["trace: cut off"] = len(played.cut_off)
    counts = {"kind": "counts", "sequence": 1, "at": 0.0, **_STEADY, **played.counts}
    counts["dropped"] = dropped
    if played.mutated:
        # Which of the sides it was is not looked for: nobody may change a result.
        counts["divergent"] = {**counts["divergent"], "payload-mutated": 1}
    return _write_run(
        directory / file_name(about["plugin"]) / about["run"],
        {
            COUNTS: [first, counts],
            SAMPLES: played.samples,
            TIMING: [measured],
        },
    )


def write_generated(directory: Path, about: Mapping[str, Any], counts: Mapping[str, Any]) -> Path:
    """Write a generated run's folder, as `write_replay` does.

    Raises:
        OutputError: It cannot be written.
    """
    line = {"kind": "counts", "sequence": 1, "at": 0.0, **_STEADY, **counts}
    return _write_run(directory / Source.GENERATED / about["run"], {COUNTS: [about, line]})


def _write_run(folder: Path, files: Mapping[str, Sequence[Mapping[str, object]]]) -> Path:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent))
        for name, lines in files.items():
            _write(part / name, lines)
        part.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        part.replace(folder)
    except OSError as error:
        message = f"{folder}: cannot be written: {error.strerror or error}"
        raise OutputError(message) from error
    return folder


def _write(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            # Sorted: parts that are added up in another order give the same bytes.
            file.write(json.dumps(line, separators=(",", ":"), sort_keys=True) + "\n")
        file.flush()
        os.fsync(file.fileno())
