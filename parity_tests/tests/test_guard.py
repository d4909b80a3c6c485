"""The guard: what trips it, what it says, and that it stays so until a person resets it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from typing import TYPE_CHECKING

import evidence_material as material
import pytest

from retry_parity import guard as guard_module
from retry_parity._native import Switch
from retry_parity.cli import main
from retry_parity.deciding.reading import read_evidence
from retry_parity.guard import (
    Guard,
    Trip,
    guard_file,
    mark_reset,
    read_trip,
    stored_trips,
    tripped_guards,
)
from retry_parity.settings import GuardSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        """Begin at a thousand seconds."""
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now_s


def guard(limit: int = 2, window_s: float = 60.0) -> tuple[Guard, Switch, Clock]:
    """Make a guard with its switch and its clock."""
    switch, clock = Switch(), Clock()
    made = Guard("retry", switch, clock)
    made.configure(GuardSettings(limit=limit, window_s=window_s))
    return made, switch, clock


def test_it_trips_on_one_more_than_is_borne() -> None:
    """Two are borne, the third one trips, and further ones change nothing."""
    made, switch, _ = guard()
    for tripped in (False, False, True, True):
        made.note("delay")
        assert switch.tripped is tripped
    assert made.trips == 1
    assert made.trip is not None
    assert "the last one: delay" in made.trip.why


@pytest.mark.parametrize(("pause_s", "trips"), [(30.0, True), (30.1, False)])
def test_the_window_slides(pause_s: float, *, trips: bool) -> None:
    """What is older than the window does not count; what is exactly as old does."""
    made, switch, clock = guard()
    for _ in range(3):
        made.note("delay")
        clock.now_s += pause_s
    assert switch.tripped is trips


def test_a_limit_of_0_bears_nothing() -> None:
    """The strictest guard trips at the first."""
    made, switch, _ = guard(limit=0)
    made.note("delay")
    assert switch.tripped


def test_it_does_not_reset_itself() -> None:
    """A window without trouble is no reason: a person has to look."""
    made, switch, clock = guard(limit=0)
    made.note("delay")
    clock.now_s += 10**6
    made.configure(GuardSettings(limit=100))
    assert switch.tripped
    made.reset()
    assert made.trip is None
    assert switch.tripped is False


def test_whoever_trips_writes_the_file_and_the_others_follow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One worker has seen it; all of them let the hybrid decide, and say so once."""
    path = guard_file(tmp_path / "evidence", "retry")
    first, _, _ = guard(limit=0)
    other, switch, _ = guard()
    first.note("retry-lost")
    for _ in range(3):
        first.synchronise(path)
        other.synchronise(path)
    assert switch.tripped
    assert other.trip == first.trip
    assert (first.trips, other.trips) == (1, 0)
    assert len(caplog.records) == 2
    assert "the guard is tripped since" in caplog.records[1].getMessage()


def test_it_outlives_a_restart(tmp_path: Path) -> None:
    """A new process finds the file."""
    path = guard_file(tmp_path, "retry")
    old, _, _ = guard(limit=0)
    old.note("retry-lost")
    old.synchronise(path)
    new, switch, _ = guard()
    new.synchronise(path)
    assert switch.tripped


def test_a_mark_resets_every_worker_that_knows_the_trip(tmp_path: Path) -> None:
    """What `retry-parity guard --reset` writes; a later trip stands, whatever is in the file."""
    path = guard_file(tmp_path, "retry")
    made, switch, _ = guard(limit=0)
    late, late_switch, _ = guard(limit=0)
    made.note("retry-lost")
    made.synchronise(path)
    mark_reset(path, stored_trips(tmp_path)["retry"])
    late.note("delay")
    for each in (made, late):
        each.synchronise(path)
    assert not switch.tripped
    assert late_switch.tripped
    assert "delay" in tripped_guards(tmp_path)["retry"].why


def test_of_two_trips_at_once_one_reset_is_enough(tmp_path: Path) -> None:
    """Two workers see trouble in one second: the one whose file is there holds for both."""
    path = guard_file(tmp_path, "retry")
    both = [guard(limit=0) for _ in range(2)]
    for made, _, _ in both:
        made.note("retry-lost")
    for made, _, _ in both * 2:
        made.synchronise(path)
    mark_reset(path, tripped_guards(tmp_path)["retry"])
    for made, switch, _ in both:
        made.synchronise(path)
        assert not switch.tripped
    assert tripped_guards(tmp_path) == {}


def test_a_trip_after_the_reset_stands_where_the_worker_has_just_read_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker took the file's trip for its own, and followed the reset of it."""
    path = guard_file(tmp_path, "retry")
    first, _, _ = guard(limit=0)
    first.note("delay")
    first.synchronise(path)
    late, switch, _ = guard(limit=0)

    def read_and_be_overtaken(given: Path) -> Trip | None:
        found = read_trip(given)
        assert found is not None
        mark_reset(given, found)
        late.note("retry-lost")
        return found

    with monkeypatch.context() as overtaken:
        overtaken.setattr(guard_module, "read_trip", read_and_be_overtaken)
        late.synchronise(path)
    late.synchronise(path)
    assert switch.tripped
    assert tripped_guards(tmp_path)["retry"].trouble == "retry-lost"


def test_a_worker_that_missed_a_reset_follows_it_whatever_has_tripped_since(tmp_path: Path) -> None:
    """It wrote its old trip over the reset of a later one."""
    path = guard_file(tmp_path, "retry")
    busy, _, _ = guard(limit=0)
    away, switch, _ = guard()
    for number in range(3):
        busy.note("retry-lost")
        busy.synchronise(path)
        if not number:
            away.synchronise(path)
        mark_reset(path, tripped_guards(tmp_path)["retry"])
        busy.synchronise(path)
    assert away.trip is not None
    away.synchronise(path)
    assert switch.tripped is False
    assert tripped_guards(tmp_path) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("reset", None),
        ("reset", False),
        ("reset", 1),
        ("reset", []),
        ("reset", "yes"),
        ("reset", "12:00"),
        ("earlier", 7),
        ("earlier", [7]),
    ],
)
def test_what_only_resembles_a_mark_resets_nothing(tmp_path: Path, key: str, value: object) -> None:
    """``"reset": null`` was read as the text "None", which is not empty."""
    path = guard_file(tmp_path, "retry")
    made, switch, _ = guard(limit=0)
    made.note("retry-lost")
    made.synchronise(path)
    mark_reset(path, tripped_guards(tmp_path)["retry"])
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    made.synchronise(path)
    assert switch.tripped
    assert "retry" in tripped_guards(tmp_path)


def test_a_mark_without_an_id_resets_nothing(tmp_path: Path) -> None:
    """It names no trip."""
    path = guard_file(tmp_path, "retry")
    mark_reset(path, Trip("w", "then", 7, id="1"))
    path.write_text(
        json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "id"})
    )
    assert "retry" in tripped_guards(tmp_path)


def test_a_link_to_nowhere_is_a_trip_for_who_knows_of_none(tmp_path: Path) -> None:
    """A volume that is not mounted must not reset a guard."""
    path = guard_file(tmp_path, "retry")
    path.symlink_to(tmp_path / "not mounted")
    made, switch, _ = guard()
    made.synchronise(path)
    assert switch.tripped


def test_a_trip_that_cannot_be_written_leaves_nothing_and_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk; a part of a file stayed for good."""
    path = guard_file(tmp_path, "x" * 235)
    made, switch, _ = guard(limit=0)
    made.note("retry-lost")
    with monkeypatch.context() as full:
        full.setattr("pathlib.Path.replace", raise_no_space)
        with pytest.raises(OSError, match="No space"):
            made.synchronise(path)
    assert list(tmp_path.iterdir()) == []
    made.synchronise(path)
    assert switch.tripped
    assert read_trip(path) == made.trip


def raise_no_space(*_: object) -> None:
    """Fail as a write to a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_reset_that_cannot_be_written_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It blamed the evidence folder: "is a directory"."""
    path = guard_file(tmp_path, "retry")
    path.mkdir()
    assert main(["guard", str(tmp_path), "--reset", "retry"]) == 2
    assert f"{path}: cannot be written: is a directory; still tripped" in capsys.readouterr().err


def remove(path: Path) -> None:
    """Clean the folder as an operator or a cleaner by age does."""
    path.unlink()


def remove_folder(path: Path) -> None:
    """Lose the folder as a whole."""
    shutil.rmtree(path.parent)


def make_folder_again(path: Path) -> None:
    """Lose the folder; somebody else makes it before the next look."""
    shutil.rmtree(path.parent)
    path.parent.mkdir()


def empty(path: Path) -> None:
    """Leave a file in which nothing is, as a full disk does."""
    path.write_bytes(b"")


def put_folder(path: Path) -> None:
    """Put a folder in the place of the file."""
    path.unlink()
    path.mkdir()


def put_pipe(path: Path) -> None:
    """Put a pipe there, which a reader would wait for."""
    path.unlink()
    os.mkfifo(path)


def mark_another(path: Path) -> None:
    """Reset a trip that is not this one."""
    mark_reset(path, Trip("why", "then", 1, id="another"))


def link_nowhere(path: Path) -> None:
    """Put a link there whose target is gone."""
    path.unlink()
    path.symlink_to(path.parent / "none")


@pytest.mark.parametrize(
    "lose",
    [
        remove,
        remove_folder,
        make_folder_again,
        empty,
        put_folder,
        put_pipe,
        mark_another,
        link_nowhere,
    ],
)
def test_only_a_mark_resets(tmp_path: Path, lose: Callable[[Path], None]) -> None:
    """A guard that had tripped reset itself where its file was gone and its folder was there."""
    path = guard_file(tmp_path / "evidence", "retry")
    made, switch, _ = guard(limit=0)
    made.note("retry-lost")
    made.synchronise(path)
    lose(path)
    for _ in range(2):
        with contextlib.suppress(OSError):
            made.synchronise(path)
    assert switch.tripped
    assert "retry" in tripped_guards(path.parent)
    new, new_switch, _ = guard()
    new.synchronise(path)
    assert new_switch.tripped


def test_a_worker_that_dies_while_it_writes_leaves_no_run_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it leaves beside the runs was taken for a run without counts."""
    material.write_evidence(tmp_path)
    before = read_evidence([tmp_path]).unreadable
    made, _, _ = guard(limit=0)
    made.note("retry-lost")
    with monkeypatch.context() as dying:
        dying.setattr("pathlib.Path.replace", raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            made.synchronise(guard_file(tmp_path, "retry"))
    assert len(list(tmp_path.glob(".*.part"))) == 1
    assert read_evidence([tmp_path]).unreadable == before == 0


def raise_interrupt(*_: object) -> None:
    """End as a worker that is killed does."""
    raise KeyboardInterrupt


def test_a_file_is_kept_fresh(tmp_path: Path) -> None:
    """A cleaner by age takes what nobody touches; this file was the only one of its folder."""
    path = guard_file(tmp_path, "retry")
    made, _, _ = guard(limit=0)
    made.note("retry-lost")
    made.synchronise(path)
    os.utime(path, (0, 0))
    made.synchronise(path)
    assert path.stat().st_mtime > 0


@pytest.mark.parametrize(
    "content",
    [b"{", b"\xff\xfe", b'{"why": 1}', b"[" * 100_000, b'{"why":1,"since":1,"worker":1e999}'],
)
def test_a_file_that_makes_no_sense_still_trips(tmp_path: Path, content: bytes) -> None:
    """It is there, and nobody has removed it; some kinds of nonsense stopped the evidence."""
    path = guard_file(tmp_path, "retry")
    path.write_bytes(content)
    made, switch, _ = guard()
    made.synchronise(path)
    assert switch.tripped


def test_a_folder_that_cannot_be_written_changes_nothing_of_the_trip(tmp_path: Path) -> None:
    """The worker that has seen it keeps to it, and tries again."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    made, switch, _ = guard(limit=0)
    made.note("retry-lost")
    with pytest.raises(OSError, match=r"ot a directory|xists"):
        made.synchronise(guard_file(blocked, "retry"))
    assert switch.tripped
    made.synchronise(guard_file(tmp_path, "retry"))
    assert read_trip(guard_file(tmp_path, "retry")) == made.trip


def test_a_file_says_why_since_when_and_who(tmp_path: Path) -> None:
    """What `retry-parity guard` shows."""
    path = guard_file(tmp_path, "retry")
    path.write_text(json.dumps({"why": "w", "since": "2026-01-01T00:00:00+00:00", "worker": 7}))
    found = read_trip(path)
    assert found == Trip("w", "2026-01-01T00:00:00+00:00", 7, id=found.id if found else "")
    assert read_trip(tmp_path / "none") is None


def test_the_command_line_shows_and_resets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an operator types: what has tripped and why, then the reset, then nothing."""
    made, _, _ = guard(limit=0)
    made.note("retry-lost")
    made.synchronise(guard_file(tmp_path, "my plugin"))
    assert main(["guard", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("my plugin: tripped since ")
    assert "the last one: retry-lost" in shown
    assert main(["guard", str(tmp_path), "--reset", "my plugin"]) == 0
    assert main(["guard", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "my plugin: reset at " in shown
    assert "no guard is tripped" in shown
    assert main(["guard", str(tmp_path), "--reset", "my plugin"]) == 2


def test_the_command_line_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is none, and a guard that has not tripped."""
    assert main(["guard", str(tmp_path / "none")]) == 2
    assert main(["guard", str(tmp_path), "--reset", "other"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"retry-parity: {tmp_path / 'none'}: no such file or directory"
    assert second == f"retry-parity: --reset other: not tripped; tripped in {tmp_path}: none"


@pytest.mark.parametrize("name", ["..", ".", "a/b", "[/b]", "P.guard.json", "重试", "x" * 50])
def test_any_plugin_name_has_a_file_of_its_own(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the folder and nowhere else; the command line shows the name as it is."""
    made, _, _ = guard(limit=0)
    made.note("retry-lost")
    made.synchronise(guard_file(tmp_path, name))
    assert main(["guard", str(tmp_path)]) == 1
    assert capsys.readouterr().out.startswith(f"{name}: tripped since ")
    assert main(["guard", str(tmp_path), "--reset", name]) == 0
    assert list(tmp_path.iterdir()) == [guard_file(tmp_path, name)]
