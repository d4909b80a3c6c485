"""Synthetic traffic is the recording's: its chains, its proportions, as much as wanted."""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from retry_parity.corpus import read_corpus
from retry_parity.traces import parquet_writing, synthetic
from retry_parity.traces.calls import WHOLE, Gaps, Part, TraceError
from retry_parity.traces.reading import Trace, open_trace
from retry_parity.traces.synthesize_cli import add_synthesize, synthesize_command
from retry_parity.traces.synthetic import Wanted, synthesize

CORPUS = Path(__file__).parents[1] / "corpus" / "tool_results.jsonl"


def made(path: Path, calls: int = 20_000, seed: int = 1, rate: float = 100.0) -> Trace:
    """Draw traffic from the corpus."""
    synthesize(open_trace([CORPUS]), Wanted(calls, seed, rate), path, lambda _: None)
    return open_trace([path])


def chains_of(trace: Trace) -> dict[tuple[str, str], list[tuple[str, float]]]:
    """Give the calls of each chain: result as text, and when."""
    chains: dict[tuple[str, str], list[tuple[str, float]]] = {}
    for batch in trace.batches(WHOLE, Gaps()):
        texts = [repr(result) for result in batch.results]
        for place, request_id in enumerate(batch.request_ids):
            chain = chains.setdefault((batch.tools[batch.tool_of[place]], request_id), [])
            chain.append((texts[batch.result_of[place]], batch.times_ms[place]))
    return chains


def test_every_chain_is_one_of_the_recording(tmp_path: Path) -> None:
    """With its tool, its results in order, and its waits; none is split, joined or reordered."""
    recorded: dict[tuple[str, tuple[str, ...]], set[tuple[float, ...]]] = {}
    for (tool, _), chain in chains_of(open_trace([CORPUS])).items():
        waits = tuple(now - chain[0][1] for _, now in chain)
        recorded.setdefault((tool, tuple(text for text, _ in chain)), set()).add(waits)
    for (tool, _), chain in chains_of(made(tmp_path / "a.parquet")).items():
        since = [now - chain[0][1] for _, now in chain]
        known = recorded[tool, tuple(text for text, _ in chain)]
        assert any(since == pytest.approx(each, abs=0.0011) for each in known)


def test_chains_are_drawn_in_the_recordings_proportions(tmp_path: Path) -> None:
    """Chi-square over the tools that are expected at least five times, at one in a million."""
    recorded = Counter(tool for tool, _ in chains_of(open_trace([CORPUS])))
    drawn = Counter(tool for tool, _ in chains_of(made(tmp_path / "a.parquet", 100_000)))
    scale = drawn.total() / recorded.total()
    common = {tool: count * scale for tool, count in recorded.items() if count * scale >= 5}
    chi_square = sum((drawn[tool] - wanted) ** 2 / wanted for tool, wanted in common.items())
    # The mean is the degrees of freedom, the variance twice that; 4.9 deviations above.
    assert len(common) > 190
    assert chi_square < len(common) + 4.9 * (2 * len(common)) ** 0.5


def test_chains_begin_as_a_poisson_process_at_the_rate(tmp_path: Path) -> None:
    """Waits between beginnings are exponential: their deviation is their mean; many overlap."""
    trace = made(tmp_path / "a.parquet", 100_000, rate=250.0)
    chains = chains_of(trace)
    starts = sorted(chain[0][1] for chain in chains.values())
    waits = [after - before for before, after in pairwise(starts)]
    mean = sum(waits) / len(waits)
    deviation = (sum((wait - mean) ** 2 for wait in waits) / len(waits)) ** 0.5
    assert mean == pytest.approx(1000 / 250 * 100_000 / len(chains), rel=0.02)
    assert deviation == pytest.approx(mean, rel=0.02)
    ends = {request_id: chain[-1][1] for (_, request_id), chain in chains.items()}
    overlapping = sum(
        ends[request_id] > starts[place + 1]
        for place, (_, request_id) in enumerate(
            sorted(chains, key=lambda key: chains[key][0][1])[:-1]
        )
    )
    assert overlapping > len(chains) / 10


@pytest.mark.parametrize("calls", [1, 2, 3, 1000, 20_001])
def test_there_are_as_many_calls_as_wanted(tmp_path: Path, calls: int) -> None:
    """Not one less, and no chain is cut for it; reading checks that order and time rise."""
    trace = made(tmp_path / "a.parquet", calls)
    seqs = [seq for batch in trace.batches(WHOLE, Gaps()) for seq in batch.seqs]
    assert trace.calls == calls
    assert seqs == list(range(1, calls + 1))


def test_a_recording_without_short_chains_gives_a_few_more(tmp_path: Path) -> None:
    """Rather that than half a chain."""
    lines = CORPUS.read_bytes().splitlines(keepends=True)
    by_id = Counter(record.request_id for record in read_corpus(CORPUS))
    longest, length = by_id.most_common(1)[0]
    chain = [line for line in lines if f'"request_id":"{longest}"'.encode() in line]
    source = tmp_path / "source.jsonl"
    source.write_bytes(b"".join(chain))
    out = tmp_path / "a.parquet"
    calls = synthesize(open_trace([source]), Wanted(10, 1, 1.0), out, lambda _: None)
    assert calls == -(-10 // length) * length
    assert {len(each) for each in chains_of(open_trace([out])).values()} == {length}


def test_windows_and_groups_leave_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that wait from one window to the next come in order, whatever the sizes."""
    monkeypatch.setattr(synthetic, "_WINDOW", 50)
    monkeypatch.setattr(synthetic, "MOST_ROWS", 77)
    monkeypatch.setattr(parquet_writing, "MOST_ROWS", 77)
    trace = made(tmp_path / "a.parquet", 1_000)
    assert trace.calls == 1_000
    recorded = {
        (tool, tuple(text for text, _ in chain))
        for (tool, _), chain in chains_of(open_trace([CORPUS])).items()
    }
    assert recorded.issuperset(
        (tool, tuple(text for text, _ in chain)) for (tool, _), chain in chains_of(trace).items()
    )


def test_the_seed_is_all_that_differs(tmp_path: Path) -> None:
    """The same seed gives the same bytes, and the header tells all that is needed to repeat it."""
    a, b, c = (tmp_path / f"{name}.parquet" for name in "abc")
    first, other = made(a), made(c, seed=2)
    made(b)
    assert a.read_bytes() == b.read_bytes()
    assert chains_of(first) != chains_of(other)
    assert (first.header.origin, first.header.seed, other.header.seed) == ("synthetic", "1", "2")
    assert first.header.source == hashlib.sha256(CORPUS.read_bytes()).hexdigest()


def test_parts_of_synthetic_traffic_add_up(tmp_path: Path) -> None:
    """The hashes of its chains are those that a reader expects."""
    trace = made(tmp_path / "a.parquet", 3_000)
    sizes = [
        sum(len(batch) for batch in trace.batches(Part(number, 3), Gaps())) for number in range(3)
    ]
    assert sum(sizes) == 3_000
    assert min(sizes) > 700


def test_progress_counts_every_call(tmp_path: Path) -> None:
    """The bar ends where the work does."""
    told: list[int] = []
    synthesize(open_trace([CORPUS]), Wanted(500, 1, 1.0), tmp_path / "a.parquet", told.append)
    assert sum(told) == 500


def test_a_trace_of_more_than_a_hundred_years_is_refused(tmp_path: Path) -> None:
    """No reader would take its times."""
    with pytest.raises(TraceError, match="take more than a hundred years"):
        made(tmp_path / "a.parquet", 10**9, rate=0.001)
    assert list(tmp_path.iterdir()) == []


def test_a_recording_without_calls_is_refused(tmp_path: Path) -> None:
    """There is nothing to draw from."""
    source = tmp_path / "a.jsonl"
    source.write_bytes(b'{"kind":"trace","format":1}\n')
    with pytest.raises(TraceError, match=r"a\.jsonl: has no calls to draw from"):
        synthesize(open_trace([source]), Wanted(1, 1, 1.0), tmp_path / "b.parquet", lambda _: None)


def test_a_recording_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its results are held in memory, which is bounded."""
    monkeypatch.setattr(synthetic, "_MOST_SOURCE", 1024 * 1024)
    with pytest.raises(TraceError, match="more than 1 MiB of different results"):
        made(tmp_path / "a.parquet")


# --- the command


def run_synthesize(*arguments: str) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser()
    add_synthesize(parser.add_subparsers())
    return synthesize_command(parser.parse_args(["synthesize", *arguments]))


def test_the_command_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How many calls, and where."""
    out = tmp_path / "a.parquet"
    arguments = ["--from", str(CORPUS), "--calls", "1,000", "--seed", "7", "--out", str(out)]
    assert run_synthesize(*arguments) == 0
    said = capsys.readouterr().err
    assert "making 1,000 calls" in said
    assert f"{out}: 1,000 calls" in said
    assert open_trace([out]).calls == 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--calls", "0"], "'0' is no number of calls; 1 to 1,000,000,000,000 is allowed"),
        (["--calls", "9" * 5000], "is no number of calls"),
        (["--calls", "1e6"], "'1e6' is no number of calls"),
        (["--seed", "-1"], "'-1' is no seed; a whole number of up to 18 digits is allowed"),
        (["--rate", "0"], "'0' is no rate; 0.001 to 1,000,000 a second is allowed"),
        (["--rate", "nan"], "'nan' is no rate"),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """What was given, and what is allowed."""
    with pytest.raises(SystemExit):
        run_synthesize("--from", str(CORPUS), "--out", str(tmp_path / "a.parquet"), *arguments)
    assert message in " ".join(capsys.readouterr().err.split())
