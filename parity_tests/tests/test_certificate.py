"""The certificate: made of a ready verdict only, and without it no flip to ``rust``."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import logging
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import evidence_material as material
import pytest
from cpex.framework import PluginConfig
from laboratory import NAME, finish

from retry_parity import MigrationPlugin
from retry_parity.deciding.certificate import (
    CertificateError,
    Requirement,
    certificate,
    digest_of,
    write_certificate,
)
from retry_parity.deciding.judging_evidence import judge
from retry_parity.deciding.reading import read_evidence
from retry_parity.deciding.thresholds import read_thresholds
from retry_parity.figures import ServiceState
from retry_parity.flag import FlagError, Implementation
from retry_parity.flag_service import Told
from retry_parity.migration import migration_of

if TYPE_CHECKING:
    from pathlib import Path

    from retry_parity.deciding.verdict import Verdict

TODAY = dt.date(2026, 11, 26)
DEFAULTS = read_thresholds()


@pytest.fixture(autouse=True)
def a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here depends on the day on which it runs."""
    monkeypatch.setattr("retry_parity.deciding.certificate.this_day", lambda: TODAY)


def verdict_of(folder: Path, kind: material.Kind = "ready") -> Verdict:
    """Judge evidence of a kind."""
    return judge(read_evidence([material.write_evidence(folder, kind)]), DEFAULTS, TODAY)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Make a certificate."""
    return certificate(verdict_of(tmp_path_factory.mktemp("made")), DEFAULTS, TODAY)


@pytest.fixture
def path(tmp_path: Path, made: dict[str, Any]) -> Path:
    """Write it."""
    write_certificate(tmp_path / "certificate.json", made)
    return tmp_path / "certificate.json"


def rewritten(path: Path, **others: Any) -> None:
    """Put something in the place of what is there, as the tool itself would have written it."""
    found = json.loads(path.read_text()) | others
    write_certificate(path, {**found, "digest": digest_of(found)})


def plugin(path: Path | None, implementation: str = "rust", **config: Any) -> MigrationPlugin:
    """Load the plugin with a certificate required, or with none."""
    section = {"implementation": implementation}
    if path is not None:
        section["require_certificate"] = str(path)
    whole = material.CONFIG | config
    whole["migration"] = section | whole.get("migration", {})
    return MigrationPlugin(
        PluginConfig(name=NAME, kind="retry_parity.MigrationPlugin", config=whole)
    )


def tell(implementation: Implementation | None, percent: float | None = None) -> None:
    """Let the flag service say something."""
    migration_of(NAME).follow(Told(implementation, percent, ServiceState.READY, 0))


def mode(loaded: MigrationPlugin) -> Implementation:
    """Give what decides, by the object."""
    return loaded._lane.implementation  # noqa: SLF001 - no way to see it


def in_force(*objects: MigrationPlugin) -> set[Implementation]:
    """Give what decides, by the process and by each object."""
    return set(map(mode, objects)) | {migration_of(NAME).flag.implementation}


def test_a_certificate_says_what_was_compared(made: dict[str, Any]) -> None:
    """What it is about, how well it was seen, and what was not."""
    assert (made["date"], made["valid_until"]) == ("2026-11-26", "2026-12-26")
    assert (made["plugin"], made["candidate"]) == ("retry", "rust")
    assert (made["config"], made["ledger"]) == (material.CONFIG_HASH, material.LEDGER_HASH)
    assert made["versions"] == material.VERSIONS
    assert made["seeds"] == ["7"]
    assert [trace["sha256"] for trace in made["traces"]] == ["ab" * 32]
    assert made["thresholds"] == DEFAULTS.digest()
    assert made["compared"] == {"generated": 21600, "live": 4000, "replay": 3000}
    assert len(made["strata"]) == 216
    assert made["strata"][0]["bound"] < 0.05
    assert made["gaps"] == {"waived": {}, "impossible": 0, "not_compared": {}, "problems": []}


@pytest.mark.parametrize("kind", ["not ready", "insufficient"])
def test_only_a_ready_verdict_is_certified(tmp_path: Path, kind: material.Kind) -> None:
    """Whatever calls for it."""
    with pytest.raises(CertificateError, match="there are certificates of ready ones only"):
        certificate(verdict_of(tmp_path, kind), DEFAULTS)


def test_a_certificate_ends_with_its_waivers(tmp_path: Path) -> None:
    """What was excused until a day is not excused after it."""
    (tmp_path / "t.toml").write_text(
        '[[waive]]\nstratum = "unreadable *"\nreason = "never"\nreview_by = 2026-12-01\n'
        '[[waive]]\nstratum = "isError *"\nreason = "not needed"\nreview_by = 2026-11-27\n'
    )
    thresholds = read_thresholds(tmp_path / "t.toml")
    evidence = material.write_evidence(tmp_path / "evidence", "insufficient")
    made = certificate(judge(read_evidence([evidence]), thresholds, TODAY), thresholds)
    assert made["valid_until"] == "2026-12-01"
    assert made["gaps"]["waived"] == {material.RARE: "never"}


def test_generated_evidence_alone_is_not_certified(tmp_path: Path) -> None:
    """It is under no config of a plugin, so that the certificate would hold for none."""
    (tmp_path / "t.toml").write_text(
        "[coverage]\nlive_comparisons = 0\n[latency]\ncalls = 1\nmedian_ratio = 99\n"
    )
    thresholds = read_thresholds(tmp_path / "t.toml")
    line = material.counts_line(material.everywhere(100), latency=material.measured())
    material.write_run(tmp_path, material.run_line("g", "generated"), line)
    with pytest.raises(CertificateError, match="no run was under a plugin's config"):
        certificate(judge(read_evidence([tmp_path]), thresholds, TODAY), thresholds)


def test_rust_is_loaded_with_a_certificate_that_holds(path: Path) -> None:
    """On its last day too."""
    rewritten(path, plugin=NAME, valid_until="2026-11-26")
    assert in_force(plugin(path)) == {Implementation.RUST}


#: What may be wrong, and the line that says so, after the path.
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "expired": ({"valid_until": "2026-11-25"}, "expired: valid until 2026-11-25"),
    "plugin": ({"plugin": "o"}, "other plugin: o in the certificate, retry here"),
    "config": ({"config": "cd" * 32}, "other config: SHA-256 cdcdcdcdcdcd.. in the certificate, "),
    "ledger": ({"ledger": "ef" * 32}, "other ledger: SHA-256 efefefefefef.. in the certificate, "),
    "versions": (
        {"versions": material.VERSIONS | {"cpex": "9.9"}},
        f"other versions: cpex 9.9 in the certificate, {material.VERSIONS['cpex']} here",
    ),
    "candidate": ({"candidate": "x"}, "other candidate: x in the certificate, rust here"),
    "no versions": (
        {"versions": {}},
        f"other versions: cpex missing in the certificate, {material.VERSIONS['cpex']} here, ",
    ),
    "divergent": ({"divergent": 5}, "divergent: 5 unexplained divergences, none are allowed"),
    "fewer than none": ({"divergent": -1}, "divergent: -1: input should be greater than or"),
    "no number": ({"rate_bound": float("nan")}, "rate_bound: nan: input should be a finite"),
    "no hash": ({"config": "x\ny"}, "config: 'x\\ny': string should match pattern"),
    "to come": (
        {"date": "2026-11-27"},
        "of a day to come: its date is 2026-11-27, this is 2026-11-26",
    ),
    "for long": (
        {"valid_until": "2027-11-28"},
        "valid_until: 2027-11-28 is 367 days after its date 2026-11-26, 366 are allowed",
    ),
    "format": ({"format": 2}, "format 2, 1 is known"),
    "format of a wrong type": ({"format": True}, "format True, 1 is known"),
    "kind": ({"kind": "x"}, "is no certificate, or not a whole one"),
}


@pytest.mark.parametrize(("others", "line"), WRONG.values(), ids=WRONG)
def test_rust_is_refused_with_another_certificate(
    path: Path, others: dict[str, Any], line: str
) -> None:
    """One line says what is wrong with it."""
    rewritten(path, **others)
    with pytest.raises(FlagError) as refused:
        plugin(path)
    assert str(refused.value).startswith(f"migration.require_certificate: {path}: {line}")
    assert "\n" not in str(refused.value)


def test_a_key_that_is_missing_or_of_a_wrong_type_is_one_line(
    path: Path, made: dict[str, Any]
) -> None:
    """Whichever it is: nothing but the error of certificates may come of a file."""
    requirement = Requirement(path, material.PLUGIN, material.CONFIG_HASH, "rust")
    requirement.check()
    for key, value in made.items():
        wrong: list[object] = [
            None,
            True,
            10**30,
            0.5,
            "x\ny",
            [[]],
            {1: 2},
            [{"deep": [[[[[[[[[]]]]]]]]]}],
        ]
        others = [made | {key: each} for each in wrong if type(each) is not type(value)]
        for spoilt in ({name: made[name] for name in made if name != key}, *others):
            digest = spoilt.get("digest") if key == "digest" else digest_of(spoilt)
            write_certificate(path, {**spoilt, "digest": digest})
            with pytest.raises(CertificateError) as refused:
                requirement.check()
            line = str(refused.value).removeprefix(f"{path}: ")
            assert line.isprintable()
            assert len(line) < 400


@pytest.mark.parametrize("others", [{"versions": None}, {"valid_until": "never"}, {"config": 1}])
def test_a_flip_with_nonsense_in_the_certificate_is_refused_and_counted(
    path: Path, others: dict[str, Any]
) -> None:
    """Each time: a flip that failed in another way would never be looked at again."""
    rewritten(path, **others)
    loaded = plugin(path, "shadow")
    for count in (1, 2):
        tell(Implementation.RUST)
        tell(Implementation.SHADOW)
        assert in_force(loaded) == {Implementation.SHADOW}
        assert migration_of(NAME).figures().rejected_flags == count


@pytest.mark.parametrize(
    ("key", "day"), [("date", "20261126"), ("date", 20261126), ("valid_until", "2026-W50-1")]
)
def test_a_day_is_written_in_one_way(path: Path, key: str, day: object) -> None:
    """What else Python reads as a day the tool does not write."""
    rewritten(path, **{key: day})
    with pytest.raises(FlagError, match=f"{key}: '?{day}'?: is no day; one is written as"):
        plugin(path)


def test_what_would_be_refused_is_not_certified(tmp_path: Path) -> None:
    """Thresholds may bear divergences, a certificate does not."""
    (tmp_path / "t.toml").write_text("[coverage]\nmost_rate = 0.1\n[impact]\nmost = 1000")
    read = read_thresholds(tmp_path / "t.toml")
    evidence = read_evidence([material.write_evidence(tmp_path / "evidence", "not ready")])
    with pytest.raises(CertificateError, match="divergent: 4 unexplained divergences, none are"):
        certificate(judge(evidence, read, TODAY), read)


def put_pipe(path: Path) -> None:
    """Put a pipe there, which a reader would wait for."""
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda path: path.unlink(), "no such file; retry-parity verdict --certificate writes one"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read: is a directory"),
        (put_pipe, "cannot be read: no regular file"),
        (lambda path: path.write_text(path.read_text()[:-50]), "is no certificate, or not a whole"),
        (lambda path: path.write_bytes(b"\xff" * 50), "is no certificate, or not a whole one"),
        (lambda path: path.write_text("[" * 99_999), "is no certificate, or not a whole one"),
        (
            lambda path: path.write_text(path.read_text().replace("2026-12-26", "2036-12-26")),
            "was edited: its digest is not that of its contents",
        ),
    ],
    ids=["missing", "folder", "pipe", "cut off", "binary", "deep", "edited"],
)
def test_rust_is_refused_without_a_whole_certificate(path: Path, spoil: Any, line: str) -> None:
    """Missing, not readable, damaged, or edited by hand."""
    spoil(path)
    with pytest.raises(FlagError) as refused:
        plugin(path)
    assert str(refused.value).startswith(f"migration.require_certificate: {path}: {line}")


def test_a_drill_is_refused(path: Path) -> None:
    """No certificate is about a candidate that loses retries on purpose."""
    with pytest.raises(FlagError, match=r"other candidate: migration\.candidate is never-retries"):
        plugin(path, migration={"candidate": "never-retries"})


def test_the_environment_goes_the_same_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RETRY_IMPLEMENTATION=rust asks for the certificate as the config does."""
    path.unlink()
    monkeypatch.setenv("RETRY_IMPLEMENTATION", "rust")
    with pytest.raises(FlagError, match="no such file"):
        plugin(path, "shadow")


@pytest.mark.parametrize("implementation", ["legacy", "shadow", "canary"])
def test_nothing_else_is_ever_refused(path: Path, implementation: str) -> None:
    """The way back needs no paper; nor does a canary of all chains, which is compared."""
    path.unlink()
    loaded = plugin(path, implementation, migration={"canary_percent": 100})
    assert in_force(loaded) == {Implementation(implementation)}
    for flag in (Implementation.LEGACY, Implementation.SHADOW, Implementation.CANARY):
        tell(flag, 100.0)
        assert in_force(loaded) == {flag}
    assert migration_of(NAME).figures().rejected_flags == 0


def test_without_the_setting_nothing_is_required(tmp_path: Path) -> None:
    """As before."""
    section = {"implementation": "rust", "evidence": {"directory": str(tmp_path)}}
    config = PluginConfig(name=NAME, kind="x", config={"migration": section})
    assert in_force(MigrationPlugin(config)) == {Implementation.RUST}


def test_a_flip_to_rust_without_a_certificate_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was in force goes on, one line says why, and the metric of refused flags shows it."""
    path.unlink()
    objects = [plugin(path, "shadow") for _ in range(3)]
    tell(Implementation.CANARY, 5.0)
    tell(Implementation.RUST, 5.0)
    assert in_force(*objects) == {Implementation.CANARY}
    assert migration_of(NAME).figures().rejected_flags == 1
    (line,) = [each.getMessage() for each in caplog.records if "refused" in each.getMessage()]
    assert line.startswith(
        f"retry: rust is refused, canary decides on: migration.require_certificate: {path}: no such"
    )


def test_a_refused_flip_counts_once_while_it_stays(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The service tells of it again and again; other news of it are taken."""
    path.unlink()
    loaded = plugin(path, "shadow")
    for percent in (1.0, 2.0, 3.0):
        tell(Implementation.RUST, percent)
    assert in_force(loaded) == {Implementation.SHADOW}
    assert migration_of(NAME).canary_percent == 3.0
    assert migration_of(NAME).figures().rejected_flags == 1
    assert sum("refused" in each.getMessage() for each in caplog.records) == 1


def test_a_flip_after_the_certificate_was_written_is_taken(
    tmp_path: Path, made: dict[str, Any]
) -> None:
    """Without a restart: it is read anew at each flip. That it is there flips nothing by itself."""
    path = tmp_path / "later.json"
    objects = [plugin(path, "shadow") for _ in range(2)]
    tell(Implementation.RUST, 1.0)
    write_certificate(path, made)
    tell(Implementation.RUST, 2.0)
    assert in_force(*objects) == {Implementation.SHADOW}
    tell(Implementation.SHADOW)
    tell(Implementation.RUST)
    assert in_force(*objects) == {Implementation.RUST}
    assert migration_of(NAME).figures().rejected_flags == 1


def test_a_flip_looks_at_the_certificate_anew(path: Path) -> None:
    """What held at the last flip need not hold at this one."""
    loaded = plugin(path, "shadow")
    tell(Implementation.RUST)
    tell(Implementation.LEGACY)
    rewritten(path, valid_until="2026-11-25")
    tell(Implementation.RUST)
    assert in_force(loaded) == {Implementation.LEGACY}


def test_every_object_has_to_be_certified(path: Path) -> None:
    """Objects of one name are flipped together; a config that was never compared holds all back."""
    objects = [plugin(path, "shadow"), plugin(path, "shadow", max_retries=7)]
    tell(Implementation.RUST)
    assert in_force(*objects) == {Implementation.SHADOW}
    del objects[1]
    tell(Implementation.SHADOW)
    tell(Implementation.RUST)
    assert in_force(*objects) == {Implementation.RUST}


def test_a_new_config_is_not_loaded_where_rust_is_in_force(path: Path) -> None:
    """It would be decided by a core that nobody has compared under it."""
    loaded = plugin(path, "shadow")
    tell(Implementation.RUST)
    with pytest.raises(FlagError, match="other config"):
        plugin(path, "shadow", max_retries=7)
    assert in_force(loaded, plugin(path, "shadow")) == {Implementation.RUST}


def test_a_service_that_falls_silent_is_no_way_around(path: Path) -> None:
    """What comes next in the order may be rust; that is a flip like any other."""
    loaded = plugin(path, "rust")
    tell(Implementation.SHADOW)
    path.unlink()
    tell(None)
    assert in_force(loaded) == {Implementation.SHADOW}
    assert migration_of(NAME).figures().rejected_flags == 1


def test_an_object_that_requires_nothing_is_no_way_around(path: Path) -> None:
    """That one object of the name is under ``rust`` already does not admit the others."""
    path.unlink()
    free, loaded = plugin(None, "rust"), plugin(path, "shadow")
    tell(Implementation.RUST)
    assert mode(loaded) is Implementation.SHADOW
    assert migration_of(NAME).figures().rejected_flags == 1
    assert mode(free) is mode(plugin(None, "rust")) is Implementation.RUST


def test_an_object_that_requires_nothing_needs_what_the_others_require(path: Path) -> None:
    """One service steers all of the name; the certificate of the others is enough."""
    content = path.read_text()
    path.unlink()
    loaded = plugin(path, "shadow")
    with pytest.raises(FlagError, match="no such file"):
        plugin(None, "rust")
    path.write_text(content)
    assert mode(plugin(None, "rust")) is Implementation.RUST
    assert mode(loaded) is Implementation.SHADOW


def test_each_object_is_asked_what_it_would_get(path: Path) -> None:
    """Where the service withdraws, the flag of the last loaded object is not everyone's."""
    first = plugin(path, "rust")
    tell(Implementation.LEGACY)
    path.unlink()
    second = plugin(path, "shadow")
    tell(None)
    assert in_force(first, second) == {Implementation.LEGACY}
    assert migration_of(NAME).figures().rejected_flags == 1


def test_an_object_that_stays_under_its_own_flag_is_not_asked(path: Path) -> None:
    """One config under rust with its certificate, one in shadow that has none: neither is held."""
    certified = plugin(path, "rust")
    other = plugin(path, "shadow", max_retries=7)
    again = plugin(path, "rust")
    tell(Implementation.LEGACY)
    tell(None)
    assert mode(certified) is mode(again) is Implementation.RUST
    assert mode(other) is Implementation.SHADOW
    assert migration_of(NAME).figures().rejected_flags == 0


@pytest.mark.parametrize("order", list(itertools.permutations(["rust", "shadow", None])), ids=str)
def test_a_certificate_that_holds_is_taken_in_every_order(
    path: Path, order: tuple[str | None, ...]
) -> None:
    """Of objects, with and without the requirement, and of what the service says."""
    objects = [plugin(None, "rust") if own is None else plugin(path, own) for own in order]
    for flag in (Implementation.RUST, None, Implementation.LEGACY, None, Implementation.RUST):
        tell(flag)
    assert in_force(*objects) == {Implementation.RUST}
    assert migration_of(NAME).figures().rejected_flags == 0


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_flip_while_an_object_loads_asks_for_its_certificate(
    path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The service's thread does not wait for it, before there is a lane or after."""
    path.unlink()
    make = MigrationPlugin._make_lane  # noqa: SLF001 - the moment between two lines of a load

    def flipping(self: MigrationPlugin, *arguments: Any) -> Any:
        if moment == "before":
            tell(Implementation.RUST)
        lane = make(self, *arguments)
        if moment == "after":
            tell(Implementation.RUST)
        return lane

    monkeypatch.setattr(MigrationPlugin, "_make_lane", flipping)
    assert in_force(plugin(path, "shadow")) == {Implementation.SHADOW}
    assert migration_of(NAME).figures().rejected_flags == 1


def test_an_object_that_could_not_be_loaded_holds_nothing_up(path: Path) -> None:
    """Even where somebody keeps the error, and with it the object."""
    loaded = plugin(path, "shadow")
    with pytest.raises(ValueError, match="max_retries") as kept:
        plugin(path.with_name("none.json"), "shadow", max_retries="many")
    tell(Implementation.RUST)
    assert in_force(loaded) == {Implementation.RUST}
    assert kept.value is not None


def test_the_log_says_what_goes_on(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rust does not, where the service has legacy in force."""
    plugin(path, "rust")
    tell(Implementation.LEGACY)
    rewritten(path, valid_until="2026-11-25")
    again = plugin(path, "rust")
    assert in_force(again) == {Implementation.LEGACY}
    (told,) = [each.getMessage() for each in caplog.records if "goes on" in each.getMessage()]
    assert "; legacy goes on here, and rust is refused at the next flip or start" in told


@pytest.mark.parametrize("source", ["config", "service"])
def test_a_certificate_that_ends_does_not_end_a_running_gateway(
    path: Path, caplog: pytest.LogCaptureFixture, source: str
) -> None:
    """The gateway rebuilds its objects every 30 s; a retry lost at midnight helps nobody."""
    own = "rust" if source == "config" else "shadow"
    first = plugin(path, own)
    if source == "service":
        tell(Implementation.RUST)
    rewritten(path, valid_until="2026-11-25")
    again = [plugin(path, own) for _ in range(3)]
    assert in_force(first, *again) == {Implementation.RUST}
    told = [each for each in caplog.records if "goes on here" in each.getMessage()]
    assert len(told) == 1
    assert told[0].levelno == logging.WARNING


def test_no_call_looks_at_the_certificate(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read when an object is loaded and when the flag is flipped."""
    looked: list[Requirement] = []
    check = Requirement.check

    def counting(self: Requirement, today: dt.date | None = None) -> None:
        looked.append(self)
        check(self, today)

    monkeypatch.setattr(Requirement, "check", counting)
    loaded = plugin(path)
    payload: Any = SimpleNamespace(name="t", result={"isError": True})
    context: Any = SimpleNamespace(global_context=SimpleNamespace(request_id="r"))
    for _ in range(5):
        finish(loaded.tool_post_invoke(payload, context))
    assert len(looked) == 1
