"""What goes on beside the calls fails: threads, files, the flag service, the metrics.

Under every value of the flag the calls are served; the failure is counted or logged once; what can
be begun again is; and nothing piles up.
"""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from injections import DELAYS, FLAGS, Gateway, Panic, counts, resources
from laboratory import NAME

from retry_parity import flag_service, metrics, state_file, upkeep
from retry_parity.evidence import Evidence, evidence_of
from retry_parity.evidence_files import COUNTS, EvidenceFiles
from retry_parity.flag import Implementation
from retry_parity.flag_provider import Service
from retry_parity.flag_service import FlagFollower, Told
from retry_parity.guard import Trip, guard_file
from retry_parity.migration import Migration, migration_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ERRORS: Final = [RuntimeError, OSError, MemoryError, SystemExit, Panic]
SERVICE: Final = {
    "resolver": "file",
    "path": str(Path(flag_service.__file__).with_name("flags.example.json")),
}


@pytest.fixture(autouse=True)
def upkeep_ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave no thread to the next test, and wait for no clock."""
    upkeep.stop()
    monkeypatch.setattr(upkeep, "_EVERY_S", 0.01)
    yield
    upkeep.stop()


def failing(error: type[BaseException]) -> Any:
    """Make a part that fails."""

    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def ends_well(gateway: Gateway) -> None:
    """See that requests are served, before a rebuild and after."""
    assert gateway.request() == DELAYS
    gateway.rebuild()
    assert gateway.request() == DELAYS


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give the lines about errors."""
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


def until(holds: Callable[[], object]) -> None:
    """Wait until the upkeep's thread has come so far."""
    for _ in range(2000):
        if holds():
            return
        threading.Event().wait(0.005)
    pytest.fail("the upkeep did not come so far within 10 s")


def upkeep_threads() -> list[threading.Thread]:
    """Give the threads of the upkeep."""
    return [each for each in threading.enumerate() if each.name.startswith("retry-parity")]


@pytest.mark.parametrize("flag", FLAGS)
def test_a_thread_that_cannot_be_started_is_started_with_the_next_object(
    flag: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A process at its limit of threads: the plugin could not be initialised, nor the gateway."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("retry-parity"):
            raise RuntimeError("can't start new thread")
        start(thread)

    settings = {**FLAGS[flag], "flags": SERVICE, "evidence": {"directory": str(tmp_path)}}
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        gateway = Gateway(settings).__enter__()
        ends_well(gateway)
        assert upkeep_threads() == []
    lines = errors(caplog)
    assert len(lines) == 2
    assert "in step upkeep" in lines[0]
    assert "no thread to follow it with" in lines[1]
    gateway.rebuild()
    until(lambda: len(upkeep_threads()) == 2)
    until(lambda: list(tmp_path.rglob(COUNTS)))
    gateway.__exit__(None, None, None)


def test_what_never_began_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that could not be started was joined when the process ended, which raises."""
    monkeypatch.setattr(threading.Thread, "start", failing(RuntimeError))
    made = upkeep.Upkeep()
    made.take_on(migration_of(NAME))
    made.stop()


@pytest.mark.parametrize("error", ERRORS)
def test_a_round_that_fails_is_not_the_last_one(
    error: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever it raises, and wherever: one line, and the next round is as ever."""
    with Gateway({"implementation": "shadow", "evidence": {"directory": str(tmp_path)}}) as gateway:
        rounds = 0

        def fail(*_: object) -> Any:
            nonlocal rounds
            rounds += 1
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(upkeep, "migrations", fail)
            until(lambda: rounds > 3)
            assert gateway.request() == DELAYS
        (line,) = errors(caplog)
        assert line.startswith("the upkeep failed: ")
        written = list(tmp_path.rglob(COUNTS))
        assert gateway.request() == DELAYS
        until(lambda: last_calls(tmp_path) == 8)
        assert list(tmp_path.rglob(COUNTS)) == written or not written


def last_calls(folder: Path) -> int:
    """Give the matches that the evidence on disk tells of."""
    for path in folder.rglob(COUNTS):
        if lines := path.read_text().splitlines():
            return int(json.loads(lines[-1]).get("matches", 0))
    return 0


def test_a_thread_that_died_is_replaced_with_the_next_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever can end a thread; the next rebuild is at most 30 s away."""
    with Gateway(FLAGS["shadow"]) as gateway:
        (first,) = upkeep_threads()
        # pytest takes a thread's death for a failure of the test.
        monkeypatch.setattr(threading, "excepthook", lambda _: None)
        with monkeypatch.context() as patch:
            patch.setattr(upkeep.Upkeep, "round", failing(RuntimeError))
            patch.setattr(upkeep.Upkeep, "_say_once", failing(RuntimeError))
            until(lambda: not first.is_alive())
            assert gateway.request() == DELAYS
        gateway.rebuild()
        (second,) = upkeep_threads()
        assert second is not first
        assert gateway.request() == DELAYS


@pytest.mark.parametrize("part", ["write", "__init__"])
@pytest.mark.parametrize("error", ERRORS)
def test_a_writer_of_evidence_that_fails_is_counted_and_logged_once(
    error: type[BaseException],
    part: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The counts go on in memory, and are written when it works again."""
    tried = 0

    def fail(*_: object) -> Any:
        nonlocal tried
        tried += 1
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(EvidenceFiles, part, fail)
        gateway = Gateway({"implementation": "shadow", "evidence": {"directory": str(tmp_path)}})
        gateway.__enter__()
        assert gateway.request() == DELAYS
        until(lambda: counts().harness_errors.get("evidence", 0) > 3)
        assert len(errors(caplog)) == 1
        # Not even that it failed can be counted.
        patch.setattr(Evidence, "harness_error", failing(error))
        before = tried
        until(lambda: tried > before + 3)
        assert gateway.request() == DELAYS
        assert len(errors(caplog)) == 1
    until(lambda: last_calls(tmp_path) == 8)
    gateway.__exit__(None, None, None)


@pytest.mark.parametrize("flag", FLAGS)
def test_a_full_disk_costs_the_evidence_and_nothing_else(
    flag: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A real one: every write says that there is no space left."""
    with Gateway({**FLAGS[flag], "evidence": {"directory": str(tmp_path)}}) as gateway:
        until(lambda: list(tmp_path.rglob(COUNTS)))
        (path,) = tmp_path.rglob(COUNTS)
        path.unlink()
        path.symlink_to("/dev/full")
        assert gateway.request() == DELAYS
        until(lambda: evidence_of(NAME).dropped().get("no space left on device", 0) > 3)
        lines = [each for each in caplog.messages if "evidence cannot be kept" in each]
        assert len(lines) == 1
        path.unlink()
        ends_well(gateway)
        until(path.exists)


@pytest.mark.parametrize("flag", FLAGS)
def test_a_file_system_that_hangs_holds_up_no_call_and_no_start(
    flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    """A network drive that is gone: reading the guard's file does not return.

    It was read on the gateway's event loop, at each rebuild; and each shutdown of a plugin object
    took one more thread of the event loop's pool for good.
    """
    monkeypatch.setattr(upkeep, "_FIRST_LOOK_S", 0.05)
    monkeypatch.setattr(upkeep, "_FLUSH_S", 0.05)
    released = threading.Event()
    monkeypatch.setattr(state_file, "read", lambda _: released.wait() and b"")
    release = released.set

    # A test that hangs would say nothing.
    rescue = threading.Timer(20.0, release)
    rescue.start()
    with Gateway({**FLAGS[flag], "evidence": {"directory": str(tmp_path)}}) as gateway:
        ends_well(gateway)
        before = resources()
        requests = []
        for _ in range(10):
            requests.append(gateway.request())
            gateway.rebuild()
        # Threads of earlier tests may end meanwhile.
        assert all(now <= then for now, then in zip(resources(), before, strict=True))
        assert rescue.is_alive(), "it hung"
        rescue.cancel()
        release()
    lost = sum(each != DELAYS for each in requests)
    record_property("tried", len(requests))
    record_property("lost", lost)
    assert lost == 0


def test_a_guard_that_was_tripped_before_holds_from_the_first_call(tmp_path: Path) -> None:
    """The first object waits for its file, which is read on the upkeep's thread."""
    told = {"why": "w", "since": "2026-01-01T00:00:00+00:00", "worker": 7}
    guard_file(tmp_path, NAME).write_text(json.dumps(told))
    with Gateway({**FLAGS["rust alone"], "evidence": {"directory": str(tmp_path)}}) as gateway:
        trip = migration_of(NAME).guard.trip
        assert trip is not None
        assert (trip.why, trip.worker) == ("w", 7)
        assert gateway.request() == DELAYS


@pytest.mark.parametrize("flag", FLAGS)
def test_a_guard_file_that_cannot_be_written_is_said_once(
    flag: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The guard of this worker holds; the others cannot know."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    with Gateway({**FLAGS[flag], "evidence": {"directory": str(blocked / "evidence")}}) as gateway:
        migration_of(NAME).guard.on_trip(Trip("", "", 0))
        for _ in range(4):
            migration_of(NAME).guard.note("test")
        until(lambda: evidence_of(NAME).dropped().get("guard state: not a directory", 0) > 3)
        ends_well(gateway)
        assert migration_of(NAME).switch.tripped
    lines = [each for each in caplog.messages if "guard state" in each]
    assert len(lines) == 1


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("flag", FLAGS)
def test_metrics_that_cannot_be_shown_are_said_once_and_tried_again(
    flag: str,
    error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A registry that raises kept the gateway from starting."""
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "expose", failing(error))
        gateway = Gateway(FLAGS[flag]).__enter__()
        ends_well(gateway)
    assert counts().harness_errors == {"upkeep": 2}
    assert len(errors(caplog)) == 1
    shown: list[object] = []
    monkeypatch.setattr(metrics, "expose", shown.append)
    ends_well(gateway)
    ends_well(gateway)
    assert shown == [upkeep.figures]
    gateway.__exit__(None, None, None)


def test_a_mirror_of_metrics_that_fails_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It was said once a second."""
    updates = 0

    class Mirror:
        def update(self, _: object) -> None:
            nonlocal updates
            updates += 1
            raise Panic

    monkeypatch.setattr(metrics, "expose", lambda _: Mirror())
    with Gateway(FLAGS["shadow"]) as gateway:
        until(lambda: updates > 5)
        ends_well(gateway)
    (line,) = errors(caplog)
    assert line.startswith("metrics cannot be mirrored: Panic at ")


@pytest.mark.parametrize("moment", ["__init__", "start"])
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("flag", FLAGS)
def test_a_follower_that_cannot_begin_leaves_the_flag_where_it_is(
    flag: str,
    error: type[BaseException],
    moment: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The plugin could not be initialised."""
    monkeypatch.setattr(FlagFollower, moment, failing(error))
    with Gateway({**FLAGS[flag], "flags": SERVICE}) as gateway:
        ends_well(gateway)
        assert migration_of(NAME).flag.source == "migration.implementation"
    assert counts().harness_errors == {"upkeep": 2}
    assert len(errors(caplog)) == 1


@pytest.mark.parametrize("error", [RuntimeError, OSError, MemoryError])
def test_a_follower_that_fails_at_its_end_holds_up_no_other(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upkeep's own thread ends all the same."""
    stop = FlagFollower.stop

    def fail(follower: FlagFollower) -> None:
        stop(follower)
        raise error

    monkeypatch.setattr(FlagFollower, "stop", fail)
    with Gateway({**FLAGS["shadow"], "flags": SERVICE}) as gateway:
        ends_well(gateway)
        assert len(upkeep_threads()) == 2
    upkeep.stop()
    assert upkeep_threads() == []


@pytest.mark.parametrize("method", ["keep", "read", "close", "__init__"])
@pytest.mark.parametrize("error", ERRORS)
def test_a_provider_that_fails_is_gone_and_the_last_value_holds(
    error: type[BaseException], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the follower's own thread, which SystemExit ended without a word."""
    monkeypatch.setattr(Service, method, failing(error))
    with Gateway({**FLAGS["shadow"], "flags": SERVICE}) as gateway:
        ends_well(gateway)
        if method in {"keep", "read"}:
            name = f"retry-parity flags {NAME}"
            until(lambda: any(each.name == name for each in threading.enumerate()))
            assert migration_of(NAME).flag.implementation is Implementation.SHADOW
    upkeep.stop()
    assert upkeep_threads() == []


@pytest.mark.parametrize("error", ERRORS)
def test_whom_the_service_tells_may_fail_in_any_way(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread lives on, and tells the next news."""
    told: list[Told] = []

    def follow(_: Migration, news: Told) -> None:
        told.append(news)
        raise error

    monkeypatch.setattr(Migration, "follow", follow)
    with Gateway({**FLAGS["shadow"], "flags": SERVICE}) as gateway:
        until(lambda: told)
        ends_well(gateway)
        assert len([each for each in upkeep_threads() if "flags" in each.name]) == 1
    upkeep.stop()
    assert all("whom it is told to failed" in line for line in errors(caplog))
    assert len(errors(caplog)) == len(told)
