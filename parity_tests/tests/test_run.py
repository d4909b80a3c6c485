"""The command `retry-parity run`: counts, exit status, output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cpex.framework.memory import CopyOnWriteDict

from retry_parity import candidates, ledger
from retry_parity.cli import main
from retry_parity.containers import Container, installed_kind, wrap
from retry_parity.recipes import LazyDict, PlainSubclass

if TYPE_CHECKING:
    from retry_parity.candidates import Candidate

CORPUS = Path(__file__).parents[1] / "corpus" / "tool_results.jsonl"
CONFIG = CORPUS.with_name("plugins.yaml")
LINES = 600

#: What the core allows.
COUNT = "allowed: an integer from 0 to 4294967295"
FLAG = "allowed: a boolean (true, false, yes, no, on, off, 1, 0)"


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the beginning of the shipped corpus with its config beside it."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = CORPUS.read_bytes().split(b"\n")[:LINES]
    (folder / "head.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (folder / "plugins.yaml").write_bytes(CONFIG.read_bytes())
    return folder / "head.jsonl"


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    """Run the command with JSON on stdout."""
    status = main(["run", *map(str, arguments), "--json", "-"])
    return status, json.loads(capsys.readouterr().out)


def plugins_file(folder: Path, config: dict[str, Any]) -> Path:
    """Write a plugins file with one migration plugin."""
    entry = {
        "name": "retry",
        "kind": "retry_parity.MigrationPlugin",
        "hooks": ["tool_post_invoke"],
        "config": config,
    }
    path = folder / "chosen.yaml"
    path.write_text(yaml.safe_dump({"plugins": [entry], "plugin_dirs": []}))
    return path


def without_times(passes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what differs between two equal runs."""
    return [{key: value for key, value in each.items() if key != "time_us"} for each in passes]


def test_two_runs_in_one_process_give_the_same_counts(
    head: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """State and counters begin at nothing, the clock is the recording's."""
    first_status, first = run_json(capsys, head)
    second_status, second = run_json(capsys, head)
    assert first_status == second_status == 0
    assert without_times(first["passes"]) == without_times(second["passes"])
    assert first["verdict"] == "no unexplained divergences"
    for each in first["passes"]:
        assert each["calls"] == each["matches"] == LINES
        assert each["not_compared"] == 0
        assert each["retries"] > 0
    assert [each["as_installed"] for each in first["passes"]] == [True, False]
    assert {each["container"] for each in first["passes"]} == {"snapshot", "lazy"}


def test_the_broken_example_is_caught_with_any_cpex(
    head: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A candidate that reads a dict's C storage loses every retry of a lazy dict."""
    status, found = run_json(capsys, head, "--candidate", "broken-example")
    passes = {each["container"]: each for each in found["passes"]}
    assert status == 1
    assert found["succeeded"] is False
    assert passes["snapshot"]["divergent"] == {}
    lost = passes["lazy"]["lost_retries"]
    assert passes["lazy"]["divergent"] == {"retry-lost": len(lost)}
    assert len(lost) == passes["lazy"]["retries"] > 10
    assert lost[0] == {"tool": "crm-get-contact", "request_id": "r0009", "seq": 9, "line": 9}


def test_the_table_names_the_calls_that_lost_their_retry(
    head: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first ten by tool, request id, seq and line, and how many more."""
    assert main(["run", str(head), "--candidate", "broken-example"]) == 1
    shown = capsys.readouterr()
    assert "  tool crm-get-contact, request id r0009, seq 9, line 9\n" in shown.out
    assert shown.out.count("  tool ") == 10
    assert "more (--json has all)" in shown.out
    assert "unexplained divergences" in shown.out
    assert shown.out.splitlines()[-1].startswith("verdict: ")
    assert shown.err.splitlines()[0].startswith("replaying 600 calls")


def test_json_goes_to_a_file_beside_the_table(
    head: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table stays on stdout then."""
    target = tmp_path / "run.json"
    assert main(["run", str(head), "--json", str(target)]) == 0
    assert json.loads(target.read_text())["calls"] == LINES
    assert "verdict: no unexplained divergences" in capsys.readouterr().out


def test_the_environment_does_not_change_what_a_run_compares(
    head: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is always a shadow, whatever the flag is where it runs."""
    monkeypatch.setenv("RETRY_IMPLEMENTATION", "legacy")
    status, found = run_json(capsys, head)
    assert status == 0
    assert found["passes"][0]["matches"] == LINES


def test_a_candidate_that_cannot_be_built_is_not_a_success(
    head: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was compared, and that is said."""

    def refuse(name: str, config: object) -> Candidate:
        del name, config
        raise ImportError

    monkeypatch.setattr(candidates, "load", refuse)
    status, found = run_json(capsys, head)
    assert status == 1
    assert [each["not_compared"] for each in found["passes"]] == [LINES, LINES]
    assert found["passes"][0]["divergent"] == {"load-refused-only-by-candidate:ImportError": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b'{"tool": "t"', "line 1: is cut off"),
        (b'{"tool": "t"}\n', "line 1: has no key 'request_id'"),
    ],
)
def test_a_bad_corpus_is_status_2_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    """The whole corpus is checked before the first call, so nothing is printed but the reason."""
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    assert main(["run", str(path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert message in shown.err
    assert str(path) in shown.err


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (
            {"tool_overrides": {"pay": {"max_retries": "x"}}},
            f'tool_overrides["pay"].max_retries: "x" given; {COUNT}, not as text or float',
        ),
        (
            {"max_retries": 2**32},
            f"max_retries: 4294967296 given; {COUNT}",
        ),
        (
            {"tool_overrides": {"pay": {"check_text_content": "perhaps"}}},
            f'tool_overrides["pay"].check_text_content: "perhaps" given; {FLAG}',
        ),
        (
            {"migration": {"implementation": "bogus"}},
            "migration.implementation: 'bogus' is not one of legacy, shadow, canary, rust",
        ),
    ],
    ids=["override", "number", "only-the-core", "flag"],
)
def test_a_wrong_config_is_status_2_with_the_place_and_what_is_allowed(
    head: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    config: dict[str, Any],
    line: str,
) -> None:
    """The words are the core's, also where the hybrid refuses first; nothing is half-run."""
    assert main(["run", str(head), "--config", str(plugins_file(tmp_path, config))]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    expected = f"retry-parity: the plugin cannot be loaded with this config: {line}"
    assert shown.err.splitlines() == [expected]


@pytest.mark.parametrize("flag", ["legacy", "canary", "rust"])
def test_a_config_with_any_known_flag_is_replayed_in_shadow(
    head: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    """The flag of the gateway is checked, and does not matter here."""
    path = plugins_file(tmp_path, {"migration": {"implementation": flag}, "jitter": False})
    status, found = run_json(capsys, head, "--config", path)
    assert status == 0
    assert found["passes"][0]["matches"] == LINES


def test_a_run_without_a_retry_says_so(
    head: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Agreement on nothing but successes is no divergence, and not much of a finding."""
    status, found = run_json(capsys, head, "--config", plugins_file(tmp_path, {"max_retries": 0}))
    assert status == 0
    assert found["verdict"] == "no unexplained divergences, but no call asked for a retry"


def test_overdue_entries_are_in_the_table_and_the_json(
    head: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader of the result learns that an acceptance is due for review."""
    entry = ledger.shipped_ledger().entries[0]
    day = entry.review_by.replace(year=entry.review_by.year + 1)
    monkeypatch.setattr(ledger, "today", lambda: day)
    status, found = run_json(capsys, head)
    assert status == 0
    assert found["overdue"][entry.id] == entry.review_by.isoformat()
    assert main(["run", str(head)]) == 0
    line = f"ledger: {entry.id} is past its review date {entry.review_by}; it still explains"
    assert line in capsys.readouterr().out.splitlines()


def test_the_table_counts_what_differed_while_loading(
    head: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading is no call, so it has a row of its own."""

    def refuse(name: str, config: object) -> Candidate:
        del name, config
        raise ImportError

    monkeypatch.setattr(candidates, "load", refuse)
    assert main(["run", str(head)]) == 1
    rows = [line for line in capsys.readouterr().out.splitlines() if "while loading" in line]
    assert [row.count(" 1 ") for row in rows] == [2]


def test_the_shipped_corpus_shows_statuses_outside_32_bits_without_text_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With relay-call on the fast path its three huge statuses raise in the hybrid, no others."""
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())["plugins"][0]["config"]
    config["tool_overrides"]["relay-call"]["check_text_content"] = False
    status, found = run_json(capsys, CORPUS, "--config", plugins_file(tmp_path, config))
    assert status == 0
    for each in found["passes"]:
        assert each["accepted"] == {"status-range": 3}
        assert each["accepted_by_tool"] == {"status-range": {"relay-call": 3}}
        assert (each["calls"], each["matches"], each["accepted_calls"]) == (4853, 4850, 3)
        assert (each["reference_exceptions"], each["not_compared"]) == (3, 0)
        assert each["divergent"] == each["harness_errors"] == {}


CONFIG_LINE = (
    "  - {name: a, kind: retry_parity.MigrationPlugin, hooks: [tool_post_invoke], config: "
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such config file; name one with --config"),
        ("plugins: [", "is no plugins file"),
        ("plugins: []", "has 0 retry plugins"),
        (f"plugins:\n{CONFIG_LINE}{{}}}}\n{CONFIG_LINE}{{}}}}\n", "has 2 retry plugins"),
        (f"plugins:\n{CONFIG_LINE}{{max_retries: x}}}}\n", "cannot be loaded with this config"),
    ],
)
def test_a_bad_config_is_status_2_with_one_line(
    head: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    message: str,
) -> None:
    """The config is the gateway's plugins file, with one retry plugin in it."""
    path = tmp_path / "plugins.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["run", str(head), "--config", str(path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err.splitlines()[-1]


def test_an_unknown_candidate_is_status_2_with_what_is_allowed(
    head: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The names are a closed list."""
    with pytest.raises(SystemExit) as ended:
        main(["run", str(head), "--candidate", "java"])
    assert ended.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "java" in message
    assert "rust" in message
    assert "broken-example" in message


def test_a_place_for_json_that_does_not_exist_is_status_2_before_the_run(
    head: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody wants to wait for a result that cannot be kept."""
    assert main(["run", str(head), "--json", str(tmp_path / "none" / "run.json")]) == 2
    shown = capsys.readouterr()
    assert len(shown.err.splitlines()) == 1
    assert shown.out == ""


def test_the_containers_are_what_they_stand_for() -> None:
    """The installed wrapper behaves as the kind it is said to be; the lazy one has no storage."""
    result = {"isError": True, "content": []}
    kinds: dict[Container, type] = {Container.LAZY: LazyDict, Container.SNAPSHOT: PlainSubclass}
    installed = CopyOnWriteDict(result)
    assert ("isError" in list(dict.keys(installed))) == (installed_kind() is Container.SNAPSHOT)
    for kind, wrapper in kinds.items():
        wrapped = wrap(kind, result)
        assert isinstance(wrapped, wrapper)
        stored = dict.get(wrapped, "isError")
        assert stored == (None if kind is Container.LAZY else True)
        assert wrapped.get("isError") is True
        assert wrapped["content"] == []
        assert (len(wrapped), list(wrapped), "isError" in wrapped) == (2, list(result), True)
        assert list(wrapped.items()) == list(result.items())
        assert list(wrapped.keys()) == list(result.keys())
        assert list(wrapped.values()) == list(result.values())
        assert wrapped == result
        assert wrapped != {}
        with pytest.raises(KeyError):
            wrapped["none"]
