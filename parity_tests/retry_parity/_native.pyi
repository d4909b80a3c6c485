"""What the harness does at every single call, in Rust."""

from collections.abc import Callable, Collection
from typing import Any, final

from cpex.framework import PluginContext

__all__ = ["Agreement", "Latency", "surely_same"]

@final
class Latency:
    """A histogram of durations in nanoseconds, from 1 ns to about 18 minutes.

    Durations beyond that count in the last bucket. Safe to use from several threads.
    """

    def __new__(cls) -> Latency: ...
    @property
    def count(self) -> int:
        """Durations counted."""

    def add(self, duration_ns: int, /) -> None:
        """Count one duration; a negative one counts as 0."""

    def quantile_ns(self, share: float, /) -> int | None:
        """Give the duration that a share (0 to 1) of all calls did not exceed.

        Returns:
            Nanoseconds, rounded down to the bucket (1/32); ``None`` when nothing was counted.
        """

@final
class Agreement:
    """Sees at a glance that both sides answered a call alike, and counts it.

    Args:
        class_: The class of answers it knows; no other answer agrees at a glance.
        reference: Where the reference's durations are counted.
        candidate: Where the candidate's durations are counted.
        remembered: Collections of the reference's keys (``"tool:request"``) of chains that a judge
            has to see.
        live: Each gives a number of chains that the reference holds.
        counted: Gives the failures that the reference has counted for a tool and a request id.

    The collections are not copied: what changes in them counts at the next call.
    """

    def __new__(
        cls,
        class_: type[Any],
        reference: Latency,
        candidate: Latency,
        remembered: list[Collection[str]],
        live: list[Callable[[], int]],
        counted: Callable[[str, str], int],
        /,
    ) -> Agreement: ...
    @property
    def matches(self) -> int:
        """Calls seen to agree."""

    def seen(
        self,
        payload: object,
        context: PluginContext,
        ours: object,
        theirs: object,
        begun_ns: int,
        between_ns: int,
        ended_ns: int,
        /,
    ) -> bool:
        """Whether the call certainly agrees and needs no judge; it is counted then.

        That is so where both answers are "no retry", equal down to the types of their values,
        nothing is remembered of the call's chain, and the reference has counted no failure of it.
        ``False`` says nothing but "look closer".

        Args:
            payload: ``name`` is the tool.
            context: ``global_context.request_id`` is the request.
            ours: The reference's answer.
            theirs: The candidate's answer.
            begun_ns: When the reference began.
            between_ns: When it had answered, and the candidate began.
            ended_ns: When that had answered.

        Raises:
            Exception: What the objects raise while they are read.
        """

def surely_same(left: object, right: object, /) -> bool:
    """Whether two values are the same plain data, of the same types; ``False`` says nothing.

    Looks only at what metadata are made of: dicts with text keys in one order, lists, text,
    integers, booleans and None.
    """
