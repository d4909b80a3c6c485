"""The comparison of two attempts to load a config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retry_parity.compare import Difference, Kind, Outcome
from retry_parity.evidence import Comparison
from retry_parity.load_predicates import LoadCase
from retry_parity.observation import Call, Hook, Raised, attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cpex.framework import PluginConfig

    from retry_parity.candidates import Candidate
    from retry_parity.ledger import Ledger
    from retry_parity.reference import Reference


def compare_loads(
    reference: Reference | Raised,
    candidate: Candidate | Raised,
    load: Callable[[PluginConfig], Candidate],
    config: PluginConfig,
    ledger: Ledger,
) -> Comparison | None:
    """Compare how both sides took a config.

    Args:
        reference: The hybrid, or what it raised.
        candidate: The candidate, or what it raised.
        load: Makes a candidate of another config; only asked where the ledger has to know.
        config: The plugin config without ``migration:``.
        ledger: Explains the difference.

    Returns:
        What became of it; ``None`` where both load, and where both refuse alike.
    """
    difference = _difference(reference, candidate)
    if difference is None:
        return None
    accepted: str | None = None
    if isinstance(candidate, Raised):

        def reload(changed: Mapping[str, object]) -> object | Raised:
            other = config.model_copy(update={"config": dict(changed)})
            return attempt(lambda: load(other))

        case = LoadCase(config.config, candidate.error, reference, reload)
        accepted = ledger.explain_load(case, difference)
    return Comparison(
        Outcome.MISMATCH,
        Call(Hook.LOAD),
        differences=(difference,),
        accepted=() if accepted is None else (accepted,),
        unexplained=(difference,) if accepted is None else (),
    )


def _difference(reference: Reference | Raised, candidate: Candidate | Raised) -> Difference | None:
    if isinstance(reference, Raised) and isinstance(candidate, Raised):
        if reference.family == candidate.family:
            return None
        return Difference(Kind.RAISED_DIFFERENTLY, f"{reference.name}/{candidate.name}")
    if isinstance(reference, Raised):
        return Difference(Kind.LOAD_ONLY_BY_REFERENCE, reference.name)
    if isinstance(candidate, Raised):
        return Difference(Kind.LOAD_ONLY_BY_CANDIDATE, candidate.name)
    return None
