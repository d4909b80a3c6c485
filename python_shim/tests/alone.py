"""Work that may kill the process, or never end, in a process of its own."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

#: How long a process may take: it protects from a hang, and says nothing about speed.
PATIENCE_S = 120
#: Seconds after which a program is stuck, however slow the machine.
_STUCK_S = 600


def alone(work: Callable[[], Any]) -> Any:
    """Do work in a fork of this process.

    Returns:
        What the work returns, as JSON carries it.

    Raises:
        AssertionError: The process ended by a signal, raised, or did not end in time.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # From Python 3.12 on: a fork of a process with threads. The child needs none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(reader)
        _do(work, writer)
    os.close(writer)
    told = _read(reader, child)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        message = f"the process ended by {name}"
        raise AssertionError(message)
    answer = json.loads(told)
    assert "raised" not in answer, answer["raised"]
    return answer["value"]


def told(
    program: str, asked: object, plugin: str = "retry_with_backoff:RetryWithBackoffPlugin"
) -> Any:
    """Run a program of this folder on a plugin; give what it says.

    Args:
        program: Its name without the ending.
        asked: What it reads on its standard input, as JSON.
        plugin: Module and class.
    """
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, str(Path(__file__).with_name(f"{program}.py")), plugin],
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=_STUCK_S,
    )
    return json.loads(ran.stdout)


def _do(work: Callable[[], Any], writer: int) -> None:
    """Tell what came of the work, and end the process without anything of what is to end it."""
    try:
        try:
            told = {"value": work()}
        except BaseException:  # noqa: BLE001  it is told to the parent
            told = {"raised": traceback.format_exc()}
        rest = memoryview(json.dumps(told).encode())
        while rest:
            rest = rest[os.write(writer, rest) :]
    finally:
        os._exit(0)


def _read(reader: int, child: int) -> bytes:
    until = time.monotonic() + PATIENCE_S
    parts: list[bytes] = []
    with open(reader, "rb", buffering=0) as pipe:
        while True:
            ready, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                message = f"the process did not end within {PATIENCE_S} s"
                raise AssertionError(message)
            part = pipe.read(1 << 16)
            if not part:
                return b"".join(parts)
            parts.append(part)


class Memory(NamedTuple):
    """Bytes that the process took on: at the peak, and once the work was done."""

    peak: int
    kept: int


def memory_of(work: Callable[[], object]) -> Memory:
    """Measure the memory that work takes (Linux)."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS")
    work()
    peak = _status("VmHWM")
    return Memory(peak - before, _status("VmRSS") - before)


def _status(name: str) -> int:
    """A figure of the process in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)
