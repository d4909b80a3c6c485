"""Evidence on disk: complete, bounded, never corrupt, and without a word of what a tool said."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cpex.framework import PluginConfig
from laboratory import FAILURE, NAME, SUCCESS, answered, finish

from retry_parity import candidates, evidence_files
from retry_parity.evidence import evidence_of
from retry_parity.evidence_files import FORMAT, EvidenceFiles
from retry_parity.flag import Implementation
from retry_parity.lane import Lane
from retry_parity.lifetime import bound
from retry_parity.migration import migration_of
from retry_parity.settings import EvidenceSettings, MigrationSettings
from retry_parity.upkeep import Upkeep

#: Planted where only a tool or its caller could have put it.
PLANTED = "tr0ub4dor-and-3"


def lane(answer: Any, capture: str = "redacted", **config: Any) -> Lane:
    """Put a scripted candidate beside the real hybrid, in shadow mode."""

    class Candidate:
        async def tool_post_invoke(self, *_: object) -> object:
            return answer()

    settings = MigrationSettings.model_validate({"evidence": {"capture": capture}})
    base = {"jitter": False, "backoff_base_ms": 100}
    made: Any = Candidate()
    return Lane(
        PluginConfig(name=NAME, kind="x", config=base | config),
        flag=Implementation.SHADOW,
        settings=settings,
        load=lambda _: candidates.Candidate(made, takes_extensions=True),
    )


def ask(subject: Any, result: Any = FAILURE, request_id: str = "r1", tool: str = "tool") -> Any:
    """Tell the lane of a result."""
    payload = SimpleNamespace(name=tool, result=result)
    context = SimpleNamespace(global_context=SimpleNamespace(request_id=request_id))
    return finish(subject.tool_post_invoke(payload, context, None))


def files(folder: Path, **settings: Any) -> EvidenceFiles:
    """Open the files of this process."""
    return EvidenceFiles(EvidenceSettings(directory=folder, **settings), migration_of(NAME))


def lines(path: Path) -> list[dict[str, Any]]:
    """Read whole lines."""
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def test_the_last_line_has_all_counts(tmp_path: Path) -> None:
    """One line about the run, then one for each second in which something changed."""
    subject = lane(lambda: answered(0))
    written = files(tmp_path)
    ask(subject, SUCCESS)
    written.write(migration_of(NAME))
    written.write(migration_of(NAME))
    ask(subject)
    written.write(migration_of(NAME))
    about, first, last = lines(written.folder / "counts.jsonl")
    assert about["kind"] == "run"
    assert about["format"] == FORMAT
    assert (about["source"], about["candidate"], about["shapes"]) == (
        "live",
        "rust",
        [[False, False]],
    )
    assert about["versions"]["cpex"]
    assert (first["sequence"], first["matches"], first["divergent"]) == (1, 1, {})
    assert (last["sequence"], last["matches"], last["divergent"]) == (2, 1, {"retry-lost": 1})
    assert last["decisions"]["legacy"] == {"retry": 1, "no retry": 1, "raised": 0}
    assert last["strata"] == {
        "no signal | no chain | base | structured | no retry": {"match": 1},
        "isError | no chain | base | structured | retry": {"divergent": 1},
    }


def test_latencies_are_hdr_histograms_of_both_sides(tmp_path: Path) -> None:
    """Any HdrHistogram library reads and merges them: version 2, compressed, base64."""
    ask(lane(answered), SUCCESS)
    written = files(tmp_path)
    written.write(migration_of(NAME))
    latency = lines(written.folder / "counts.jsonl")[-1]["latency"]
    assert set(latency) == {"legacy", "rust"}
    assert all(encoded.startswith("HISTFAAA") for encoded in latency.values())


def test_a_sample_has_the_whole_chain_that_led_to_it(tmp_path: Path) -> None:
    """The calls before it, the oldest first, each with both decisions and what decided."""
    delays = iter([100, 200, 999])
    subject = lane(lambda: answered(next(delays)), max_retries=3)
    written = files(tmp_path)
    for _ in range(3):
        ask(subject, {**FAILURE, "structuredContent": {"status_code": 503}})
    written.write(migration_of(NAME))
    # The scripted candidate's policy has another budget than this config.
    samples = lines(written.folder / "samples.jsonl")
    last = samples[-1]
    assert last["signature"] == "delay+metadata"
    assert [step["legacy_delay_ms"] for step in last["chain"]] == [100, 200]
    assert [step["rust_delay_ms"] for step in last["chain"]] == [100, 200]
    assert last["chain"][0]["result"]["status_code"] == 503
    assert (last["legacy"]["delay_ms"], last["rust"]["delay_ms"]) == (400, 999)
    assert last["tool"] == "tool"
    assert last["request"] != "r1"


def test_samples_of_a_signature_are_few(tmp_path: Path) -> None:
    """Three of each kind show what it is; a flood of one hides no other."""
    subject = lane(lambda: answered(0))
    for number in range(50):
        ask(subject, request_id=f"r{number}")
    written = files(tmp_path)
    written.write(migration_of(NAME))
    assert len(lines(written.folder / "samples.jsonl")) == 3


HOSTILE: dict[str, Any] = {
    "text": {**FAILURE, "content": [{"type": "text", "text": PLANTED}]},
    "key": {**FAILURE, PLANTED: PLANTED, "structuredContent": {PLANTED: PLANTED}},
    "status": {**FAILURE, "structuredContent": {"status_code": PLANTED}},
    "flag": {**SUCCESS, "isError": PLANTED, "structuredContent": {"isError": PLANTED}},
    "item type": {**FAILURE, "content": [{"type": PLANTED, "text": [PLANTED]}, PLANTED]},
    "content": {**FAILURE, "content": PLANTED},
    "structure": {**FAILURE, "structuredContent": [PLANTED]},
}


@pytest.mark.parametrize("result", HOSTILE.values(), ids=HOSTILE)
def test_a_planted_secret_is_nowhere(
    result: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the samples, not in the counts, not in the log: whatever a candidate does with it."""

    def leaks() -> object:
        error = ValueError(f"cannot use {PLANTED}")
        error.add_note(PLANTED)
        raise error

    written = files(tmp_path)
    answers: list[Any] = [
        lambda: answered(7),
        lambda: answered(7, echo=PLANTED, retry_policy={"max_retries": PLANTED, PLANTED: 1}),
        lambda: answered(7).model_copy(update={"retry_delay_ms": PLANTED}),
        leaks,
    ]
    with caplog.at_level(logging.DEBUG):
        for number, answer in enumerate(answers):
            subject = lane(answer)
            for _ in range(2):
                ask(subject, result, request_id=f"r{number}")
        written.write(migration_of(NAME))
    assert len(lines(written.folder / "samples.jsonl")) >= 3
    for path in written.folder.iterdir():
        assert PLANTED not in path.read_text()
    own = [each for each in caplog.records if each.name == "retry_parity"]
    assert own
    assert PLANTED not in "".join(each.getMessage() + (each.exc_text or "") for each in own)


def test_an_operator_may_ask_for_everything(tmp_path: Path) -> None:
    """``capture: full`` keeps the result as it was, up to a length."""
    subject = lane(lambda: answered(0), capture="full")
    ask(subject, HOSTILE["text"])
    ask(subject, {**FAILURE, "content": [{"type": "text", "text": "x" * 200_000}]}, request_id="r2")
    written = files(tmp_path)
    written.write(migration_of(NAME))
    short, long = (each["captured"] for each in lines(written.folder / "samples.jsonl"))
    assert PLANTED in short
    assert 65_536 < len(long) < 66_000
    assert long.endswith("(cut)")


def test_counts_stay_small_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has grown is replaced by its first and last line; nothing of the counts is lost."""
    monkeypatch.setattr(evidence_files, "_MOST_COUNTS", 20_000)
    subject, written = lane(answered), files(tmp_path)
    path = written.folder / "counts.jsonl"
    for number in range(60):
        ask(subject, SUCCESS)
        written.write(migration_of(NAME))
        assert path.stat().st_size <= 20_000
        about, *_, last = lines(path)
        assert about["kind"] == "run"
        assert last["matches"] == number + 1
    assert evidence_of(NAME).bytes_on_disk == path.stat().st_size
    assert not list(written.folder.glob("*.part"))


def test_samples_stay_small_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit they are dropped and counted."""
    monkeypatch.setattr(evidence_files, "_MOST_COUNTS", 2 * 1024 * 1024 - 1000)
    subject, written = lane(lambda: answered(0)), files(tmp_path, limit_mib=2)
    for number in range(3):
        ask(subject, request_id=f"r{number}")
    written.write(migration_of(NAME))
    assert (written.folder / "samples.jsonl").stat().st_size <= 1000
    assert evidence_of(NAME).dropped()["disk limit"] >= 1
    assert evidence_of(NAME).counts().divergent == {"retry-lost": 3}


def test_a_folder_that_cannot_be_used_costs_the_evidence_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls are answered and counted, samples are dropped and counted, one line is logged."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    subject, written = lane(lambda: answered(0)), files(blocked)
    for _ in range(3):
        assert ask(subject).retry_delay_ms in {100, 200, 0}
        written.write(migration_of(NAME))
    assert evidence_of(NAME).counts().divergent == {"retry-lost": 2}
    assert evidence_of(NAME).dropped()["not a directory"] >= 2
    assert sum("cannot be kept" in each.getMessage() for each in caplog.records) == 1


def test_a_folder_that_vanishes_is_made_again(tmp_path: Path) -> None:
    """Whoever cleans up while the gateway runs gets a new, whole file."""
    subject, written = lane(answered), files(tmp_path)
    ask(subject, SUCCESS)
    written.write(migration_of(NAME))
    (written.folder / "counts.jsonl").unlink()
    written.folder.rmdir()
    written.write(migration_of(NAME))
    about, last = lines(written.folder / "counts.jsonl")
    assert about["kind"] == "run"
    assert last["matches"] == 1


def test_a_full_disk_tears_no_more_than_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was cut off is never continued: the next line begins on its own."""
    subject, written = lane(answered), files(tmp_path)
    path = written.folder / "counts.jsonl"
    ask(subject, SUCCESS)
    written.write(migration_of(NAME))
    whole = Path.open

    class Full:
        """A file on a disk that has room for some bytes more."""

        def __init__(self, file: Any) -> None:
            self._file = file

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def write(self, data: bytes) -> int:
            self._file.write(data[:40])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda *given, **named: Full(whole(*given, **named)))
        ask(subject, SUCCESS)
        written.write(migration_of(NAME))
    assert evidence_of(NAME).dropped() == {"no space left on device": 1}
    written.write(migration_of(NAME))
    *_, torn, last = path.read_text().splitlines()
    assert len(torn) == 40
    assert json.loads(last)["matches"] == 2


WRITER = """
import sys, time
from pathlib import Path
from cpex.framework import PluginConfig, GlobalContext, PluginContext, ToolPostInvokePayload
from retry_parity import MigrationPlugin, upkeep
from retry_parity.migration import migration_of
config = {"migration": {"implementation": "shadow", "evidence": {"directory": sys.argv[1]}}}
plugin = MigrationPlugin(PluginConfig(name="retry", kind="x", config=config))
upkeep.start(migration_of("retry"))
payload = ToolPostInvokePayload(name="tool", result={"isError": False})
context = PluginContext(global_context=GlobalContext(request_id="r"))
print("ready", flush=True)
while True:
    try:
        plugin.tool_post_invoke(payload, context).send(None)
    except StopIteration:
        pass
    time.sleep(0.0005)
"""


def test_a_killed_worker_loses_the_last_second_and_corrupts_nothing(tmp_path: Path) -> None:
    """SIGKILL at any moment: every line but perhaps the last one is whole, and recent."""
    worker = subprocess.Popen(  # noqa: S603 - our own
        bound([sys.executable, "-c", WRITER, str(tmp_path)]), stdout=subprocess.PIPE
    )
    assert worker.stdout is not None
    worker.stdout.readline()
    deadline = time.monotonic() + 30
    path: Path | None = None
    while time.monotonic() < deadline and (path is None or len(path.read_text().splitlines()) < 4):
        path = next(iter(tmp_path.rglob("counts.jsonl")), None)
    killed_at = time.time()
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    assert path is not None
    text = path.read_text()
    whole = [json.loads(line) for line in text[: text.rindex("\n")].splitlines()]
    assert [each["kind"] for each in whole] == ["run"] + ["counts"] * (len(whole) - 1)
    assert whole[-1]["matches"] > 0
    # One second, and what a busy machine adds.
    assert killed_at - whole[-1]["at"] < 5


FLOOD = """
from types import SimpleNamespace
from cpex.framework import PluginConfig
from retry_parity import MigrationPlugin, _native

def resident_mib():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 2**20

# The core alone, so that only its own store grows beside the harness's table.
from retry_with_backoff import _core
_core.set_max_chains(1000)
section = {"implementation": "rust"}
config = {"jitter": False, "max_retries": 9, "migration": section}
plugin = MigrationPlugin(PluginConfig(name="retry", kind="x", config=config))
result = {"isError": True, "content": [{"type": "text", "text": "boom"}]}

def fail(number):
    payload = SimpleNamespace(name="tool", result=result)
    context = SimpleNamespace(global_context=SimpleNamespace(request_id=f"r{number}"))
    try:
        plugin.tool_post_invoke(payload, context).send(None)
    except StopIteration as end:
        assert end.value.retry_delay_ms > 0

for number in range(500):
    fail(number)
before = resident_mib()
for number in range(150_000):
    fail(number)
print(_native.open_chains(), _native.evicted_chains(), resident_mib() - before)
"""


def test_a_flood_of_failing_requests_takes_little_memory() -> None:
    """150,000 distinct requests, all failing: the oldest are forgotten, and counted."""
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", FLOOD], capture_output=True, check=True
    )
    live, evicted, grown_mib = done.stdout.split()
    assert int(live) == 32_768
    assert int(evicted) == 150_000 - 32_768
    assert float(grown_mib) < 16


def test_objects_that_ask_for_other_files_do_not_multiply_what_was_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The counts are the process's. Written to a second run they would be there twice."""
    subject = lane(lambda: answered(0))
    ask(subject, SUCCESS)
    migration = migration_of(NAME)
    upkeep = Upkeep()
    for name in ("one", "two", "one"):
        settings = {"evidence": {"directory": str(tmp_path / name)}}
        migration.settings = MigrationSettings.model_validate(settings)
        upkeep.round()
    runs = [*tmp_path.glob("*/*/*/counts.jsonl")]
    assert [run.relative_to(tmp_path).parts[0] for run in runs] == ["one"]
    assert caplog.text.count("another evidence section than the first one's") == 1
