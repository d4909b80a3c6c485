"""Shows the accepted differences that no single answer has: one probe per ledger entry.

A probe makes both sides do what its entry is about, in children of this process, so that neither
the chains nor the settings of the process are touched. It works where a process can be forked, and
is for test runs: a gateway never calls it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from retry_parity.lifetime import end_with_parent

if TYPE_CHECKING:
    from cpex.framework import PluginConfig

_FAILURE: Final = MappingProxyType({"isError": True})
_DRAWS: Final = 8
#: Delays up to a billion milliseconds: eight equal ones are no accident.
_WIDE_MS: Final = 10**9
_REQUESTS: Final = ("a", "b", "c")
_MOST_CHAINS: Final = 2
#: Beyond what the core reads at all, and a recursion limit beyond that.
_DEEP: Final = "[" * 2_500 + "]" * 2_500
_LONG: Final = "7" * 5_000
_NO_LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Shown:
    """What a probe saw.

    Attributes:
        reference: Whether the hybrid does what its entry says of it.
        candidate: Whether the core does what its entry says of it.
        seen: What was seen, for a reader.
    """

    reference: bool
    candidate: bool
    seen: str

    @property
    def differs(self) -> bool:
        """Whether the difference is there as the ledger has it, on both sides."""
        return self.reference and self.candidate


Probe: TypeAlias = Callable[[], Shown]


def fork_jitter() -> Shown:
    """Let two children, forked after the first draw, draw some delays each."""
    import retry_legacy
    from retry_with_backoff import RetryWithBackoffPlugin

    hybrid, core = _both(
        retry_legacy.RetryWithBackoffPlugin,
        RetryWithBackoffPlugin,
        {"jitter": True, "backoff_base_ms": _WIDE_MS, "max_backoff_ms": _WIDE_MS},
    )

    def draw() -> list[list[int]]:
        numbers = range(_DRAWS)
        return [
            [_failing(side, f"child {number}") for number in numbers] for side in (hybrid, core)
        ]

    try:
        for side in (hybrid, core):
            _failing(side, "parent")
        (ours, theirs), (our_twin, their_twin) = _in_a_fork(draw), _in_a_fork(draw)
    finally:
        for side in (hybrid, core):
            _ask(side, "parent", None)
    return Shown(
        ours == our_twin,
        theirs != their_twin,
        f"hybrid {ours} and {our_twin}; core {theirs} and {their_twin}",
    )


def bounded_state() -> Shown:
    """Let three requests fail once each, under a maximum of two chains."""
    import retry_legacy
    from retry_with_backoff import RetryWithBackoffPlugin, _core

    def fill() -> tuple[int, int, int, list[int]]:
        retry_legacy.clear_state()
        _core.clear_state()
        _core.set_max_chains(_MOST_CHAINS)
        dropped_before = _core.evicted_chains()
        settings: dict[str, object] = {"jitter": False, "backoff_base_ms": 100}
        hybrid, core = _both(retry_legacy.RetryWithBackoffPlugin, RetryWithBackoffPlugin, settings)
        for side in (hybrid, core):
            for request_id in _REQUESTS:
                _failing(side, request_id)
        live = retry_legacy.live_chains(), _core.live_chains()
        dropped = _core.evicted_chains() - dropped_before
        # The oldest was dropped: its next failure is a first one, those of the others are second.
        delays = [_failing(core, request_id) for request_id in reversed(_REQUESTS)]
        # A chain that ended by a success is not the oldest any longer: of d, e and f, d goes.
        _core.clear_state()
        _failing(core, "ended")
        _failing(core, "d")
        _ask(core, "ended", None)
        _failing(core, "e")
        _failing(core, "f")
        return *live, dropped, delays + [_failing(core, request_id) for request_id in "fed"]

    ours, theirs, dropped, delays = _in_a_fork(fill)
    return Shown(
        ours == len(_REQUESTS),
        (theirs, dropped, delays) == (_MOST_CHAINS, 1, [200, 200, 100] * 2),
        f"hybrid {ours} live chains; core {theirs}, {dropped} dropped, then delays of {delays} ms",
    )


def text_limits() -> Shown:
    """Let a process out of Python's limits meet a failure in texts beyond them."""
    import retry_legacy
    from retry_with_backoff import RetryWithBackoffPlugin

    def read() -> list[list[int]]:
        sys.setrecursionlimit(_NO_LIMIT)
        sys.set_int_max_str_digits(0)
        settings: dict[str, object] = {"jitter": False, "check_text_content": True}
        sides = _both(retry_legacy.RetryWithBackoffPlugin, RetryWithBackoffPlugin, settings)
        return [
            [_ask(side, f"text {number}", _failing_text(value)) for side in sides]
            for number, value in enumerate((_DEEP, _LONG))
        ]

    told = _in_a_fork(read)
    return Shown(
        all(ours > 0 for ours, _ in told),
        all(theirs == 0 for _, theirs in told),
        "delays of the hybrid and the core: "
        + ", ".join(f"{ours} and {theirs} ms" for ours, theirs in told),
    )


PROCESS_PROBES: Final[Mapping[str, Probe]] = MappingProxyType(
    {"bounded_state": bounded_state, "fork_jitter": fork_jitter, "text_limits": text_limits}
)


def _both(
    hybrid: Callable[[PluginConfig], Any],
    core: Callable[[PluginConfig], Any],
    settings: dict[str, object],
) -> tuple[Any, Any]:
    from cpex.framework import PluginConfig

    config = PluginConfig(name="probe", kind="probe", config=settings)
    return hybrid(config), core(config)


def _failing_text(value: str) -> dict[str, object]:
    """Make a result whose only text says that it failed, and holds a value."""
    text = f'{{"isError": true, "value": {value}}}'
    return {"content": [{"type": "text", "text": text}], "isError": False}


def _failing(plugin: Any, request_id: str) -> int:
    return _ask(plugin, request_id, dict(_FAILURE))


def _ask(plugin: Any, request_id: str, result: object) -> int:
    """Make one call; give the delay in milliseconds."""
    payload = SimpleNamespace(name="probe", result=result)
    context = SimpleNamespace(global_context=SimpleNamespace(request_id=f"probe {request_id}"))
    hook = plugin.tool_post_invoke(payload, context)
    try:
        hook.send(None)
    except StopIteration as end:
        delay: int = end.value.retry_delay_ms
        return delay
    hook.close()
    message = "the hook waited for something; it is expected to answer at once"
    raise RuntimeError(message)


def _in_a_fork(work: Callable[[], object]) -> Any:
    """Do something in a forked child and give what it gives, as JSON has it.

    Raises:
        RuntimeError: The child failed; it has said why on standard error.
    """
    reader, writer = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            end_with_parent(parent)
            os.write(writer, json.dumps(work()).encode())
            status = 0
        finally:
            # Nothing of the parent's may run twice, whatever the work raised.
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    if os.waitpid(child, 0)[1] != 0:
        message = "the forked child failed"
        raise RuntimeError(message)
    return json.loads(text)
