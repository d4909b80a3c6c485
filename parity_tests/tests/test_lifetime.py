"""Nothing outlives the process that started it, also where that one is killed."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from retry_parity.lifetime import bound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT: Final = Path(__file__).parents[2]
CORPUS: Final = ROOT / "parity_tests/corpus/tool_results.jsonl"
GIVE_UP_S: Final = 60.0
#: What makes a process that is no program.
PROCESSES: Final = {"ProcessPoolExecutor", "os.fork", "context.Process", "multiprocessing.Process"}

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


def test_a_bound_program_ends_with_its_parent() -> None:
    """Also one that nothing but the system can end."""
    sleeper = "import signal, time; signal.pthread_sigmask(0, range(1, 32)); time.sleep(600)"
    program = (
        "import subprocess, sys, time; from retry_parity.lifetime import bound; "
        f"child = subprocess.Popen(bound([sys.executable, '-c', {sleeper!r}])); "
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert stat(child)
        parent.kill()
    until(lambda: stat(child) is None, "the program lives on")


def test_every_process_is_started_so_that_it_ends_with_its_parent() -> None:
    """Whatever starts one goes through `lifetime`; programs that the tests start are the tests'."""
    folders = ("parity_tests/retry_parity", "parity_tests/gateway", "parity_tests/published")
    files = [
        path
        for folder in (*folders, "parity_tests/dashboard_picture", "benches/hook", "benches/soak")
        for path in (ROOT / folder).rglob("*.py")
        if "tests" not in path.relative_to(ROOT / folder).parts
    ]
    found = 0
    for path in files:
        text = path.read_text()
        for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
            name = ast.unparse(call.func)
            place = f"{path}:{call.lineno}: {name}"
            if name.startswith("subprocess.") and not name.endswith("Error"):
                found += 1
                assert ast.unparse(call.args[0]).startswith("bound("), place
            elif name in PROCESSES:
                assert "end_worker_with_parent()" in text or "end_with_parent(" in text, place
            assert name not in {"os.system", "os.popen", "os.posix_spawn", "os.spawnv"}, place
    assert found > 10
