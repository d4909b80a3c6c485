"""From a divergence to a test: found, shrunk, redacted, and written."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import pytest
from cpex.framework import GlobalContext, PluginConfig, PluginContext, ToolPostInvokePayload
from hypothesis import given, settings
from hypothesis import strategies as st
from laboratory import NAME, finish

from retry_parity import candidates, migration
from retry_parity import settings as settings_module
from retry_parity.evidence_files import EvidenceFiles, config_hash
from retry_parity.flag import Flag, Implementation
from retry_parity.lane import Lane
from retry_parity.migration import migration_of
from retry_parity.minimizing import finding, minimize_cli, words
from retry_parity.minimizing.fixtures import read_fixture
from retry_parity.minimizing.minimize_cli import add_minimize, minimize_command
from retry_parity.minimizing.redaction import kept
from retry_parity.recipes import mapping, sequence
from retry_parity.regressions import CANDIDATE_VARIABLE, faults
from retry_parity.scenarios import Call, Scenario, Wait
from retry_parity.settings import EvidenceSettings, MigrationSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from retry_parity.minimizing.fixtures import Fixture

HERE = Path(__file__).parent
CORPUS = HERE.parent / "corpus" / "tool_results.jsonl"
CONFIG: Final = {"jitter": False, "backoff_base_ms": 100, "max_backoff_ms": 5000}
#: Planted where a tool, its caller or an operator may have put it.
SECRET: Final = "tr0ub4dorAnd3"  # noqa: S105 - planted, and no password of anything
SECRET_NUMBER: Final = 4_111_222_333


@pytest.fixture(autouse=True)
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the wrong candidates known by name."""
    paths = dict(candidates._PATHS)  # noqa: SLF001 - there is no other way in, on purpose
    for name in (
        "DrawsTooLong", "HatesAWord", "HatesLongTexts", "MinglesTools", "NeverForgets",
        "LosesTheSecond", "RefusesABudget", "TiresOfATool",
    ):  # fmt: skip
        paths[name] = f"wrong_candidates:{name}"
    monkeypatch.setattr(candidates, "_PATHS", paths)
    monkeypatch.setattr(candidates, "NAMES", tuple(paths))
    monkeypatch.setattr(settings_module, "CANDIDATES", tuple(paths))


def minimize(*arguments: object) -> int:
    """Run the command; give its exit status."""
    parser = argparse.ArgumentParser()
    add_minimize(parser.add_subparsers())
    return minimize_command(parser.parse_args(["minimize", *map(str, arguments)]))


def result(**fields: Any) -> dict[str, Any]:
    """Make a result as the gateway sends it."""
    return {"content": [], "isError": False, "structuredContent": None, "_meta": None} | fields


def texts(*said: str, **fields: Any) -> dict[str, Any]:
    """Make a result with texts."""
    return result(content=[{"type": "text", "text": each} for each in said], **fields)


FAILURE: Final = result(isError=True)


def trace(
    folder: Path, calls: Iterable[tuple[str, str, float, Any]], config: object = CONFIG
) -> Path:
    """Write a trace of (tool, request id, seconds, result)."""
    path = folder / "recorded.jsonl"
    lines: list[dict[str, Any]] = [{"kind": "trace", "format": 1, "config": config}]
    lines += [
        {"tool": tool, "request_id": request, "seq": seq, "t_ms": at * 1000, "result": each}
        for seq, (tool, request, at, each) in enumerate(calls, start=1)
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def fixtures(folder: Path) -> list[Fixture]:
    """Read the fixtures of a folder."""
    return [read_fixture(path) for path in sorted((folder / "fixtures").glob("*.json"))]


def fixture(folder: Path) -> Fixture:
    """Read the one fixture of a folder."""
    [only] = fixtures(folder)
    return only


def contents(folder: Path) -> dict[str, bytes]:
    """Give everything in a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def live(
    folder: Path,
    calls: Iterable[tuple[str, str, Any]],
    capture: Literal["redacted", "full"],
    candidate: str = "never-retries",
    config: Mapping[str, Any] = CONFIG,
) -> Path:
    """Leave the evidence of a gateway in shadow mode; give its folder."""
    sections = {"candidate": candidate, "evidence": {"directory": str(folder), "capture": capture}}
    settings_ = MigrationSettings.model_validate(sections)
    of_plugin = migration_of(NAME)
    of_plugin.configure(settings_, Flag(Implementation.SHADOW, "test"), config_hash(dict(config)))
    lane = Lane(
        PluginConfig(name=NAME, kind="x", config=dict(config)),
        flag=Implementation.SHADOW,
        settings=settings_,
    )
    files = EvidenceFiles(EvidenceSettings(directory=folder, capture=capture), of_plugin)
    for tool, request, each in calls:
        payload = ToolPostInvokePayload(name=tool, result=each)
        context = PluginContext(global_context=GlobalContext(request_id=request))
        finish(lane.tool_post_invoke(payload, context, None))
    files.write(of_plugin)
    migration.forget(NAME)
    for recorded in folder.rglob("trace.jsonl"):
        recorded.unlink()  # a test of samples is about samples
    return folder


def outcomes(folder: Path, candidate: str | None) -> tuple[dict[str, str], str]:
    """Run the emitted tests under a folder with real pytest.

    Returns:
        ``PASSED`` or ``FAILED`` by the folder that a test is in, and all that pytest says.
    """
    environment = {key: each for key, each in os.environ.items() if key != CANDIDATE_VARIABLE}
    if candidate is not None:
        environment[CANDIDATE_VARIABLE] = candidate
    options = ["-q", "-rA", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "error"]
    options += ["--import-mode=importlib", "-c", os.devnull, "--rootdir", str(folder)]
    ran = subprocess.run(  # noqa: S603 - our own interpreter, on files that were just written
        [sys.executable, "-m", "pytest", *options, str(folder)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=300,
        check=False,
    )
    said = ran.stdout + ran.stderr
    found = re.findall(r"^(PASSED|FAILED) ([\w-]+)/test_regression_\w+\.py::", said, re.MULTILINE)
    return {place: status for status, place in found}, said


#: What a test was made of, and the candidate that it was made with.
ORIGINS: Final = {
    "corpus": "never-retries",
    "lazy": "broken-example",
    "jitter": "never-retries",
    "captured": "never-retries",
    "redacted": "never-retries",
    "text": "never-retries",
}


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a test from each kind of source, in a folder of its name."""
    root, sources = tmp_path_factory.mktemp("emitted"), tmp_path_factory.mktemp("sources")
    jitter = {"jitter": True, "backoff_base_ms": 1, "max_retries": 3}
    said = result(structuredContent={"status_code": 503, "who": SECRET}, isError=True)
    told = texts(f'{{"isError": true, "why": "{SECRET}"}}')
    check_text = {**CONFIG, "check_text_content": True}
    calls = [("tool", "r", number / 10, FAILURE) for number in range(4)]
    given = {
        "corpus": (CORPUS, "--candidate", "never-retries"),
        "lazy": (CORPUS, "--candidate", "broken-example"),
        "jitter": (trace(sources, calls, jitter), "--candidate", "never-retries"),
        "captured": (live(sources / "captured", [("pay", "r1", said)], "full"),),
        "redacted": (live(sources / "redacted", [("pay", "r1", said)], "redacted"),),
        "text": (live(sources / "text", [("pay", "r1", told)], "redacted", config=check_text),),
    }
    for name, arguments in given.items():
        assert minimize(*arguments, "--out", root / name) == 0, name
    return root


@pytest.fixture(scope="module")
def ran(emitted: Path) -> dict[str | None, tuple[dict[str, str], str]]:
    """Run all of them, on the candidate of the default and on the broken ones."""
    return {
        candidate: outcomes(emitted, candidate)
        for candidate in (None, "never-retries", "broken-example")
    }


@pytest.mark.parametrize("origin", ORIGINS)
def test_an_emitted_test_tells_right_from_wrong(
    ran: dict[str | None, tuple[dict[str, str], str]], origin: str
) -> None:
    """It passes on the Rust core, and fails on the candidate that it was made with."""
    right, said = ran[None]
    assert right.get(origin) == "PASSED", said
    wrong_one, said = ran[ORIGINS[origin]]
    assert wrong_one.get(origin) == "FAILED", said
    assert f"{ORIGINS[origin]} decides otherwise than legacy" in said
    assert "step 1 of 1 ('search', request 'r1'): expected a retry in 1 to 200 ms, got no" in said


@pytest.mark.parametrize("origin", ORIGINS)
def test_an_emitted_test_has_nothing_of_its_origin(emitted: Path, origin: str) -> None:
    """Whatever the source, names and texts stay there."""
    everything = b"".join(contents(emitted / origin).values())
    for name in (SECRET.encode(), b"crm", b"r0009", b"'pay'"):
        assert name not in everything


# --- from traces ---------------------------------------------------------------------------------


def test_a_lost_retry_of_the_corpus_becomes_one_call_of_the_plainest(emitted: Path) -> None:
    """Under the default config, with neutral names."""
    made = fixture(emitted / "corpus")
    call = Call(0, "search", "r1", mapping({"isError": True}))
    assert made.scenario == Scenario(mapping({}), None, (call,))
    assert made.signature == "retry-lost"


def test_what_only_a_lazy_dict_shows_comes_in_a_lazy_dict(emitted: Path) -> None:
    """Whichever cpex is installed where the test runs."""
    [path] = (emitted / "lazy" / "fixtures").iterdir()
    assert json.loads(path.read_text())["steps"][0]["call"]["container"] == "lazy"


def test_with_jitter_the_legal_range_is_expected_and_any_run_says_the_same(tmp_path: Path) -> None:
    """A base of 1 ms: the hybrid's draw of 0, one in two, hides no lost retry."""
    config = {"jitter": True, "backoff_base_ms": 1, "max_retries": 3}
    calls = [("tool", "r", number / 10, FAILURE) for number in range(4)]
    source = trace(tmp_path, calls, config)
    out = tmp_path / "out"
    assert minimize(source, "--candidate", "never-retries", "--out", out) == 0
    first = contents(out)
    for _ in range(3):
        assert minimize(source, "--candidate", "never-retries", "--out", out, "--force") == 0
        assert contents(out) == first
    [expected] = fixture(out).expected.values()
    assert (expected.delay_ms, expected.drawn) == (200, True)


def test_a_delay_that_is_wrong_for_some_draws_only_is_found_and_pinned(tmp_path: Path) -> None:
    """The core's draws are set to their ends, so that chance finds and hides nothing."""
    calls = [("tool", f"r{number}", number, FAILURE) for number in range(4)]
    source = trace(tmp_path, calls, {"jitter": True})
    out = tmp_path / "out"
    assert minimize(source, "--candidate", "DrawsTooLong", "--out", out) == 0
    assert fixture(out).signature == "delay"


def test_only_the_chain_is_carried_along(tmp_path: Path) -> None:
    """Other chains run through the trace; the divergence needs none of them."""
    calls = [(f"tool{number % 3}", f"r{number % 3}", number / 10, FAILURE) for number in range(9)]
    # The fault shows at the third failure of a chain only: the budget is 3.
    config = {**CONFIG, "tool_overrides": {"tool2": {"max_retries": 0}}}
    source = trace(tmp_path, calls, config)
    out = tmp_path / "out"
    assert minimize(source, "--candidate", "never-retries", "--out", out) == 0
    assert len(fixture(out).scenario.steps) == 1


def test_chains_that_share_a_joined_key_are_kept_where_the_divergence_needs_both(
    tmp_path: Path,
) -> None:
    """`a:b` with `c`, and `a` with `b:c`: the colons stay, the names do not."""
    calls = [
        ("noise", "r1", 0.0, FAILURE),
        (f"{SECRET}:b", "c", 0.1, FAILURE),
        ("noise", "r1", 0.2, FAILURE),
        (SECRET, "b:c", 0.3, FAILURE),
    ]
    out = tmp_path / "out"
    source = trace(tmp_path, calls)
    assert minimize(source, "--candidate", "MinglesTools", "--out", out) == 0
    made = fixture(out)
    steps = [step for step in made.scenario.steps if isinstance(step, Call)]
    assert len(steps) == 2
    assert len({f"{step.tool}:{step.request_id}" for step in steps}) == 1
    assert all(words.is_neutral_name(step.tool) for step in steps)
    assert made.accepted == {}
    assert SECRET.encode() not in b"".join(contents(out).values())


def test_calls_of_other_chains_are_kept_where_the_divergence_needs_them(tmp_path: Path) -> None:
    """A candidate that counts over all requests shows it in no chain alone."""
    calls = [(f"t{number}", f"r{number}", number, FAILURE) for number in range(8)]
    out = tmp_path / "out"
    assert minimize(trace(tmp_path, calls), "--candidate", "TiresOfATool", "--out", out) == 0
    steps = fixture(out).scenario.steps
    assert sum(isinstance(step, Call) for step in steps) == 4
    assert not any(isinstance(step, Wait) for step in steps)


def test_a_wait_that_is_needed_becomes_a_round_one(tmp_path: Path) -> None:
    """Beyond the 300 s of a chain it is 301 s, whatever it was."""
    calls = [("t", "r", 0.0, FAILURE), ("t", "r", 417.331, FAILURE)]
    out = tmp_path / "out"
    assert minimize(trace(tmp_path, calls), "--candidate", "NeverForgets", "--out", out) == 0
    made = fixture(out)
    waits = [step.seconds for step in made.scenario.steps if isinstance(step, Wait)]
    assert waits == [301.0]
    assert made.signature == "delay"


def test_a_config_that_only_the_candidate_refuses_is_a_test_without_calls(tmp_path: Path) -> None:
    """The refusal is the divergence."""
    source = trace(tmp_path, [("t", "r", 0.0, FAILURE)], {**CONFIG, "max_retries": 9})
    out = tmp_path / "out"
    assert minimize(source, "--candidate", "RefusesABudget", "--out", out) == 0
    made = fixture(out)
    assert made.signature == "load-refused-only-by-candidate:KeyError"
    assert made.scenario == Scenario(mapping({"max_retries": 7}), None, ())
    assert list(faults(made, candidates.RUST)) == []


def test_each_signature_gets_a_test_with_all(tmp_path: Path) -> None:
    """The first of each, in one reading of the trace."""
    calls = [
        ("t", "r", 0.0, FAILURE), ("t", "r", 417.0, FAILURE), ("t", "r", 417.1, FAILURE),
        ("a:b", "c", 417.2, FAILURE), ("a", "b:c", 417.3, FAILURE),
    ]  # fmt: skip
    out = tmp_path / "out"
    source = trace(tmp_path, calls)
    assert minimize(source, "--candidate", "never-retries", "--all", "--out", out) == 0
    assert [each.signature for each in fixtures(out)] == ["retry-lost"]
    assert minimize(source, "--candidate", "NeverForgets", "--all", "--out", out) == 0
    assert {each.signature for each in fixtures(out)} == {"retry-lost", "delay"}


def test_a_signature_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Others are passed over; without one nothing is written."""
    calls = [("t", "r", 0.0, FAILURE)]
    out = tmp_path / "out"
    source = trace(tmp_path, calls)
    given = (source, "--candidate", "never-retries", "--out", out, "--signature")
    assert minimize(*given, "delay") == 1
    assert "no divergence with the signature delay was found" in capsys.readouterr().out
    assert not out.exists()
    assert minimize(*given, "retry-lost") == 0


def test_without_a_divergence_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, and exit status 1."""
    out = tmp_path / "out"
    assert minimize(trace(tmp_path, [("t", "r", 0.0, FAILURE)]), "--out", out) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1] == "no divergence was found; nothing was written"
    assert not out.exists()


def test_the_history_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By bytes, by chains, and by calls of one chain; the latest stay."""
    monkeypatch.setattr(finding, "_MOST_BYTES", 50_000)
    monkeypatch.setattr(finding, "_MOST_CALLS", 8)
    monkeypatch.setattr(finding, "_MOST_RECENT_BYTES", 5_000)
    history = finding.History()
    for seq in range(2000):
        history.add(finding.Kept(seq, float(seq), "t", f"r{seq % 500}", b"x" * 1000))
    assert sum(map(len, history._chains.values())) < 50  # noqa: SLF001 - that is the bound
    assert [call.seq for call in history.chain("t", "r499")][-1] == 1999
    assert len(history.recent("t", "r499")) <= 8
    for seq in range(2000, 2100):
        history.add(finding.Kept(seq, float(seq), "t", "one", b""))
    assert [call.seq for call in history.chain("t", "one")] == list(range(2092, 2100))


# --- what is written -----------------------------------------------------------------------------


def test_twice_is_the_same_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same divergence of the same input gives the same bytes under the same names."""
    source = trace(tmp_path, [("t", "r", 0.0, FAILURE)])
    given = (source, "--candidate", "never-retries", "--out")
    assert minimize(*given, tmp_path / "a") == 0
    assert minimize(*given, tmp_path / "b") == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    capsys.readouterr()
    assert minimize(*given, tmp_path / "a") == 0
    assert capsys.readouterr().out.count("there already: ") == 2


def test_the_same_chain_of_another_trace_is_the_same_test(tmp_path: Path) -> None:
    """It is kept as it is, with the origin that it has."""
    out = tmp_path / "out"
    for tool in ("one", "another"):
        source = trace(tmp_path, [(tool, "r", 0.0, FAILURE)])
        assert minimize(source, "--candidate", "never-retries", "--out", out) == 0
    assert len(contents(out)) == 2


def test_other_contents_are_not_replaced_unless_forced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody may have written there."""
    source = trace(tmp_path, [("t", "r", 0.0, FAILURE)])
    out = tmp_path / "out"
    given = (source, "--candidate", "never-retries", "--out", out)
    assert minimize(*given) == 0
    right = contents(out)
    [test] = out.glob("*.py")
    test.write_text("mine\n")
    assert minimize(*given) == 3
    assert "--force replaces it" in capsys.readouterr().err
    assert test.read_text() == "mine\n"
    assert minimize(*given, "--force") == 0
    assert contents(out) == right


def test_an_emitted_test_keeps_the_rules_of_this_repository(emitted: Path) -> None:
    """It can be committed as it is."""
    [test] = (emitted / "lazy").glob("*.py")
    place = str(HERE / test.name)
    for command in ("check", "format"):
        ran = subprocess.run(  # noqa: S603 - our own linter on our own file
            [sys.executable, "-m", "ruff", command, "--no-cache", "--stdin-filename", place, "-"],
            input=test.read_text(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert command == "check" or ran.stdout == test.read_text()


def test_an_emitted_test_tells_its_story(tmp_path: Path) -> None:
    """Whoever has never seen the tool reads what was wrong, under what, and what is right."""
    source = trace(tmp_path, [("t", "r", 0.0, FAILURE)])
    out = tmp_path / "out"
    assert minimize(source, "--candidate", "never-retries", "--out", out) == 0
    [test] = out.glob("*.py")
    story = test.read_text()
    assert "it did not ask for a retry that the reference asks for" in story
    assert "1. 'search', request 'r1': {'isError': True}" in story
    assert "Step 1: expected a retry in 1 to 200 ms, got no retry." in story


# --- redaction -----------------------------------------------------------------------------------


def test_a_text_that_a_decision_reads_stays_and_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What else was in the text does not."""
    said = json.dumps({"user": SECRET, "status_code": 429, "id": SECRET_NUMBER})
    config = {**CONFIG, "tool_overrides": {"notes": {"check_text_content": True}}}
    source = trace(tmp_path, [("notes", "r", 0.0, texts(said))], config)
    out = tmp_path / "out"
    assert minimize(source, "--candidate", "never-retries", "--out", out) == 0
    shown = capsys.readouterr().out
    assert "kept because the divergence needs it: step 1, result.content[0].text: " in shown
    assert SECRET not in shown
    everything = b"".join(contents(out).values())
    assert SECRET.encode() not in everything
    assert b"4111222333" not in everything
    assert b"status_code" in everything


def test_text_that_is_no_word_of_the_format_is_refused_rather_than_leaked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The place is told, not the text; a person may allow it."""
    source = trace(tmp_path, [("t", "r", 0.0, texts(f"{SECRET} overdraft", isError=True))])
    out = tmp_path / "out"
    given = (source, "--candidate", "HatesAWord", "--out", out)
    assert minimize(*given) == 3
    shown = capsys.readouterr()
    assert "overdraft" not in shown.out + shown.err
    assert "--allow-text" in shown.err
    assert len(shown.err.splitlines()) == 1
    assert not out.exists()
    assert minimize(*given, "--allow-text") == 0
    everything = b"".join(contents(out).values())
    assert b"overdraft" in everything
    assert SECRET.encode() not in everything


def test_a_text_that_is_needed_for_its_length_keeps_only_that(tmp_path: Path) -> None:
    """A neutral one stands for it."""
    said = f"{SECRET} und Größe 東京 " * 40
    source = trace(tmp_path, [("t", "r", 0.0, texts(said, isError=True))])
    out = tmp_path / "out"
    assert minimize(source, "--candidate", "HatesLongTexts", "--out", out) == 0
    [call] = fixture(out).scenario.steps
    assert isinstance(call, Call)
    assert SECRET.encode() not in b"".join(contents(out).values())
    assert "東京" not in str(call.result)


PLANTED = st.sampled_from(
    [
        SECRET,
        SECRET_NUMBER,
        f"{SECRET}: overdrawn",
        json.dumps({"isError": True, "for": SECRET, SECRET: SECRET_NUMBER}),
        json.dumps({"status_code": 503, "at": SECRET}),
        float(f"{SECRET_NUMBER}.25"),
        {SECRET: SECRET},
        {"isError": True, "status_code": SECRET_NUMBER, SECRET: [SECRET]},
        {"status_code": 503, "message": SECRET},
        [{"type": "text", "text": json.dumps({"isError": True, "who": SECRET})}],
        [{"type": SECRET, "text": SECRET}, {"type": "text", "text": '{"status_code": 503}'}],
        True,
        None,
    ]
)
NAMES_PLANTED = st.sampled_from(["t", SECRET, f"{SECRET}:x", f"a:{SECRET}", f"ü{SECRET}"])


@st.composite
def planted_calls(draw: Any) -> list[tuple[str, str, float, Any]]:
    """Calls with secrets in names, keys and values."""
    calls = []
    for number in range(draw(st.integers(1, 4))):
        fields = {
            draw(st.sampled_from(["content", "isError", "structuredContent", "_meta", SECRET])): (
                draw(PLANTED)
            )
            for _ in range(draw(st.integers(0, 3)))
        }
        tool, request = draw(NAMES_PLANTED), draw(NAMES_PLANTED)
        calls.append((tool, request, float(number) * 0.37, result(isError=True) | fields))
    return calls


@given(planted_calls(), st.sampled_from(["never-retries", "broken-example"]), st.booleans())
@settings(max_examples=60)
def test_nothing_that_was_planted_is_ever_written(
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[tuple[str, str, float, Any]],
    candidate: str,
    check_text: bool,  # noqa: FBT001 - Hypothesis draws it
) -> None:
    """Rule: names, keys, texts and numbers that no decision reads stay where they were."""
    folder = tmp_path_factory.mktemp("planted")
    config = {
        **CONFIG,
        "max_retries": 5,
        "check_text_content": check_text,
        "note": SECRET,
        "tool_overrides": {SECRET: {"max_retries": 4}},
    }
    out = folder / "out"
    status = minimize(trace(folder, calls, config), "--candidate", candidate, "--out", out)
    # Content that is no list raises in the hybrid, which is no divergence but an accepted one.
    assert status in {0, 1}
    everything = b"".join([*contents(out).values(), *map(str.encode, contents(out))])
    assert SECRET.encode() not in everything
    assert SECRET.lower().encode() not in everything
    assert str(SECRET_NUMBER).encode() not in everything


@given(st.text(max_size=40))
def test_a_masked_text_is_neutral_and_as_long(said: str) -> None:
    """Rule: a mask says nothing but how long a text was, and what stood between its words."""
    mask = words.masked(said)
    assert len(mask) == len(said)
    assert words.is_neutral_text(mask)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwyzABCDEFG_", min_size=4, max_size=20))
def test_a_word_passes_only_if_a_decision_reads_it(word: str) -> None:
    """Rule: a text, a key or a name is known by being on the list."""
    listed = word in {"isError", "status_code", "true", "false", "null", *words.TYPES}
    assert words.is_neutral_text(word) == listed
    assert words.is_neutral_key(word) == (word in words.RESULT_KEYS)
    assert not words.is_neutral_name(word) or word == words.TOOL


def test_what_is_left_is_told_by_place_and_by_whether_anybody_may_see_it() -> None:
    """Status codes and settings may be seen; other numbers, texts and keys may not."""
    call = Call(
        0,
        "search",
        "customer",
        mapping(
            {
                "structuredContent": mapping({"status_code": 429, "amount": 17}),
                "content": sequence([mapping({"type": "text", "text": "no"})]),
            }
        ),
    )
    found = kept(Scenario(mapping({"max_retries": 4}), 3, (Wait(2.5), call)))
    assert {(each.place, each.known) for each in found} == {
        ("ceiling", True),
        ("config.max_retries", True),
        ("step 1", True),
        ("step 2, request id", False),
        ("step 2, result.structuredContent.status_code", True),
        ("step 2, result.structuredContent.(a key)", False),
        ("step 2, result.content[0].text", False),
    }


def test_only_what_was_there_before_is_told_to_be_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A status or a wait that the reduction has chosen is none of the original."""
    said = result(structuredContent={"status_code": 502})
    source = trace(tmp_path, [("t", "r", 0.0, said), ("t", "r", 0.1, said)])
    out = tmp_path / "out"
    assert minimize(source, "--candidate", "never-retries", "--out", out) == 0
    assert "kept because" not in capsys.readouterr().out
    assert "502" not in repr(fixture(out).scenario)


# --- from evidence -------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["captured", "redacted"])
def test_live_evidence_says_who_was_compared(emitted: Path, origin: str) -> None:
    """Candidate and policy are those of the evidence; no option is needed."""
    made = fixture(emitted / origin)
    assert (made.signature, made.candidate) == ("retry-lost", "never-retries")


def test_redacted_evidence_of_a_text_signal_is_reconstructed(emitted: Path) -> None:
    """A retry that the hybrid wanted, and no other signal: the text must have had one."""
    [call] = fixture(emitted / "text").scenario.steps
    assert isinstance(call, Call)
    assert "isError" in str(call.result) or "status_code" in str(call.result)


@pytest.mark.parametrize("capture", ["full", "redacted"])
def test_the_chain_before_a_sample_is_built_anew_from_its_facts(
    tmp_path: Path, capture: Literal["redacted", "full"]
) -> None:
    """Even where the sample's own result was captured, those before it were not."""
    said = result(structuredContent={"status_code": 503, "who": SECRET})
    calls = [("pay", "r1", said), ("other", "r2", FAILURE), ("pay", "r1", said)]
    source = live(tmp_path / "evidence", calls, capture, "LosesTheSecond")
    out = tmp_path / "out"
    assert minimize(source, "--out", out) == 0
    made = fixture(out)
    assert made.step == 1
    assert [made.expected[step].delay_ms for step in (0, 1)] == [200, 400]


def test_evidence_that_is_not_enough_says_what_would_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a fault needs may be no fact: a word in a text."""
    said = texts("overdraft", isError=True)
    source = live(tmp_path / "evidence", [("pay", "r1", said)], "redacted", "HatesAWord")
    assert minimize(source, "--out", tmp_path / "out") == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("retry-lost: a sample does not show it again; ")
    assert "evidence.capture: full" in last
    assert not (tmp_path / "out").exists()


def test_the_trace_beside_live_evidence_is_preferred_to_its_samples(tmp_path: Path) -> None:
    """It has whole chains, and so what no sample tells."""
    said = texts("overdraft", isError=True)
    source = live(tmp_path / "evidence", [("pay", "r1", said)], "redacted", "HatesAWord")
    [counts] = source.rglob("counts.jsonl")
    recorded = trace(tmp_path, [("pay", "r1", 0.0, said)])
    recorded.rename(counts.with_name("trace.jsonl"))
    out = tmp_path / "out"
    assert minimize(source, "--allow-text", "--out", out) == 0
    assert fixture(out).candidate == "HatesAWord"


def test_another_config_than_the_evidences_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under another config the samples mean something else."""
    source = live(tmp_path / "evidence", [("pay", "r1", FAILURE)], "redacted")
    given = (source, "--config", CORPUS.with_name("plugins.yaml"), "--out", tmp_path / "out")
    assert minimize(*given) == 3
    assert "is not the config that" in capsys.readouterr().err


# --- bad input -----------------------------------------------------------------------------------


def test_bad_input_is_one_line_and_exit_status_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was given, and what is wrong with it."""
    source = trace(tmp_path, [("t", "r", 0.0, FAILURE)])
    empty = tmp_path / "empty"
    empty.mkdir()
    no_config = trace(empty, [("t", "r", 0.0, FAILURE)], None)
    wrong_config = tmp_path / "wrong"
    wrong_config.mkdir()
    refused = trace(wrong_config, [("t", "r", 0.0, FAILURE)], {"max_retries": -1})
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    out = tmp_path / "out"
    for arguments, said in [
        ((tmp_path / "missing.jsonl", "--out", out), "no such file"),
        ((nothing, "--out", out), "has no trace.jsonl"),
        ((no_config, "--out", out), "plugins.yaml"),
        ((refused, "--out", out), "the hybrid cannot be loaded with this config"),
        ((source, "--out", source), "a folder is allowed"),
    ]:
        assert minimize(*arguments) == 3
        shown = capsys.readouterr()
        assert said in shown.err
        assert len(shown.err.splitlines()) == 1
        assert not out.exists()


def test_what_the_environment_limits_is_a_part_of_the_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway's ceiling holds while a trace is played, and is in the fixture if it matters."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", "1")
    calls = [("t", "r", 0.0, FAILURE), ("t", "r", 0.1, FAILURE)]
    source = trace(tmp_path, calls, {**CONFIG, "max_retries": 9})
    out = tmp_path / "out"
    assert minimize(source, "--candidate", "never-retries", "--out", out) == 0
    assert fixture(out).scenario.ceiling is None
    monkeypatch.setenv("MAX_TOOL_RETRIES", "many")
    assert minimize(source, "--out", out) == 3


def test_progress_is_told_now_and_then_where_no_terminal_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what was read of the trace."""
    monkeypatch.setattr(minimize_cli, "_LINE_EVERY", 1)
    source = trace(tmp_path, [("t", "r", 0.0, FAILURE)])
    assert minimize(source, "--out", tmp_path / "out") == 1
    assert "recorded.jsonl, snapshot dict: 0 of 0 MiB" in capsys.readouterr().err
