from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, final

from cpex.framework import PluginContext

from retry_parity.traces.calls import Batch

__all__ = [
    "Book",
    "Desk",
    "Latency",
    "Playback",
    "Setting",
    "Switch",
    "binomial_upper_bound",
    "canary_bucket",
    "chain_hash",
    "chain_hashes",
    "evicted_chains",
    "facts_of",
    "forget_chains",
    "open_chains",
    "salted_hash",
    "sample_bucket",
    "set_clock",
    "set_salt",
    "signal_of",
    "steps_of",
    "surely_same",
]

@final
class Latency:
    """Counts durations in a fixed amount of memory, each known to within 1 %; an HDR histogram."""

    def __new__(cls) -> Latency: ...
    @property
    def count(self) -> int:
        """How many durations were counted."""

    @property
    def sum_ns(self) -> int:
        """Their sum, nanoseconds."""

    def add(self, duration_ns: int, /) -> None:
        """Count a duration.

        Args:
            duration_ns: Nanoseconds; a negative one, from a clock put back, counts as 0, and one of
                more than an hour as an hour.
        """

    def quantile_ns(self, share: float, /) -> int | None:
        """Give the duration that a share (0 to 1) of all calls did not exceed.

        Returns:
            Nanoseconds, to within 1 %; ``None`` when nothing was counted.
        """

    def cumulative(self, bounds_ns: Sequence[int], /) -> list[int]:
        """Give how many durations were at most each bound, nanoseconds."""

    def encoded(self) -> str:
        """Give the whole histogram in HdrHistogram's V2 format, compressed, as base64."""

    def buckets(self) -> list[tuple[int, int]]:
        """Give what was counted: the longest duration of each bucket, nanoseconds, and how many."""

    def merge(self, other: Latency, /) -> None:
        """Add what another one has counted."""

    @staticmethod
    def decoded(text: str, /) -> Latency:
        """Read what `encoded` has written; the sum is known to within 1 % then.

        Raises:
            ValueError: It is something else.
        """

    def clear(self) -> None:
        """Forget what was counted."""

@final
class Switch:
    """What steers the decisions of one plugin name, in every plugin object at once."""

    def __new__(cls) -> Switch: ...
    def follow(self, mode: int | None, canary_percent: float | None, /) -> None:
        """Take what the flag service says.

        Args:
            mode: Position of the flag's value in `Implementation`; ``None`` where the plugin's own
                holds.
            canary_percent: The canary's share, 0 to 100; ``None`` likewise.

        Raises:
            ValueError: There is no such mode or share.
        """

    #: Whether the hybrid decides all new chains.
    tripped: bool
    #: Whether the candidate is not asked, as long as `Lane.candidate_rests` says so.
    resting: bool

@final
class Book:
    """What is counted of one plugin name at every call.

    Args:
        reference: Where the hybrid's durations are counted.
        candidate: Where the candidate's durations are counted.
    """

    def __new__(cls, reference: Latency, candidate: Latency, /) -> Book: ...
    @property
    def matches(self) -> int:
        """Calls seen to agree at a glance."""

    @property
    def fallbacks(self) -> int:
        """Answers of the hybrid in place of the candidate's."""

    @property
    def sampled_out(self) -> int:
        """Calls that were left out of the comparison by its share."""

    @property
    def decisions(self) -> list[list[int]]:
        """Answers that callers got: hybrid and candidate, each retry, no retry, raised."""

    @property
    def outcomes(self) -> list[list[int]]:
        """What each side did, whether it decided or not, in the same order."""

    def strata(self) -> list[tuple[int, int, bool, bool, int, int, int]]:
        """Give the strata that were met.

        Returns:
            Signal, position, override, text check and outcome as in `strata`, what became of the
            comparison (0 match, 1 accepted, 2 divergent), and how often.
        """

    def clear(self) -> None:
        """Forget what was counted."""

@final
class Setting:
    """What is known of a tool's effective config."""

    def __new__(
        cls,
        *,
        jitter: bool,
        text_path: bool,
        overridden: bool,
        retryable: Sequence[int],
        base_ms: int,
        cap_ms: int,
    ) -> Setting: ...
    @property
    def overridden(self) -> bool:
        """Whether the tool has an override of its own."""

    @property
    def text_path(self) -> bool:
        """Whether its text content is checked."""

@final
class Desk:
    """Takes the calls of one plugin object: asks the sides, compares at a glance, answers.

    Args:
        lane: Loads the sides and judges; see `lane.Lane`.
        switch: What steers all objects of the plugin's name.
        book: Where calls are counted.
        answer_class: The class of answers that can be seen to agree.
        remembered: Collections of the hybrid's keys (``"tool:request"``) of chains that a judge has
            to see. They are not copied: what changes in them counts at the next call.
        mode: Position of the object's own flag in `Implementation`.
        canary_percent: Its own share of the canary.
        compare_percent: Share of chains that are compared under ``rust``.
        time_limit_ns: What takes longer is not compared, or is an error of the candidate.
        judge_all: Whether every comparison has to be judged.
    """

    def __new__(
        cls,
        lane: object,
        switch: Switch,
        book: Book,
        answer_class: type[Any],
        remembered: list[Collection[str]],
        *,
        mode: int,
        canary_percent: float,
        compare_percent: float,
        time_limit_ns: int,
        judge_all: bool,
    ) -> Desk: ...
    @property
    def mode(self) -> int:
        """Position of the flag's value in force in `Implementation`, before the guard."""

    def decide(self, payload: object, context: object, extensions: object, /) -> object:
        """Answer a tool result.

        Returns:
            The answer of the side that decides; see the module's `desk.rs` for when another one
            stands in.

        Raises:
            BaseException: What the hybrid raised where it decides, and what ends the process or the
                task.
        """

@final
class Playback:
    """Plays recorded calls to a desk, each at its time; also the clock and the random source."""

    def __new__(cls) -> Playback: ...
    @property
    def seq(self) -> int:
        """Running number of the call that is played."""

    def now(self) -> float:
        """Give the time of the call that is played, seconds."""

    def draw(self) -> float:
        """Draw from [0, 1): for a call's tool, request id and number always the same draws."""

    def play(
        self,
        desk: Desk,
        context: PluginContext,
        make_payload: Callable[[str, object], object],
        batch: Batch,
        /,
    ) -> None:
        """Play a batch.

        Args:
            desk: Who decides.
            context: Used for all calls; its request id is replaced.
            make_payload: Makes a payload of a tool and a result, once for each pair in the batch.
            batch: The calls.

        Raises:
            ValueError: The columns are of different lengths, or point outside.
            BaseException: What ends the process, and what `make_payload` raises.
        """

def binomial_upper_bound(failures: int, trials: int, confidence: float, /) -> float:
    """Give the upper bound on a rate of which failures were seen in independent trials.

    Args:
        failures: How many failed.
        trials: Of how many.
        confidence: That the rate is below the bound, between 0 and 1, one-sided.

    Returns:
        The exact (Clopper-Pearson) bound, 0 to 1; 1 without trials.

    Raises:
        ValueError: More failures than trials, or no confidence.
    """

def chain_hash(tool: str, request_id: str, /) -> int:
    """Give 64 bits by which a trace is divided; the same everywhere and at all times.

    Chains that the hybrid may take for one ("a:b" + "c" and "a" + "b:c") have the same.
    """

def chain_hashes(tools: Iterable[str], request_ids: Iterable[str], /) -> bytes:
    """Give `chain_hash` of each pair, 8 bytes each, little-endian.

    Raises:
        ValueError: There are fewer request ids than tools.
    """

def canary_bucket(tool: str, request_id: str, /) -> int:
    """Give a chain's bucket, 0 to 9999: it is in the canary where that is below share x 100.

    The same on every worker and after a restart: the first half of SipHash-2-4-128 under the key
    ``retry-parity/1.0``, of the tool's length in bytes (64 bits, little-endian), the tool and the
    request id in UTF-8, modulo 10,000.
    """

def sample_bucket(tool: str, request_id: str, /) -> int:
    """Give a chain's bucket, 0 to 9999, of the share that is compared under ``rust``.

    The second half of the same hash, so that it says nothing about the canary.
    """

def open_chains() -> int:
    """Chains whose owner is remembered, expired ones that no call has met yet included."""

def evicted_chains() -> int:
    """Chains whose owner was forgotten for want of room since the process began."""

def forget_chains() -> None:
    """Forget the owners of all chains."""

def steps_of(payload: object, context: PluginContext, /) -> tuple[list[dict[str, object]], int]:
    """Give the earlier calls of a call's chain.

    Returns:
        Facts and decisions of each, the oldest first, and how many more there were.
    """

def facts_of(result: object, /) -> dict[str, object]:
    """Tell of a result what a decision may depend on: types, lengths, status codes, hashes."""

def set_salt(salt: bytes, /) -> None:
    """Replace the process's own salt by 16 bytes; for a replay, whose evidence is repeatable."""

def salted_hash(text: str, /) -> str:
    """Give a hash that is the same for equal texts in one process, and in no other."""

def signal_of(result: object, retryable: Sequence[int], /) -> int:
    """Give the position in `strata.Signal` of what a result says.

    Raises:
        BaseException: What ends the process or the task; whatever else reading raises makes the
            result unreadable.
    """

def set_clock(clock: Callable[[], float] | None, /) -> None:
    """Put a clock in place of the monotonic one by which chains age: seconds. None puts it back."""

def surely_same(left: object, right: object, /) -> bool:
    """Whether two values are the same plain data, of the same types; ``False`` says nothing.

    Looks only at what metadata are made of: dicts with text keys in one order, lists, text,
    integers, booleans and None.
    """
