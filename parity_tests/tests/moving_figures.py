"""Figures as a busy worker has them, and a program that serves them as one.

Run as a program it stands for one worker of the gateway: it exposes the figures, prints the port
of its page, and goes on until its standard input ends. Its figures move with every reading.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

from retry_parity._native import Latency
from retry_parity.figures import Figures, ServiceState
from retry_parity.flag import Implementation
from retry_parity.metrics import expose
from retry_parity.observation import Side


def durations(*durations_ns: int) -> Latency:
    """Give a latency that has counted these."""
    counted = Latency()
    for each in durations_ns:
        counted.add(each)
    return counted


def figures(number: int = 1, **changes: Any) -> Figures:
    """Give figures in which everything that can be counted has been, in proportion.

    Args:
        number: By how much.
        changes: Fields that are otherwise.
    """
    both = {(side, "retry"): 2 * number for side in Side}
    made: dict[str, Any] = {
        "implementation": Implementation.CANARY,
        "source": "flag service",
        "canary_percent": 5.0,
        "service": ServiceState.READY,
        "rejected_flags": number,
        "guard_tripped": False,
        "guard_trips": number,
        "guard_trouble": "retry-lost",
        "decisions": {(Side.REFERENCE, "no retry"): 7 * number, (Side.CANDIDATE, "raised"): number},
        "outcomes": {**both, (Side.REFERENCE, "raised"): number},
        "fallbacks": number,
        "matches": 6 * number,
        "accepted_calls": 2 * number,
        "accepted": {"jitter-range": 2 * number},
        "divergent": {"delay": number, "retry-lost+metadata": number},
        "not_compared": {"candidate-not-loaded": number},
        "candidate_errors": {"internal": number},
        "harness_errors": {"ledger": number},
        "latency": {
            Side.REFERENCE: durations(*[9_000, 21_000, 21_000, 300_000_000] * number),
            Side.CANDIDATE: durations(*[1_000, 2_500] * number),
        },
        "live": {Side.REFERENCE: 3, Side.CANDIDATE: 4},
        "evicted": {"owners": number},
        "evidence_dropped": {"disk full": number},
        "evidence_bytes": 1_000 * number,
    }
    return Figures(**(made | changes))


def serve() -> None:
    """Be a worker."""
    from prometheus_client import start_http_server

    readings = itertools.count(1)
    expose(lambda: {"retry": figures(next(readings))})
    server, _ = start_http_server(0, addr="127.0.0.1")
    print(server.server_port, flush=True)  # noqa: T201 - whoever started it waits for the port
    sys.stdin.read()


if __name__ == "__main__":
    serve()
