"""`retry-parity run`: a corpus replayed with both kinds of container, and what that showed."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from retry_parity import ledger
from retry_parity.compare import Kind
from retry_parity.containers import Container, installed_kind
from retry_parity.corpus import Record, read_corpus
from retry_parity.ledger import shipped_ledger
from retry_parity.observation import Raised, Side
from retry_parity.replay import Call, Pass, not_compared, read_plugin_config, replay

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cpex.framework import PluginConfig

    from retry_parity.ledger import Entry

CONFIG_NAME: Final = "plugins.yaml"
_PACKAGES: Final = (
    "cpex",
    "retry-with-backoff",
    "retry-with-backoff-legacy",
    "retry-parity",
)
_NANOSECONDS_PER_MICROSECOND: Final = 1000


@dataclass(frozen=True, slots=True)
class Run:
    """What a run showed.

    Attributes:
        corpus: The corpus file.
        config: The plugins file.
        candidate: The candidate's name.
        calls: Calls of the corpus.
        tool_calls: Tool calls of the corpus: distinct request ids.
        passes: One pass for each kind of container, the installed framework's first.
        versions: Versions of Python and the packages in play.
        overdue: Ledger entries past their review date, which still explain.
    """

    corpus: Path
    config: Path
    candidate: str
    calls: int
    tool_calls: int
    passes: tuple[Pass, ...]
    versions: dict[str, str]
    overdue: tuple[Entry, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every call was compared, with nothing wrong in the harness itself."""
        return not any(
            not_compared(each.calls) or each.counts.harness_errors for each in self.passes
        )

    @property
    def divergences(self) -> int:
        """Unexplained divergences in all passes, those of loading included."""
        return sum(sum(each.counts.divergent.values()) for each in self.passes)

    @property
    def succeeded(self) -> bool:
        """Whether the run shows that the candidate decides as the reference does."""
        return self.complete and not self.divergences

    @property
    def verdict(self) -> str:
        """The result in one line."""
        lost = sum(len(lost_retries(each.calls)) for each in self.passes)
        if self.divergences:
            noun = "divergence" if self.divergences == 1 else "divergences"
            among = f", {lost:,} of them lost retries" if lost else ""
            return f"{self.divergences:,} unexplained {noun}{among}"
        if not self.complete:
            missing = sum(not_compared(each.calls) for each in self.passes)
            failed = sum(sum(each.counts.harness_errors.values()) for each in self.passes)
            failures = f", {failed:,} steps of the comparison failed" if failed else ""
            return f"not enough to say: {missing:,} calls were not compared{failures}"
        if not any(retries(each.calls) for each in self.passes):
            return "no unexplained divergences, but no call asked for a retry"
        return "no unexplained divergences"


def plan(corpus: Path, config: Path | None) -> tuple[tuple[Record, ...], PluginConfig, Path]:
    """Read and check everything a run needs, before the first call.

    Raises:
        CorpusError: The corpus cannot be used.
        ReplayError: The plugin config cannot be used.
    """
    records = read_corpus(corpus)
    chosen = corpus.parent / CONFIG_NAME if config is None else config
    return records, read_plugin_config(chosen), chosen


def run(
    corpus: Path,
    config: Path | None,
    candidate: str,
    advance: Callable[[int, int, Container], None] = lambda *_: None,
) -> Run:
    """Replay a corpus with both kinds of container.

    Args:
        corpus: The corpus file.
        config: The plugins file; ``None`` means the one beside the corpus.
        candidate: A name of `candidates.NAMES`.
        advance: Told after each call: calls done, calls in all (of both passes), the pass.

    Returns:
        What happened; the same counts each time, in this process or another.

    Raises:
        CorpusError: The corpus cannot be used.
        ReplayError: The plugin config cannot be used.
    """
    records, plugin_config, chosen = plan(corpus, config)
    first = installed_kind()
    kinds = (first, *(kind for kind in Container if kind is not first))
    total = len(records) * len(kinds)
    done = 0

    def one_pass(kind: Container) -> Pass:
        def count() -> None:
            nonlocal done
            done += 1
            advance(done, total, kind)

        return asyncio.run(replay(records, plugin_config, candidate, kind, count))

    return Run(
        corpus=corpus,
        config=chosen,
        candidate=candidate,
        calls=len(records),
        tool_calls=len({record.request_id for record in records}),
        passes=tuple(one_pass(kind) for kind in kinds),
        versions=versions(),
        overdue=shipped_ledger().expired(ledger.today()),
    )


def versions() -> dict[str, str]:
    """Give the versions of everything that takes part."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def lost_retries(calls: Sequence[Call]) -> tuple[Call, ...]:
    """Give the calls whose retry the candidate would have lost, unexplained."""
    return tuple(
        call
        for call in calls
        if call.comparison
        and any(each.kind is Kind.RETRY_LOST for each in call.comparison.unexplained)
    )


def retries(calls: Sequence[Call]) -> int:
    """Count the retries the framework's caller was asked for."""
    return sum((call.retry_delay_ms or 0) > 0 for call in calls)


def chains(calls: Sequence[Call]) -> int:
    """Count the chains of which a retry was asked for: from the first such failure to the end."""
    live: set[tuple[str, str]] = set()
    begun = 0
    for call in calls:
        pair = (call.record.tool, call.record.request_id)
        if call.retry_delay_ms is None:
            continue
        if call.retry_delay_ms == 0:
            live.discard(pair)
        elif pair not in live:
            live.add(pair)
            begun += 1
    return begun


def reference_exceptions(calls: Sequence[Call]) -> int:
    """Count the calls in which the framework's caller got an exception: they fail the tool call."""
    return sum(
        call.comparison is not None
        and call.comparison.reference is not None
        and isinstance(call.comparison.reference.outcome, Raised)
        for call in calls
    )


def as_json(result: Run) -> dict[str, object]:
    """Give everything a run showed as plain data."""
    return {
        "verdict": result.verdict,
        "succeeded": result.succeeded,
        "corpus": str(result.corpus),
        "config": str(result.config),
        "candidate": result.candidate,
        "versions": result.versions,
        "overdue": {entry.id: entry.review_by.isoformat() for entry in result.overdue},
        "calls": result.calls,
        "tool_calls": result.tool_calls,
        "passes": [_pass_as_json(each) for each in result.passes],
    }


def _pass_as_json(each: Pass) -> dict[str, object]:
    counts = each.counts
    return {
        "container": each.container.value,
        "as_installed": each.as_installed,
        "calls": len(each.calls),
        "chains": chains(each.calls),
        "retries": retries(each.calls),
        "reference_exceptions": reference_exceptions(each.calls),
        "matches": counts.matches,
        "accepted_calls": counts.accepted_calls,
        "accepted": counts.accepted,
        "divergent": counts.divergent,
        "not_compared": not_compared(each.calls),
        "ignored": counts.ignored,
        "candidate_errors": counts.candidate_errors,
        "harness_errors": counts.harness_errors,
        "load": [
            {"accepted": list(load.accepted), "unexplained": load.signature} for load in each.load
        ],
        "time_us": {
            side.value: {
                "median": microseconds(each, side, 0.5),
                "p99": microseconds(each, side, 0.99),
            }
            for side in Side
        },
        "lost_retries": [_place(call) for call in lost_retries(each.calls)],
        "divergences": [
            {**_place(call), "signature": call.comparison.signature}
            for call in each.calls
            if call.comparison and call.comparison.unexplained
        ],
        "accepted_by_tool": {
            entry: dict(sorted(tools.items()))
            for entry, tools in sorted(_accepted_by_tool(each.calls).items())
        },
    }


def microseconds(each: Pass, side: Side, share: float) -> float | None:
    """Give a quantile of a side's time per call in microseconds; ``None`` without calls."""
    duration = each.latency[side].quantile_ns(share)
    return None if duration is None else duration / _NANOSECONDS_PER_MICROSECOND


def _accepted_by_tool(calls: Sequence[Call]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for call in calls:
        for entry in call.comparison.accepted if call.comparison else ():
            found.setdefault(entry, Counter())[call.record.tool] += 1
    return found


def _place(call: Call) -> dict[str, object]:
    record = call.record
    return {
        "tool": record.tool,
        "request_id": record.request_id,
        "seq": record.seq,
        "line": record.line,
    }
