"""The verdict: ready only where everything was seen, and each way of not being so is told apart."""

from __future__ import annotations

import argparse
import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import evidence_material as material
import pytest
from evidence_material import (
    COMMON,
    RARE,
    counts_line,
    durations,
    everywhere,
    measured,
    run_line,
    write_run,
)

from retry_parity._native import binomial_upper_bound
from retry_parity.cli import main
from retry_parity.compare import Kind
from retry_parity.deciding.judging_evidence import judge
from retry_parity.deciding.merge_cli import add_merge, merge_command
from retry_parity.deciding.merging import merge
from retry_parity.deciding.reading import read_evidence
from retry_parity.deciding.thresholds import (
    Thresholds,
    ThresholdsError,
    read_thresholds,
    shipped_thresholds,
)
from retry_parity.deciding.totals import SIDES
from retry_parity.deciding.verdict import Answer, Check, Verdict
from retry_parity.deciding.verdict_cli import add_verdict, verdict_command
from retry_parity.guard import Trip, guard_file, mark_reset, tripped_guards
from retry_parity.strata import reachable

if TYPE_CHECKING:
    from pathlib import Path

TODAY = dt.date(2026, 11, 26)
DEFAULTS = read_thresholds()


def thresholds(folder: Path, text: str) -> Thresholds:
    """Lay a file over the defaults."""
    (folder / "thresholds.toml").write_text(text)
    return read_thresholds(folder / "thresholds.toml")


def judged(folder: Path, required: Thresholds = DEFAULTS) -> Verdict:
    """Judge a folder on a day."""
    return judge(read_evidence([folder], versions=required.versions), required, TODAY)


def answer(verdict: Verdict, name: str) -> Check:
    """Give one requirement."""
    (check,) = [check for check in verdict.checks if check.name == name]
    return check


def live(folder: Path, **others: Any) -> Path:
    """Write evidence with everything in one gateway's run, and put something in its place."""
    line = counts_line(everywhere(100), latency=measured()) | others
    write_run(folder, run_line("a"), line)
    return folder


def test_whole_evidence_without_trouble_is_ready(tmp_path: Path) -> None:
    """And every requirement says so."""
    verdict = judged(material.write_evidence(tmp_path))
    assert verdict.answer is Answer.READY
    assert {check.answer for check in verdict.checks} == {Answer.READY}
    assert verdict.bound == binomial_upper_bound(0, 28_600, 0.95)
    assert len(verdict.strata) == len(reachable())


@pytest.mark.parametrize("kind", ["not ready", "insufficient"])
def test_each_kind_of_evidence_is_told_apart(tmp_path: Path, kind: material.Kind) -> None:
    """The material says what it is."""
    verdict = judged(material.write_evidence(tmp_path, kind))
    assert verdict.answer.value.startswith(kind)


def test_one_cell_that_was_not_reached_is_insufficient(tmp_path: Path) -> None:
    """Missing coverage never passes, however much there is elsewhere; the cell is named."""
    coverage = answer(judged(material.write_evidence(tmp_path, "insufficient")), "coverage")
    assert coverage.answer is Answer.INSUFFICIENT
    assert coverage.missing == (f"{RARE}: 0 of 59",)


def test_fifty_eight_comparisons_are_one_too_few(tmp_path: Path) -> None:
    """59 equal ones bound the rate below 5 %, 58 do not."""
    assert binomial_upper_bound(0, 59, 0.95) < 0.05 < binomial_upper_bound(0, 58, 0.95)
    write_run(tmp_path, run_line("a"), counts_line(everywhere(100) | {RARE: 58}))
    assert answer(judged(tmp_path), "coverage").missing == (f"{RARE}: 58 of 59",)


def test_cells_that_the_config_excludes_are_not_required(tmp_path: Path) -> None:
    """Under a config without overrides no call can be of an overridden tool."""
    shapes = [[False, False]]
    wanted = {
        str(each): 60 for each in reachable() if (each.override, each.text_check) == (False, False)
    }
    write_run(tmp_path, run_line("a", shapes=shapes), counts_line(wanted))
    verdict = judged(tmp_path)
    assert answer(verdict, "coverage").answer is Answer.READY
    assert answer(verdict, "coverage").said.startswith("57 of 57 cells")
    assert sum(not row.possible for row in verdict.strata) == 159


def test_generated_runs_do_not_widen_what_is_required(tmp_path: Path) -> None:
    """They are under all kinds of configs; the gateway's own decides."""
    wanted = {
        str(each): 60 for each in reachable() if (each.override, each.text_check) == (False, False)
    }
    write_run(tmp_path, run_line("a", shapes=[[False, False]]), counts_line(wanted))
    write_run(tmp_path, run_line("g", "generated", shapes=None), counts_line({RARE: 1}))
    assert answer(judged(tmp_path), "coverage").answer is Answer.READY


WAIVE = """
[[waive]]
stratum = "unreadable | * | override | *"
reason = "one server only, it answers JSON"
review_by = {}
"""


def test_a_waived_cell_need_not_be_reached(tmp_path: Path) -> None:
    """Up to and on the day of its review; the reason is told."""
    material.write_evidence(tmp_path, "insufficient")
    verdict = judged(tmp_path, thresholds(tmp_path, WAIVE.format(TODAY)))
    assert verdict.answer is Answer.READY
    (row,) = [row for row in verdict.strata if row.stratum == RARE]
    assert row.waived == "one server only, it answers JSON"
    assert answer(verdict, "coverage").said == (
        "215 of 216 cells have 59 comparisons or more, 1 are waived"
    )


def test_a_waiver_past_its_review_does_not_hold(tmp_path: Path) -> None:
    """It ends by itself, and the line says so."""
    material.write_evidence(tmp_path, "insufficient")
    required = thresholds(tmp_path, WAIVE.format(TODAY - dt.timedelta(days=1)))
    coverage = answer(judged(tmp_path, required), "coverage")
    assert coverage.answer is Answer.INSUFFICIENT
    assert coverage.missing == (f"{RARE}: 0 of 59 (the waiver ended on 2026-11-25)",)


def test_a_waiver_excuses_no_divergence(tmp_path: Path) -> None:
    """It is about what was not seen, never about what was."""
    strata = {name: {"match": 100} for name in everywhere(1)} | {RARE: {"divergent": 1}}
    live(tmp_path, strata=strata, divergent={"delay": 1}, impact={"t": {"delay": 1}})
    assert judged(tmp_path, thresholds(tmp_path, WAIVE.format(TODAY))).answer is Answer.NOT_READY


def test_a_rate_that_too_few_comparisons_bound_is_insufficient(tmp_path: Path) -> None:
    """2,994 equal ones do not bound it below 1 in 1,000, 2,995 do."""
    for matches, expected in {2994: Answer.INSUFFICIENT, 2995: Answer.READY}.items():
        folder = tmp_path / str(matches)
        write_run(folder, run_line("a"), counts_line({COMMON[0]: matches}))
        check = answer(judged(folder), "divergences")
        assert check.answer is expected
        missing = ("1 more comparisons",) if expected is Answer.INSUFFICIENT else ()
        assert check.missing == missing


def test_a_rate_above_the_allowed_one_is_not_ready(tmp_path: Path) -> None:
    """More comparisons of the same kind would not help."""
    write_run(tmp_path, run_line("a"), counts_line({COMMON[0]: 900}, divergent={"delay": 3}))
    assert answer(judged(tmp_path), "divergences").answer is Answer.NOT_READY


def test_a_divergence_weighs_by_what_it_does(tmp_path: Path) -> None:
    """A lost retry more than metadata; one more call of a tool that is not idempotent most."""
    impact = {
        "pay": {"retry-extra": 1, "metadata": 1},
        "search_all": {"retry-extra": 1, "retry-lost": 1},
    }
    live(tmp_path, divergent={"retry-extra": 3, "metadata": 1}, impact=impact)
    required = thresholds(tmp_path, '[impact]\nidempotent = ["search_*"]\n')
    rows = [
        (row.tool, row.kind, row.idempotent, row.weight)
        for row in judged(tmp_path, required).impact
    ]
    assert rows == [
        ("pay", "retry-extra", False, 100.0),
        ("search_all", "retry-extra", True, 10.0),
        ("search_all", "retry-lost", True, 10.0),
        ("pay", "metadata", False, 0.1),
    ]


def test_what_divergences_may_weigh_is_for_the_operator_to_say(tmp_path: Path) -> None:
    """Nothing, unless the thresholds say otherwise; the rate is another requirement."""
    live(tmp_path, divergent={"metadata": 2}, impact={"t": {"metadata": 2}})
    verdict = judged(tmp_path)
    assert answer(verdict, "impact").answer is Answer.NOT_READY
    assert answer(verdict, "divergences").answer is Answer.READY
    assert verdict.answer is Answer.NOT_READY
    assert judged(tmp_path, thresholds(tmp_path, "[impact]\nmost = 0.2\n")).answer is Answer.READY


@pytest.mark.parametrize("impact", [{}, {"t": {"a kind of tomorrow": 1}}])
def test_no_divergence_goes_without_weight(tmp_path: Path, impact: dict[str, Any]) -> None:
    """Where a run does not tell what it did, or in unknown words, it weighs as the worst."""
    live(tmp_path, divergent={"odd": 1}, impact=impact)
    (row,) = judged(tmp_path).impact
    weights = DEFAULTS.impact.weights
    assert row.count * row.weight == weights[Kind.RETRY_EXTRA] * 10 >= max(weights.values())


@pytest.mark.parametrize(
    ("others", "name", "expected"),
    [
        ({"candidate_errors": {"internal": 1}}, "candidate errors", Answer.NOT_READY),
        ({"harness_errors": {"compare": 1}}, "harness errors", Answer.INSUFFICIENT),
        ({"dropped": {"disk limit": 1}}, "evidence dropped", Answer.INSUFFICIENT),
        (
            {"guard": {"tripped": False, "trips": 1, "trouble": ""}},
            "guard",
            Answer.NOT_READY,
        ),
        (
            {"guard": {"tripped": True, "trips": 0, "trouble": "delay"}},
            "guard",
            Answer.NOT_READY,
        ),
        ({"not_compared": {"over-time-limit": 1000}}, "not compared", Answer.INSUFFICIENT),
        ({"not_compared": {"over-time-limit": 10}}, "not compared", Answer.READY),
        ({"not_compared": {"sampled-out": 10**6}}, "not compared", Answer.READY),
        ({"latency": measured(rust_ns=20_500)}, "latency", Answer.NOT_READY),
        ({"latency": {"rust": measured()["rust"]}}, "latency", Answer.INSUFFICIENT),
        ({"latency": {}}, "latency", Answer.INSUFFICIENT),
        ({"latency": {side: durations(9, 2999) for side in SIDES}}, "latency", Answer.INSUFFICIENT),
        ({"memory": {}}, "memory", Answer.INSUFFICIENT),
        ({"memory": {"legacy": {"chains": 9, "store_bytes": 9}}}, "memory", Answer.INSUFFICIENT),
    ],
)
def test_trouble_is_judged_for_what_it_is(
    tmp_path: Path, others: dict[str, Any], name: str, expected: Answer
) -> None:
    """What went wrong with the candidate is not ready, what was not seen is insufficient."""
    verdict = judged(live(tmp_path, **others))
    assert answer(verdict, name).answer is expected
    assert verdict.answer is expected


@pytest.mark.parametrize(
    ("legacy", "rust", "expected"),
    [
        ((1000, 400_000), (1000, 400_000), Answer.READY),
        ((1000, 400_000), (1000, 400_001), Answer.NOT_READY),
        ((999, 25_000), (999, 50_000), Answer.READY),
        ((999, 25_000), (999, 1_048_577), Answer.NOT_READY),
    ],
    ids=["as much", "more", "too few to tell", "too few to tell, and a huge store"],
)
def test_chains_may_not_take_more_memory(
    tmp_path: Path, legacy: tuple[int, int], rust: tuple[int, int], expected: Answer
) -> None:
    """By bytes per chain; with few chains the store has to be small as a whole."""
    sides = {"legacy": legacy, "rust": rust}
    memory = {side: {"chains": n, "store_bytes": size} for side, (n, size) in sides.items()}
    assert answer(judged(live(tmp_path, memory=memory)), "memory").answer is expected


def test_times_of_a_gateway_go_before_those_of_a_replay(tmp_path: Path) -> None:
    """It is where calls will be slow or fast; a replay decides where there is no gateway's."""
    slow = {"latency": measured(rust_ns=90_000)}
    live(tmp_path)
    write_run(tmp_path, run_line("r", "replay"), counts_line({}), timing=slow)
    verdict = judged(tmp_path)
    assert answer(verdict, "latency").answer is Answer.READY
    assert verdict.latency["rust"].count == 4000
    replayed = judged(tmp_path / "retry" / "r")
    assert answer(replayed, "latency").answer is Answer.NOT_READY


def test_too_little_real_traffic_is_insufficient(tmp_path: Path) -> None:
    """What was generated cannot show what nobody thought of."""
    write_run(tmp_path, run_line("g", "generated"), counts_line(everywhere(1000)))
    check = answer(judged(tmp_path), "live traffic")
    assert check.answer is Answer.INSUFFICIENT
    assert check.missing == ("1,000 more in a gateway, under shadow or canary",)


def test_a_drill_is_never_ready(tmp_path: Path) -> None:
    """However well it went."""
    line = counts_line(everywhere(100), latency=measured())
    write_run(tmp_path, run_line("a", candidate="broken-example"), line)
    verdict = judged(tmp_path)
    assert [check.name for check in verdict.checks if check.answer is not Answer.READY] == [
        "candidate"
    ]
    assert verdict.answer is Answer.NOT_READY


@pytest.mark.parametrize("given", [".", "retry", "retry/a", "retry/a/counts.jsonl", "merged"])
@pytest.mark.parametrize("content", ['{"why": "w", "since": "then", "worker": 7}', "", None])
def test_a_tripped_guard_beside_the_runs_is_never_ready(
    tmp_path: Path, content: str | None, given: str
) -> None:
    """A worker may die between the trip and the counts; `verdict` said that it never tripped."""
    evidence = tmp_path / "evidence"
    live(evidence)
    file = guard_file(evidence, material.PLUGIN)
    if content is None:
        file.mkdir()
    else:
        file.write_text(content)
    read = evidence / given
    if given == "merged":
        read = tmp_path / "merged.jsonl"
        merge([evidence], read)
    check = answer(judged(read), "guard")
    assert check.answer is Answer.NOT_READY
    assert "its file says tripped since" in check.said


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (material.STARTED - 1, Answer.READY),
        (material.STARTED, Answer.NOT_READY),
        (material.STARTED + 9.5, Answer.NOT_READY),
        (None, Answer.NOT_READY),
    ],
)
def test_a_reset_does_not_undo_a_trip_of_these_runs(
    tmp_path: Path, since: float | None, expected: Answer
) -> None:
    """The worker died before it counted the trip; after the reset the verdict was ready."""
    live(tmp_path)
    at = "then" if since is None else dt.datetime.fromtimestamp(since, dt.UTC).isoformat()
    mark_reset(guard_file(tmp_path, material.PLUGIN), Trip("w", at, 7, id="1"))
    merged = tmp_path / "merged.jsonl"
    merge([tmp_path], merged)
    for read in (tmp_path / material.PLUGIN, merged):
        check = answer(judged(read), "guard")
        assert check.answer is expected
        assert "reset at" in check.said


def test_a_reset_in_one_folder_is_none_of_the_same_nonsense_in_another(tmp_path: Path) -> None:
    """Files that cannot be read are known by their contents, and empty ones are all alike."""
    for name in ("a", "b"):
        write_run(tmp_path / name, run_line(name), counts_line(everywhere(100)))
        guard_file(tmp_path / name, material.PLUGIN).write_text("")
    file = guard_file(tmp_path / "a", material.PLUGIN)
    mark_reset(file, tripped_guards(tmp_path / "a")[material.PLUGIN])
    assert "its file says tripped" in answer(judged(tmp_path), "guard").said


@pytest.mark.parametrize("plugin", [material.PLUGIN, "another"])
def test_a_guard_that_was_reset_or_is_of_another_plugin_is_no_obstacle(
    tmp_path: Path, plugin: str
) -> None:
    """A person has looked; the line says so."""
    live(tmp_path / "evidence")
    trip = Trip("w", "2000-01-01T00:00:00+00:00", 7, id="1")
    file = guard_file(tmp_path / "evidence", plugin)
    if plugin == material.PLUGIN:
        mark_reset(file, trip)
    else:
        file.write_text("{}")
    check = answer(judged(tmp_path / "evidence"), "guard")
    assert check.answer is Answer.READY
    assert ("it was reset at" in check.said) == (plugin == material.PLUGIN)


def test_a_run_that_cannot_be_read_is_insufficient(tmp_path: Path) -> None:
    """It might show anything; whoever removes it has decided that it does not matter."""
    material.write_evidence(tmp_path)
    write_run(tmp_path, run_line("torn"))
    assert judged(tmp_path).answer is Answer.INSUFFICIENT


def test_evidence_of_other_versions_alone_is_insufficient(tmp_path: Path) -> None:
    """No run counts; that is no error of the input, and no pass."""
    versions = material.VERSIONS | {"cpex": "9.9"}
    write_run(tmp_path, run_line("a", versions=versions), counts_line(everywhere(100)))
    verdict = judged(tmp_path)
    assert verdict.answer is Answer.INSUFFICIENT
    assert answer(verdict, "evidence").said == "0 runs count (none), 1 do not"


def test_not_ready_goes_before_insufficient(tmp_path: Path) -> None:
    """More evidence would not help."""
    write_run(tmp_path, run_line("a"), counts_line({COMMON[0]: 10}, divergent={"retry-lost": 1}))
    assert judged(tmp_path).answer is Answer.NOT_READY


def test_every_key_of_the_thresholds_is_explained(tmp_path: Path) -> None:
    """In a comment above it or its table; every kind of difference has a weight."""
    assert set(DEFAULTS.impact.weights) == set(Kind)
    explained = True
    for line in shipped_thresholds().splitlines():
        explained = explained or line.startswith("#")
        if "=" in line and not line.startswith("#"):
            assert explained, line
        if not line:
            explained = False
    assert thresholds(tmp_path, "").digest() == DEFAULTS.digest()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("confidense = 1", "confidense: unknown key; known keys are confidence, valid_days, "),
        ("[coverage]\nx = 1", "coverage.x: unknown key; known keys are per_stratum, most_rate, "),
        ("confidence = 1", "confidence: 1: input should be less than 1"),
        ("[coverage]\nper_stratum = 1.5", "coverage.per_stratum: 1.5: input should be a valid int"),
        ("[impact.weights]\nsilly = 1", "impact.weights.silly: 'silly': input should be 'retry-"),
        ("[versions]\npip = '1'", "versions.pip: known packages are retry-with-backoff, "),
        ("coverage = 3", "coverage: 3: input should be a valid dictionary"),
        ("x = ", "is no TOML: "),
        ("[[waive]]\nstratum = '*'", "waive.0.reason: is missing"),
        (WAIVE.format("'soon'"), "waive.0.review_by: 'soon': input should be a valid date"),
        (WAIVE.format(TODAY).replace("unreadable", "quark"), "waive.0: stratum 'quark | * | over"),
    ],
)
def test_wrong_thresholds_are_refused_in_one_line(tmp_path: Path, text: str, line: str) -> None:
    """Where, what was given, what is allowed."""
    with pytest.raises(ThresholdsError) as refused:
        thresholds(tmp_path, text)
    assert str(refused.value).startswith(f"{tmp_path / 'thresholds.toml'}: {line}")
    assert "\n" not in str(refused.value)


def command(*arguments: object) -> int:
    """Run a command line."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command")
    add_verdict(commands)
    add_merge(commands)
    options = parser.parse_args([str(each) for each in arguments])
    return {"verdict": verdict_command, "merge": merge_command}[options.command](options)


@pytest.mark.parametrize(("kind", "status"), [("ready", 0), ("not ready", 1), ("insufficient", 2)])
def test_the_exit_status_is_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: material.Kind, status: int
) -> None:
    """For a gate; the first line is for a person."""
    folder = material.write_evidence(tmp_path / "evidence", kind)
    assert command("verdict", folder) == status
    assert capsys.readouterr().out.startswith(f"verdict: {kind}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere"],
        [".", "--thresholds", "nowhere"],
        [".", "--config", "nowhere"],
        [".", "--plugin", "other"],
        [".", "--json", "nowhere/x.json"],
        [".", "--certificate", "nowhere/x.json"],
    ],
)
def test_bad_input_has_a_status_of_its_own(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    """So that no gate takes it for a verdict; one line says what is wrong."""
    material.write_evidence(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert command("verdict", *arguments) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("retry-parity: ")


def test_json_has_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output; the table gives way to it."""
    folder = material.write_evidence(tmp_path, "not ready")
    assert command("verdict", folder, "--json", "-") == 1
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["answer"] == "not ready"
    assert {check["name"] for check in told["checks"]} >= {"coverage", "impact", "latency"}
    assert len(told["strata"]) == len(reachable())
    assert told["totals"]["divergent"] == {"delay+metadata": 1, "retry-lost": 3}
    assert captured.err.startswith("verdict: not ready")


def test_what_is_missing_is_listed_shortly_unless_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten cells, then how many more; --all has them, and every cell and run."""
    write_run(tmp_path, run_line("a"), counts_line({COMMON[0]: 10}))
    command("verdict", tmp_path)
    short = capsys.readouterr().out
    assert "and 206 more (--all)" in short
    command("verdict", tmp_path, "--all")
    full = capsys.readouterr().out
    assert f"{RARE}: 0 of 59" in full
    assert f"{RARE} (59 required)" in full
    assert "live a" in full


def test_names_of_evidence_cannot_style_the_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tool's name is shown as it is: no markup, no control characters."""
    impact = {"[red]t[/red]\x1b[31m": {"delay": 1}}
    live(tmp_path, divergent={"delay": 1}, impact=impact)
    command("verdict", tmp_path)
    out = capsys.readouterr().out
    assert "[red]t[/red]" in out
    assert "\x1b" not in out


def test_a_plugins_file_says_which_config_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the hash of what the implementations take; the section ``migration:`` is none of it."""
    material.write_evidence(tmp_path / "evidence")
    write_run(tmp_path / "evidence", run_line("o", config="cd" * 32), counts_line({}))
    assert command("verdict", tmp_path / "evidence") == 3
    assert "say which one with --config" in capsys.readouterr().err
    config = material.CONFIG | {"migration": {"implementation": "shadow"}}
    plugin = {"name": "retry", "kind": "retry_parity.MigrationPlugin", "config": config}
    (tmp_path / "plugins.yaml").write_text(json.dumps({"plugins": [plugin]}))
    assert command("verdict", tmp_path / "evidence", "--config", tmp_path / "plugins.yaml") == 0
    assert "a run of another config (cdcdcdcdcdcd), left out: o" in capsys.readouterr().out


def test_the_command_merges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says how many runs there are, or in one line why not."""
    folder, out = material.write_evidence(tmp_path / "evidence"), tmp_path / "merged.jsonl"
    assert command("merge", folder, "--out", out) == 0
    assert capsys.readouterr().out == f"{out}: 4 runs\n"
    assert command("verdict", out) == 0
    assert command("merge", tmp_path / "nowhere", "--out", out) == 2
    assert capsys.readouterr().err.startswith("retry-parity: ")


def test_wrong_usage_is_no_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    """2 says that the evidence is insufficient; a mistyped option says nothing about it."""
    for wrong, line in (
        ([], "required: EVIDENCE"),
        (["somewhere", "--no-such-option"], "unrecognized arguments: --no-such-option"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["verdict", *wrong])
        assert ended.value.code == 3
        assert line in capsys.readouterr().err
