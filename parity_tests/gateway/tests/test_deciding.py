"""From shadow evidence to a decision, by the commands that an operator types."""

from __future__ import annotations

import shutil
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final

import pytest

from gateway.tests.connections import each_worker
from gateway.tests.deciding import CHAINS, WORKERS, WRONG, emitted_test, retry_parity, summed
from gateway.tests.evidence import lines
from gateway.tests.live import Live, wait_for_lines
from gateway.tests.page import decided

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from gateway.tests.deciding import Decision, Offline, Told, Wrong

_READY, _NOT_READY, _INSUFFICIENT = range(3)
#: A recorded call that succeeds at once.
_CALL: Final = ("users-get", "r0001")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give room for what all tests here make use of."""
    return tmp_path_factory.mktemp("deciding")


@pytest.fixture(scope="module")
def thresholds(folder: Path) -> Path:
    """Give thresholds that are met within seconds of traffic.

    1,000 comparisons on real traffic are required by default, which takes minutes here. That is all
    that is different.
    """
    file = folder / "thresholds.toml"
    file.write_text(f"[coverage]\nlive_comparisons = {CHAINS}\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def merged(decision: Decision, offline: Offline, folder: Path) -> Path:
    """Give all evidence in one file: of the gateway, of the replay, of what was generated."""
    file = folder / "evidence.jsonl"
    told = retry_parity("merge", decision.evidence, offline.folder, "--out", file)
    assert told == (0, f"{file}: {WORKERS + 2} runs\n", "")
    return file


@pytest.fixture(scope="module")
def certificate(merged: Path, thresholds: Path, folder: Path) -> tuple[Told, Path]:
    """Give what the verdict on all evidence said, and where its certificate is to be."""
    file = folder / "certificate.json"
    told = retry_parity("verdict", merged, "--thresholds", thresholds, "--certificate", file)
    return told, file


def _decides(decision: Decision) -> Counter[str]:
    """Make a call on each worker, and give who decided."""
    before = decided(decision.stack)
    tool, request_id = _CALL
    with each_worker(decision.stack) as clients:
        for worker, client in clients.items():
            answer = client.call_tool(tool, {"chain": f"{request_id}-{worker}"})
            assert not answer.failed, answer
    return decided(decision.stack) - before


def test_traffic_alone_does_not_suffice(decision: Decision) -> None:
    """Some minutes of shadow show no difference and too little: the verdict names what is missing.

    It is no matter of the number alone: traffic like this never reaches most of the cells.
    """
    told = retry_parity("verdict", decision.evidence)
    assert told.status == _INSUFFICIENT
    assert told.output.startswith("verdict: insufficient evidence\n")
    assert "NO " not in told.output
    assert "no result object | no chain | base | structured | raised: 0 of 59" in told.output
    assert "more in a gateway, under shadow or canary" in told.output


def test_replay_and_generated_calls_find_no_difference(offline: Offline) -> None:
    """The corpus, and scenarios until every cell is reached, end with status 0."""
    assert offline.replayed.status == 0, offline.replayed
    assert "replayed  4,853 calls, no unexplained divergences" in offline.replayed.output
    assert offline.generated.status == 0, offline.generated
    assert "\nmissing " not in offline.generated.output


def test_all_evidence_together_is_ready(
    merged: Path, certificate: tuple[Told, Path], tmp_path: Path
) -> None:
    """What the gateway saw, the replay and the generated calls fill every cell.

    By the default thresholds the only thing that is missing is more traffic.
    """
    told, file = certificate
    assert told.status == _READY, told
    assert told.output.startswith("verdict: ready\n")
    assert f"{file}: certificate, valid until " in told.output
    strict = retry_parity("verdict", merged, "--certificate", tmp_path / "no-certificate")
    assert strict.status == _INSUFFICIENT
    missing = [line for line in strict.output.splitlines() if line.startswith("missing")]
    assert [line.split("  ")[1] for line in missing] == ["live traffic"]
    assert not (tmp_path / "no-certificate").exists()


def test_the_report_is_one_page_that_needs_nothing_else(
    merged: Path, thresholds: Path, tmp_path: Path
) -> None:
    """It says the verdict, is below 1 MB, and refers to nothing outside of itself."""
    page = tmp_path / "report.html"
    told = retry_parity("report", merged, "--thresholds", thresholds, "--html", page)
    assert told == (0, f"{page}: the verdict is ready\n", "")
    text = page.read_text(encoding="utf-8")
    assert len(text.encode()) < 1_000_000
    read = _Page()
    read.feed(text)
    assert read.title.startswith("Ready ")
    assert read.outside == []
    assert "@import" not in text
    assert "url(http" not in text


def test_the_flag_is_refused_until_there_is_a_certificate(
    decision: Decision, certificate: tuple[Told, Path]
) -> None:
    """Without it every worker says what is missing, and shadow goes on; with it the core decides.

    The flag has to be flipped again then: a flip that was refused stays refused.
    """
    live = Live(decision.stack)
    live.set("shadow")
    before = len(decision.stack.said())
    live.flags.write("rust")
    wait_for_lines(decision.stack, before, ("rust is refused",), WORKERS)
    refused = decision.stack.said()[before:]
    why = (
        "rust is refused, shadow decides on: migration.require_certificate: "
        f"{decision.certificate}: no such file; retry-parity verdict --certificate writes one"
    )
    assert all(line.endswith(why) for line in refused), refused
    assert _decides(decision) == {"legacy": WORKERS}
    shutil.copy(certificate[1], decision.certificate)
    try:
        assert _decides(decision) == {"legacy": WORKERS}
        # Shadow holds already, so nothing would show that every worker has read it.
        live.flip("legacy")
        live.flip("rust")
        assert _decides(decision) == {"rust": WORKERS}
    finally:
        decision.certificate.unlink()
        live.set("shadow")


def test_a_replay_of_the_recorded_traffic_counts_the_same(
    decision: Decision, tmp_path: Path
) -> None:
    """With ``capture: full`` each worker's traffic is there, and its replay is the live run."""
    traces = [run / "trace.jsonl" for run in decision.runs()]
    assert len(traces) == WORKERS
    told = retry_parity("replay", *traces, "--out", tmp_path)
    assert told.status == 0, told
    (run,) = (tmp_path / decision.stack.settings.plugin_name).iterdir()
    about, *_, counts = lines(run / "counts.jsonl")
    assert summed(iter([counts["strata"]])) == decision.strata()
    assert about["config"] == lines(decision.runs()[0] / "counts.jsonl")[0]["config"]


def test_a_wrong_candidate_is_not_ready(wrong: Wrong) -> None:
    """Callers see nothing of it, and the verdict is about what would have become of them."""
    assert (wrong.ended.status, wrong.ended.errors) == (0, "")
    told = retry_parity("verdict", wrong.evidence)
    assert told.status == _NOT_READY
    assert told.output.startswith("verdict: not ready\n")
    assert "retry-lost on " in told.output


def test_a_divergence_becomes_the_smallest_test(wrong: Wrong, tmp_path: Path) -> None:
    """``minimize`` makes a test of a sample: red on that candidate, green on the core."""
    told = retry_parity("minimize", wrong.evidence, "--out", tmp_path)
    assert told.status == 0, told
    (file,) = tmp_path.glob("test_*.py")
    red, green = emitted_test(file, WRONG), emitted_test(file, "rust")
    assert red.status == 1, red
    assert f"the candidate {WRONG} decides otherwise than legacy" in red.output
    assert green.status == 0, green


class _Page(HTMLParser):
    """A page's title, and what it refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.outside: list[str] = []
        self._tag = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        for name, value in attrs:
            is_inside = (value or "#").startswith(("#", "data:"))
            if name in {"src", "href", "xlink:href", "action", "srcset"} and not is_inside:
                self.outside.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        if self._tag == "title":
            self.title += data
