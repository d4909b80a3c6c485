"""Differential testing of two builds: lanes, courts, campaigns, builds, environments.

The builds are puppets (see `puppet`): they do what a scenario says, and start in an instant.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import stat
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from puppet.subject import PuppetSubject
from puppet.venv import imitate_venv
from rich.console import Console

from retry_parity.differential import campaign as campaign_module
from retry_parity.differential import compare as compare_module
from retry_parity.differential import environments as environments_module
from retry_parity.differential import lane as lane_module
from retry_parity.differential.builds import (
    Build,
    BuildError,
    StarvedError,
    find_build,
    folder_of,
)
from retry_parity.differential.campaign import Campaign, Limits, Outcome
from retry_parity.differential.clock import clock_library
from retry_parity.differential.compare import Plan, compare_builds
from retry_parity.differential.court import Apart, Together, is_fault
from retry_parity.differential.display import as_json, show, verdict
from retry_parity.differential.environments import CACHE_VARIABLE, Environments, find_uv, run_uv
from retry_parity.differential.lane import About, Lane
from retry_parity.differential.subject import Finding, Judgement
from retry_parity.differential.waiting import Usage, Wait, usage
from retry_parity.output import printable
from retry_parity.subject import RetrySubject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

HERE = Path(__file__).parent
STEP_LIMIT_S = 0.3
CALM, WILD = "puppet.puppets:Calm", "puppet.puppets:Wild"
ABOUT = About("package:Class", "3.11.0", {}, has_clock=False)
UNBOUND = Limits(None, None)


def lane(plugin: str, packages: dict[str, str] | None = None) -> Lane:
    """Make a lane of this interpreter for a puppet."""
    build = Build(plugin, Path(sys.executable), plugin, packages=packages or {})
    return Lane(build, PuppetSubject.driver, PuppetSubject.packages, None, STEP_LIMIT_S)


@pytest.fixture
def court() -> Iterator[Apart]:
    """Open a court with a calm reference and a wild candidate."""
    made = Apart(PuppetSubject(), lane(CALM), lane(WILD))
    made.open()
    yield made
    made.close()


# --- what a build may do in a step ---------------------------------------------------------------

FAULTS = [
    ("spin", "hangs", "no answer within 0.3 s"),
    ("sleep", "hangs", "no answer within 0.3 s"),
    ("deadlock", "hangs", "no answer within 0.3 s"),
    ("exit 3", "dies", "exit status 3"),
    ("sys-exit 0", "dies", "exit status 0"),
    ("segfault", "dies", "killed by SIGSEGV"),
    ("abort", "dies", "killed by SIGABRT"),
    ("kill", "dies", "killed by SIGKILL"),
    ("interrupt", "dies", "KeyboardInterrupt"),
    ("unspeakable", "dies", "UnspeakableError: <exception str() failed>"),
    ("recurse", "dies", "RecursionError"),
    ("leave-child", "dies", "exit status 4"),
]


@pytest.mark.parametrize(("step", "what", "how"), FAULTS)
def test_a_build_that_does_not_answer_costs_its_scenario_and_no_other(
    court: Apart, step: str, what: str, how: str
) -> None:
    """The fault is told with its step; what came before and what was sent after it is judged."""
    court.send([("a", "b"), ("a", step, "c"), ("a",)])
    court.send([("wrong x",), ("a", "b", "c")])
    before, struck, after = court.judge()
    assert (before.decisions, before.findings) == (2, ())
    assert [(each.what, each.step) for each in struck.findings] == [(f"candidate-{what}", 1)]
    assert struck.findings[0].candidate.startswith(f"{what}: ")
    assert how in struck.findings[0].candidate
    assert (after.decisions, after.findings) == (1, ())
    wrong, last = court.judge()
    assert [each.what for each in wrong.findings] == ["wrong"]
    assert (last.decisions, last.findings) == (3, ())


def test_a_build_that_is_stopped_and_goes_on_has_not_hung(court: Apart) -> None:
    """Its answer comes after more than the limit, in which it could not run."""
    court.send([("a", f"stop {3 * STEP_LIMIT_S}", "b")])
    assert court.judge() == [Judgement(3)]


@pytest.mark.parametrize(
    ("scenario", "where"), [(("a", "stop"), "in step 2"), (("stop",), "in step 1")]
)
def test_a_build_that_is_kept_from_running_is_no_finding(
    court: Apart, monkeypatch: pytest.MonkeyPatch, scenario: tuple[str, ...], where: str
) -> None:
    """It was counted as hanging: a divergence of a build of which nothing is known."""
    monkeypatch.setattr(lane_module, "_PATIENCE", 2)
    court.send([scenario])
    with pytest.raises(StarvedError) as caught:
        court.judge()
    line = str(caught.value)
    assert line.startswith(f"{WILD}: no answer {where} in 1 s, 0.0 s of CPU time used; it was")
    assert "try again" in line


def test_a_build_that_is_kept_from_running_while_it_is_imported_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine made `compare` say that a build hangs while it is imported."""
    monkeypatch.setattr(lane_module, "_LOAD_LIMIT_S", 0.3)
    monkeypatch.setattr(lane_module, "_PATIENCE", 2)
    stopped = "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"
    made = lane("imported:Wild", package(tmp_path, stopped))
    with pytest.raises(StarvedError, match="imported:Wild: no answer while it is imported in 1 s"):
        made.start()
    made.stop()


#: Seconds between looks, then of each: CPU time that was used, and whether it was kept waiting.
WAITS: dict[str, tuple[list[tuple[float, float, bool] | None], float, str]] = {
    "computes": ([(0.1, 0.1, True)] * 4, 0.4, ", 0.4 s of CPU time used"),
    "has a core at times": ([(0.1, 0.02, True)] * 5, 0.1, ", 0.1 s of CPU time used"),
    "gets no core": ([(0.1, 0.0, True)] * 9, 0.0, ", 0.0 s of CPU time used"),
    "sleeps": ([(0.1, 0.0, False)] * 4, 0.4, ", 0.0 s of CPU time used"),
    "computes on two cores": ([(0.1, 0.2, True)] * 2, 0.2, ", 0.4 s of CPU time used"),
    "nobody looked for a minute": ([(60.0, 0.0, False)] * 2, 0.4, ", 0.0 s of CPU time used"),
    "the system does not say": ([None] * 3, 0.3, ""),
}


@pytest.mark.parametrize("case", WAITS)
def test_only_time_in_which_a_process_could_run_is_held_against_it(case: str) -> None:
    """What waits for a core, or is stopped, does not hang; what sleeps does, and so does a loop."""
    looks, own_s, seen = WAITS[case]
    now_s, used = 0.0, Usage(5.0, kept_waiting=False)
    wait = Wait(1, 0.2, read=lambda _: None if None in looks else used, now_s=lambda: now_s)
    for look in looks:
        passed_s, cpu_s, kept_waiting = look or (0.1, 0.0, False)
        now_s += passed_s
        used = Usage(used.cpu_s + cpu_s, kept_waiting)
        wait.look()
    assert wait.own_s == pytest.approx(own_s)
    assert str(wait) == seen
    wait.begin()
    assert (wait.own_s, wait.total_s, str(wait)) == (0.0, 0.0, "")


def test_the_system_says_what_this_process_has_used() -> None:
    """It runs as it asks; of a process that is not there nothing is known."""
    mine = usage(os.getpid())
    assert mine is not None
    assert mine.cpu_s == pytest.approx(time.process_time(), abs=0.1)
    assert mine.kept_waiting
    assert usage(2**22 + 1) is None


@pytest.mark.parametrize(
    "step",
    ["close-all", "garble-length", "garble-huge", "garble-pickle", "garble-shape", "not-json"],
)
def test_a_build_that_spoils_its_answers_costs_its_scenario_and_no_other(
    court: Apart, step: str
) -> None:
    """What is no answer ends no harness, whatever a build has written to the worker's pipes."""
    court.send([("a",), (step,), ("b", "c")])
    before, struck, after = court.judge()
    assert (before.decisions, before.findings) == (1, ())
    assert [is_fault(each) for each in struck.findings] == [True]
    assert (after.decisions, after.findings) == (2, ())


PRINTS = [
    ("print hello", "prints 'hello\\n' to standard output"),
    ("write hello", "prints 'hello' to standard output"),
    ("write \udcff", "prints '\N{REPLACEMENT CHARACTER}' to standard output"),
    ("close-stream", "closes sys.stdout"),
    ("replace-stream", "replaces sys.stdout"),
    ("close-descriptor", "closes or replaces file descriptor 1"),
    ("replace-descriptor /dev/null", "closes or replaces file descriptor 1"),
]


@pytest.mark.parametrize(("step", "said"), PRINTS)
def test_what_a_build_does_to_standard_output_is_a_finding_of_its_step(
    court: Apart, step: str, said: str
) -> None:
    """A host that speaks over standard output breaks there; it is undone, and so told each time."""
    court.send([("a", step, "c"), ("d",), ("print again",)])
    struck, after, again = court.judge()
    assert struck.decisions == 3
    assert struck.findings == (Finding("candidate-prints", "", 1, "prints nothing", said),)
    assert (after.decisions, after.findings) == (1, ())
    assert [each.candidate for each in again.findings] == ["prints 'again\\n' to standard output"]


def test_a_file_that_took_the_place_of_standard_output_is_left_as_it_is(
    court: Apart, tmp_path: Path
) -> None:
    """Standard output is emptied after each step: never a file that a build opened instead of it.

    A closed descriptor 1 is the next one to be given out, and the build's file would be emptied.
    """
    file = tmp_path / "precious"
    file.write_text("precious")
    court.send([(f"reopen-descriptor {file}",)])
    [judgement] = court.judge()
    assert [each.what for each in judgement.findings] == ["candidate-prints"]
    assert file.read_text() == "precious"


def test_what_both_builds_print_is_no_difference() -> None:
    """Like all else that both do alike."""
    court = Apart(PuppetSubject(), lane(WILD), lane(WILD))
    court.open()
    court.send([("print x", "exit 3"), ("print x",)])
    died, printed = court.judge()
    court.close()
    assert (died.decisions, died.findings) == (0, ())
    assert (printed.decisions, printed.findings) == (1, ())


def test_a_reference_that_does_not_answer_is_a_finding_too() -> None:
    """Neither side is spared."""
    court = Apart(PuppetSubject(), lane(WILD), lane(CALM))
    court.open()
    court.send([("exit 3",), ("a",)])
    died, after = court.judge()
    court.close()
    assert [each.what for each in died.findings] == ["reference-dies"]
    assert after.findings == ()


def test_errors_on_standard_error_are_nobodys_business(court: Apart) -> None:
    """10 MB of them neither block the build nor show."""
    court.send([("flood", "a")])
    assert court.judge() == [Judgement(2)]


def test_what_a_build_has_started_ends_with_it(court: Apart, tmp_path: Path) -> None:
    """A child that outlives its build is killed; it would hold files and eat the time of others."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    court.send([(f"leave-child {pipe}",)])
    [judgement] = court.judge()
    assert [each.what for each in judgement.findings] == ["candidate-dies"]
    # The end of the file comes when the last process that could write has ended.
    assert select.select([reading], [], [], 20.0)[0] == [reading]
    assert os.read(reading, 1) == b""
    os.close(reading)


# --- lanes ---------------------------------------------------------------------------------------


def test_a_question_beside_the_batches_gets_its_own_answer() -> None:
    """`ask` runs while batches are under way, and every batch keeps its place."""
    made = lane(WILD)
    made.start()
    made.send([("a",), ("b",)])
    made.send([("c",)])
    assert made.ask(("wrong q",)) == b'["not q"]'
    assert made.ask(("exit 3",)) == b""
    made.send([("d",)])
    told = [[ran.told for ran in made.receive()] for _ in range(3)]
    made.stop()
    assert told == [[b'["a"]', b'["b"]'], [b'["c"]'], [b'["d"]']]


def test_an_interpreter_is_replaced_before_its_clock_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a new one goes on where the old one was, and no batch is lost or run twice.

    After some 8 million scenarios of 1,000 virtual seconds each, the clock once stood still.
    """
    monkeypatch.setattr(lane_module, "_MOST_SCENARIOS", 4)
    made = lane(WILD)
    made.start()
    made.send([("count",), ("a",)])
    told = []
    for name in "bcdef":
        made.send([(name,), ("count",)])
        told.append([ran.told for ran in made.receive()])
    told.append([ran.told for ran in made.receive()])
    made.stop()
    assert [each[0] for each in told] == [b"[1]", *(f'["{name}"]'.encode() for name in "bcdef")]
    assert max(json.loads(each[1])[0] for each in told[1:]) <= 6


@pytest.mark.skipif(sys.platform != "linux", reason="the library that stops the clock is for Linux")
def test_a_reading_that_the_clock_has_not_is_an_error() -> None:
    """Rule: a time that cannot be set never passes for one that was."""
    made = Lane(
        Build("late", Path(sys.executable), CALM),
        "puppet.driver:LateDriver",
        PuppetSubject.packages,
        clock_library(),
    )
    made.start()
    made.send([("a",)])
    [ran] = made.receive()
    made.stop()
    assert ran.fault is not None
    assert "OverflowError: the clock has no reading for 9300000000.0 s" in ran.fault.detail


def test_a_lane_that_does_not_run_says_so() -> None:
    """Before `start` and after `stop`."""
    made = lane(CALM)
    with pytest.raises(BuildError, match="is not running"):
        made.send([("a",)])
    made.stop()


def package(folder: Path, source: str) -> dict[str, str]:
    """Write a package that can be lent to an interpreter."""
    (folder / "imported").mkdir()
    body = "from puppet.puppets import Wild\n"
    (folder / "imported" / "__init__.py").write_text(f"{body}{source}\n")
    return {"imported": str(folder / "imported")}


IMPORTS = [
    ("while True: pass", "hangs while it is imported: no answer within 0.5 s"),
    ("import time; time.sleep(3600)", "hangs while it is imported: no answer within 0.5 s"),
    ("import os; os._exit(3)", "dies while it is imported: exit status 3"),
    ("import os; os.abort()", "dies while it is imported: killed by SIGABRT"),
    ("raise SystemExit(0)", "cannot be imported: SystemExit: 0"),
    ("raise KeyboardInterrupt", "cannot be imported: KeyboardInterrupt:"),
    ("raise ValueError('so\\n  what')", "cannot be imported: ValueError: so what"),
    ("def f(): f()\nf()", "cannot be imported: RecursionError: maximum recursion depth exceeded"),
    ("import no_such_module", "cannot be imported: ModuleNotFoundError: No module named"),
    ("def", "cannot be imported: SyntaxError:"),
    ("del Wild", "cannot be imported: AttributeError: module 'imported' has no attribute 'Wild'"),
    ("Wild = None", "cannot be imported: TypeError: 'NoneType' object is not callable"),
    (
        "from puppet.puppets import UnspeakableError\nraise UnspeakableError",
        "dies while it is imported: exit status 1",
    ),
    (
        "import os, sys, struct\nos.write(int(sys.argv[2]), struct.pack('<Q', 2) + b'N.')",
        "cannot be imported: it says 'None' of itself",
    ),
]


@pytest.mark.parametrize(("source", "message"), IMPORTS)
def test_a_build_that_cannot_be_imported_is_refused_in_one_line(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its module does, the reason is one line that begins with the build."""
    monkeypatch.setattr(lane_module, "_LOAD_LIMIT_S", 0.5)
    made = lane("imported:Wild", package(tmp_path, source))
    with pytest.raises(BuildError) as caught:
        made.start()
    assert str(caught.value).startswith(f"imported:Wild: {message}")
    assert "\n" not in str(caught.value)


def test_what_is_printed_at_import_is_a_finding_of_the_first_scenario(tmp_path: Path) -> None:
    """It happened while loading: step -1. The scenarios after it are innocent."""
    made = Apart(
        PuppetSubject(),
        lane(CALM),
        lane("imported:Wild", package(tmp_path, "import os; print('hi'); os.write(1, b'ho')")),
    )
    made.open()
    made.send([("a",), ("b",)])
    first, second = made.judge()
    made.close()
    assert [(each.what, each.step) for each in first.findings] == [("candidate-prints", -1)]
    assert "hi" in first.findings[0].candidate
    assert "ho" in first.findings[0].candidate
    assert (first.decisions, second) == (1, Judgement(1))


def test_a_distribution_without_a_name_is_passed_over(tmp_path: Path) -> None:
    """An interrupted installation leaves such a folder; it once ended the import of every build."""
    (tmp_path / "broken-1.0.dist-info").mkdir()
    made = lane(
        "imported:Wild", package(tmp_path, f"import sys; sys.path.append({str(tmp_path)!r})")
    )
    about = made.start()
    made.stop()
    assert about.plugin == "puppet.puppets:Wild"
    assert "rich" in about.versions


@pytest.mark.parametrize("content", [None, "#!/no/such/interpreter\n", "not a program"])
def test_an_interpreter_that_cannot_be_started_is_refused_in_one_line(
    content: str | None, tmp_path: Path
) -> None:
    """And nothing is left open: an unclosed file is an error in this test."""
    python = tmp_path / "python"
    if content is not None:
        python.write_text(content)
        python.chmod(0o755)
    made = Lane(Build("venv:x", python, CALM), PuppetSubject.driver, PuppetSubject.packages)
    with pytest.raises(BuildError, match=r"\Avenv:x: .*python cannot be started: "):
        made.start()


# --- both in one interpreter ---------------------------------------------------------------------


def together(candidate: str, spec: str = "python:x", reference: str = "calm") -> Together:
    """Make a court of one interpreter."""
    python = Path(sys.executable)
    return Together(PuppetSubject(), Build(reference, python, CALM), Build(spec, python, candidate))


@pytest.mark.parametrize(
    ("spec", "candidate", "reference", "message"),
    [
        ("python:x", "other:C", "wild", "--one-process: the reference is calm there"),
        ("pypi:x==1", "other:C", "calm", "takes a candidate of this environment"),
        ("venv:x:a:B", "other:C", "calm", "takes a candidate of this environment"),
        ("calm", CALM, "calm", "takes another package than the reference's"),
        ("python:x", WILD, "calm", "takes another package than the reference's"),
    ],
)
def test_one_process_refuses_what_cannot_run_there(
    spec: str, candidate: str, reference: str, message: str
) -> None:
    """Two builds of one package would be the same one."""
    with pytest.raises(BuildError, match=message):
        together(candidate, spec, reference)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise ValueError('so\\nwhat')", "ValueError: so what"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise ImportError('x')", "ImportError: x"),
        ("Candidate = None", "TypeError: 'NoneType' object is not callable"),
        ("class Candidate(Wild): pass", "takes no candidate derived from the reference"),
    ],
)
def test_one_process_refuses_a_build_that_cannot_be_imported(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, whatever its module raises; one made of the reference shares its state."""
    package(tmp_path, source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "imported", raising=False)
    with pytest.raises(BuildError, match=message) as caught:
        together("imported:Candidate").open()
    assert "\n" not in str(caught.value)


FREE = """
import os, signal, sys
print("printed at import")
class Candidate:
    def act(self, step):
        if step == "exit":
            os._exit(0)
        if step in ("sys-exit", "interrupt"):
            raise {"sys-exit": SystemExit(0), "interrupt": KeyboardInterrupt()}[step]
        if step == "raise":
            raise ValueError("x")
        print("printed in a step", flush=True)
        return step if step != "b" else "c"
"""


def test_one_process_judges_prints_nothing_and_survives_what_python_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Standard output stays the harness's, an odd answer is a finding, an exit is an error.

    A candidate that called ``sys.exit(0)`` once ended the harness, with a success.
    """
    package(tmp_path, FREE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "imported", raising=False)
    court = together("imported:Candidate")
    court.open()
    court.send([("a",), ("a", "b"), ("raise",)])
    equal, different, odd = court.judge()
    for step in ("sys-exit", "interrupt"):
        court.send([(step,)])
        with pytest.raises(BuildError, match="--one-process: a build raised "):
            court.judge()
    court.send([("a",)])
    assert court.judge() == [Judgement(1)]
    court.send([("exit",)])
    with pytest.raises(BuildError, match="a build ended the interpreter; run without it"):
        court.judge()
    court.close()
    assert equal == Judgement(1)
    assert [(each.what, each.step) for each in different.findings] == [("wrong", 1)]
    assert [(each.what, each.candidate) for each in odd.findings] == [
        ("unreadable-answer", "ValueError: x")
    ]
    assert capfd.readouterr().out == ""


# --- campaigns -----------------------------------------------------------------------------------


class Script:
    """A court that runs nothing: a function of the scenario says what there is to find.

    Args:
        subject: Generates the scenarios.
        find: Gives ``what`` and ``where`` of a scenario's findings.
    """

    ahead = 1

    def __init__(self, subject: Any, find: Callable[[Any], Iterable[tuple[str, str]]]) -> None:
        self._subject = subject
        self._find = find
        self._sent: deque[Sequence[Any]] = deque()
        self.runs = 0

    def open(self) -> tuple[About, About]:
        """Nothing to open."""
        return ABOUT, ABOUT

    def send(self, scenarios: Sequence[Any]) -> None:
        """Keep them."""
        self._sent.append(list(scenarios))

    def send_named(self, names: Sequence[str], *, with_time: bool) -> None:
        """Generate and keep them."""
        self.send([self._subject.scenario(name, with_time=with_time) for name in names])

    def judge(self) -> list[Judgement]:
        """Find what there is to find."""
        scenarios = self._sent.popleft()
        self.runs += len(scenarios)
        return [
            Judgement(
                1,
                findings=tuple(
                    Finding(what, where, 1 << 20, "ours", "theirs")
                    for what, where in self._find(scenario)
                ),
            )
            for scenario in scenarios
        ]

    def close(self) -> None:
        """Nothing to close."""


def explore(
    find: Callable[[Any], Iterable[tuple[str, str]]],
    words: Sequence[str] = ("a", "b", "c"),
    limits: Limits = Limits(None, 200),  # noqa: B008 - immutable
    subject: Any = None,
) -> tuple[Outcome, Script]:
    """Run a campaign in a scripted court."""
    subject = subject or PuppetSubject(*words)
    court = Script(subject, find)
    return Campaign(subject, court, (ABOUT, ABOUT), "7").run(limits), court


def both(scenario: tuple[str, ...]) -> list[tuple[str, str]]:
    """Find something where there is an x and, later, a y."""
    firsts = [step[:1] for step in scenario]
    return [("both", "")] if "x" in firsts and "y" in firsts[firsts.index("x") :] else []


def test_reducing_finds_the_smallest_scenario() -> None:
    """Whichever scenario a difference was met in, it comes down to the one that all contain."""
    outcome, _ = explore(both, ("xylophone", "yes", "no", "maybe"))
    [cause] = outcome.causes
    assert cause.smallest.scenario == ("x", "y")
    assert cause.reduced
    assert cause.occurrences == outcome.divergent["both"] > 20
    name, _, number = cause.smallest.name.partition(":")
    assert name == "7"
    assert both(
        PuppetSubject("xylophone", "yes", "no", "maybe").scenario(
            cause.smallest.name, with_time=True
        )
    )
    assert int(number) < 200


@given(
    needed=st.lists(st.sampled_from("abcd"), min_size=1, max_size=3),
    number=st.integers(0, 10**6),
)
def test_reducing_ends_where_nothing_simpler_shows_the_same(needed: list[str], number: int) -> None:
    """Rule: the smallest scenario shows the finding, and none of its variants does."""
    subject = PuppetSubject("abc", "bcd", "da", "c")

    def find(scenario: tuple[str, ...]) -> list[tuple[str, str]]:
        text = "".join(scenario)
        return (
            [("all", "")] if all(text.count(each) >= needed.count(each) for each in needed) else []
        )

    court = Script(subject, find)
    outcome = Campaign(subject, court, (ABOUT, ABOUT), "s").run(Limits(None, 1), only=number)
    for cause in outcome.causes:
        assert cause.reduced
        assert find(cause.smallest.scenario)
        assert not any(map(find, subject.simpler(cause.smallest.scenario)))


class Values(PuppetSubject):
    """Scenarios of one value; the simpler values are alike to Python, and are not the same."""

    def scenario(self, seed: str, *, with_time: bool) -> tuple[Any, ...]:
        """Give the least simple value."""
        del seed, with_time
        return (2.0,)

    def simpler(self, scenario: tuple[Any, ...]) -> Iterable[tuple[Any, ...]]:
        """Give what comes before it."""
        order = [None, False, 0, 0.0, 1, True, 1.0, 2.0]
        place = next(
            at
            for at, each in enumerate(order)
            if type(each) is type(scenario[0]) and each == scenario[0]
        )
        yield from ((each,) for each in order[:place])

    def show(self, scenario: tuple[Any, ...], until: int) -> Sequence[str]:
        """Show the value."""
        del until
        return ["values", repr(scenario)]


@pytest.mark.parametrize("needed", [False, 0, 0.0, 1, True, 1.0])
def test_reducing_tells_values_of_different_types_apart(needed: object) -> None:
    """0, 0.0 and False are equal to Python: one that was tried once kept the others from it."""

    def find(scenario: tuple[Any, ...]) -> list[tuple[str, str]]:
        [value] = scenario
        same = type(value) is type(needed) and value == needed
        return [("needed", "")] if same or value == 2.0 else []

    outcome, _ = explore(find, limits=Limits(None, 1), subject=Values())
    [cause] = outcome.causes
    assert repr(cause.smallest.scenario) == repr((needed,))


def test_two_causes_of_one_difference_stay_two() -> None:
    """What differs is the same; the smallest scenarios tell the causes apart."""

    def find(scenario: tuple[str, ...]) -> list[tuple[str, str]]:
        return [("lost", "")] if "xx" in scenario or "yy" in scenario else []

    outcome, _ = explore(find, ("xx", "yy", "no"))
    assert {cause.smallest.scenario for cause in outcome.causes} == {("xx",), ("yy",)}
    assert {cause.smallest.finding.what for cause in outcome.causes} == {"lost"}


def test_a_rare_cause_is_not_hidden_by_a_frequent_one() -> None:
    """What ``where`` tells apart is reduced apart, however seldom it is met."""

    def find(scenario: tuple[str, ...]) -> list[tuple[str, str]]:
        if "rare" in scenario and "seldom" in scenario:
            return [("lost", "rare")]
        return [("lost", "frequent")] if "often" in scenario else []

    words = ("often",) * 12 + ("rare", "seldom", "no")
    outcome, _ = explore(find, words, Limits(None, 400))
    assert {cause.smallest.scenario for cause in outcome.causes} == {
        ("often",),
        ("rare", "seldom"),
        ("seldom", "rare"),
    }


def test_many_occurrences_of_one_cause_become_one() -> None:
    """However many places it shows in: they are counted, once each."""

    def find(scenario: tuple[str, ...]) -> list[tuple[str, str]]:
        return [("lost", f"{len(scenario)} steps")] if "x" in scenario else []

    outcome, _ = explore(find, ("x", "a", "b"))
    [cause] = outcome.causes
    assert cause.smallest.scenario == ("x",)
    assert len(cause.kinds) == 8
    assert cause.occurrences == sum(outcome.divergent.values())


def test_causes_that_differ_by_a_number_only_are_one() -> None:
    """A limit that is met in many numbers is one cause."""

    def find(scenario: tuple[str, ...]) -> list[tuple[str, str]]:
        return [("lost", step) for step in scenario if step.startswith("n")]

    outcome, _ = explore(find, ("n123", "n45", "n6"))
    assert len(outcome.causes) == 1


def test_the_causes_met_most_often_come_first() -> None:
    """A reader begins with them."""

    def find(scenario: tuple[str, ...]) -> list[tuple[str, str]]:
        return [(step, "") for step in scenario if step in {"x", "y"}]

    outcome, _ = explore(find, ("x", "y", "y", "y", "a"))
    assert [cause.smallest.finding.what for cause in outcome.causes] == ["y", "x"]
    counts = [cause.occurrences for cause in outcome.causes]
    assert counts == [outcome.divergent["y"], outcome.divergent["x"]]


def test_a_flood_of_kinds_is_bounded_and_hides_no_other_difference() -> None:
    """A build that names each difference anew fills the table; what it had already still counts."""

    def find(scenario: tuple[str, ...]) -> list[tuple[str, str]]:
        flood = [("flood", f"{hash(scenario)} {number}") for number in range(3)]
        return [*flood, ("plain", "")]

    outcome, court = explore(find, tuple("abcdefghijklmnop"), Limits(None, 1000))
    assert outcome.divergent == {"flood": 3000, "plain": 1000}
    by_what = {cause.smallest.finding.what: cause for cause in outcome.causes}
    assert by_what["plain"].occurrences == 1000
    assert set(by_what) == {"flood", "plain"}
    assert court.runs < 1000 + 2 * 24 * 100


def test_a_kind_beyond_the_table_is_counted_with_its_like(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rule: with no room left, a finding joins the latest kind of the same difference."""
    monkeypatch.setattr(campaign_module, "_MOST_KINDS", 2)

    def find(scenario: tuple[str, ...]) -> list[tuple[str, str]]:
        return [("lost", "".join(scenario)), ("extra", "")]

    outcome, _ = explore(find)
    occurrences = {cause.smallest.finding.what: cause.occurrences for cause in outcome.causes}
    assert occurrences == {"lost": 200, "extra": 200}


def test_a_build_that_keeps_failing_stops_the_exploration_early() -> None:
    """Each failure costs a time limit or a start: 20 say enough, and the outcome says so."""
    outcome, court = explore(lambda _: [("candidate-hangs", "")], limits=Limits(None, 5000))
    assert outcome.stopped_early == "a build failed to answer too often"
    assert 20 <= outcome.scenarios < 20 + 3 * 32
    # Likewise when it is reduced.
    assert court.runs - outcome.scenarios <= 4 * 24
    [cause] = outcome.causes
    assert cause.smallest.scenario in {("a",), ("b",), ("c",), ()}


def test_one_scenario_can_be_run_alone() -> None:
    """By its number, and nothing else is generated."""
    subject = PuppetSubject("x", "y", "z")
    court = Script(subject, lambda scenario: [("x", "")] if "x" in scenario else [])
    outcome = Campaign(subject, court, (ABOUT, ABOUT), "7").run(Limits(None, 1), only=123)
    assert outcome.scenarios == outcome.decisions == 1
    assert bool(outcome.divergent) == ("x" in subject.scenario("7:123", with_time=True))


def test_a_campaign_without_time_runs_nothing() -> None:
    """A limit that is over is kept to, and what was not compared is not equal."""
    outcome, _ = explore(lambda _: [], limits=Limits(1e-9, None))
    assert outcome.scenarios == 0
    assert verdict(outcome) == "nothing was compared"


def test_what_only_all_decisions_show_is_unequal() -> None:
    """A finding of the aggregate has no scenario and counts all the same."""

    class Adding(PuppetSubject):
        def aggregate(self) -> Sequence[Finding]:
            return [Finding("distribution", "everywhere", -1, "fair", "unfair")]

    outcome, _ = explore(lambda _: [], limits=Limits(None, 3), subject=Adding())
    assert not outcome.equal
    assert outcome.divergent == {"distribution": 1}
    assert verdict(outcome) == "divergent: 1 unexplained differences, 1 causes"


# --- from names to the outcome -------------------------------------------------------------------


def compare(candidate: str, subject: PuppetSubject, plan_seed: str = "1", **plan: Any) -> Outcome:
    """Compare the calm puppet to another one, by name."""
    limits = Limits(None, plan.pop("scenarios", 40))
    asked = Plan("calm", candidate, limits, plan_seed, step_limit_s=STEP_LIMIT_S, **plan)
    outcome, _ = compare_builds(asked, subject, Environments())
    return outcome


@pytest.fixture
def wild_venv(tmp_path: Path) -> str:
    """Make something like a virtual environment, in which the puppets are installed."""
    folder = imitate_venv(tmp_path / "venv")
    return f"venv:{folder}:puppet.puppets:Wild"


def test_a_campaign_tells_each_fault_with_its_scenario(
    wild_venv: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build that hangs, dies, prints and errs is compared to the end; no finding is lost."""
    monkeypatch.setattr(campaign_module, "_MOST_RUNS_WITH_FAULT", 3)
    monkeypatch.setattr(compare_module, "clock_library", lambda: None)
    words = ("a", "b", "c", "d", "e", "f", "g", "print x", "wrong", "exit 3", "spin")
    subject = PuppetSubject(*words)
    # A seed in which the two faults are seldom: each costs a start.
    outcome = compare(wild_venv, subject, "16", scenarios=8)
    scenarios = [subject.scenario(f"16:{number}", with_time=False) for number in range(8)]
    first_fault = [
        next((step for step in scenario if step in {"exit 3", "spin"}), None)
        for scenario in scenarios
    ]
    whole = [each for each, fault in zip(scenarios, first_fault, strict=True) if fault is None]
    assert outcome.scenarios == 8
    assert outcome.decisions == sum(map(len, whole))
    assert dict(outcome.divergent) == {
        "candidate-dies": first_fault.count("exit 3"),
        "candidate-hangs": first_fault.count("spin"),
        "candidate-prints": sum("print x" in scenario for scenario in whole),
        "wrong": sum(scenario.count("wrong") for scenario in whole),
    }
    smallest = {cause.smallest.finding.what: cause.smallest.scenario for cause in outcome.causes}
    assert smallest["wrong"] == ("wrong",)
    assert smallest["candidate-prints"] == ("print",)
    assert any(step.startswith("exit") for step in smallest["candidate-dies"])


def test_the_same_seed_gives_the_same_outcome(
    wild_venv: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: scenarios, decisions, counts and causes are a function of the seed."""
    monkeypatch.setattr(compare_module, "clock_library", lambda: None)

    def run(seed: str) -> dict[str, Any]:
        subject = PuppetSubject("a", "b", "wrong", "print y")
        told = as_json(compare(wild_venv, subject, seed), subject, {}, seed)
        return {key: value for key, value in told.items() if key != "seconds"}

    first = run("5")
    assert run("5") == first
    assert run("6") != first
    assert {each["found_in"].partition(":")[0] for each in first["causes"]} == {"5"}


# --- names of builds -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "'' is no build; use one of legacy, rust, broken-example, python:"),
        ("lagacy", "'lagacy' is no build"),
        ("LEGACY", "'LEGACY' is no build"),
        ("legacy:x", "'legacy:x' is no build"),
        ("pypi:", "'pypi:' is no build"),
        ("pypi", "'pypi' is no build"),
        ("git:x", "'git:x' is no build"),
        ("python:", "python:: module and class are missing or no names"),
        ("python", "python: module and class are missing"),
        ("python:json", "module and class are missing"),
        ("python:json:", "module and class are missing"),
        ("python::Class", "module and class are missing"),
        ("python:a b:C", "module and class are missing"),
        ("python:a:b:C", "module and class are missing"),
        ("python:a/b:C", "module and class are missing"),
        ("python:a\n:C", "module and class are missing"),
        ("venv:", "there is no bin/python"),
        ("venv:/no/such/folder:m:C", "there is no /no/such/folder/bin/python"),
        (f"venv:/{'x' * 300}:m:C", "there is no /x"),
        ("venv:/dev/null:m:C", "there is no /dev/null/bin/python"),
        ("pypi:x", "pypi:x: name one version, such as x==1.2.3"),
        ("pypi:x>=1", "name one version"),
        ("pypi:x==1.*", "name one version"),
        ("pypi:x==1,!=2", "name one version"),
        ("pypi:x===1", "name one version"),
        ("pypi:x @ https://example.org/x", "is no requirement|name one version"),
        ("pypi:==1", "'==1' is no requirement"),
        ("pypi:-r file", "is no requirement"),
        ("pypi:x==1 y==2", "is no requirement"),
        ("pypi:x==1:m", "module and class are missing"),
        ("pypi:x==1:m:C:D", "module and class are missing"),
        ("pypi:x==1:m:", "module and class are missing"),
    ],
)
def test_a_name_of_no_build_is_refused_in_one_line(spec: str, message: str, tmp_path: Path) -> None:
    """Before anything is made or downloaded."""
    with pytest.raises(BuildError, match=message) as caught:
        find_build(spec, RetrySubject(), Environments(folder=tmp_path / "cache"))
    assert str(caught.value).count("\n") == spec.count("\n")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("spec", ["python:m:C", f"venv:{sys.prefix}:m:C"])
def test_a_framework_can_be_picked_only_where_an_environment_is_made(spec: str) -> None:
    """--cpex with a build that has its environment already is a mistake, and is told."""
    with pytest.raises(BuildError, match="--cpex picks the framework of environments made here"):
        find_build(spec, RetrySubject(), Environments(cpex="0.1.2"))


def test_names_of_builds_say_where_they_run(tmp_path: Path) -> None:
    """Named ones and ``python:`` here, ``venv:`` there; a colon in the folder is no separator."""
    subject, environments = RetrySubject(), Environments()
    legacy = find_build("legacy", subject, environments)
    assert (legacy.python, legacy.top) == (Path(sys.executable), "retry_legacy")
    here = find_build("python:a.b:C", subject, environments)
    assert (here.python, here.plugin, here.top) == (Path(sys.executable), "a.b:C", "a")
    folder = tmp_path / "a:b"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    there = find_build(f"venv:{folder}:m:C", subject, environments)
    assert (there.python, there.plugin) == (folder / "bin" / "python", "m:C")


def test_a_package_that_is_not_here_cannot_be_lent() -> None:
    """Nor a module that is no package."""
    assert Path(folder_of("rich")).is_dir()
    for name in ("no_such_package", "bad_builds"):
        with pytest.raises(BuildError, match=f"the package {name} is not installed here"):
            folder_of(name)


# --- environments --------------------------------------------------------------------------------

GOOD_UV = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
if [ "$1" = venv ]; then
    for last; do :; done
    mkdir -p "$last/bin"
    touch "$last/bin/python"
fi
"""
OFFLINE_UV = """#!/bin/sh
[ "$1" = venv ] && exit 0
echo "error: Failed to fetch: https://pypi.org/simple/x/" >&2
echo "  Caused by: dns error" >&2
exit 2
"""


@pytest.fixture
def fake_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Give what puts a script in uv's place and returns the folder it logs its calls in."""

    def put(source: str) -> Path:
        folder = tmp_path / "fake"
        folder.mkdir()
        uv = folder / "uv"
        uv.write_text(source)
        uv.chmod(stat.S_IRWXU)
        monkeypatch.setattr(environments_module, "find_uv", lambda: str(uv))
        return folder

    return put


def test_an_environment_is_made_once_and_found_by_what_is_in_it(
    fake_uv: Callable[[str], Path], tmp_path: Path
) -> None:
    """The same requirements give the same folder; other ones, or pins, another; nothing is left."""
    calls = fake_uv(GOOD_UV) / "calls"
    said: list[str] = []
    cache = tmp_path / "a" / "cache"
    first = Environments(folder=cache, say=said.append).make(["x==1"])
    assert Environments(folder=cache).make(["x==1"]) == first
    assert said == ["making an environment with x==1, cpex"]
    assert len(calls.read_text().splitlines()) == 2
    pins = tmp_path / "pins"
    pins.write_text("y==2\n")
    others = [
        Environments(folder=cache).make(["x==2"]),
        Environments("0.1.3", folder=cache).make(["x==1"]),
        Environments("0.1.2", folder=cache).make(["x==1"]),
        Environments(constraints=pins, folder=cache).make(["x==1"]),
    ]
    assert len({first, *others}) == 5
    assert {each.parent.parent for each in (first, *others)} == set(cache.iterdir())
    installs = [line for line in calls.read_text().splitlines() if line.startswith("pip install")]
    assert installs[2].endswith(" x==1 cpex==0.1.3")
    assert installs[3].endswith(" x==1 cpex==0.1.2 mcp<2")
    assert f" --constraints {pins} " in installs[4]


def test_half_an_environment_in_the_cache_is_made_anew(
    fake_uv: Callable[[str], Path], tmp_path: Path
) -> None:
    """Something that cleans up in caches may leave the folder and take the interpreter."""
    fake_uv(GOOD_UV)
    made = Environments(folder=tmp_path / "cache").make(["x==1"])
    made.unlink()
    (made.parent / "rest").touch()
    assert Environments(folder=tmp_path / "cache").make(["x==1"]) == made
    assert made.exists()
    assert not (made.parent / "rest").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (OFFLINE_UV, "uv pip failed; .*network.* uv says: error: Failed to fetch: .* dns error"),
        ("#!/bin/sh\nexit 1\n", "uv venv failed; .* uv says: it gave no reason"),
        ("#!/bin/sh\nprintf '\\377' >&2; exit 1\n", "uv venv failed; "),
        ("#!/no/such/shell\n", "uv cannot be started: No such file or directory"),
        ("\0", "uv cannot be started: Exec format error"),
        ("#!/bin/sh\nkill -9 $$\n", "uv venv failed; "),
    ],
)
def test_a_uv_that_fails_is_told_in_one_line(
    source: str, message: str, fake_uv: Callable[[str], Path], tmp_path: Path
) -> None:
    """With what it said; and no unfinished environment stays."""
    fake_uv(source)
    cache = tmp_path / "cache"
    with pytest.raises(BuildError, match=message) as caught:
        Environments(folder=cache).make(["x==1"])
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


def test_a_uv_that_takes_too_long_is_ended(
    fake_uv: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that never answers is told, too."""
    fake_uv("#!/bin/sh\nexec sleep 3600\n")
    monkeypatch.setattr(environments_module, "_TIMEOUT_S", 0.1)
    with pytest.raises(BuildError, match=r"uv venv took more than 0.1 s; check the network"):
        Environments(folder=tmp_path).make(["x==1"])


def test_a_uv_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do."""
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(BuildError, match=r"uv is not installed; install it from PyPI"):
        find_uv()


def test_uv_is_not_told_of_the_environment_that_asks(
    fake_uv: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not install into it, nor download interpreters."""
    monkeypatch.setenv("VIRTUAL_ENV", "/this/one")
    folder = fake_uv('#!/bin/sh\necho "$VIRTUAL_ENV/$UV_PYTHON_DOWNLOADS" > "$(dirname "$0")/told"')
    run_uv(str(folder / "uv"), "x")
    assert (folder / "told").read_text() == "/never\n"


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_cache_that_cannot_be_written_is_told(
    below: str, fake_uv: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in its place, for one; the message names the variable that moves it."""
    fake_uv(GOOD_UV)
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(file / below))
    with pytest.raises(BuildError, match=f"cannot be written: .*; set {CACHE_VARIABLE}"):
        Environments().make(["x==1"])


@pytest.mark.parametrize("content", [None, b"\x80"])
def test_constraints_that_cannot_be_read_are_told(content: bytes | None, tmp_path: Path) -> None:
    """No such file, or no text."""
    file = tmp_path / "pins"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BuildError, match="pins: cannot be read: "):
        Environments(constraints=file, folder=tmp_path).make(["x==1"])


def test_the_cache_is_the_users_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By this tool's variable, or by that of all caches."""
    monkeypatch.setenv(CACHE_VARIABLE, "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert environments_module._default_folder() == Path("/x/retry-parity/environments")  # noqa: SLF001
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert environments_module._default_folder() == Path("/h/.cache/retry-parity/environments")  # noqa: SLF001


# --- what is shown -------------------------------------------------------------------------------


def test_nothing_of_a_build_reaches_the_terminal_raw() -> None:
    """Text that a terminal would act on, and markup, is shown as it is written in Python."""
    assert printable("plain \N{SNOWMAN}") == "plain \N{SNOWMAN}"
    assert printable("\x1b[2J\x07\n\ud800") == r"\x1b[2J\x07\n\ud800"

    def find(_: tuple[str, ...]) -> list[tuple[str, str]]:
        return [("[bold]\x1b[31m", "")]

    outcome, _ = explore(find, ("\x1b[2J", "[red]"), Limits(None, 4))
    console = Console(width=100)
    with console.capture() as captured:
        show(outcome, PuppetSubject(), {"candidate": ABOUT}, "7", console)
    assert "\x1b" not in captured.get()
    assert "[bold]\\x1b[31m" in captured.get()


def test_the_json_has_all_that_is_shown_and_more() -> None:
    """Every cause, also those that a person is not shown."""

    def find(scenario: tuple[str, ...]) -> list[tuple[str, str]]:
        return [(f"kind {step}", "") for step in scenario]

    words = [chr(code) * 2 for code in range(ord("a"), ord("a") + 60)]
    subject = PuppetSubject(*words)
    outcome, _ = explore(find, words, Limits(None, 400))
    told = json.loads(json.dumps(as_json(outcome, subject, {"reference": ABOUT}, "7")))
    assert len(told["causes"]) == 60
    assert sum(each["occurrences"] for each in told["causes"]) == sum(told["divergent"].values())
    assert all(each["reduced"] for each in told["causes"])
    console = Console(width=100)
    with console.capture() as captured:
        show(outcome, subject, {"reference": ABOUT}, "7", console)
    assert "and 20 more causes (--json has all)" in captured.get()


def test_limits_of_nothing_are_no_limits() -> None:
    """A campaign that nothing bounds goes on until it is stopped; here, by its faults."""
    outcome, _ = explore(lambda _: [("candidate-dies", "")], limits=UNBOUND)
    assert outcome.stopped_early
