"""The command `retry-parity compare`, from the command line to its exit status."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bad_builds import ANSWERS
from puppet.venv import imitate_venv

from retry_parity.cli import main
from retry_parity.differential import environments
from retry_parity.differential.builds import Build, BuildError
from retry_parity.differential.campaign import Limits
from retry_parity.differential.clock import NoClockError, clock_library
from retry_parity.differential.compare import Plan, compare_builds
from retry_parity.differential.court import Apart
from retry_parity.differential.environments import CACHE_VARIABLE, Environments
from retry_parity.differential.lane import Lane
from retry_parity.recipes import mapping
from retry_parity.scenarios import Call, Scenario
from retry_parity.subject import RetrySubject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from retry_parity.differential.subject import Judgement

SCENARIOS = 250
#: The ledger entry whose count depends on what the hybrid draws.
DRAWN = "jitter-zero"
STEP_LIMIT_S = 1.0


@pytest.fixture(scope="module")
def bad_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment in which the bad builds are installed."""
    return imitate_venv(tmp_path_factory.mktemp("bad") / "venv")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Give what compares two builds once per module: exit status, and what it wrote as JSON."""
    known: dict[tuple[str, ...], tuple[int, dict[str, Any]]] = {}
    file = tmp_path_factory.mktemp("json") / "told.json"

    def compare(*arguments: str) -> tuple[int, dict[str, Any]]:
        if arguments not in known:
            status = main(["compare", *arguments, "--json", str(file)])
            known[arguments] = status, json.loads(file.read_text())
        return known[arguments]

    return compare


def bounded(*arguments: str) -> tuple[str, ...]:
    """Add a seed and a bound."""
    return (*arguments, "--seed", "tests", "--scenarios", str(SCENARIOS))


def steady(told: dict[str, Any]) -> dict[str, Any]:
    """Give what no draw and no clock decides."""
    accepted = {entry: count for entry, count in told["accepted"].items() if entry != DRAWN}
    return {
        "accepted": accepted,
        **{key: told[key] for key in ("scenarios", "decisions", "divergent", "seed", "equal")},
    }


# --- equal builds --------------------------------------------------------------------------------


@pytest.mark.parametrize("build", ["legacy", "rust"])
def test_a_build_is_equal_to_itself(build: str, compared: Any) -> None:
    """Rule: the control against itself shows no difference, and needs no entry of the ledger."""
    status, told = compared(*bounded(build, build))
    assert status == 0
    assert told["verdict"] == "equal"
    assert (told["divergent"], told["accepted"], told["causes"]) == ({}, {}, [])
    assert told["scenarios"] == SCENARIOS
    assert told["decisions"] > 5 * SCENARIOS


def test_the_hybrid_and_the_core_differ_only_where_the_ledger_accepts_it(compared: Any) -> None:
    """Rule: exit status 0, and the entries are counted by name."""
    status, told = compared(*bounded("legacy", "rust"))
    assert status == 0
    assert told["verdict"] == "equal but for differences the ledger accepts"
    assert told["equal"]
    assert told["accepted"]["trace-metrics"] > 0
    assert told["divergent"] == {}


def test_one_interpreter_or_two_make_no_difference(compared: Any) -> None:
    """Rule: isolation changes the speed and nothing else; the seed decides what is compared."""
    _, apart = compared(*bounded("legacy", "rust"))
    status, together = compared(*bounded("legacy", "rust"), "--one-process")
    assert status == 0
    assert steady(together) == steady(apart)


# --- divergent builds ----------------------------------------------------------------------------


def test_the_lost_retry_is_found_and_comes_down_to_one_call(compared: Any) -> None:
    """Rule: a lazy or copy-on-write dict with nothing in it but the failure."""
    status, told = compared(*bounded("legacy", "broken-example"))
    assert status == 1
    assert told["verdict"].startswith("divergent: ")
    assert not told["equal"]
    first = told["causes"][0]
    assert first["what"] == "retry-lost"
    assert first["reduced"]
    assert first["step"] == 0
    setting, *steps = first["smallest"]
    assert setting == "config {}"
    assert steps in (
        ["'search', request 'r1': lazy({'isError': True})"],
        ["'search', request 'r1': copy-on-write({'isError': True})"],
    )
    assert first["reference"].startswith("retry in ")
    assert first["candidate"].startswith("no retry, ")


def draws_nothing(name: str) -> bool:
    """Whether a scenario's config has its jitter off, for every tool."""
    config = repr(RetrySubject().scenario(name, with_time=True).config)
    return "('jitter', False)" in config and config.count("jitter") == 1


def test_the_number_of_a_scenario_repeats_its_finding(compared: Any) -> None:
    """Rule: SEED:NUMBER runs that scenario alone, and what was found there is found again."""
    _, told = compared(*bounded("legacy", "broken-example"))
    # With draws, the hybrid may draw a delay of 0, and then there is no retry to lose.
    cause = next(each for each in told["causes"] if draws_nothing(each["found_in"]))
    arguments = ("legacy", "broken-example", "--seed", cause["found_in"])
    status, again = compared(*arguments, "--one-process")
    assert status == 1
    assert again["scenarios"] == 1
    assert cause["what"] in again["divergent"]
    assert again["seed"] == told["seed"] == "tests"
    assert {each["found_in"] for each in again["causes"]} == {cause["found_in"]}


def test_the_json_is_complete(compared: Any) -> None:
    """Rule: what was run, on what, what was found, and where to look again."""
    _, told = compared(*bounded("legacy", "broken-example"))
    assert set(told) == {
        "accepted", "aggregate", "builds", "causes", "decisions", "divergent", "equal",
        "not_compared", "scenarios", "seconds", "seed", "stopped_early", "verdict", "with_time",
    }  # fmt: skip
    for side, module in (("reference", "retry_legacy."), ("candidate", "retry_parity.broken")):
        assert told["builds"][side]["plugin"].startswith(module)
        assert told["builds"][side]["python"] == ".".join(map(str, sys.version_info[:3]))
        assert "cpex" in told["builds"][side]["versions"]
    for cause in told["causes"]:
        assert set(cause) == {
            "candidate", "found_in", "occurrences", "reduced", "reference", "smallest", "step",
            "what",
        }  # fmt: skip
        assert cause["found_in"].startswith("tests:")
        assert cause["occurrences"] > 0
        assert len(cause["smallest"]) == cause["step"] + 2
    assert {each["what"] for each in told["causes"]} == set(told["divergent"])


def test_json_on_standard_output_is_alone_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Rule: with ``--json -`` the rest goes to standard error."""
    arguments = ["legacy", "rust", "--one-process", "--seed", "x", "--scenarios", "20"]
    status = main(["compare", *arguments, "--json", "-"])
    output = capsys.readouterr()
    told = json.loads(output.out)
    assert (status, told["scenarios"]) == (0, 20)
    assert f"verdict: {told['verdict']}" in output.err


# --- answers of no use ---------------------------------------------------------------------------

#: What is left of the chain after a call, in the reference: it retries after 200 ms.
STRUCK = mapping({"isError": True})


def asked(*tools: str) -> Scenario:
    """Make a scenario of failing calls of these tools, each a request of its own."""
    calls = [Call(0, tool, f"r{number}", STRUCK) for number, tool in enumerate(tools)]
    return Scenario(mapping({"jitter": False}), None, tuple(calls))


def preload() -> Path | None:
    """Give the library that stops the clock, where it can be had."""
    try:
        return clock_library()
    except NoClockError:
        return None


@pytest.fixture(scope="module")
def rubbish(bad_venv: Path) -> Iterator[Callable[[Scenario], list[Judgement]]]:
    """Give what judges a scenario between two that are in order."""
    subject = RetrySubject()
    hybrid = Build("legacy", Path(sys.executable), "retry_legacy:RetryWithBackoffPlugin")
    bad = Build("bad", bad_venv / "bin" / "python", "bad_builds:Rubbish")
    court = Apart(
        subject,
        Lane(hybrid, subject.driver, subject.packages, preload(), STEP_LIMIT_S),
        Lane(bad, subject.driver, subject.packages, preload(), STEP_LIMIT_S),
    )
    subject.meet(*court.open())

    def judge(struck: Scenario) -> list[Judgement]:
        court.send([asked("search"), struck, asked("search", "pay")])
        return court.judge()

    yield judge
    court.close()


@pytest.mark.parametrize("tool", ANSWERS)
def test_an_answer_of_no_use_is_a_finding(tool: str, rubbish: Any) -> None:
    """Rule: whatever a hook returns or raises, it is a finding, and the scenarios around it count.

    Nothing of it ends the harness: not metadata that contain themselves or never end, not an
    exception whose message is of an odd class, not what is nested too deep to be shown.
    """
    before, struck, after = rubbish(asked("search", tool, "pay"))
    assert (before.decisions, before.findings) == (1, ())
    assert struck.findings
    assert "unreadable-answer" not in {each.what for each in struck.findings}
    for finding in struck.findings:
        assert len(finding.reference) < 400
        assert len(finding.candidate) < 400
        json.dumps([finding.what, finding.candidate])
    assert (after.decisions, after.findings) == (2, ())


RAISED = {
    "sly": "raised-only-by-candidate:SlyError",
    "unspeakable": "raised-only-by-candidate:UnspeakableError",
    "sys-exit": "raised-only-by-candidate:SystemExit",
    "recursion": "raised-only-by-candidate:RecursionError",
    "unreadable": "raised-only-by-candidate:RuntimeError",
    "negative delay": "retry-lost",
    "true delay": "delay-type",
    "text delay": "delay-type",
    "object": "retry-lost",
    "violation": "result:violation",
}


@pytest.mark.parametrize(("tool", "what"), RAISED.items())
def test_an_answer_of_no_use_is_named(tool: str, what: str, rubbish: Any) -> None:
    """Rule: the finding says what it was, at its step, and the other steps are compared."""
    _, struck, _ = rubbish(asked("search", tool, "pay"))
    assert struck.decisions == 3
    assert what in {each.what for each in struck.findings}
    assert {each.step for each in struck.findings} == {1}


@pytest.mark.parametrize("act", ["sly", "unspeakable", "base", "sys-exit", "huge error"])
def test_a_constructor_of_no_use_is_a_finding(act: str, rubbish: Any) -> None:
    """Rule: odd refusals are refusals, an attempt to end the interpreter among them."""
    config = mapping({"jitter": False, "act": act})
    struck = Scenario(config, None, (Call(0, "search", "r1", STRUCK),))
    before, refused, after = rubbish(struck)
    assert (before.decisions, before.findings) == (1, ())
    assert [(each.what.partition(":")[0], each.step) for each in refused.findings] == [
        ("load-refused-only-by-candidate", -1)
    ]
    assert (after.decisions, after.findings) == (2, ())


# --- jitter --------------------------------------------------------------------------------------


@pytest.mark.parametrize("plugin", ["Fair", "HalfRange", "Ceiling"])
def test_an_unfair_die_is_found_out_by_all_draws_together(plugin: str) -> None:
    """Rule: each draw is legal, and a few hundred scenarios show the range they come from."""
    plan = Plan("legacy", f"python:bad_builds:{plugin}", Limits(None, 600), "j", one_process=True)
    outcome, _ = compare_builds(plan, RetrySubject(always_jitter=True), Environments())
    assert set(outcome.divergent) == (set() if plugin == "Fair" else {"jitter-distribution"})
    assert Counter(each.what for each in outcome.aggregate) == outcome.divergent
    assert outcome.equal is (plugin == "Fair")


# --- what cannot run -----------------------------------------------------------------------------


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command; give its one line on standard error, after exit status 2."""
    capsys.readouterr()
    assert main(["compare", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    line, newline, rest = output.err.partition("\n")
    assert (newline, rest) == ("\n", "")
    return line.removeprefix("retry-parity: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["legacy", "lagacy"], "'lagacy' is no build; use one of legacy, rust, broken-example, py"),
        (["", "rust"], "'' is no build"),
        (["legacy", "python:json"], "python:json: module and class are missing or no names"),
        (["venv:/no/such:m:C", "rust"], "venv:/no/such:m:C: there is no /no/such/bin/python"),
        (["legacy", "pypi:cpex-retry-with-backoff"], "pypi:cpex-retry-with-backoff: name one ver"),
        (["legacy", "pypi:!"], "pypi:!: '!' is no requirement"),
        (["legacy", "python:m:C", "--cpex", "0.1.2"], "python:m:C: --cpex picks the framework"),
        (["rust", "legacy", "--one-process"], "--one-process: the reference is legacy there"),
        (["legacy", "legacy", "--one-process"], "legacy: --one-process takes another package"),
        (
            ["legacy", "python:retry_legacy:PythonPlugin", "--one-process"],
            "python:retry_legacy:PythonPlugin: --one-process takes another package",
        ),
        (
            ["legacy", "python:no_such_module:C", "--one-process"],
            "python:no_such_module:C: cannot be imported: ModuleNotFoundError: No module named",
        ),
        (["legacy", "rust", "--seed", ""], "--seed : a series, or a series and a number as in"),
        (["legacy", "rust", "--seed", "1:2:3"], "--seed 1:2:3: a series, or"),
        (["legacy", "rust", "--seed", "1:x"], "--seed 1:x: a series, or"),
        (["legacy", "rust", "--seed", "1:-5"], "--seed 1:-5: a series, or"),
        (["legacy", "rust", "--seed", "\udcff"], "--seed "),
        (["legacy", "rust", "--json", "/no/such/folder/x"], "/no/such/folder/x: its folder does"),
        (["legacy", "rust", "--json", "/"], "/: it is a folder, a file is allowed"),
    ],
)
def test_what_cannot_run_is_told_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: exit status 2, nothing on standard output, one line that says what to change."""
    assert refusal(capsys, *arguments).startswith(message)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--time", "0"],
        ["--time", "-1"],
        ["--time", "soon"],
        ["--time", "nan"],
        ["--time", "inf"],
        ["--step-limit", "0"],
        ["--scenarios", "0"],
        ["--scenarios", "1.5"],
        ["--scenarios", "many"],
    ],
)
def test_an_option_of_no_use_says_what_is_allowed(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: exit status 2; after the usage one line with what was given and what is allowed."""
    with pytest.raises(SystemExit) as ended:
        main(["compare", "legacy", "rust", *arguments])
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {arguments[0]}: {arguments[1]} given, " in last
    assert last.endswith(" is allowed")


def test_a_build_that_cannot_be_imported_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Rule: likewise, by the interpreter that tried."""
    line = refusal(capsys, "python:no_such_module:C", "rust")
    assert line == (
        "python:no_such_module:C: cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module'"
    )


def test_a_version_that_is_not_published_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: uv's own words, in one line. Without a network they are others, and as few."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    capsys.readouterr()
    assert main(["compare", "legacy", "pypi:cpex-retry-with-backoff==99.9"]) == 2
    making, told, rest = capsys.readouterr().err.split("\n")
    assert making == "making an environment with cpex-retry-with-backoff==99.9, cpex"
    assert told.startswith("retry-parity: uv pip failed; check the version's name and the network")
    assert "uv says: " in told
    assert rest == ""
    assert list(tmp_path.iterdir()) == []


def test_a_missing_uv_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: with what to do about it."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    assert main(["compare", "legacy", "pypi:x==1"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == (
        "retry-parity: uv is not installed; install it from PyPI (pip install uv) and run again"
    )


def test_a_missing_network_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: uv's many lines become one."""
    uv = tmp_path / "uv"
    uv.write_text(
        '#!/bin/sh\n[ "$1" = venv ] || { printf "error: no route\\n  to host\\n" >&2; exit 2; }\n'
    )
    uv.chmod(stat.S_IRWXU)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(environments, "find_uv", lambda: str(uv))
    assert main(["compare", "legacy", "pypi:x==1"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("retry-parity: uv pip failed; ")
    assert told.endswith("uv says: error: no route to host")


def test_a_cache_that_is_a_file_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: with the variable that moves it."""
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(file))
    assert main(["compare", "legacy", "rust", "--cpex", "0.1.2"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == f"retry-parity: {file}: cannot be written: File exists; set {CACHE_VARIABLE}"


@pytest.mark.parametrize("make", [os.mkfifo, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_folder_in_the_place_of_an_environment_is_refused(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    """It is not ours and stays; the clean-up of half an environment waited for a pipe's writer."""
    home, made = tmp_path / "home", tmp_path / "made"
    made.mkdir()
    make(home)
    with pytest.raises(BuildError, match=f"{home}: cannot be written: .*; set {CACHE_VARIABLE}"):
        environments._put(made, home)  # noqa: SLF001 - what makes one is slow
    assert os.path.lexists(home)
