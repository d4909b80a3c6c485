"""When an accepted difference is what asking for a native policy shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from retry_parity.compare import same_plain
from retry_parity.observation import Raised
from retry_parity.reference import value_of

if TYPE_CHECKING:
    from retry_parity.reference import Reference


@dataclass(frozen=True, slots=True)
class PolicyCase:
    """A tool's native policy as both sides describe it.

    Attributes:
        tool: Whose policy.
        ceiling: The most retries that were allowed.
        ours: The hybrid's policy, or its exception.
        theirs: The candidate's policy, or its exception.
        reference: The hybrid.
    """

    tool: str
    ceiling: int
    ours: object
    theirs: object
    reference: Reference


PolicyPredicate: TypeAlias = Callable[[PolicyCase], bool]


def clamped_number(case: PolicyCase) -> bool:
    """Hold when the override's retries are a number, but no integer, that was clamped at load.

    The candidate's policy must be the tool's settings in force, with as many retries as allowed;
    none where text content is checked.
    """
    if not isinstance(case.ours, Raised) or not case.ours.is_a("ValidationError"):
        return False
    given = value_of(case.reference.override(case.tool), "max_retries")
    if given is None or isinstance(given, int) or not hasattr(given, "__float__"):
        return False
    in_force = case.reference.effective_config(case.tool)
    if in_force.check_text_content:
        return case.theirs is None
    expected = {
        "kind": "retry_with_backoff",
        "maxRetries": case.ceiling,
        "backoffBaseMs": in_force.backoff_base_ms,
        "maxBackoffMs": in_force.max_backoff_ms,
        "retryOnStatus": in_force.retry_on_status,
        "jitter": in_force.jitter,
    }
    return same_plain(case.theirs, expected)


POLICY_PREDICATES: Final[Mapping[str, PolicyPredicate]] = MappingProxyType(
    {"clamped_number": clamped_number}
)
