"""The comparison of two attempts to load a config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retry_parity.compare import Difference, Kind
from retry_parity.evidence import Comparison
from retry_parity.load_predicates import LoadCase
from retry_parity.observation import Call, Hook, Raised

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from retry_parity.ledger import Ledger
    from retry_parity.reference import Reference


def compare_loads(
    config: object,
    reference: Reference | Raised,
    candidate: object | Raised,
    reload: Callable[[Mapping[str, object]], object | Raised],
    ledger: Ledger,
) -> Comparison | None:
    """Compare how both sides took a config.

    Args:
        config: The plugin config without ``migration:``.
        reference: The hybrid, or what it raised.
        candidate: The candidate, or what it raised.
        reload: Loads a candidate of another config; only asked where the ledger has to know.
        ledger: Explains the difference.

    Returns:
        What became of it; ``None`` where both load, and where both refuse alike.
    """
    difference = load_difference(reference, candidate)
    if difference is None:
        return None
    accepted: str | None = None
    if isinstance(candidate, Raised):
        case = LoadCase(config, candidate, reference, reload)
        accepted = ledger.explain_load(case, difference)
    return Comparison.of_mismatch(Call(Hook.LOAD), difference, accepted)


def load_difference(reference: object | Raised, candidate: object | Raised) -> Difference | None:
    """Give the way in which two loads differ; ``None`` where both load or refuse alike."""
    if isinstance(reference, Raised) and isinstance(candidate, Raised):
        if reference.family == candidate.family:
            return None
        return Difference(Kind.RAISED_DIFFERENTLY, f"{reference.name}/{candidate.name}")
    if isinstance(reference, Raised):
        return Difference(Kind.LOAD_ONLY_BY_REFERENCE, reference.name)
    if isinstance(candidate, Raised):
        return Difference(Kind.LOAD_ONLY_BY_CANDIDATE, candidate.name)
    return None
