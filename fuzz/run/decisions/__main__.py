"""The shim against the hybrid, on scenarios that are read from bytes.

``replay`` runs stored inputs and needs no engine. ``fuzz PROGRAM ARGUMENTS`` hands over to atheris,
with the engine's own arguments; PROGRAM is what the engine calls to run itself (see fuzz/run).
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from corpora import CorpusError, read

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What decides. The harness is left out: to count its branches as well would halve the speed.
_INSTRUMENTED: Final = ["retry_legacy", "retry_with_backoff"]


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit status 0, 1 (something was found), or 2 (it could not be run)."""
    logging.disable(logging.CRITICAL)
    if arguments[:1] == ["fuzz"]:
        return _fuzz(list(arguments[1:]))
    parser = argparse.ArgumentParser(prog="decisions", description=__doc__)
    commands = parser.add_subparsers(required=True)
    replay = commands.add_parser("replay", help="run stored inputs")
    replay.add_argument("file", nargs="+", type=Path, help="a corpus (.txt), or one input as it is")
    replay.add_argument("--candidate", default="rust", help="a candidate of the harness")
    options = parser.parse_args(arguments)
    try:
        inputs = [each for path in options.file for each in _inputs(path)]
    except (OSError, CorpusError) as error:
        sys.stderr.write(f"decisions: {error}\n")
        return 2
    return _replay(inputs, options.candidate)


def _inputs(path: Path) -> Sequence[bytes]:
    return read(path) if path.suffix == ".txt" else [path.read_bytes()]


def _replay(inputs: Sequence[bytes], candidate: str) -> int:
    from decisions.checking import FindingError, Tally, check
    from decisions.inputs import scenario_of

    tally = Tally()
    for given in inputs:
        try:
            check(scenario_of(given), candidate, tally)
        except FindingError as error:
            tally.findings.append(str(error))
            sys.stderr.write(f"{given!r}\n{error}\n\n")
    told = {
        "tried": len(inputs),
        "compared": tally.compared,
        "lost": len(tally.findings),
    }
    sys.stdout.write(json.dumps(told) + "\n")
    return 1 if tally.findings else 0


def _fuzz(arguments: list[str]) -> int:
    try:
        engine: Any = importlib.import_module("atheris")
    except ImportError as error:
        sys.stderr.write(f"decisions: atheris cannot be imported ({error})\n")
        return 2
    with engine.instrument_imports(include=_INSTRUMENTED):
        for package in _INSTRUMENTED:
            importlib.import_module(package)
        from decisions.checking import Tally, check
        from decisions.inputs import scenario_of
    tally = Tally()

    def one_input(given: bytes) -> None:
        check(scenario_of(given), "rust", tally)

    engine.Setup(arguments, one_input)
    engine.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
