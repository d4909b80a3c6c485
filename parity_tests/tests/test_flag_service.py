"""The flag service: what is taken from it, what holds without it, and what operators read.

The tests follow real flags files through the real provider. Where a test waits, it waits for the
follower to tell, and the deadline only says when to give up.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc  # type: ignore[import-untyped] # ships no types
import pytest
from openfeature import api
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider
from openfeature.schemas.protobuf.flagd.evaluation.v2 import evaluation_pb2, evaluation_pb2_grpc
from openfeature.schemas.protobuf.flagd.sync.v1 import sync_pb2, sync_pb2_grpc

from retry_parity import flag_provider, flag_service
from retry_parity.figures import ServiceState
from retry_parity.flag import Implementation
from retry_parity.flag_service import NOTHING_TOLD, FlagFollower, Told, missing_extra
from retry_parity.last_flags import LastFlagsFile
from retry_parity.settings import ServiceSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GIVE_UP_S: Final = 30.0
EXAMPLE: Final = Path(flag_service.__file__).with_name("flags.example.json")


def flags(implementation: Any = "shadow", percent: Any = 5) -> dict[str, Any]:
    """Make the content of a flags file."""
    return {
        "flags": {
            "retry-implementation": flag(implementation),
            "retry-canary-percent": flag(percent),
        }
    }


def flag(value: Any, **fields: Any) -> dict[str, Any]:
    """Make one flag."""
    return {"state": "ENABLED", "variants": {"given": value}, "defaultVariant": "given"} | fields


class Listener:
    """Whom the follower tells; hands on what was told, in order."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.threads: set[str] = set()
        self._changed = threading.Condition()

    def __call__(self, told: Told) -> None:
        """Be told."""
        with self._changed:
            self.told.append(told)
            self.threads.add(threading.current_thread().name)
            self._changed.notify_all()

    @property
    def last(self) -> Told:
        """What holds now."""
        return self.told[-1] if self.told else NOTHING_TOLD

    def wait(self, expected: Callable[[Told], bool]) -> Told:
        """Wait until what holds is as expected."""
        with self._changed:
            assert self._changed.wait_for(lambda: expected(self.last), GIVE_UP_S), self.told
            return self.last

    def wait_for(self, implementation: str) -> Told:
        """Wait until a value of the flag holds."""
        return self.wait(lambda told: told.implementation == implementation)

    def wait_until(self, state: ServiceState) -> Told:
        """Wait until the service is in a state."""
        return self.wait(lambda told: told.state is state)


class Followed:
    """A flags file, its follower, and who listens."""

    def __init__(
        self,
        path: Path,
        settings: ServiceSettings | None = None,
        name: str | None = None,
        keep_in: Path | None = None,
    ) -> None:
        self.path = path
        self.listener = Listener()
        self.follower = FlagFollower(
            name or path.parent.name,
            settings or ServiceSettings(path=path),
            self.listener,
            keep_in,
        )

    def write(self, content: object, *, modified: float | None = None) -> None:
        """Put a new file in place of the old one, as editors and deployments do."""
        new = self.path.with_suffix(".new")
        new.write_text(content if isinstance(content, str) else json.dumps(content))
        if modified is not None:
            os.utime(new, (modified, modified))
        new.replace(self.path)

    def begin(self, content: object | None = None) -> Listener:
        """Start with a readable file, and wait until it has been read."""
        self.write(flags() if content is None else content)
        self.follower.start()
        self.listener.wait(lambda told: told.state is not ServiceState.NOT_READY)
        return self.listener


@pytest.fixture
def followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Followed]:
    """A file that is followed from `begin` or `start` to the test's end."""
    caplog.set_level(logging.INFO, "retry_parity")
    made = Followed(tmp_path / "flags.json")
    yield made
    made.follower.stop()


def lines(caplog: pytest.LogCaptureFixture, level: int, logger: str = "retry_parity") -> list[str]:
    """Give what was logged at a level."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == logger and record.levelno == level
    ]


# --- What is taken


@pytest.mark.parametrize("value", list(Implementation))
def test_the_service_sets_the_flag(followed: Followed, value: Implementation) -> None:
    """The string flag ``retry-implementation`` takes the four values by name."""
    listener = followed.begin(flags(value.value, 5))
    assert listener.told == [Told(value, 5.0, ServiceState.READY, 0)]


@pytest.mark.parametrize("percent", [0, 1, 100, 0.5, 1.0, 99.9])
def test_the_service_sets_the_share(followed: Followed, percent: float) -> None:
    """``retry-canary-percent`` is any number from 0 to 100, whole or not."""
    assert followed.begin(flags(percent=percent)).last.canary_percent == percent


def test_the_example_sets_what_changes_nothing(followed: Followed) -> None:
    """The file that ships lets the hybrid decide, and the first canary would be a small one."""
    assert followed.begin(EXAMPLE.read_text()).last == Told(
        Implementation.LEGACY, 5.0, ServiceState.READY, 0
    )


@pytest.mark.parametrize("before", list(Implementation))
def test_the_documented_file_and_command_do_what_they_say(
    tmp_path: Path, before: Implementation
) -> None:
    """The command did nothing unless the value was one; file and example told two shares."""
    guide = (Path(__file__).parents[2] / "docs/MIGRATION.md").read_text()
    example = json.loads(EXAMPLE.read_text())["flags"]
    (documented,) = re.findall(r"```json\n(.*?)```", guide, re.DOTALL)
    assert json.loads(documented)["flags"] == example
    (command,) = re.findall(r"^\$ (python3 -c .* flags\.json .*)$", guide, re.MULTILINE)
    path = tmp_path / "flags.json"
    example["retry-implementation"]["defaultVariant"] = before.value
    path.write_text(json.dumps({"flags": example}))
    subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, check=True)  # noqa: S603 - our own text
    changed = json.loads(path.read_text())["flags"]
    example["retry-implementation"]["defaultVariant"] = "shadow"
    assert changed == example


def test_yaml_is_read(tmp_path: Path) -> None:
    """The provider takes files named ``.yaml`` for YAML."""
    yaml = Followed(tmp_path / "flags.yaml")
    try:
        content = "flags: {retry-implementation: {state: ENABLED, variants: {r: rust}, %s}}"
        assert yaml.begin(content % "defaultVariant: r").last.implementation == "rust"
    finally:
        yaml.follower.stop()


def test_a_rule_sees_the_plugin_s_name(followed: Followed) -> None:
    """Targeting can tell plugins apart, by ``targetingKey``."""
    rule = {"if": [{"==": [{"var": "targetingKey"}, followed.path.parent.name]}, "this", "given"]}
    variants = {"given": "legacy", "this": "canary"}
    content = flags()
    content["flags"]["retry-implementation"] = flag("", variants=variants, targeting=rule)
    assert followed.begin(content).last.implementation is Implementation.CANARY


# --- What is not taken


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Rust", "'Rust'"),
        ("", "''"),
        ("hybrid\nrust", r"'hybrid\nrust'"),
        (3, "TYPE_MISMATCH"),
        (True, "TYPE_MISMATCH"),
        (["rust"], "TYPE_MISMATCH"),
        (None, "TYPE_MISMATCH"),
    ],
)
def test_an_unknown_value_leaves_the_last_good_one(
    followed: Followed, caplog: pytest.LogCaptureFixture, value: Any, shown: str
) -> None:
    """One warning says what was given, what is allowed, where, and what holds."""
    listener = followed.begin(flags("shadow", 5))
    followed.write(flags(value, 6))
    told = listener.wait(lambda told: told.canary_percent == 6)
    assert told == Told(Implementation.SHADOW, 6.0, ServiceState.STALE, 1)
    (line,) = lines(caplog, logging.WARNING)
    assert line.startswith(f"flag service {followed.path}: retry-implementation: {shown}")
    assert line.endswith("is not one of legacy, shadow, canary, rust; shadow holds")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-0.5, "-0.5"),
        (101, "101.0"),
        (True, "true"),
        (False, "false"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (10**400, "GENERAL (int too large"),
        ("50", "TYPE_MISMATCH"),
    ],
)
def test_a_share_that_is_none_leaves_the_last_good_one(
    followed: Followed, caplog: pytest.LogCaptureFixture, value: Any, shown: str
) -> None:
    """A switch is no number, even though the provider takes true for 1."""
    listener = followed.begin(flags("canary", 5))
    followed.write(flags("rust", value))
    assert listener.wait_for("rust") == Told(Implementation.RUST, 5.0, ServiceState.STALE, 1)
    (line,) = lines(caplog, logging.WARNING)
    assert line.startswith(f"flag service {followed.path}: retry-canary-percent: {shown}")
    assert line.endswith("is not a number from 0 to 100; 5.0 holds")


def test_a_broken_rule_leaves_the_last_good_value(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    """A rule that names no variant is the service's mistake, not an answer."""
    listener = followed.begin(flags("shadow", 5))
    content = flags("shadow", 6)
    content["flags"]["retry-implementation"]["targeting"] = {"if": [True, "nowhere"]}
    followed.write(content)
    told = listener.wait(lambda told: told.canary_percent == 6)
    assert (told.implementation, told.rejected) == (Implementation.SHADOW, 1)
    assert "GENERAL (Resolved variant nowhere not in" in lines(caplog, logging.WARNING)[0]


def test_a_bad_value_that_stays_counts_once(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    """`rejected` counts changes to a value that is not taken; the log has each such value once."""
    listener = followed.begin()
    for percent, value in enumerate(["off", "off", "on", "off"]):
        followed.write(flags(value, percent))
        listener.wait(lambda told, percent=percent: told.canary_percent == percent)  # type: ignore[misc] # a default in a lambda
    assert listener.last.rejected == 3
    assert [line.split("'")[1] for line in lines(caplog, logging.WARNING)] == ["off", "on"]


def test_a_long_value_is_shortened(followed: Followed, caplog: pytest.LogCaptureFixture) -> None:
    """A whole document in place of a value does not fill the log."""
    listener = followed.begin()
    followed.write(flags("secret" * 1000))
    listener.wait(lambda told: told.rejected == 1)
    assert len(lines(caplog, logging.WARNING)[0]) < 200 + len(str(followed.path))


def test_a_first_value_that_is_bad_is_none(followed: Followed) -> None:
    """What was never good cannot hold: the environment or the config do."""
    assert followed.begin(flags("off", 7)).last == Told(None, 7.0, ServiceState.STALE, 1)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("flags: {}", "is no JSON, line 1 column 1: Expecting value; a YAML file has to end in"),
        ("\ufeff{}", "is no JSON, line 1 column 1: Unexpected UTF-8 BOM"),
        ("{}".encode("utf-16"), "is not UTF-8"),
        ("folder", "is a directory"),
        ("pipe", "no regular file"),
    ],
    ids=["yaml", "BOM", "UTF-16", "folder", "pipe"],
)
def test_what_is_no_flags_file_is_said_in_words(
    followed: Followed, caplog: pytest.LogCaptureFixture, content: str | bytes, why: str
) -> None:
    """YAML without its ending was never ready, for "JSONDecodeError"; a pipe held the thread."""
    if content == "folder":
        followed.path.mkdir()
    elif content == "pipe":
        os.mkfifo(followed.path)
    elif isinstance(content, str):
        followed.path.write_text(content, encoding="utf-8")
    else:
        followed.path.write_bytes(content)
    logged = watch(logging.getLogger("retry_parity"))
    followed.follower.start()
    logged.wait(1)
    followed.follower.stop()
    (line,) = lines(caplog, logging.WARNING)
    assert line.startswith(f"flag service {followed.path} is not ready ({why}")


# --- Workers that start while nothing usable is said


BROKEN: Final = {
    "unknown value": (flags("Rust", 7), ServiceState.STALE),
    "wrong type": (flags(3, 7), ServiceState.STALE),
    "broken rule": (
        {
            "flags": {
                "retry-implementation": flag("shadow", targeting={"if": [True, "nowhere"]}),
                "retry-canary-percent": flag(7),
            }
        },
        ServiceState.STALE,
    ),
    "share out of range": (flags("canary", 101), ServiceState.STALE),
    "truncated": ('{"flags": {', ServiceState.NOT_READY),
    "empty": ("", ServiceState.NOT_READY),
    "gone": (None, ServiceState.NOT_READY),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_worker_that_starts_while_the_file_is_broken_agrees_with_its_siblings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    """It decided by the plugin's config, and both said that the service was ready."""
    content, state = BROKEN[broken]
    keep_in = tmp_path / "evidence" / "retry.flags.json"
    workers = [
        Followed(tmp_path / "flags.json", name=f"worker {number}", keep_in=keep_in)
        for number in range(2)
    ]
    old, new = workers
    try:
        old.begin(flags("canary", 7))
        if content is None:
            old.path.unlink()
        else:
            old.write(content)
        old.listener.wait(lambda told: told.state is not ServiceState.READY)
        new.follower.start()
        told = new.listener.wait_for("canary")
        assert told == Told(Implementation.CANARY, 7.0, state, told.rejected)
        assert old.listener.last.implementation is told.implementation
        assert old.listener.last.state is not ServiceState.READY
        warned = lines(caplog, logging.WARNING)
        assert any("holds, as read " in line and " ago" in line for line in warned)
        new.write(flags("rust", 8))
        for each in workers:
            assert each.listener.wait_for("rust").state is ServiceState.READY
    finally:
        for each in workers:
            each.follower.stop()


def test_what_is_taken_beside_a_value_that_is_not_is_kept(tmp_path: Path) -> None:
    """After the way back, beside a share that was refused, a new worker took ``rust`` again."""
    keep_in = tmp_path / "retry.flags.json"
    old = Followed(tmp_path / "flags.json", name="old", keep_in=keep_in)
    new = Followed(tmp_path / "flags.json", name="new", keep_in=keep_in)
    try:
        old.begin(flags("rust", 5))
        old.write(flags("legacy", "bad"))
        old.listener.wait_for("legacy")
        old.write("{")
        old.listener.wait_until(ServiceState.GONE)
        new.follower.start()
        assert new.listener.wait_for("legacy").canary_percent == 5
    finally:
        old.follower.stop()
        new.follower.stop()


def test_a_worker_that_has_seen_nothing_current_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may decide by its environment; the others' last value is not its to change."""
    keep_in = tmp_path / "retry.flags.json"
    monkeypatch.setenv("RETRY_IMPLEMENTATION", "legacy")
    worker = Followed(tmp_path / "flags.json", name="worker", keep_in=keep_in)
    keep_in.write_text("kept")
    try:
        assert worker.begin(flags("Rust", 5)).last.state is ServiceState.STALE
    finally:
        worker.follower.stop()
    assert keep_in.read_text() == "kept"


def test_what_is_not_admitted_is_not_kept_and_the_others_value_holds(tmp_path: Path) -> None:
    """``rust`` without its certificate: a new worker decided by its config, and said "ready"."""
    keep_in = tmp_path / "retry.flags.json"
    path = tmp_path / "flags.json"
    taken: list[Told] = []

    def take(told: Told) -> Told:
        is_refused = told.implementation is Implementation.RUST
        before = taken[-1].implementation if taken else None
        taken.append(replace(told, implementation=before) if is_refused else told)
        return taken[-1]

    old = Followed(path, name="old", keep_in=keep_in)
    old.begin(flags("shadow", 5))
    old.follower.stop()
    old.write(flags("rust", 5))
    settings = ServiceSettings(path=path)
    follower = FlagFollower("new", settings, take, keep_in)
    try:
        follower.start()
        deadline = time.monotonic() + GIVE_UP_S
        while len(taken) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        follower.stop()
    assert (taken[-1].implementation, taken[-1].state) == ("shadow", ServiceState.STALE)
    assert json.loads(keep_in.read_text())["implementation"] == "shadow"


def test_the_environment_goes_before_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``RETRY_IMPLEMENTATION=legacy`` and a restart are the way back that needs no service."""
    keep_in = tmp_path / "retry.flags.json"
    settings = ServiceSettings(path=tmp_path / "flags.json")
    before = Followed(settings.path or keep_in, settings, keep_in=keep_in)
    before.begin(flags("rust", 5))
    before.follower.stop()
    before.path.unlink()
    monkeypatch.setenv("RETRY_IMPLEMENTATION", "legacy")
    listener = Listener()
    follower = FlagFollower("retry", settings, listener, keep_in)
    logged = watch(logging.getLogger("retry_parity"))
    try:
        follower.start()
        logged.wait(1)
    finally:
        follower.stop()
    assert listener.last == NOTHING_TOLD


def test_a_flag_that_was_removed_is_not_brought_back(tmp_path: Path) -> None:
    """The service said that it sets nothing; that is the last thing that it said."""
    keep_in = tmp_path / "retry.flags.json"
    old = Followed(tmp_path / "flags.json", name="old", keep_in=keep_in)
    new = Followed(tmp_path / "flags.json", name="new", keep_in=keep_in)
    try:
        old.begin(flags("rust", 7))
        old.write({"flags": {}})
        old.listener.wait(lambda told: told.implementation is None)
        old.write("{")
        old.listener.wait_until(ServiceState.GONE)
        started = watch(logging.getLogger("retry_parity"))
        new.follower.start()
        started.wait(1)
        assert new.listener.last == NOTHING_TOLD
    finally:
        old.follower.stop()
        new.follower.stop()


KEPT: Final = {"service": "S", "implementation": "rust", "percent": 5, "read_at": 1.0}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        json.dumps(KEPT | {"service": "another"}),
        json.dumps(KEPT | {"implementation": "Rust"}),
        json.dumps(KEPT | {"percent": 101}),
        json.dumps(KEPT | {"percent": float("nan")}),
        json.dumps(KEPT | {"read_at": "then"}),
        json.dumps({"service": "S"}),
        None,
    ],
)
def test_kept_values_that_make_no_sense_are_none(tmp_path: Path, content: str | None) -> None:
    """Nor those of another service; and nobody waits for whoever writes to a pipe."""
    path = tmp_path / "retry.flags.json"
    path.write_text(json.dumps(KEPT))
    kept = LastFlagsFile(path, "S").read()
    assert kept is not None
    assert kept.implementation is Implementation.RUST
    path.unlink()
    if content is None:
        os.mkfifo(path)
        with pytest.raises(OSError, match="no regular file"):
            LastFlagsFile(path, "S").read()
        return
    path.write_text(content)
    assert LastFlagsFile(path, "S").read() is None


def test_kept_values_say_when_they_were_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that goes on holding is confirmed each minute, and not at each look."""
    path = tmp_path / "retry.flags.json"
    file = LastFlagsFile(path, "S")

    def confirmed_at(now_s: float) -> float:
        monkeypatch.setattr(time, "time", lambda: now_s)
        file.keep(Implementation.CANARY, 5.0)
        return float(json.loads(path.read_text())["read_at"])

    assert [confirmed_at(now_s) for now_s in (1000.0, 1030.0, 1061.0)] == [1000.0, 1000.0, 1061.0]
    monkeypatch.setattr(time, "time", lambda: 1061.0 + 3 * 3600)
    kept = file.read()
    assert kept is not None
    assert kept.age == "3 hours"


# --- What is said no more


@pytest.mark.parametrize(
    "content",
    [
        {"flags": {}},
        {"flags": {"retry-implementation": flag("rust", state="DISABLED")}},
        {"flags": {"retry-implementation": flag("rust", defaultVariant=None)}},
    ],
    ids=["removed", "disabled", "without a default"],
)
def test_a_flag_that_is_not_set_any_more_is_none(
    followed: Followed, caplog: pytest.LogCaptureFixture, content: dict[str, Any]
) -> None:
    """In a readable file this is no mistake, and a worker that starts now reads the same."""
    listener = followed.begin(flags("rust", 5))
    followed.write(content)
    told = listener.wait(lambda told: told.implementation is None)
    assert told == Told(None, None, ServiceState.READY, 0)
    assert lines(caplog, logging.WARNING) == []


# --- A service that is not there


def test_a_file_that_is_not_there_yet_is_awaited(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is told before the file is there; one line says why, one that it is there."""
    started = watch(logging.getLogger("retry_parity"))
    followed.follower.start()
    started.wait(1)
    followed.write(flags("rust", 5))
    assert followed.listener.wait_for("rust").state is ServiceState.READY
    assert followed.listener.told == [followed.listener.last]
    (warning,) = lines(caplog, logging.WARNING)
    assert warning.startswith(
        f"flag service {followed.path} is not ready (no such file or directory)"
    )
    assert warning.endswith("; the environment or the plugin config holds")
    assert lines(caplog, logging.INFO) == [f"flag service {followed.path} is ready"]


@pytest.mark.parametrize(
    "content",
    [None, "", "{", "[]", "null", '{"flags": []}', '{"flags": {"other": {"state": "ON"}}}'],
    ids=["deleted", "empty", "truncated", "list", "null", "wrong flags", "wrong state"],
)
def test_without_a_readable_file_the_last_values_hold(
    followed: Followed, caplog: pytest.LogCaptureFixture, content: str | None
) -> None:
    """The service is gone: one line says so, and one that it is back."""
    listener = followed.begin(flags("canary", 5))
    if content is None:
        followed.path.unlink()
    else:
        followed.path.write_text(content)
    told = listener.wait_until(ServiceState.GONE)
    assert told == Told(Implementation.CANARY, 5.0, ServiceState.GONE, 0)
    followed.write(flags("rust", 5))
    assert listener.wait_for("rust").state is ServiceState.READY
    (warning,) = lines(caplog, logging.WARNING)
    assert warning.startswith(f"flag service {followed.path} is gone (")
    assert warning.endswith("; canary holds")
    assert lines(caplog, logging.INFO)[1:] == [f"flag service {followed.path} is back"]


def test_the_same_file_coming_back_is_seen(followed: Followed) -> None:
    """A file moved away and back has no later time; the provider alone says ERROR for ever."""
    listener = followed.begin()
    away = followed.path.rename(followed.path.with_suffix(".away"))
    listener.wait_until(ServiceState.GONE)
    away.rename(followed.path)
    listener.wait_until(ServiceState.READY)
    followed.write(flags("rust"))
    listener.wait_for("rust")


def test_an_older_file_is_read(followed: Followed) -> None:
    """A way back by ``cp -p`` or a checkout has an earlier time than what it replaces."""
    listener = followed.begin(flags("rust"))
    followed.write(flags("legacy"), modified=1_000_000)
    listener.wait_for("legacy")


def test_a_file_of_the_same_time_and_size_is_read(followed: Followed) -> None:
    """Two edits within one tick of the file system's clock are two edits."""
    listener = followed.begin(flags("legacy"))
    followed.write(flags("shadow"), modified=followed.path.stat().st_mtime)
    listener.wait_for("shadow")


def test_a_file_rewritten_in_place_is_read(followed: Followed) -> None:
    """Also when its times are put back."""
    listener = followed.begin(flags("legacy"))
    before = followed.path.stat()
    followed.path.write_text(json.dumps(flags("shadow")))
    os.utime(followed.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    listener.wait_for("shadow")


def test_a_swapped_link_is_followed(followed: Followed) -> None:
    """Kubernetes replaces the link to the folder; the files in it may be of any age."""
    mounts = [followed.path.parent / name for name in ("one", "two")]
    for mount, value, modified in zip(
        mounts, ("rust", "legacy"), (2_000_000, 1_000_000), strict=True
    ):
        mount.mkdir()
        (mount / "flags.json").write_text(json.dumps(flags(value)))
        os.utime(mount / "flags.json", (modified, modified))
    data = followed.path.parent / "data"
    data.symlink_to(mounts[0])
    followed.path.symlink_to(data / "flags.json")
    followed.follower.start()
    followed.listener.wait_for("rust")
    new = followed.path.parent / "new"
    new.symlink_to(mounts[1])
    new.replace(data)
    followed.listener.wait_for("legacy")


# --- What is logged by others


class Watch(logging.Filter):
    """Counts what is logged, before any other filter has a say."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._logged = threading.Condition()

    def filter(self, _record: logging.LogRecord) -> bool:
        """Count, and let pass."""
        with self._logged:
            self._count += 1
            self._logged.notify_all()
        return True

    def wait(self, count: int) -> None:
        """Wait until that much was logged."""
        with self._logged:
            assert self._logged.wait_for(lambda: self._count >= count, GIVE_UP_S)


def watch(logger: logging.Logger) -> Watch:
    """Count what a logger is given; the test's end takes every filter away."""
    made = Watch()
    logger.filters.insert(0, made)
    return made


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    """Take away what a test put on the loggers, and see that the follower left nothing."""
    yield
    for name in ("retry_parity", "openfeature", "openfeature.contrib"):
        logger = logging.getLogger(name)
        logger.filters[:] = [each for each in logger.filters if not isinstance(each, Watch)]
        assert logger.filters == []


def test_the_provider_complains_once(followed: Followed, caplog: pytest.LogCaptureFixture) -> None:
    """It logs an exception each half second; operators read one, and another one the next time."""
    contrib = logging.getLogger("openfeature.contrib")
    listener = followed.begin()
    for times in (1, 2):
        attempts = watch(contrib)
        followed.path.write_text("{")
        attempts.wait(4)
        listener.wait_until(ServiceState.GONE)
        assert len(lines(caplog, logging.ERROR, contrib.name)) == times
        followed.write(flags())
        listener.wait_until(ServiceState.READY)


def test_an_evaluation_that_raises_is_logged_once(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK logs an exception for each of them, which is one a second."""
    attempts = watch(logging.getLogger("openfeature"))
    followed.begin(flags(percent=10**400))
    attempts.wait(3)
    assert len(lines(caplog, logging.ERROR, "openfeature")) == 1


def test_other_users_log_as_before(followed: Followed, caplog: pytest.LogCaptureFixture) -> None:
    """What is none of a flagd provider's passes, however often."""
    followed.begin()
    for _ in range(3):
        logging.getLogger("openfeature").warning("of somebody else")
    assert lines(caplog, logging.WARNING, "openfeature") == ["of somebody else"] * 3


# --- Around it


def test_the_process_s_own_provider_is_left_alone(followed: Followed) -> None:
    """The service is in a domain of our own."""
    variants = {"on": "theirs"}
    api.set_provider_and_wait(InMemoryProvider({"theirs": InMemoryFlag("on", variants)}))
    try:
        followed.begin()
        followed.follower.stop()
        assert api.get_client().get_string_value("theirs", "") == "theirs"
    finally:
        api.clear_providers()


def test_it_survives_a_shutdown_by_others(followed: Followed) -> None:
    """Whoever shuts OpenFeature down takes everybody's providers and handlers away."""
    listener = followed.begin()
    api.shutdown()
    followed.write(flags("rust"))
    listener.wait_for("rust")


def test_whom_it_tells_may_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """That is logged, and the next news is told all the same."""
    listener = Listener()

    def tell(told: Told) -> None:
        listener(told)
        raise RuntimeError("of the listener")

    path = tmp_path / "flags.json"
    path.write_text(json.dumps(flags("shadow")))
    follower = FlagFollower("failing", ServiceSettings(path=path), tell)
    follower.start()
    try:
        listener.wait_for("shadow")
        path.write_text(json.dumps(flags("rust")))
        listener.wait_for("rust")
    finally:
        follower.stop()
    assert lines(caplog, logging.ERROR)[0] == "flag service: whom it is told to failed"


def test_telling_happens_on_its_own_thread(followed: Followed) -> None:
    """One thread, however often it is started."""
    for _ in range(3):
        followed.follower.start()
    assert followed.begin().threads == {f"retry-parity flags {followed.path.parent.name}"}
    names = [thread.name for thread in threading.enumerate()]
    assert names.count(next(iter(followed.listener.threads))) == 1


def test_whom_it_tells_may_stop_it(tmp_path: Path) -> None:
    """Stopping does not wait for the thread that stops."""
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(flags()))
    stopped = threading.Event()

    def tell(_told: Told) -> None:
        follower.stop()
        stopped.set()

    follower = FlagFollower("stopping", ServiceSettings(path=path), tell)
    follower.start()
    assert stopped.wait(GIVE_UP_S)
    join_all("retry-parity flags stopping")


def test_it_can_be_started_again(followed: Followed) -> None:
    """After a stop nothing is told; a start tells what is new since."""
    listener = followed.begin(flags("shadow"))
    followed.follower.stop()
    followed.write(flags("rust"))
    followed.follower.start()
    listener.wait_for("rust")
    assert [told.implementation for told in listener.told] == ["shadow", "rust"]


def join_all(prefix: str) -> None:
    """Wait until no thread of a name is left."""
    for thread in threading.enumerate():
        if thread.name.startswith(prefix):
            thread.join(GIVE_UP_S)
            assert not thread.is_alive()


def test_nothing_is_left_of_fifty_followers(tmp_path: Path) -> None:
    """Neither threads nor, in the SDK, clients, handlers and providers."""
    from openfeature._event_support import _client_handlers
    from openfeature.provider._registry import provider_registry

    client = flag_provider._client_of("retry-parity/fifty")  # noqa: SLF001 - whose handlers they are
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(flags()))
    clients = len(_client_handlers)
    for _ in range(50):
        listener = Listener()
        follower = FlagFollower("fifty", ServiceSettings(path=path), listener)
        follower.start()
        listener.wait_until(ServiceState.READY)
        follower.stop()
    join_all("retry-parity flags fifty")
    join_all("Flagd")
    join_all("Thread-")
    assert len(_client_handlers) <= clients + 1
    assert not any(_client_handlers[client].values())
    assert "Flagd" not in repr(list(provider_registry._provider_status))  # noqa: SLF001 - where it leaks


def test_a_file_that_stays_bad_leaves_no_threads(followed: Followed) -> None:
    """The SDK does not end a provider whose successor fails: each bad edit made one thread more."""
    listener = followed.begin()
    for value in ("[", "{", "", "[]", "null"):
        attempts = watch(logging.getLogger("openfeature.contrib"))
        followed.write(value)
        attempts.wait(1)
    listener.wait_until(ServiceState.GONE)
    followed.write(flags("rust"))
    listener.wait_for("rust")
    deadline = time.monotonic() + GIVE_UP_S
    while (count := sum(t.name.startswith("Flagd") for t in threading.enumerate())) > 1:
        assert time.monotonic() < deadline, count
        threading.Event().wait(0.05)


# --- What is not installed


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line names the package and the extra; with all there is nothing to say."""
    assert missing_extra() is None
    monkeypatch.setitem(sys.modules, "openfeature.contrib.provider.flagd", None)
    assert missing_extra() == (
        "migration.flags: the package openfeature.contrib.provider.flagd cannot be imported; a "
        "feature-flag service is followed with the extra 'retry-parity[flags]'"
    )


def test_a_start_without_the_extra_says_so(
    followed: Followed, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It raises nothing and tells nothing; one line says what to install."""
    monkeypatch.setitem(sys.modules, "openfeature.contrib.provider.flagd", None)
    followed.write(flags())
    followed.follower.start()
    join_all("retry-parity flags")
    (line,) = lines(caplog, logging.ERROR)
    assert line.startswith(str(missing_extra()))
    assert followed.listener.told == []


def test_settings_of_the_environment_that_are_wrong_are_only_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider refuses to be made; the follower tries on, and the log has it once."""
    monkeypatch.setenv("FLAGD_PORT", "none")
    followed = Followed(tmp_path / "none", ServiceSettings(resolver="in-process"))
    logged = watch(logging.getLogger("retry_parity"))
    followed.follower.start()
    try:
        logged.wait(1)
    finally:
        followed.follower.stop()
    (line,) = lines(caplog, logging.WARNING)
    assert line.startswith("flag service in-process is not ready (ValueError(")
    assert followed.listener.told == []


IMPORTS_NOTHING: Final = """
    import sys
    from pathlib import Path
    from retry_parity.flag_service import FlagFollower, missing_extra
    from retry_parity.settings import ServiceSettings
    FlagFollower("plugin", ServiceSettings(path=Path("flags.json")), print).stop()
    missing_extra()
    assert "grpc" not in sys.modules and "openfeature.api" not in sys.modules
"""

FORKS: Final = """
    import os, sys, threading, traceback
    from pathlib import Path
    from retry_parity.flag_service import FlagFollower
    from retry_parity.settings import ServiceSettings

    changed = threading.Condition()
    told = []

    def tell(now):
        with changed:
            told.append(now)
            changed.notify_all()

    def wait(implementation):
        with changed:
            assert changed.wait_for(lambda: told and told[-1].implementation == implementation, 30)

    def write(implementation):
        new = path.with_suffix(".new")
        new.write_text(path.read_text().replace(told[-1].implementation, implementation))
        new.replace(path)

    def child():
        follower.start()
        write("rust")
        wait("rust")
        follower.stop()

    path = Path(sys.argv[1])
    follower = FlagFollower("forked", ServiceSettings(path=path), tell)
    follower.start()
    wait("shadow")
    pid = os.fork()
    if pid == 0:
        changed = threading.Condition()  # the old one may be held by a thread of the parent's
        try:
            child()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    wait("rust")
    follower.stop()
"""


def run(script: str, *arguments: str) -> None:
    """Run a script in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    done = subprocess.run(  # noqa: S603 - our own
        command, capture_output=True, text=True, timeout=2 * GIVE_UP_S, check=False
    )
    assert done.returncode == 0, done.stderr


def test_nothing_is_imported_before_it_is_needed() -> None:
    """Without a service to follow, OpenFeature and gRPC cost nothing."""
    run(IMPORTS_NOTHING)


def test_it_goes_on_in_the_child_of_a_fork(tmp_path: Path) -> None:
    """A gateway may load the plugin before it forks its workers; threads stay with the parent."""
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(flags("shadow")))
    run(FORKS, str(path))


# --- A flagd


class StandIn(sync_pb2_grpc.FlagSyncServiceServicer, evaluation_pb2_grpc.ServiceServicer):
    """Speaks flagd's protocols, because flagd itself cannot be installed from a package index.

    It serves ``in-process`` (whole flag sets) and ``rpc`` (single answers), as far as the
    provider asks. What it shows is how the provider and the follower treat a service on the
    network that is late, changes, goes and comes back; not how flagd itself behaves.
    """

    def __init__(self) -> None:
        self.refuses = False
        self.port = 0
        self._content = json.dumps(flags())
        self._version = 0
        self._changed = threading.Condition()
        self._server: Any = None

    def say(self, content: object) -> None:
        """Send another flag set."""
        with self._changed:
            self._content = content if isinstance(content, str) else json.dumps(content)
            self._version += 1
            self._changed.notify_all()

    def come(self) -> None:
        """Begin to listen, on the same port each time."""
        self._server = grpc.server(ThreadPoolExecutor(8))
        sync_pb2_grpc.add_FlagSyncServiceServicer_to_server(self, self._server)
        evaluation_pb2_grpc.add_ServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def go(self) -> None:
        """Cut every connection."""
        if self._server is not None:
            self._server.stop(None).wait()
            self.say(self._content)
            self._server = None

    def _versions(self, context: Any) -> Iterator[str]:
        seen = None
        while context.is_active():
            version, content = self._next(seen)
            if version != seen:
                seen = version
                yield content

    def _next(self, seen: int | None) -> tuple[int, str]:
        with self._changed:
            self._changed.wait_for(lambda: self._version != seen, 0.1)
            return self._version, self._content

    def SyncFlags(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: ARG002, N802 - gRPC's
        """Send the flag set now and whenever it changes."""
        if self.refuses:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "refused")
        for content in self._versions(context):
            yield sync_pb2.SyncFlagsResponse(flag_configuration=content)

    def GetMetadata(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - gRPC's
        """Give none, as flagd does: an empty struct, not nothing."""
        response = sync_pb2.GetMetadataResponse()
        response.metadata.SetInParent()
        return response

    def EventStream(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: ARG002, N802 - gRPC's
        """Say that there is a service, and whenever something changed."""
        kind = "provider_ready"
        for _ in self._versions(context):
            event = evaluation_pb2.EventStreamResponse(type=kind)
            event.data.update({"flags": {"retry-implementation": {}}})
            yield event
            kind = "configuration_change"

    def _value(self, request: Any, context: Any, kind: type | tuple[type, ...]) -> Any:
        value = json.loads(self._content)["flags"][request.flag_key]["variants"]["given"]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "type mismatch")
        return value

    def ResolveString(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        """Answer for one flag."""
        value = self._value(request, context, str)
        return evaluation_pb2.ResolveStringResponse(value=value, reason="STATIC", variant="given")

    def ResolveFloat(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        """Answer for one flag."""
        value = self._value(request, context, (int, float))
        return evaluation_pb2.ResolveFloatResponse(value=value, reason="STATIC", variant="given")

    def ResolveBoolean(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        """Answer for one flag."""
        value = self._value(request, context, bool)
        return evaluation_pb2.ResolveBooleanResponse(value=value, reason="STATIC", variant="given")


@pytest.fixture
def flagd() -> Iterator[StandIn]:
    """A stand-in that is not there yet, on a port that is free."""
    made = StandIn()  # type: ignore[abstract] # gRPC refuses what is not served
    made.come()
    made.go()
    yield made
    made.go()


@pytest.fixture(params=["in-process", "rpc"])
def remote(
    request: pytest.FixtureRequest, flagd: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[Followed]:
    """A follower of the stand-in; only the resolver's setting makes the difference."""
    caplog.set_level(logging.INFO, "retry_parity")
    settings = ServiceSettings(resolver=request.param, host="127.0.0.1", port=flagd.port)
    made = Followed(tmp_path / "unused", settings)
    yield made
    made.follower.stop()
    join_all("Flagd")


def test_a_flagd_may_be_late_and_go_and_come_back(
    remote: Followed, flagd: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """Against a stand-in, see there. The last values hold, and each of it is one line."""
    listener = remote.listener
    logged = watch(logging.getLogger("retry_parity"))
    remote.follower.start()
    logged.wait(1)
    assert listener.told == []
    flagd.come()
    assert listener.wait_for("shadow") == Told(Implementation.SHADOW, 5.0, ServiceState.READY, 0)
    flagd.say(flags("canary", 1))
    assert listener.wait_for("canary").canary_percent == 1
    flagd.say(flags("on", True))  # noqa: FBT003 - a value of a flag
    assert listener.wait(lambda told: told.rejected == 2).implementation == "canary"
    flagd.go()
    gone = listener.wait_until(ServiceState.GONE)
    assert gone == Told(Implementation.CANARY, 1.0, ServiceState.GONE, 2)
    flagd.say(flags("rust", 1))
    flagd.come()
    assert listener.wait_for("rust") == Told(Implementation.RUST, 1.0, ServiceState.READY, 2)
    states = [line.split(" is ")[1].split()[0] for line in lines(caplog, logging.WARNING)]
    assert sorted(states) == ["gone", "not", "not", "not"]
    assert [line.split(" is ")[1] for line in lines(caplog, logging.INFO)] == ["ready", "back"]


def test_an_event_that_is_lost_costs_a_second(
    remote: Followed, flagd: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a stand-in. Without any event the follower reads all the same, once a second."""
    monkeypatch.setattr(flag_provider.Service, "_listen", lambda _self, *, again: None)  # noqa: ARG005 - events are what is lost
    flagd.come()
    remote.follower.start()
    remote.listener.wait_for("shadow")
    flagd.say(flags("rust"))
    remote.listener.wait_for("rust")


@pytest.mark.parametrize("remote", ["in-process"], indirect=True)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_message_that_ends_the_provider_s_thread_is_survived(
    remote: Followed, flagd: StandIn
) -> None:
    """Against a stand-in. After a flag set that is a list the provider alone is READY and deaf."""
    flagd.come()
    remote.follower.start()
    remote.listener.wait_for("shadow")
    flagd.say("[]")
    assert remote.listener.wait_until(ServiceState.GONE).implementation == "shadow"
    flagd.say(flags("rust"))
    remote.listener.wait_for("rust")


@pytest.mark.parametrize("remote", ["in-process"], indirect=True)
def test_a_provider_that_gave_up_is_replaced(
    remote: Followed, flagd: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a stand-in. After a status that counts as fatal the provider never asks again."""
    monkeypatch.setenv("FLAGD_FATAL_STATUS_CODES", "PERMISSION_DENIED")
    flagd.refuses = True
    flagd.come()
    logged = watch(logging.getLogger("retry_parity"))
    remote.follower.start()
    logged.wait(1)
    flagd.refuses = False
    remote.listener.wait_for("shadow")
