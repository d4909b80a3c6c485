"""`make gateway` as its user runs it: once, and left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from gateway.client import Client
from gateway.programs import StartError
from gateway.stack import HERE, TOKEN, Settings, running
from retry_parity.lifetime import bound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PATIENCE_S: Final = 120.0
_LAST_LINE: Final = "Ctrl-C ends all of it"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended that ends by itself."""

    status: int
    output: str
    errors: str


@dataclass(frozen=True, slots=True)
class Left:
    """A command that stays.

    Attributes:
        command: Its process.
        folder: Its work folder.
        lines: What it has said, by the first word: where to look.
        gateway: A client of its gateway.
    """

    command: subprocess.Popen[str]
    folder: Path
    lines: dict[str, str]
    gateway: Client


def start(*arguments: str, python: Sequence[str] = (sys.executable,)) -> subprocess.Popen[str]:
    """Start the command."""
    return subprocess.Popen(  # noqa: S603 - our own command
        bound([*python, "-m", "gateway", *arguments]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(HERE.parent)},
    )


def ended(*arguments: str, python: Sequence[str] = (sys.executable,)) -> Ended:
    """Run the command to its end."""
    with start(*arguments, python=python) as command:
        output, errors = command.communicate(timeout=PATIENCE_S)
    return Ended(command.returncode, output, errors)


def refusal(folder: Path) -> StartError:
    """Start a stack whose flag has a wrong value, and give what is told of it."""
    settings = Settings(environment={"RETRY_IMPLEMENTATION": "nonsense"})
    with pytest.raises(StartError) as caught, running(settings, folder):
        pass
    return caught.value


@contextmanager
def left_running(folder: Path) -> Iterator[Left]:
    """Start the guard drill of docs/MIGRATION.md, and read where to look; end it if need be."""
    drill = ("--implementation", "canary", "--candidate", "never-retries")
    with start("--rate", "3", "--workers", "2", "--folder", str(folder), *drill) as command:
        try:
            assert command.stdout is not None
            said: list[str] = []
            while not (said and said[-1] == _LAST_LINE):
                said.append(command.stdout.readline().rstrip("\n"))
                assert said[-1], command.communicate()
            lines = {line.partition(" ")[0]: line.partition(" ")[2].strip() for line in said}
            token = (folder / TOKEN).read_text(encoding="utf-8")
            yield Left(
                command, folder, lines, Client(int(lines["gateway"].rpartition(":")[2]), token)
            )
        finally:
            if command.poll() is None:
                command.send_signal(signal.SIGINT)
                command.communicate(timeout=PATIENCE_S)
