"""Single faults of a candidate: ways in which an answer can be wrong. See `hunting`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from retry_with_backoff import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from retry_parity.source import Source

POLICY: Final = "retry_policy"
TRACE: Final = "retry_with_backoff"


@dataclass(frozen=True)
class Told:
    """The right answer of a hook, and what a fault may want to know of it.

    Attributes:
        answer: The right answer, a cpex result.
        payload: What the hook was given.
        count: Failures of the chain, this call included; 0 on a success. ``None`` where the core
            answered an internal error, and for a resource.
        settings: The tool's settings in force.
        source: Makes choices.
        ask_as: Asks the core the same under another request id; ``None`` for a resource.
        traced: Whether the caller traces.
    """

    answer: Any
    payload: Any
    count: int | None
    settings: Mapping[str, Any]
    source: Source
    ask_as: Callable[[str], Told] | None = None
    _: KW_ONLY
    traced: bool

    @property
    def delay_ms(self) -> int:
        """The delay."""
        delay: int = self.answer.retry_delay_ms
        return delay

    @property
    def jitter(self) -> bool:
        """Whether the delay was drawn."""
        return bool(self.settings["jitter"])

    def ceiling_ms(self, count: int) -> int:
        """The longest delay after so many failures."""
        base, cap = self.settings["backoff_base_ms"], self.settings["max_backoff_ms"]
        return int(min(cap, base << max(count - 1, 0)))

    def but(self, **fields: Any) -> Any:
        """The answer with other fields; nothing is validated."""
        return self.answer.model_copy(update=fields)

    def but_policy(self, **fields: Any) -> Any:
        """The answer with another policy in the metadata."""
        metadata = self.answer.metadata
        return self.but(metadata=metadata | {POLICY: metadata[POLICY] | fields})

    @property
    def counted(self) -> int:
        """The count, where there is one."""
        return self.count or 0

    @property
    def metrics(self) -> dict[str, Any]:
        """The right metrics of a trace."""
        return {"retry_count": self.count, "retry_delay_ms": self.delay_ms}

    def but_metrics(self, **fields: Any) -> Any:
        """The answer with other metrics."""
        return self.but(metadata=self.answer.metadata | {TRACE: self.metrics | fields})


#: Gives a wrong answer or a wrong exception; ``None`` where there is no way to be wrong.
Change: TypeAlias = "Callable[[Told], Any]"


@dataclass(frozen=True)
class Fault:
    """One way to be wrong.

    Attributes:
        name: What it does.
        change: Makes the wrong answer of a hook.
        resources: Whether that goes for resources too.
        cause: Makes the answer count as an internal error with this cause; see `Candidate`.
        hides_internal_errors: Hides the core's own internal errors.
        mutates: Whether ``change`` changes the payload.
        policy: Makes a wrong native policy.
        load: Makes the wrong end of a load, given the config and the core's refusal, if any:
            an exception, or another config that is loaded instead; ``None`` leaves it right.
        least: Fewest changed answers without which the hunt has not looked.
        everywhere: Whether it changes every answer, whatever is right.
    """

    name: str
    change: Change | None = None
    resources: bool = False
    cause: str | None = None
    hides_internal_errors: bool = False
    mutates: bool = False
    policy: Callable[[dict[str, Any]], Any] | None = None
    load: Callable[[Any, ConfigError | None], Any] | None = None
    least: int = 20
    everywhere: bool = False

    def __str__(self) -> str:
        """Give the name."""
        return self.name


# --- the faults ----------------------------------------------------------------------------------


def _no_retry(told: Told) -> Any:
    return told.but(retry_delay_ms=0) if told.delay_ms else None


def _delay(make: Callable[[Told], object]) -> Change:
    """Another delay where a retry is due and nothing is drawn."""

    def change(told: Told) -> Any:
        return told.but(retry_delay_ms=make(told)) if told.delay_ms and not told.jitter else None

    return change


def _extra(make: Callable[[Told], int]) -> Change:
    """A retry where none is due."""

    def change(told: Told) -> Any:
        return None if told.delay_ms else told.but(retry_delay_ms=make(told))

    return change


def _above_the_ceiling(told: Told) -> Any:
    if not told.delay_ms or told.count is None:
        return None
    return told.but(retry_delay_ms=told.ceiling_ms(told.count) + 1)


def _beyond_the_budget(told: Told) -> Any:
    if told.delay_ms or not told.count:
        return None
    return told.but(retry_delay_ms=told.ceiling_ms(told.count))


def _metadata(make: Callable[[Mapping[str, Any]], object]) -> Change:
    return lambda told: told.but(metadata=make(told.answer.metadata))


def _off_by(name: str, step: int) -> Change:
    return lambda told: told.but_policy(**{name: told.answer.metadata[POLICY][name] + step})


def _as(name: str, make: Callable[[Any], object]) -> Change:
    return lambda told: told.but_policy(**{name: make(told.answer.metadata[POLICY][name])})


def _statuses(make: Callable[[list[int]], object]) -> Change:
    return _as("retry_on_status", make)


def _metrics(make: Callable[[Told], dict[str, object]]) -> Change:
    def change(told: Told) -> Any:
        if not told.traced or told.count is None:
            return None
        return told.but_metrics(**make(told))

    return change


def _metrics_without_a_trace(told: Told) -> Any:
    return None if told.traced or told.count is None else told.but_metrics()


def _success_counted(told: Told) -> Any:
    if not told.traced or told.count != 0:
        return None
    return told.but_metrics(retry_count=told.settings["max_retries"] + 1)


def _exhaustion_not_counted(told: Told) -> Any:
    if not told.traced or told.delay_ms or not told.count:
        return None
    return told.but_metrics(retry_count=0)


def _raising(make: Callable[[], BaseException]) -> Change:
    return lambda _: make()


def _add_a_key(told: Told) -> Any:
    if type(told.payload.result) is not dict:
        return None
    told.payload.result["retried"] = True
    return told.answer


def _drop_the_content(told: Told) -> Any:
    result = told.payload.result
    if type(result) is not dict or "content" not in result:
        return None
    del result["content"]
    return told.answer


def _change_an_item(told: Told) -> Any:
    result = told.payload.result
    content = result.get("content") if type(result) is dict else None
    if type(content) is not list or not content or type(content[0]) is not dict:
        return None
    content[0]["text"] = "changed"
    return told.answer


def _as_another_chain(name: Callable[[Told], str]) -> Change:
    """The answer of another chain, where it is none that the right chain could give."""

    def change(told: Told) -> Any:
        if told.count is None or told.ask_as is None:
            return None
        other = told.ask_as(name(told))
        if other.count is None:
            return None
        if told.jitter and told.delay_ms and 1 <= other.delay_ms <= told.ceiling_ms(told.count):
            return None if other.count == told.count or not told.traced else other.answer
        return other.answer

    return change


class PanicException(BaseException):
    """What a Rust panic becomes."""


def _encode_error() -> UnicodeEncodeError:
    return UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")


def _refuse(**named: object) -> Callable[[Any, ConfigError | None], ConfigError]:
    def load(config: Any, refusal: ConfigError | None) -> ConfigError:
        del config, refusal
        tool, key = named.get("tool"), named.get("key")
        place = key if tool is None else f'tool_overrides["{tool}"].{key}'
        error = ConfigError(f"{place}: 1 given; allowed: 2" if key else "this cannot be")
        error.tool, error.key = tool, key  # type: ignore[assignment] # whatever the fault says
        return error

    return load


def _misname(key: str | None, tool: str | None) -> Callable[[Any, ConfigError | None], Any]:
    """Refuse what is to be refused, but for a cause that is none."""

    def load(config: Any, refusal: ConfigError | None) -> Any:
        if refusal is None or not isinstance(config, dict):
            return None
        return _refuse(key=key or refusal.key, tool=tool or refusal.tool)(config, None)

    return load


def _take_anyway(config: Any, refusal: ConfigError | None) -> Any:
    """Take what is to be refused, without the part that is wrong."""
    if refusal is None or not isinstance(config, dict):
        return None
    return {key: config[key] for key in config if key not in {refusal.key, "tool_overrides"}}


FAULTS: Final = {
    fault.name: fault
    for fault in (
        # retry and delay
        Fault("never retries", _no_retry),
        Fault("retries in 1 ms where no retry is due", _extra(lambda _: 1)),
        Fault("retries where no retry is due", _extra(lambda told: told.ceiling_ms(1))),
        Fault("retries beyond the budget", _beyond_the_budget),
        Fault("1 ms longer", _delay(lambda told: told.delay_ms + 1)),
        Fault("1 ms shorter", _delay(lambda told: told.delay_ms - 1)),
        Fault("1 ms above the ceiling", _above_the_ceiling),
        Fault("the delay of the failure before", _delay(lambda told: told.delay_ms // 2)),
        Fault("the delay of the failure after", _delay(lambda told: told.delay_ms * 2)),
        Fault("negative delay", lambda told: told.but(retry_delay_ms=-1), everywhere=True),
        Fault("delay as a float", lambda told: told.but(retry_delay_ms=float(told.delay_ms))),
        Fault("delay as text", lambda told: told.but(retry_delay_ms=str(told.delay_ms))),
        Fault("delay as a flag", lambda told: told.but(retry_delay_ms=told.delay_ms > 0)),
        Fault("delay of None", lambda told: told.but(retry_delay_ms=None)),
        # metadata
        Fault("metadata of None", _metadata(lambda _: None), resources=True),
        Fault("empty metadata", _metadata(lambda _: {}), resources=True),
        Fault(
            "one retry more in the policy",
            _off_by("max_retries", 1),
            everywhere=True,
            resources=True,
        ),
        Fault("base off by one in the policy", _off_by("backoff_base_ms", 1), resources=True),
        Fault("cap off by one in the policy", _off_by("max_backoff_ms", -1), resources=True),
        Fault("a status more in the policy", _statuses(lambda codes: [*codes, 418])),
        Fault("statuses as text", _statuses(lambda codes: [*map(str, codes), "1"])),
        Fault("retries as a float in the policy", _as("max_retries", float), resources=True),
        Fault("base as text in the policy", _as("backoff_base_ms", str), resources=True),
        Fault("a key more in the policy", lambda told: told.but_policy(jitter=told.jitter)),
        Fault("a key more beside the policy", _metadata(lambda data: {**data, "more": 1})),
        # metrics of a traced call
        Fault(
            "count of the trace one too high",
            _metrics(lambda told: {"retry_count": told.counted + 1}),
        ),
        Fault(
            "count of the trace one too low",
            _metrics(lambda told: {"retry_count": told.counted - 1}),
        ),
        Fault("a success counted in the trace", _success_counted),
        Fault("exhaustion not counted in the trace", _exhaustion_not_counted),
        Fault(
            "delay of the trace off by one",
            _metrics(lambda told: {"retry_delay_ms": told.delay_ms + 1}),
        ),
        Fault(
            "count of the trace as a float",
            _metrics(lambda told: {"retry_count": float(told.counted)}),
        ),
        Fault("a key more in the trace", _metrics(lambda _: {"more": 1})),
        Fault("metrics without a trace", _metrics_without_a_trace),
        # exceptions and internal errors
        Fault(
            "raises RuntimeError",
            _raising(lambda: RuntimeError("x")),
            everywhere=True,
            resources=True,
        ),
        Fault("raises ValueError", _raising(lambda: ValueError("x")), resources=True),
        Fault("raises TypeError", _raising(lambda: TypeError("x"))),
        Fault("raises OverflowError", _raising(lambda: OverflowError("x"))),
        Fault("raises UnicodeEncodeError", _raising(_encode_error)),
        Fault("raises RecursionError", _raising(lambda: RecursionError("x"))),
        Fault("raises SystemExit", _raising(lambda: SystemExit(1))),
        Fault("panics", _raising(lambda: PanicException("x")), resources=True),
        Fault("internal error", lambda told: told.but(retry_delay_ms=0), cause=""),
        Fault(
            "internal RuntimeError",
            lambda told: told.but(retry_delay_ms=0),
            cause="tool_post_invoke: RuntimeError",
        ),
        Fault(
            "internal OverflowError",
            lambda told: told.but(retry_delay_ms=0),
            cause="tool_post_invoke: OverflowError",
        ),
        Fault(
            "hides an internal error",
            lambda told: told.answer,
            hides_internal_errors=True,
            least=10,
        ),
        # the rest of the answer, and the payload
        Fault("modifies the payload", lambda told: told.but(modified_payload=told.payload)),
        Fault(
            "stops the processing",
            lambda told: told.but(continue_processing=False),
            everywhere=True,
        ),
        Fault("sets headers", lambda told: told.but(http_headers={"retry-after": "1"})),
        Fault("adds a key to the payload", _add_a_key, mutates=True),
        Fault("drops the payload's content", _drop_the_content, mutates=True),
        Fault("changes an item of the payload", _change_an_item, mutates=True),
        # chains
        Fault(
            "forgets the chain", _as_another_chain(lambda told: f"new {told.source.below(10**9)}")
        ),
        Fault("one chain for all requests of a tool", _as_another_chain(lambda _: "all")),
        # native policies
        Fault(
            "native policy with a retry more",
            policy=lambda it: it | {"maxRetries": it["maxRetries"] + 1},
        ),
        Fault("native policy with another base", policy=lambda it: it | {"backoffBaseMs": 99}),
        Fault("native policy with other statuses", policy=lambda it: it | {"retryOnStatus": [1]}),
        Fault(
            "native policy with other jitter", policy=lambda it: it | {"jitter": not it["jitter"]}
        ),
        Fault("native policy with a key more", policy=lambda it: it | {"more": 1}),
        Fault("no native policy", policy=lambda _: None),
        Fault("native policy raises", policy=lambda _: ValueError("x")),
        # loading
        Fault("refuses without naming anything", load=_refuse()),
        Fault("refuses without a cause", load=_refuse(key="max_retries", tool=None)),
        Fault("refuses because of another tool", load=_misname(key=None, tool="nobody")),
        Fault("refuses because of a tool that is right", load=_misname(key=None, tool="search")),
        Fault("refuses because of another key", load=_misname(key="jitter", tool=None)),
        Fault("refuses with a ValueError", load=lambda *_: ValueError("max_retries: 1 given")),
        Fault("refuses with a TypeError", load=lambda *_: TypeError("max_retries: 1 given")),
        Fault("takes what is to be refused", load=_take_anyway),
    )
}
