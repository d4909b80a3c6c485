"""Closed and full standard streams: no traceback, no verdict that nobody read, no stray text."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import evidence_material as material
import pytest

from retry_parity import cli
from retry_parity.output import STDOUT, discard_output, write_json

HERE: Final = Path(__file__).parent

#: Runs a command in a fork for each way in which the streams are broken; a real process for each
#: would spend its time on imports.
PROGRAM: Final = """
import json, os, sys
from retry_parity import cli

def broken(how):
    for descriptor, what in how.items():
        if what == "closed":
            os.close(int(descriptor))
            setattr(sys, ("stdin", "stdout", "stderr")[int(descriptor)], None)
        else:
            os.dup2(os.open(what, os.O_RDWR), int(descriptor))

for line in sys.stdin:
    arguments, how = json.loads(line)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.dup2(writer, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        broken(how)
        try:
            status = cli.main(arguments)
        except SystemExit as ended:
            status = ended.code or 0
        except BaseException:
            import traceback
            os.write(writer, traceback.format_exc().encode())
            status = 99
        os._exit(status)
    os.close(writer)
    with os.fdopen(reader, errors="replace") as pipe:
        told = pipe.read()
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), told]), flush=True)
"""

FULL: Final = "/dev/full"
WAYS: Final = {
    "stdout closed": {"1": "closed"},
    "stdout full": {"1": FULL},
    "stdout and stdin closed": {"0": "closed", "1": "closed"},
    "all closed": {"0": "closed", "1": "closed", "2": "closed"},
    "all full": {"1": FULL, "2": FULL},
    "stderr closed": {"2": "closed"},
    "stderr full": {"2": FULL},
}


def commands() -> dict[str, argparse.ArgumentParser]:
    """Give every command that there is, by name."""
    (subparsers,) = (
        action
        for action in cli._parser()._actions  # noqa: SLF001 - argparse does not tell otherwise
        if isinstance(action, argparse._SubParsersAction)  # noqa: SLF001 - as above
    )
    return dict(subparsers.choices)


def run(asked: list[tuple[list[str], dict[str, str]]]) -> list[tuple[int, str]]:
    """Run commands, each with its streams broken; give status and what standard error had."""
    lines = "".join(json.dumps(each) + "\n" for each in asked)
    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(HERE)},
    )
    return [(status, told) for status, told in map(json.loads, ended.stdout.splitlines())]


def test_no_stream_of_any_command_is_missed_by_a_traceback() -> None:
    """Help that could not be written was a success, and wrong usage a traceback."""
    asked = [([name, "--help"], broken) for name in commands() for broken in WAYS.values()]
    asked += [([name, "--none"], WAYS[way]) for name in commands() for way in ("all closed",)]
    for (arguments, broken), (status, told) in zip(asked, run(asked), strict=True):
        judging = arguments[0] in {"verdict", "report", "minimize"}
        is_written = arguments[1] == "--help" and "1" not in broken
        assert status == (0 if is_written else 3 if judging else 2), (arguments, status, told)
        assert "Traceback" not in told


def test_a_verdict_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    """``>&-`` gave 1, which says "not ready"; what standard error is changes nothing."""
    evidence = str(material.write_evidence(tmp_path, "insufficient"))
    results = run([(["verdict", evidence], broken) for broken in ({}, *WAYS.values())])
    found = dict(zip(("nothing", *WAYS), (status for status, _ in results), strict=True))
    assert found == {
        "nothing": 2,
        "stdout closed": 3,
        "stdout full": 3,
        "stdout and stdin closed": 3,
        "all closed": 3,
        "all full": 3,
        "stderr closed": 2,
        "stderr full": 2,
    }
    assert not any("Traceback" in told for _, told in results)


def test_json_is_written_before_what_depends_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was short waited to be written until the certificate was."""
    full = Path(FULL).open("w", encoding="utf-8")  # noqa: SIM115 - closing it would fail as well
    monkeypatch.setattr(sys, "stdout", full)
    with pytest.raises(OSError, match="No space left"):
        write_json(STDOUT, {})
    discard_output()
    full.close()


def test_what_is_printed_gets_into_no_file(tmp_path: Path) -> None:
    """The first file that is opened has the descriptor of a stream that was closed."""
    material.write_evidence(tmp_path / "in")
    merged = {tmp_path / way: how for way, how in {"nothing": {}, **WAYS}.items()}
    run([(["merge", str(tmp_path / "in"), "--out", str(out)], how) for out, how in merged.items()])
    for out in merged:
        lines = out.read_bytes().splitlines()
        assert len(lines) == 5
        assert all(line.startswith(b'{"') for line in lines)


def test_a_real_process_says_it_too(tmp_path: Path) -> None:
    """From the shell, to Python's own end."""
    script = Path(sys.executable).with_name("retry-parity")
    command = f"{script} verdict {material.write_evidence(tmp_path)} >&-"
    ended = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)  # noqa: S603 - our own text
    assert ended.returncode == 3
    assert ended.stderr.splitlines()[-1] == (
        "retry-parity: output: is closed; > /dev/null discards it"
    )
