"""Which chains the candidate has met from their first failure on.

A flag that changes in the middle of a chain leaves the hybrid with failures the candidate never
saw. What the candidate decides on such a chain says nothing about it, until the chain has ended.

The hybrid's own count tells: before a failure it must be what it was after the last one that the
shadow met, or nothing. A candidate that forgets a chain does not change that count, so that it
still shows. Nothing is looked up for a call on which neither side asks for a retry, unless chains
are live.

Not noticed: a chain that the hybrid alone ended and then took to the very same count again. Request
ids are unique, so no gateway does that.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from retry_parity.chains import TTL_S, Count
from retry_parity.observation import Raised

if TYPE_CHECKING:
    from retry_parity.view import View

#: Live chains remembered. Beyond it the oldest is forgotten, and what follows on it counts as not
#: compared, never as a match.
_MOST_MET: Final = 16_384
_MOST_MISSED: Final = 4096

_NOTHING: Final = Count(0, 0.0)


class _Key(NamedTuple):
    """Where the hybrid keeps a chain: the joined key, in the store of the tool's path."""

    joined: str
    text_path: bool


class Beginnings:
    """The hybrid's counts after the last failure that the shadow met, by chain."""

    def __init__(self) -> None:
        """Start without chains."""
        self._met: OrderedDict[_Key, Count] = OrderedDict()
        self._missed: OrderedDict[_Key, float] = OrderedDict()
        #: The joined keys of the chains remembered.
        self.joined: set[str] = set()

    def missed(self, view: View) -> bool:
        """Note a call that both sides have answered.

        Returns:
            Whether the candidate has missed failures of the call's chain.
        """
        outcome, answer = view.reference.outcome, view.answer
        retried = isinstance(outcome, Raised) or outcome.retries
        retried = retried or (answer is not None and answer.retries)
        # A jittered failure may have been counted although its draw of 0 asks for no retry.
        retried = retried or (view.pair is not None and view.traits.jitter)
        if view.pair is None or not (retried or self._met or self._missed):
            return False
        key = _Key(view.pair.joined, view.traits.text_path)
        if not (retried or key in self._met or key in self._missed):
            return False
        missed, count = self._count(view, key)
        self._met.pop(key, None)
        self._missed.pop(key, None)
        if missed:
            self._missed[key] = view.now_s
        elif count.failures:
            self._met[key] = count
        self._note(key.joined)
        self._make_room()
        return missed

    def clear(self) -> None:
        """Forget every chain."""
        self._met.clear()
        self._missed.clear()
        self.joined.clear()

    def __len__(self) -> int:
        """Count the chains remembered."""
        return len(self._met) + len(self._missed)

    def _count(self, view: View, key: _Key) -> tuple[bool, Count]:
        """Say whether the candidate has missed failures, and give the hybrid's count after."""
        before = self._met.get(key, _NOTHING)
        missed_at_s = self._missed.get(key)
        missed = missed_at_s is not None and view.now_s - missed_at_s <= TTL_S
        after = view.reference_failures
        if isinstance(view.reference.outcome, Raised):
            # Nothing was counted in this call.
            return missed or after > before.failures, before
        if after > 0:
            return missed or after - 1 != before.at(view.now_s), Count(after, view.now_s)
        # The hybrid's chain has ended: by a success, or because its budget is exhausted, and then
        # the candidate's may go on.
        if missed:
            return view.failure is not False, _NOTHING
        if view.answer is None or not view.answer.retries or view.policy is None:
            return False, _NOTHING
        return bool(view.failure) and before.at(view.now_s) < view.policy.max_retries, _NOTHING

    def _make_room(self) -> None:
        for chains, most in ((self._met, _MOST_MET), (self._missed, _MOST_MISSED)):
            if len(chains) > most:
                key, _ = chains.popitem(last=False)
                self._note(key.joined)

    def _note(self, joined: str) -> None:
        """Remember, or forget, that something is known under a joined key."""
        keys = [_Key(joined, text_path) for text_path in (False, True)]
        if any(key in self._met or key in self._missed for key in keys):
            self.joined.add(joined)
        else:
            self.joined.discard(joined)
