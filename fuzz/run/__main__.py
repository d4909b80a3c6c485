"""`make fuzz`: every target for a bounded time, at once on all processors.

Stored inputs are run first. What is found goes to target/fuzz/findings, with what was said beside
it; a target ends at its first finding. The figures go to target/fuzz/report.json too. What the
engine holds to be worth keeping stays in target/fuzz/corpus, from which the next run goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import engine
from corpora import CorpusError
from targets import BUILT, CannotRunError, build, targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from targets import Target

REPORT: Final = BUILT / "report.json"
_PROGRESS_S: Final = 10
_MINIMIZE_S: Final = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit status 0, 1 (something was found), or 2 (it could not be run)."""
    options = _parse(arguments)
    try:
        if options.repeat or options.minimize:
            return _look(options.repeat or options.minimize, shrink=bool(options.minimize))
        return _fuzz(_chosen(options.target), options)
    except (CannotRunError, CorpusError) as error:
        sys.stderr.write(f"fuzz: {error}\n")
        return 2


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz/run", description=__doc__)
    parser.add_argument("--seconds", type=int, default=180, help="in total, apart from building")
    parser.add_argument("--target", action="append", help="only this one; may be given again")
    parser.add_argument("--store", action="store_true", help="store what was found to be new")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--repeat", type=Path, metavar="FINDING", help="run one finding again")
    what.add_argument("--minimize", type=Path, metavar="FINDING", help="make a finding smaller")
    options = parser.parse_args(arguments)
    if options.seconds < 1:
        parser.error(f"--seconds: {options.seconds} given; allowed: 1 or more")
    return options


def _chosen(names: list[str] | None) -> list[Target]:
    there = {each.name: each for each in targets()}
    unknown = [name for name in names or () if name not in there]
    if unknown:
        message = f"--target: {unknown[0]} given; allowed: {', '.join(there)}"
        raise CannotRunError(message)
    return [there[name] for name in dict.fromkeys(names or there)]


def _fuzz(chosen: list[Target], options: argparse.Namespace) -> int:
    _say(f"building {', '.join(each.name for each in chosen)}")
    build(chosen)
    at_once = min(len(chosen), os.cpu_count() or 1)
    # Where there are more targets than processors, some run after the others.
    seconds = max(options.seconds * at_once // len(chosen), 1)
    runs = [engine.Run(each.name, seconds) for each in chosen]
    ended = threading.Event()
    watching = threading.Thread(target=_watch, args=(runs, ended), daemon=True)
    watching.start()
    try:
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(engine.fuzz, chosen, runs))
    finally:
        ended.set()
        watching.join()
    if options.store:
        for each in chosen:
            _say(f"{each.name}: {engine.store(each)} inputs of the engine's stored")
    REPORT.write_text(json.dumps({"targets": list(map(asdict, runs))}, indent=1) + "\n", "utf-8")
    for run in runs:
        sys.stdout.write(f"{run}\n")
        sys.stdout.writelines(f"  {command}\n" for command in run.commands)
    findings = sum(len(run.findings) for run in runs)
    sys.stdout.write(f"tried {sum(run.executions for run in runs):,}, lost {findings:,}\n")
    return 1 if findings else 0


def _watch(runs: list[engine.Run], ended: threading.Event) -> None:
    begun = time.monotonic()
    while not ended.wait(_PROGRESS_S):
        for run in runs:
            if run.executions:
                _say(f"{time.monotonic() - begun:>5.0f} s  {run}")


def _look(finding: Path, *, shrink: bool) -> int:
    """Run one finding again, or make it smaller."""
    target = next((each for each in targets() if finding.name.startswith(f"{each.name}-")), None)
    if target is None or not finding.is_file():
        message = f"{finding}: no such finding; they are in {engine.FINDINGS}"
        raise CannotRunError(message)
    build([target])
    if shrink:
        finding = engine.minimize(target, finding.resolve(), _MINIMIZE_S)
    found, said = engine.repeat(target, finding.resolve())
    sys.stdout.write(f"{said}\n{finding}: {'found again' if found else 'nothing found'}\n")
    return 1 if found else 0


def _say(text: str) -> None:
    sys.stderr.write(f"fuzz: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
