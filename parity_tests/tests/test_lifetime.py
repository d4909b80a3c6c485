"""Nothing outlives the process that started it, also where that one is killed."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from retry_parity.lifetime import bound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT: Final = Path(__file__).parents[2]
CORPUS: Final = ROOT / "parity_tests/corpus/tool_results.jsonl"
GIVE_UP_S: Final = 60.0
#: What makes a process that is no program.
PROCESSES: Final = {"ProcessPoolExecutor", "os.fork"}

COMMANDS: Final = {
    "replay": ["replay", str(CORPUS), "--out", "out", "--workers", "2"],
    "generate": ["generate", "--out", "out", "--scenarios", "1000000", "--workers", "2"],
    "compare": ["compare", "legacy", "rust", "--time", "600"],
    "compare in one process": ["compare", "legacy", "rust", "--one-process", "--time", "600"],
}


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + GIVE_UP_S
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def stat(process: int) -> list[str] | None:
    """Give state, parent and more of a process that is there and no zombie."""
    with suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields
    return None


def descendants(process: int) -> dict[int, str]:
    """Give the processes below one, each with the time of its start: numbers come again."""
    found: dict[int, str] = {}
    parents = {process}
    while parents:
        parents = {
            int(each.name)
            for each in Path("/proc").iterdir()
            if each.name.isdigit()
            and (fields := stat(int(each.name)))
            and int(fields[1]) in parents
        } - found.keys()
        found |= {each: fields[19] for each in parents if (fields := stat(each))}
    return found


def has_begun(worker: int) -> bool:
    """Say whether a worker of a pool has run what it begins with: it ignores Ctrl-C from then."""
    with suppress(OSError):
        for line in Path(f"/proc/{worker}/status").read_text().splitlines():
            if line.startswith("SigIgn:"):
                return bool(int(line.split()[1], 16) & 1 << signal.SIGINT - 1)
    return False


@pytest.mark.parametrize(
    ("command", "moment"),
    [
        ("replay", "while they start"),
        ("generate", "while they work"),
        ("compare", "while they start"),
        ("compare in one process", "while they work"),
    ],
)
def test_workers_end_with_a_parent_that_is_killed(
    tmp_path: Path, command: str, moment: str
) -> None:
    """Those of `replay` and `generate` stayed for good, with 265 MB each."""
    script = Path(sys.executable).with_name("retry-parity")
    with subprocess.Popen(  # noqa: S603 - our own command
        [script, *COMMANDS[command]],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as parent:
        try:
            until(lambda: len(descendants(parent.pid)) >= 2, "no workers")
            if moment == "while they work":
                until(
                    lambda: sum(map(has_begun, descendants(parent.pid))) >= 2,
                    "the workers have not begun",
                )
            left = descendants(parent.pid)
        finally:
            parent.kill()
    until(
        lambda: not any((now := stat(each)) and now[19] == at for each, at in left.items()),
        "a worker lives on",
    )


#: Where the tests run in the background, a shell has Ctrl-C ignored for them and all they start.
HEEDS_CTRL_C: Final = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["replay", "generate", "compare", "compare in one process"])
def test_a_command_that_is_asked_to_end_does_not_finish_its_work_first(
    tmp_path: Path, command: str, number: signal.Signals
) -> None:
    """`generate` ran all that was in its queue before it ended: hours."""
    script = Path(sys.executable).with_name("retry-parity")
    with subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-c", HEEDS_CTRL_C, script, *COMMANDS[command]],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as parent:
        try:
            until(lambda: len(descendants(parent.pid)) >= 2, "no workers")
            left = descendants(parent.pid)
            parent.send_signal(number)
            assert parent.wait(GIVE_UP_S) == 128 + number
        finally:
            parent.kill()
    until(lambda: not any(map(stat, left)), "a worker lives on")


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program as it is started everywhere."""
    return subprocess.run(bound(command), capture_output=True, text=True, check=False)  # noqa: S603 - our own


def test_a_bound_program_is_as_it_would_be_otherwise() -> None:
    """Its status, its output and its arguments; what is not there is said before it is started."""
    program = "import sys; print(sys.argv[1:], file=sys.stderr); sys.exit(7)"
    ended = run([sys.executable, "-c", program, "a b", "--", "c"])
    assert (ended.returncode, ended.stderr) == (7, "['a b', '--', 'c']\n")
    with pytest.raises(FileNotFoundError):
        bound(["/no/such/program"])


#: Starts a program that nothing but the system can end, and which has started another one.
PARENT: Final = """
import subprocess, sys, threading, time
from retry_parity import lifetime
sleeper = "import signal, time; signal.pthread_sigmask(0, range(1, 32)); time.sleep(600)"
middle = (
    "import subprocess, sys, time; "
    f"child = subprocess.Popen([sys.executable, '-c', {sleeper!r}]); "
    f"print(child.pid, flush=True); {sleeper}"
)
command = lifetime.bound([sys.executable, "-c", middle])
if "without pidfd" in sys.argv:
    run = "import os, runpy, sys; del os.pidfd_open, sys.argv[0]; "
    run += "runpy.run_path(sys.argv[0], run_name='__main__')"
    command[1:3] = ["-IS", "-c", run, command[2]]
own = "own session" in sys.argv
def start():
    program = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=own)
    print(program.pid, int(program.stdout.readline()), flush=True)
if "in a thread" in sys.argv:
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    print("the thread has ended", flush=True)
else:
    start()
sys.stdin.read()
"""


@contextmanager
def parent_of_a_program(*how: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Keep one, with the numbers of what it has started."""
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", PARENT, *how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        try:
            assert parent.stdout is not None
            yield parent, [int(each) for each in parent.stdout.readline().split()]
        finally:
            parent.kill()


@pytest.mark.parametrize("how", ["own session", "in a thread", "without pidfd", ""])
def test_a_bound_program_and_what_it_started_end_with_its_parent(how: str) -> None:
    """The compiler that cargo had started, or what a build under comparison had, stayed."""
    with parent_of_a_program(how) as (parent, started):
        assert len(started) == 2
        assert all(map(stat, started))
        parent.kill()
        parent.wait()
        until(lambda: not any(map(stat, started)), "a program lives on")


def test_what_a_bound_program_has_started_ends_with_it() -> None:
    """Nothing is left of a program that is killed because it takes too long."""
    with parent_of_a_program() as (_, (program, child)):
        os.kill(program, signal.SIGKILL)
        until(lambda: stat(child) is None, "what it has started lives on")


def test_a_bound_program_does_not_end_with_the_thread_that_started_it() -> None:
    """The system takes the end of a thread for that of the parent, and killed the program."""
    with parent_of_a_program("in a thread") as (parent, started):
        assert parent.stdout is not None
        assert parent.stdout.readline() == "the thread has ended\n"
        # Whoever was to end with the thread has ended by the time that its end is seen here.
        assert all(map(stat, started))


def is_of_tests(path: Path) -> bool:
    """Say whether a file is a test's; what a test runs to its end, within its bound, is its own."""
    return "tests" in path.relative_to(ROOT).parts


#: Whose programs are what is tested: a parent that is killed, a reader that has gone.
NOT_BOUND: Final = {"test_lifetime.py", "test_cli.py"}
#: What nobody uses: it starts a process past `lifetime`.
OTHER_WAYS: Final = re.compile(
    r"os\.(system|popen|forkpty|spawn|posix_spawn)|pty\.|asyncio\.create_subprocess|"
    r"(multiprocessing|context)\.(Process|Pool)"
)


def test_every_process_is_started_so_that_it_ends_with_its_parent() -> None:
    """Whatever starts one goes through `lifetime`, and so do programs that tests keep running."""
    found = 0
    # `fuzz` and `benches/reliability` outlive this package; their programs have time limits.
    folders = ("parity_tests", "benches/hook", "benches/soak")
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                assert node.module not in {"subprocess", "multiprocessing.pool"}, path
            if not isinstance(node, ast.Call) or path.name in NOT_BOUND:
                continue
            name = ast.unparse(node.func)
            place = f"{path}:{node.lineno}: {name}"
            assert not OTHER_WAYS.match(name), place
            if name == "subprocess.Popen" or (
                name.startswith("subprocess.") and name[-5:] != "Error" and not is_of_tests(path)
            ):
                found += 1
                assert ast.unparse(node.args[0]).startswith("bound("), place
            elif name in PROCESSES and not is_of_tests(path):
                assert "end_worker_with_parent()" in text or "end_with_parent(" in text, place
    assert found > 20
