"""Evidence of format 2 as a gateway, a replay and a generator leave it, made to measure."""

from __future__ import annotations

import hashlib
import json
import zlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Literal

from retry_parity._native import Latency
from retry_parity.evidence_files import config_hash
from retry_parity.ledger import shipped_text
from retry_parity.strata import Outcome, Position, Signal, Stratum, reachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

PLUGIN: Final = "retry"
CONFIG: Final[dict[str, Any]] = {
    "jitter": False,
    "max_retries": 2,
    "tool_overrides": {"search": {"max_retries": 1}},
}
CONFIG_HASH: Final = config_hash(CONFIG)
LEDGER_HASH: Final = hashlib.sha256(shipped_text().encode()).hexdigest()
PACKAGES: Final = ("retry-with-backoff", "retry-with-backoff-legacy", "retry-parity", "cpex")
VERSIONS: Final[dict[str, str | None]] = {name: version(name) for name in PACKAGES}
STARTED: Final = 1_795_600_000.0

#: What real traffic mostly is.
COMMON: Final = (
    str(
        Stratum(
            Signal.NONE, Position.NEW, override=False, text_check=False, outcome=Outcome.NO_RETRY
        )
    ),
    str(
        Stratum(Signal.FLAG, Position.NEW, override=False, text_check=False, outcome=Outcome.RETRY)
    ),
)
#: Occurs seldom, and not at all in evidence that is insufficient.
RARE: Final = str(
    Stratum(
        Signal.UNREADABLE, Position.LATER, override=True, text_check=True, outcome=Outcome.RAISED
    )
)

Kind = Literal["ready", "not ready", "insufficient"]


def durations(median_ns: int, count: int = 4000) -> str:
    """Give a histogram with a tail, encoded."""
    latency = Latency()
    for number in range(count):
        latency.add(median_ns + (median_ns // 1000) * (number % 500))
    return latency.encoded()


def run_line(run: str, source: str = "live", **others: Any) -> dict[str, Any]:
    """Give the first line of a run's counts."""
    line: dict[str, Any] = {
        "kind": "run",
        "format": 2,
        "run": run,
        "source": source,
        "plugin": PLUGIN,
        "pid": 1000 + zlib.crc32(run.encode()) % 1000,
        "host": "gateway",
        "started": STARTED,
        "versions": dict(VERSIONS),
        "config": "" if source == "generated" else CONFIG_HASH,
        "ledger": LEDGER_HASH,
        "candidate": "rust",
        "capture": "redacted",
        "seeds": ["7"] if source == "generated" else [],
    }
    if source == "replay":
        line["trace"] = {"sha256": "ab" * 32, "calls": 3000, "lost": {}, "cut_off": []}
    return line | others


def counts_line(
    matches: Mapping[str, int],
    sequence: int = 1,
    *,
    divergent: Mapping[str, int] | None = None,
    impact: Mapping[str, Mapping[str, int]] | None = None,
    latency: Mapping[str, str] | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Give a line of counts.

    Args:
        matches: Comparisons that were equal, by stratum.
        sequence: Running number of the line.
        divergent: Unexplained ones, by signature; they lie in the first common stratum.
        impact: The same by tool and kind; all on the tool ``search`` unless it is given.
        latency: Encoded histograms by side; none for a replay.
        others: Put in place of what is there.
    """
    divergent = dict(divergent or {})
    equal, unequal = sum(matches.values()), sum(divergent.values())
    strata: dict[str, dict[str, int]] = {name: {"match": count} for name, count in matches.items()}
    if unequal:
        strata.setdefault(COMMON[1], {})["divergent"] = unequal
    if impact is None:
        impact = {"search": {name.split(":")[0]: n for name, n in divergent.items()}}
    answers = {"retry": equal // 4, "no retry": equal - equal // 4 + unequal, "raised": 0}
    line: dict[str, Any] = {
        "kind": "counts",
        "sequence": sequence,
        "at": STARTED + sequence,
        "flag": {
            "implementation": "shadow",
            "source": "migration.implementation",
            "canary_percent": 5.0,
            "service": "absent",
            "rejected": 0,
        },
        "guard": {"tripped": False, "trips": 0, "trouble": ""},
        "decisions": {"legacy": answers, "rust": {"retry": 0, "no retry": 0, "raised": 0}},
        "outcomes": {"legacy": dict(answers), "rust": dict(answers)},
        "fallbacks": 0,
        "matches": equal,
        "accepted_calls": 0,
        "accepted": {},
        "divergent": divergent,
        "not_compared": {},
        "candidate_errors": {},
        "harness_errors": {},
        "strata": strata,
        "live": {"legacy": 3, "rust": 3},
        "evicted": {"owners": 0, "candidate": 0},
        "dropped": {},
        "impact": {tool: dict(kinds) for tool, kinds in impact.items() if kinds},
        "memory": {
            "legacy": {"chains": 1200, "store_bytes": 1200 * 400},
            "rust": {"chains": 1200, "store_bytes": 1200 * 150},
        },
    }
    if latency is not None:
        line["latency"] = dict(latency)
    return line | others


def sample_line(signature: str = "retry-lost", chain: int = 0, **others: Any) -> dict[str, Any]:
    """Give a sample of a divergence with so many calls before it."""
    failed: dict[str, Any] = {
        "isError": "true",
        "structuredContent": "object",
        "structuredContent.isError": "null",
        "structuredContent.status_code": "integer",
        "content": "list",
        "status_code": 503,
        "items": 1,
        "first_text_length": 4,
        "first_text_hash": "00112233445566aa",
    }
    policy = {"max_retries": 2, "backoff_base_ms": 100, "max_backoff_ms": 5000}
    told = {"policy": policy, "other_fields": [], "internal_errors": 0, "duration_ns": 9000}
    step = {
        "at_s": 12.5,
        "result": failed,
        "decided_by": "legacy",
        "legacy": "retry",
        "legacy_delay_ms": 100,
        "rust": "retry",
        "rust_delay_ms": 100,
    }
    line: dict[str, Any] = {
        "kind": "sample",
        "at": STARTED + 1.5,
        "signature": signature,
        "accepted": [],
        "tool": "search",
        "request": "8899aabbccddeeff",
        "result": failed,
        "legacy": {"delay_ms": 200, **told},
        "rust": {"delay_ms": 0, **told},
        "chain": [step] * chain,
        "chain_forgotten": 0,
    }
    return line | others


def lines(*told: Mapping[str, Any]) -> bytes:
    """Give whole lines as the harness writes them."""
    return b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in told)


def write_run(
    root: Path,
    about: Mapping[str, Any],
    *counts: Mapping[str, Any],
    samples: Iterable[Mapping[str, Any]] = (),
    timing: Mapping[str, Any] | None = None,
) -> Path:
    """Write the folder of one run, and give it."""
    folder = root / str(about["plugin"]) / str(about["run"])
    folder.mkdir(parents=True)
    (folder / "counts.jsonl").write_bytes(lines(about, *counts))
    if kept := lines(*samples):
        (folder / "samples.jsonl").write_bytes(kept)
    if timing is not None:
        (folder / "timing.json").write_text(json.dumps(timing))
    return folder


def everywhere(count: int) -> dict[str, int]:
    """Give so many comparisons in every cell that can occur."""
    return dict.fromkeys(map(str, reachable()), count)


def measured(legacy_ns: int = 20_000, rust_ns: int = 5_000) -> dict[str, str]:
    """Give histograms of both sides."""
    return {"legacy": durations(legacy_ns), "rust": durations(rust_ns)}


def write_evidence(root: Path, kind: Kind = "ready", plugin: str = PLUGIN) -> Path:
    """Write a whole evidence folder, and give it.

    Two workers of a gateway, a replay and a generated run. What is not ready has lost retries and
    samples of them in the first worker; what is insufficient never met the cell `RARE`.
    """
    lost = {"retry-lost": 3, "delay+metadata": 1} if kind == "not ready" else {}
    kinds = {"search": {"retry-lost": 3}, "create_ticket": {"delay": 1, "metadata": 1}}
    impact = kinds if lost else {}
    seen = samples_of(lost)
    for number, divergent in enumerate((lost, {})):
        write_run(
            root,
            run_line(f"gateway-{number}-1795600000000-0a0b0c", plugin=plugin),
            counts_line(dict.fromkeys(COMMON, 500), 1, latency=measured()),
            counts_line(
                dict.fromkeys(COMMON, 1000),
                2,
                divergent=divergent,
                impact=impact if divergent else {},
                latency=measured(),
            ),
            samples=seen if divergent else (),
        )
    write_run(
        root,
        run_line("replay-1", "replay", plugin=plugin),
        counts_line(dict.fromkeys(COMMON, 1500)),
        timing={
            "latency": measured(),
            "seconds": 1.5,
            "decisions": 3000,
            "workers": 1,
            "peak_rss_bytes": 90_000_000,
        },
    )
    reached = everywhere(100)
    if kind == "insufficient":
        del reached[RARE]
    write_run(root, run_line("generated-1", "generated", plugin=plugin), counts_line(reached))
    return root


def samples_of(divergent: Mapping[str, int]) -> list[dict[str, Any]]:
    """Give the samples that a run with these divergences keeps: at most three of each."""
    return [
        sample_line(name, number, request=f"{number:016x}")
        for name, count in divergent.items()
        for number in range(min(count, 3))
    ]
