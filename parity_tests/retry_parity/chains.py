"""Chains whose failure counts differ between the two sides, and why.

As long as both sides agree, the count that the reference reports holds for both and nothing is
remembered. Only two kinds of chain need memory, both rare and both bounded here:

* a chain in which an accepted divergence let one side count a failure and the other not; what
  follows on that chain is a consequence of the same divergence;
* chains whose names the reference joins to a key that another pair could share ("tool:request"
  with a colon inside one of the two).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Final, NamedTuple

#: Seconds after its last failure during which a chain counts, the last instant included.
TTL_S: Final = 300.0

#: Chains whose counts differ, and keys that pairs share, each: in a gateway, where memory counts.
MOST_CHAINS: Final = 4096
_MOST_PAIRS_PER_KEY: Final = 64


class Pair(NamedTuple):
    """What identifies a chain.

    Attributes:
        tool: Name of the tool.
        request_id: Id of the request.
        text_path: Whether the tool's text is checked: each side keeps those chains in a store of
            their own, so that two plugin objects of unlike configs count one request twice.
    """

    tool: str
    request_id: str
    text_path: bool = False

    @property
    def joined(self) -> str:
        """The key under which the reference keeps the chain."""
        return f"{self.tool}:{self.request_id}"

    @property
    def ambiguous(self) -> bool:
        """Whether another pair could have the same joined key."""
        return ":" in self.tool or ":" in self.request_id


@dataclass(frozen=True, slots=True)
class Count:
    """Failures of a chain as one side counts them.

    Attributes:
        failures: How many; 0 = no chain.
        at_s: When the last one was, in seconds of the reference's clock.
    """

    failures: int
    at_s: float

    def at(self, now_s: float) -> int:
        """Give the failures that still count at a time (BEHAVIOUR.md, "The chain")."""
        return self.failures if now_s - self.at_s <= TTL_S else 0


@dataclass(frozen=True, slots=True)
class Drift:
    """A chain on which the two counts differ.

    Attributes:
        entry: Id of the ledger entry that made them differ.
        candidate: The count the candidate must hold.
    """

    entry: str
    candidate: Count


class Chains:
    """The counts the candidate must hold, where they are not the reference's."""

    def __init__(self, most: int = MOST_CHAINS) -> None:
        """Start with no chain known to differ.

        Args:
            most: Chains, and keys, that are remembered. What falls out is compared as if both sides
                counted alike; a replay, whose outcome must not depend on how many chains one
                process plays, has a bound that no trace reaches.
        """
        self.most = most
        self._drifted: OrderedDict[Pair, Drift] = OrderedDict()
        #: The joined keys of the chains that are known to differ, each with how many these are.
        self.drifted_keys: Counter[str] = Counter()
        #: The pairs seen that another pair could share a key with, by that key.
        self.joined: OrderedDict[str, OrderedDict[Pair, Count]] = OrderedDict()

    def drift(self, pair: Pair) -> Drift | None:
        """Give the chain's drift; ``None`` where both sides count alike."""
        return self._drifted.get(pair)

    def shares_key(self, pair: Pair) -> bool:
        """Whether another pair with the same joined key was seen on the same path."""
        return pair.ambiguous and any(
            other.text_path == pair.text_path and other != pair
            for other in self.joined.get(pair.joined, ())
        )

    def concern(self, tool: object, request_id: object) -> bool:
        """Whether a call has to be judged even where both sides did the same."""
        if not (isinstance(tool, str) and isinstance(request_id, str)):
            return False
        pair = Pair(tool, request_id)
        return pair.ambiguous or pair.joined in self.drifted_keys

    def differ(self, pair: Pair) -> bool:
        """Whether the two counts of a chain may differ."""
        return pair in self._drifted or self.shares_key(pair)

    def candidate_failures(self, pair: Pair, now_s: float) -> int | None:
        """Give the count the candidate must hold; ``None`` where it is the reference's."""
        if self.shares_key(pair):
            return self.joined[pair.joined][pair].at(now_s)
        drift = self._drifted.get(pair)
        return None if drift is None else drift.candidate.at(now_s)

    def see(self, pair: Pair) -> None:
        """Note a pair before its call is judged; free for names without a colon."""
        if not pair.ambiguous:
            return
        pairs = self.joined.setdefault(pair.joined, OrderedDict())
        self.joined.move_to_end(pair.joined)
        pairs.setdefault(pair, Count(0, 0.0))
        pairs.move_to_end(pair)
        if len(pairs) > _MOST_PAIRS_PER_KEY:
            pairs.popitem(last=False)
        if len(self.joined) > self.most:
            self.joined.popitem(last=False)

    def settle(
        self, pair: Pair, reference: int, candidate: Count, desynchronised_by: str | None
    ) -> None:
        """Note both counts after a call.

        Args:
            pair: The chain.
            reference: The reference's count after the call.
            candidate: The count the candidate must hold after the call.
            desynchronised_by: The ledger entry that let the counts differ in this call, if any.
        """
        if pair.ambiguous and pair.joined in self.joined:
            self.joined[pair.joined][pair] = candidate
        drift = self._drifted.get(pair)
        self.forget(pair)
        if self.shares_key(pair):
            # From here on the pair's own count is kept with its key.
            return
        entry = drift.entry if drift is not None else desynchronised_by
        if entry is None or reference == candidate.failures:
            return
        self._drifted[pair] = Drift(entry, candidate)
        self.drifted_keys[pair.joined] += 1
        if len(self._drifted) > self.most:
            self.forget(next(iter(self._drifted)))

    def forget(self, pair: Pair) -> None:
        """Forget what a chain's counts differ by, where it is not known any longer."""
        if self._drifted.pop(pair, None) is not None:
            self.drifted_keys[pair.joined] -= 1
            if not self.drifted_keys[pair.joined]:
                del self.drifted_keys[pair.joined]

    def clear(self) -> None:
        """Forget everything; both sides start anew."""
        self._drifted.clear()
        self.drifted_keys.clear()
        self.joined.clear()
