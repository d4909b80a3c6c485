"""Which samples of a run are kept when evidence is read or merged: few, small, always the same.

INVARIANT: what is kept of the samples of parts, kept again together, is what is kept of all of
them: the smallest by one fixed order, and that order looks at a sample alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Of one signature.
MOST_OF_A_SIGNATURE: Final = 3
#: The first in the order of their names.
MOST_SIGNATURES: Final = 256
#: A captured result that is longer, in characters, is left out; what it was is in the run's folder.
_MOST_CAPTURED: Final = 16_384
#: A sample that is longer, in bytes, is none that the harness wrote.
_MOST_BYTES: Final = 262_144


class KeptSamples:
    """The samples of one run, or of several."""

    def __init__(self) -> None:
        """Start without any."""
        self._by_signature: dict[str, list[tuple[int, int, bytes]]] = {}

    def add(self, sample: Mapping[str, Any]) -> bool:
        """Take a sample if it is among the smallest.

        Returns:
            Whether it is a sample at all.
        """
        signature, chain = sample.get("signature"), sample.get("chain")
        forgotten = sample.get("chain_forgotten", 0)
        if not (isinstance(signature, str) and isinstance(chain, list) and type(forgotten) is int):
            return False
        captured = sample.get("captured")
        if isinstance(captured, str) and len(captured) > _MOST_CAPTURED:
            sample = {key: value for key, value in sample.items() if key != "captured"}
        try:
            text = json.dumps(sample, separators=(",", ":"), sort_keys=True).encode()
        except RecursionError:
            return False
        if len(text) > _MOST_BYTES:
            return False
        self._keep(signature, (len(chain) + forgotten, len(text), text))
        return True

    def add_all(self, other: KeptSamples) -> None:
        """Take what another one keeps."""
        for signature, ranked in other._by_signature.items():
            for each in ranked:
                self._keep(signature, each)

    def _keep(self, signature: str, ranked: tuple[int, int, bytes]) -> None:
        kept = self._by_signature.setdefault(signature, [])
        if ranked in kept:
            return
        kept.append(ranked)
        kept.sort()
        del kept[MOST_OF_A_SIGNATURE:]
        if len(self._by_signature) > MOST_SIGNATURES:
            del self._by_signature[max(self._by_signature)]

    def texts(self) -> Iterable[bytes]:
        """Give all as JSON texts: by signature, the smallest first."""
        for signature in sorted(self._by_signature):
            for _, _, text in self._by_signature[signature]:
                yield text

    def by_signature(self) -> dict[str, list[dict[str, Any]]]:
        """Give all as plain data."""
        return {
            signature: [json.loads(text) for _, _, text in self._by_signature[signature]]
            for signature in sorted(self._by_signature)
        }
