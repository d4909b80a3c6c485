"""No secret of a tool, a caller or an operator is in anything that is written.

The rules that the tests hold the code to:

- what a tool says, what its caller sends and what an operator configures elsewhere is nowhere;
- a tool's name is in log lines and evidence, and in what is made of evidence, never in metrics;
- a request id is in one line only: that with which the deciding side says that it gives up;
- with ``capture: full`` results are in ``trace.jsonl`` and in the samples' ``captured``, and from
  there in merged files and reports, and nowhere else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import planted
import pytest
from canaries import Leak, canary, leaks
from planted import CONFIGURED, EXCEPTION, REQUEST, SAID, TOOL

from retry_parity.cli import main
from retry_parity.metrics.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EVIDENCE: Final = "evidence"
#: The lines that may have a request id: the hybrid's, and the core's.
GIVES_UP: Final = (b"retries exhausted: tool=", b": gave up after ")
#: The logger of the core, which shows the first 300 characters of an internal error's message.
EXPLAINS: Final = "retry_with_backoff"
#: The cells of the input space that a few calls do not reach.
_UNREACHED: Final = (
    *("no *", "isError, *", "structured *", "retryable *", "other *", "text *", "unreadable *"),
    *("isError | after *", "* | override | *", "* | text check | *", "* | no retry", "* | raised"),
)
#: Asks for next to nothing, so that a certificate is written.
EASY: Final = """
[coverage]
per_stratum = 1
most_rate = 1.0
live_comparisons = 1
[trouble]
candidate_errors = 1000
[latency]
calls = 1
median_ratio = 1000.0
p99_ratio = 1000.0
""" + "".join(
    f'[[waive]]\nstratum = "{cells}"\nreason = "few calls"\nreview_by = 2099-01-01\n'
    for cells in _UNREACHED
)
_PATIENCE_S: Final = 300


@dataclass(frozen=True)
class Worker:
    """A worker that has ended.

    Attributes:
        planted: The canaries by place.
        folder: Its work folder.
        log: Everything that anybody logged, at DEBUG.
        errors: Its standard error, and what the hooks and the ``repr`` of its plugins gave.
    """

    planted: Mapping[str, str]
    folder: Path
    log: bytes
    errors: bytes

    @property
    def page(self) -> bytes:
        """Its metrics page."""
        return (self.folder / planted.PAGE).read_bytes()

    def files(self) -> dict[str, bytes]:
        """Give its evidence, and the files that several processes' metrics are made from."""
        folders = (self.folder / EVIDENCE, self.folder / "prometheus")
        paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}

    def without(self, *places: str) -> dict[str, str]:
        """Give the canaries of all other places."""
        return {place: text for place, text in self.planted.items() if place not in places}


def run(folder: Path, *, several: bool = False, **what: Any) -> Worker:
    """Let a worker serve."""
    places = (*SAID, *CONFIGURED, TOOL, REQUEST, EXCEPTION)
    texts = {place: canary(place) for place in places}
    (folder / "flags.json").write_text(json.dumps(flags(texts["flag metadata"])))
    environment = os.environ | {"DATABASE_PASSWORD": texts["environment"]}
    if several:
        (folder / "prometheus").mkdir()
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(folder / "prometheus")
    told = planted.What(texts, str(folder), **what)
    ended = subprocess.run(  # noqa: S603 - our own
        [sys.executable, planted.__file__],
        input=json.dumps(asdict(told)).encode(),
        capture_output=True,
        env=environment,
        timeout=_PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return Worker(texts, folder, ended.stdout, ended.stderr)


def flags(owner: str) -> dict[str, Any]:
    """Give a flags file whose metadata say something, and which leaves all flags as they are."""
    metadata = {"owner": owner}
    off = {
        "state": "DISABLED",
        "variants": {"on": "legacy"},
        "defaultVariant": "on",
        "metadata": metadata,
    }
    return {"metadata": metadata, "flags": {"retry-implementation": off}}


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Worker:
    """Give a worker whose evidence is redacted."""
    return run(tmp_path_factory.mktemp("redacted"))


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Worker:
    """Give one that captures everything, and is one of several processes."""
    return run(tmp_path_factory.mktemp("full"), several=True, capture="full")


def tell(record_property: Callable[[str, object], None], tried: int, found: list[Leak]) -> None:
    """Count what was looked for, and refuse what was found."""
    record_property("tried", tried)
    record_property("lost", len(found))
    assert not found


def test_a_worker_keeps_secrets_to_itself(
    worker: Worker, record_property: Callable[[str, object], None]
) -> None:
    """Under every value of the flag: not in logs, answers, reprs, evidence, or metrics."""
    secret = worker.without(TOOL, REQUEST)
    outputs = {"log": worker.log, "errors": worker.errors, "page": worker.page, **worker.files()}
    assert {Path(name).name for name in outputs} >= {"counts.jsonl", "samples.jsonl"}
    found = [leak for output in outputs.values() for leak in leaks(output, secret)]
    tell(record_property, len(outputs) * len(secret), found)


def test_a_tool_s_name_is_in_no_metric(worker: Worker, full: Worker) -> None:
    """It is in the evidence, and the page has been written all the same."""
    assert leaks(b"".join(worker.files().values()), {TOOL: worker.planted[TOOL]})
    for each in (worker, full):
        assert b"retry_migration_decisions_total" in each.page
        assert not leaks(each.page, each.planted)


def test_a_request_id_is_only_where_a_side_gives_up(worker: Worker) -> None:
    """It finds the call in the gateway's own log. Everywhere else it is a salted hash."""
    only = {REQUEST: worker.planted[REQUEST]}
    lines = [line for line in worker.log.splitlines() if leaks(line, only)]
    assert lines
    assert [line for line in lines if not any(words in line for words in GIVES_UP)] == []
    rest = b"".join([worker.errors, worker.page, *worker.files().values()])
    assert not leaks(rest, only)


def test_what_an_exception_says_is_not_repeated(tmp_path: Path) -> None:
    """A payload that raises tells its secret in the message, in a note, and in the cause.

    The exception's class and where it came from are named.
    """
    raising = run(tmp_path, raises=True)
    assert b"internal error in tool_post_invoke: ValueError" in raising.log
    assert b"raised-only-by-reference:ValueError" in raising.log
    assert b"the comparison failed in step" in raising.log
    outputs = [*raising.files().values(), raising.page, raising.errors, raising.log]
    secret = {EXCEPTION: raising.planted[EXCEPTION]}
    assert not leaks(b"".join(outputs), secret)


def test_a_figure_that_cannot_be_read_is_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    """The metrics page tells where reading failed, not what was read."""
    text = canary("figure")
    with pytest.raises(ValueError, match=text) as failed:
        float(text)
    Reader(dict).failed(failed.value)
    assert "figures could not be read" in caplog.text
    assert not leaks(caplog.text.encode(), {"figure": text})


def test_full_capture_writes_results_where_it_says(full: Worker) -> None:
    """The trace, and ``captured`` of samples; not the log, counts, metrics, guard or answers."""
    secret = full.without(TOOL, REQUEST)
    carriers = set()
    for name, content in full.files().items():
        if leaks(content, secret):
            carriers.add(Path(name).name)
    assert carriers == {"trace.jsonl", "samples.jsonl"}
    for path in full.folder.rglob("samples.jsonl"):
        for line in path.read_bytes().splitlines():
            sample = json.loads(line)
            assert sample.pop("captured")
            assert not leaks(json.dumps(sample).encode(), full.without(TOOL))
    assert not leaks(full.log + full.errors + full.page, secret)


#: Commands by name, each with the files that it writes. EVIDENCE, PLUGIN and OUT are put in.
COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "verdict": ("verdict", "PLUGIN", "--all", "--json", "OUT/verdict.json"),
    "verdict, on the terminal": ("verdict", "PLUGIN", "--all"),
    "certificate": (
        *("verdict", "AGREEING", "--thresholds", "EASY", "--certificate", "OUT/certificate.json"),
    ),
    "report": (
        *("report", "PLUGIN", "--html", "OUT/page.html", "--markdown", "OUT/summary.md"),
        *("--json", "OUT/report.json"),
    ),
    "merge": ("merge", "EVIDENCE", "--out", "OUT/merged.evidence"),
    "minimize": ("minimize", "PLUGIN", "--out", "OUT/tests", "--all"),
    "guard": ("guard", "EVIDENCE"),
}
#: The same of what was captured in full.
TRACE_COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "replay": (
        *("replay", "TRACE", "--candidate", "never-retries", "--workers", "1"),
        *("--out", "OUT/evidence", "--json", "OUT/replay.json"),
    ),
    "minimize a trace": (
        *("minimize", "TRACE", "--candidate", "never-retries", "--out", "OUT/tests", "--all"),
    ),
    "compare": (
        *("compare", "legacy", "python:retry_parity.broken_example:NeverRetriesPlugin"),
        *("--trace", "TRACE", "--one-process", "--json", "OUT/compare.json"),
    ),
}


def made_by(
    words: tuple[str, ...], source: Worker, out: Path, capfd: pytest.CaptureFixture[str]
) -> dict[str, bytes]:
    """Run a command; give all that it wrote and said."""
    evidence = source.folder / EVIDENCE
    (out / "easy.toml").write_text(EASY)
    made = out / "made"
    made.mkdir()
    traces = [str(path) for path in evidence.glob("shadow/*/trace.jsonl")]
    put = {
        "EVIDENCE": str(evidence),
        "PLUGIN": str(evidence / "shadow"),
        "AGREEING": str(evidence / "agreeing"),
        "TRACE": "".join(traces),
        "EASY": str(out / "easy.toml"),
    }
    status = main([put.get(word, word.replace("OUT", str(made))) for word in words])
    said = capfd.readouterr()
    assert status in {0, 1}, said.err
    files = [path for path in made.rglob("*") if path.is_file()]
    names = [Path(word) for word in words if word.startswith("OUT/")]
    assert {name.name for name in names if name.suffix} <= {path.name for path in files}
    told = {"stdout": said.out.encode(), "stderr": said.err.encode()}
    return told | {path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_what_is_made_of_redacted_evidence_has_no_secret(
    words: tuple[str, ...],
    worker: Worker,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    """Verdict, certificate, reports, merged files, the smallest test: by name, and by hash."""
    outputs = made_by(words, worker, tmp_path, capfd)
    secret = worker.without(TOOL)
    found = [leak for output in outputs.values() for leak in leaks(output, secret)]
    tell(record_property, len(outputs) * len(secret), found)


@pytest.mark.parametrize("words", TRACE_COMMANDS.values(), ids=TRACE_COMMANDS)
def test_what_is_made_of_a_trace_has_no_secret(
    words: tuple[str, ...],
    full: Worker,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    """A replay's evidence is facts again, and what is minimized has what the divergence needs."""
    outputs = made_by(words, full, tmp_path, capfd)
    secret = full.without(TOOL)
    found = [leak for output in outputs.values() for leak in leaks(output, secret)]
    tell(record_property, len(outputs) * len(secret), found)


#: The commands that hand on what samples captured, and the files that they put it into.
CARRIERS: Final = {"report": {"page.html", "report.json"}, "merge": {"merged.evidence"}}


@pytest.mark.parametrize("name", ["report", "merge", "verdict", "minimize"])
def test_of_full_evidence_only_what_was_captured_is_handed_on(
    name: str, full: Worker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In merged files and reports, under ``captured``; a summary and a test have none of it."""
    outputs = made_by(COMMANDS[name], full, tmp_path, capfd)
    secret = full.without(TOOL, REQUEST)
    carriers = {each for each, output in outputs.items() if leaks(output, secret)}
    assert carriers == {"report": {"page.html", "report.json"}, "merge": {"merged.evidence"}}.get(
        name, set()
    )
    if name == "report":
        told = json.dumps(without_captured(json.loads(outputs["report.json"])))
        assert not leaks(told.encode(), secret)


def without_captured(value: Any) -> Any:
    """Leave out what was captured, wherever it is."""
    if isinstance(value, dict):
        return {key: without_captured(each) for key, each in value.items() if key != "captured"}
    return [without_captured(each) for each in value] if isinstance(value, list) else value


# --- the search itself ---------------------------------------------------------------------------

ENCODERS: Final[dict[str, Callable[[str], bytes]]] = {
    "as it is": str.encode,
    "upper case": lambda text: text.upper().encode(),
    "the beginning": lambda text: text[:16].encode(),
    "the end": lambda text: text[-16:].encode(),
    "JSON": lambda text: json.dumps({"key": text}).encode(),
    "every character escaped": lambda text: "".join(f"\\u{ord(c):04X}" for c in text).encode(),
    "Base64": lambda text: base64.b64encode(f"user:{text}:rest".encode()),
    "Base64, one character before": lambda text: base64.b64encode(f"x{text}".encode()),
    "Base64, two characters before": lambda text: base64.urlsafe_b64encode(f"xy{text}".encode()),
    "Base32": lambda text: base64.b32encode(text.encode()),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    "URL": lambda text: "".join(f"%{ord(c):02x}" for c in text).encode(),
    "HTML": lambda text: "".join(f"&#{ord(c)};" for c in text).encode(),
    "UTF-16": lambda text: text.encode("utf-16-be"),
    "hash": lambda text: hashlib.sha256(text.encode()).hexdigest().encode(),
}


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
def test_a_canary_is_found_however_it_is_written(encode: Callable[[str], bytes]) -> None:
    """The search finds each form in the middle of anything, and nothing where there is none."""
    texts = {"one": canary("one"), "other": canary("other")}
    noise = os.urandom(500)
    assert [leak.place for leak in leaks(noise + encode(texts["one"]) + noise, texts)] == ["one"]
    assert leaks(noise, texts) == []


def test_a_leaking_worker_is_found(tmp_path: Path) -> None:
    """One line at DEBUG, in hexadecimal, of one logger: the control of all tests above."""
    leaking = run(tmp_path, leaks=True)
    (leak,) = leaks(leaking.log, leaking.without(TOOL, REQUEST))
    assert (leak.place, leak.form) == ("text", "hexadecimal")
