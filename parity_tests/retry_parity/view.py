"""One call as the ledger sees it: both observations, and what the hybrid says on request.

Everything expensive is worked out when a predicate asks for it; on a call where both sides agree
nothing is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from retry_parity.chains import Chains, Count, Drift, Pair
from retry_parity.observation import Call, Observation, Returned, Side

if TYPE_CHECKING:
    from collections.abc import Callable

    from retry_legacy import RetryConfig
    from retry_parity.reference import Opinion, Traits


class Oracle(Protocol):
    """The questions a predicate may have for the hybrid; see `reference.Reference`."""

    def traits(self, tool: str) -> Traits:
        """Give a tool's jitter and path."""
        ...  # pragma: no cover

    def failures(self, tool: str, request_id: str) -> int:
        """Give the failures counted after the last call."""
        ...  # pragma: no cover

    def now_s(self) -> float:
        """Read the hybrid's clock."""
        ...  # pragma: no cover

    def opinion(self, tool: str, result: object) -> Opinion | None:
        """Judge a result on a chain of its own."""
        ...  # pragma: no cover

    def effective_config(self, tool: str) -> RetryConfig:
        """Give the config in force for a tool."""
        ...  # pragma: no cover


@dataclass(frozen=True, slots=True)
class Policy:
    """A tool's effective retry policy, as both sides report it in the metadata.

    Attributes:
        max_retries: Retries allowed after the first attempt.
        backoff_base_ms: Delay before the first retry, milliseconds.
        max_backoff_ms: Cap of every delay, milliseconds.
        retry_on_status: Status codes that are retryable.
    """

    max_retries: int
    backoff_base_ms: int
    max_backoff_ms: int
    retry_on_status: tuple[int, ...]

    def ceiling_ms(self, failures: int) -> int:
        """Give the longest delay after so many failures; without jitter it is the delay.

        Args:
            failures: Failures of the chain so far, from 1.
        """
        # 64 doublings exceed every cap; an unbounded shift would cost memory instead.
        doublings = min(max(failures - 1, 0), 64)
        return min(self.max_backoff_ms, self.backoff_base_ms << doublings)


def policy_of(metadata: object) -> Policy | None:
    """Read the policy out of a result's metadata; ``None`` when it is not there as it should be."""
    policy = metadata.get("retry_policy") if isinstance(metadata, Mapping) else None
    if not isinstance(policy, Mapping):
        return None
    numbers = [policy.get(name) for name in ("max_retries", "backoff_base_ms", "max_backoff_ms")]
    statuses = policy.get("retry_on_status")
    whole = [number for number in numbers if type(number) is int]
    if len(whole) != len(numbers) or not isinstance(statuses, list | tuple):
        return None
    return Policy(whole[0], whole[1], whole[2], tuple(statuses))


Answer = TypeVar("Answer")


class _once(Generic[Answer]):  # noqa: N801 - it is used as a decorator
    """An answer that is worked out at most once.

    `functools.cached_property` without the lock that it takes up to Python 3.11, which costs more
    than most of the answers. A view belongs to one call and one thread.
    """

    def __init__(self, work_out: Callable[[Any], Answer]) -> None:
        self._work_out = work_out
        self._name = work_out.__name__
        self.__doc__ = work_out.__doc__

    def __get__(self, view: View, owner: type | None = None) -> Answer:
        answer = view.__dict__[self._name] = self._work_out(view)
        return answer


class View:
    """A call on a chain, its two observations, and the answers to the predicates' questions."""

    def __init__(
        self,
        call: Call,
        reference: Observation,
        candidate: Observation,
        oracle: Oracle,
        chains: Chains,
    ) -> None:
        """Look at a call after both sides have answered and before the next one."""
        self.call = call
        self.reference = reference
        self.candidate = candidate
        self._oracle = oracle
        self._chains = chains

    @_once
    def pair(self) -> Pair | None:
        """The chain, where the call belongs to one."""
        if isinstance(self.call.tool, str) and isinstance(self.call.request_id, str):
            return Pair(self.call.tool, self.call.request_id, self._text_path())
        return None

    def _text_path(self) -> bool:
        try:
            return self.traits.text_path
        except ValueError:  # an override that raises at every call: no chain is kept anywhere
            return False

    @property
    def answer(self) -> Returned | None:
        """The candidate's answer, if it has one."""
        outcome = self.candidate.outcome
        return outcome if isinstance(outcome, Returned) else None

    @_once
    def traits(self) -> Traits:
        """The tool's jitter and path."""
        return self._oracle.traits(self.call.tool or "")

    @_once
    def policy(self) -> Policy | None:
        """The tool's effective policy, from the reference's metadata where it answered."""
        outcome = self.reference.outcome
        if isinstance(outcome, Returned):
            return policy_of(outcome.metadata)
        return policy_of(self.answer.metadata) if self.answer else None

    @_once
    def now_s(self) -> float:
        """The time of the call on the reference's clock, seconds."""
        return self._oracle.now_s()

    @_once
    def drift(self) -> Drift | None:
        """Why the two counts differ on this chain already; ``None`` where they do not."""
        return self._chains.drift(self.pair) if self.pair else None

    @_once
    def shares_key(self) -> bool:
        """Whether the reference keeps another chain that was seen under the same joined key."""
        return self.pair is not None and self._chains.shares_key(self.pair)

    @_once
    def reference_failures(self) -> int:
        """The reference's count after the call; 0 = no chain.

        A name that the reference's store cannot even look up has no chain there, nor has a tool
        whose overrides raise at every call.
        """
        if self.pair is None:
            return 0
        try:
            return self._oracle.failures(self.pair.tool, self.pair.request_id)
        except ValueError:
            return 0

    @_once
    def candidate_failures_before(self) -> int:
        """The count the candidate must have held before the call."""
        before = self.reference_failures
        if isinstance(self.reference.outcome, Returned):
            # A count above 0 includes this call; at 0 only the chains that differ are known.
            before = max(before - 1, 0)
        if self.pair is None:
            return before
        known = self._chains.candidate_failures(self.pair, self.now_s)
        return before if known is None else known

    @_once
    def failure(self) -> bool | None:
        """Whether the hybrid takes the result for a failure; ``None`` when it cannot say.

        A retry or a chain left behind says so at once. An answer without either is a success or
        an exhausted budget, and only then the hybrid is asked again.
        """
        outcome = self.reference.outcome
        if isinstance(outcome, Returned) and (outcome.retries or self.reference_failures > 0):
            return True
        opinion = self.opinion(self.call.result)
        return None if opinion is None else opinion.failure

    def legal_draw(self, side: Side, delay_ms: int) -> bool:
        """Whether a side may draw this delay here: jitter on and within the ceiling.

        The ceiling follows from the failure count the reference reports for this very call, so
        that nothing has to be remembered. The candidate draws from 1, the reference from 0.
        """
        if self.policy is None or not self.traits.jitter:
            return False
        failures = self.reference_failures
        return (side is Side.CANDIDATE) <= delay_ms <= self.policy.ceiling_ms(failures)

    def opinion(self, result: object) -> Opinion | None:
        """Ask the hybrid about another result for the same tool."""
        return self._oracle.opinion(self.call.tool or "", result)

    def effective_config(self) -> RetryConfig:
        """Give the config in force for the tool."""
        return self._oracle.effective_config(self.call.tool or "")

    def candidate_decides(self, *, failure: bool) -> bool:
        """Whether the candidate's decision is the right one on its own count of the chain."""
        answer, policy = self.answer, self.policy
        if answer is None or policy is None or type(answer.delay_ms) is not int:
            return False
        count = self.candidate_failures_before + 1
        if not failure or count > policy.max_retries:
            return answer.delay_ms == 0
        ceiling = policy.ceiling_ms(count)
        if self.traits.jitter:
            return 1 <= answer.delay_ms <= ceiling
        return answer.delay_ms == ceiling

    def candidate_count_after(self) -> Count:
        """The count the candidate must hold after the call, going by its own answer."""
        failures = self.candidate_failures_before
        if self.answer is not None and not self.candidate.internal_errors:
            failures = failures + 1 if self.answer.retries else 0
        return Count(failures, self.now_s)
