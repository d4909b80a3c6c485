"""The comparison of two decisions: DESIGN.md, "What counts as equal", and nothing else.

This module accepts nothing: a difference that is tolerable is still a difference here, and only
the ledger explains it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from retry_parity._native import surely_same
from retry_parity.observation import Observation, Raised, Returned, Side

#: Whether a side may draw this delay (milliseconds) at this point of the chain.
#: False for every delay where the tool's jitter is off.
LegalDraw: TypeAlias = Callable[[Side, int], bool]

#: Metadata the current gateway reads; only a candidate with a trace id at hand adds it.
TRACE_KEY: Final = "retry_with_backoff"
_TRACED_DELAY: Final = "retry_delay_ms"

_SEPARATOR: Final = "+"

#: Scalars that equal themselves; a float may be NaN.
_SCALARS: Final = frozenset({str, int, bool, type(None)})

#: Stands for a field at its neutral value, and equals itself only.
_NEUTRAL: Final = object()


class Kind(StrEnum):
    """The ways in which two decisions can differ; the stable half of a signature."""

    RETRY_LOST = "retry-lost"
    RETRY_EXTRA = "retry-extra"
    DELAY = "delay"
    DELAY_TYPE = "delay-type"
    METADATA = "metadata"
    RESULT = "result"
    RAISED_ONLY_BY_CANDIDATE = "raised-only-by-candidate"
    RAISED_ONLY_BY_REFERENCE = "raised-only-by-reference"
    RAISED_DIFFERENTLY = "raised-differently"
    INTERNAL_ERROR = "internal-error-of-candidate"
    PAYLOAD_MUTATED = "payload-mutated"
    POLICY = "policy"
    LOAD_ONLY_BY_CANDIDATE = "load-refused-only-by-candidate"
    LOAD_ONLY_BY_REFERENCE = "load-refused-only-by-reference"


class Outcome(StrEnum):
    """What became of one comparison. ``IGNORED`` (not compared) never counts as a match."""

    MATCH = "match"
    MISMATCH = "mismatch"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which two decisions differ.

    Attributes:
        kind: Which way.
        detail: What a signature needs besides the kind (an exception class, a field); may be empty.
    """

    kind: Kind
    detail: str = ""

    def __str__(self) -> str:
        """Give the difference's part of a signature."""
        return f"{self.kind}:{self.detail}" if self.detail else self.kind.value


def signature(differences: tuple[Difference, ...]) -> str:
    """Give the short stable name under which differences of this form are counted."""
    return _SEPARATOR.join(sorted(str(difference) for difference in differences))


def compare(
    reference: Observation,
    candidate: Observation,
    legal_draw: LegalDraw,
) -> tuple[Difference, ...]:
    """Say in which ways the candidate's decision differs from the reference's.

    Args:
        reference: What the reference did.
        candidate: What the candidate did with the same call.
        legal_draw: Asked only where both sides retry with different delays.

    Returns:
        The differences; empty means that the two are equal.
    """
    ours, theirs = reference.outcome, candidate.outcome
    if isinstance(ours, Raised) or isinstance(theirs, Raised):
        return _compare_errors(ours, theirs)
    found = list(_compare_delays(ours, theirs, legal_draw))
    if not same_plain(_without_delay(ours), _without_delay(theirs)):
        found.append(Difference(Kind.METADATA))
    found.extend(
        Difference(Kind.RESULT, name)
        for name in sorted(ours.rest.keys() | theirs.rest.keys())
        if not same_plain(ours.rest.get(name, _NEUTRAL), theirs.rest.get(name, _NEUTRAL))
    )
    if candidate.internal_errors and not reference.internal_errors:
        found.append(Difference(Kind.INTERNAL_ERROR))
    return tuple(found)


def same_plain(left: object, right: object) -> bool:
    """Whether two values are the same as plain data.

    Any mapping equals a mapping with the same pairs, whatever its class and order. Scalars must
    have the same type too: for a reader of JSON, ``True``, ``1`` and ``1.0`` are three things.
    """
    if surely_same(left, right):
        return True
    if type(left) is type(right) and type(left) in _SCALARS:
        return left == right
    if isinstance(left, dict | Mapping):
        return (
            isinstance(right, dict | Mapping)
            and len(left) == len(right)
            and all(key in right and same_plain(left[key], right[key]) for key in left)
        )
    if isinstance(left, list | tuple):
        return (
            isinstance(right, list | tuple)
            and len(left) == len(right)
            and all(map(same_plain, left, right))
        )
    if type(left) is not type(right):
        return False
    return bool(left == right) or (left != left and right != right)  # noqa: PLR0124 - NaN


def _without_delay(answer: Returned) -> object:
    """Give the metadata without a delay that repeats the answer's own, which is compared itself."""
    metadata = answer.metadata
    metrics = metadata.get(TRACE_KEY) if isinstance(metadata, Mapping) else None
    if not isinstance(metadata, Mapping) or not isinstance(metrics, Mapping):
        return metadata
    if not same_plain(metrics.get(_TRACED_DELAY, _NEUTRAL), answer.delay_ms):
        return metadata
    rest = {key: value for key, value in metrics.items() if key != _TRACED_DELAY}
    return {**metadata, TRACE_KEY: rest}


def _compare_errors(ours: Returned | Raised, theirs: Returned | Raised) -> tuple[Difference, ...]:
    if isinstance(ours, Raised) and isinstance(theirs, Raised):
        if ours.family == theirs.family:
            return ()
        return (Difference(Kind.RAISED_DIFFERENTLY, f"{ours.name}/{theirs.name}"),)
    if isinstance(ours, Raised):
        return (Difference(Kind.RAISED_ONLY_BY_REFERENCE, ours.name),)
    if isinstance(theirs, Raised):
        return (Difference(Kind.RAISED_ONLY_BY_CANDIDATE, theirs.name),)
    return ()


def _compare_delays(
    ours: Returned, theirs: Returned, legal_draw: LegalDraw
) -> tuple[Difference, ...]:
    if type(ours.delay_ms) is not int or type(theirs.delay_ms) is not int:
        same = same_plain(ours.delay_ms, theirs.delay_ms)
        return () if same else (Difference(Kind.DELAY_TYPE),)
    if ours.delay_ms == theirs.delay_ms:
        return ()
    if not theirs.retries:
        # Negative delays do not retry either, but are no way to say so.
        return (Difference(Kind.RETRY_LOST if ours.retries else Kind.DELAY),)
    if not ours.retries:
        return (Difference(Kind.RETRY_EXTRA),)
    legal = legal_draw(Side.REFERENCE, ours.delay_ms) and legal_draw(
        Side.CANDIDATE, theirs.delay_ms
    )
    return () if legal else (Difference(Kind.DELAY),)
