"""The chains of failures that the Python path remembers."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import islice
from typing import Final

from retry_legacy import clock, native

TTL_S = 300.0
"""Seconds a chain outlives its last failure. A chain exactly this old still counts."""

_MOST_WEIGHED: Final = 1000


@dataclass(slots=True)
class Chain:
    """Failures that share a key.

    Attributes:
        failures: How many in a row.
        last_failure_at_s: When the last one was; None before the first. Such a chain never goes
            stale: a result that could not be judged leaves one behind, as in the published plugin.
    """

    failures: int = 0
    last_failure_at_s: float | None = None

    def fail(self) -> int:
        """Add a failure that happens now; return how many there are."""
        self.failures += 1
        self.last_failure_at_s = clock.now_s()
        return self.failures


class ChainStore:
    """Chains by tool and request id.

    Both names make one text key, so that `a:b` + `c` and `a` + `b:c` meet (ledger: key-collision).
    """

    def __init__(self) -> None:
        """Start empty."""
        self._chains: dict[str, Chain] = {}
        #: Counts the chains held, without a call into Python.
        self.size = self._chains.__len__

    def access(self, tool: str, request_id: str) -> Chain:
        """Drop every stale chain, walking over all of them, then get or begin this one."""
        oldest_s = clock.now_s() - TTL_S
        stale = [
            key
            for key, chain in self._chains.items()
            if chain.last_failure_at_s is not None and chain.last_failure_at_s < oldest_s
        ]
        for key in stale:
            del self._chains[key]
        return self._chains.setdefault(f"{tool}:{request_id}", Chain())

    def failures(self, tool: str, request_id: str) -> int:
        """Count the failures of a chain without touching it; 0 where there is none."""
        chain = self._chains.get(f"{tool}:{request_id}")
        return 0 if chain is None else chain.failures

    def drop(self, tool: str, request_id: str) -> None:
        """Forget the chain, if there is one."""
        self._chains.pop(f"{tool}:{request_id}", None)

    def clear(self) -> None:
        """Forget every chain."""
        self._chains.clear()

    def bytes(self) -> int:
        """Give the bytes that the chains take; of many, an estimate from some."""
        some = list(islice(self._chains.items(), _MOST_WEIGHED))
        each = sum(sys.getsizeof(key) + sys.getsizeof(chain) for key, chain in some)
        return sys.getsizeof(self._chains) + each * len(self._chains) // max(len(some), 1)

    def __len__(self) -> int:
        """Count the chains held, stale ones included."""
        return len(self._chains)


CHAINS = ChainStore()
"""The store of the process, shared by all plugin objects. The fast path has its own."""


def clear_state() -> None:
    """Forget every chain of both stores."""
    CHAINS.clear()
    native.clear_state()


def live_chains() -> int:
    """Count the chains of both stores, stale ones included until their store is next used."""
    return len(CHAINS) + native.live_chains()


def store_bytes() -> int:
    """Give the bytes that the chains of both stores take."""
    return CHAINS.bytes() + native.store_bytes()


def chain_failures(tool: str, request_id: str, *, native_path: bool) -> int:
    """Count the failures of a chain without touching it; stale chains still count.

    Args:
        tool: Tool name.
        request_id: Request id.
        native_path: Which store: the fast path's, or the Python path's.

    Returns:
        The count after the last call; 0 where there is no chain.
    """
    if native_path:
        return native.chain_failures(tool, request_id)
    return CHAINS.failures(tool, request_id)
