"""The load: chains that begin, go on and end, through the framework's manager.

Every answer is checked, and what the store says of itself against what was done to it.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from cpex import framework
from cpex.framework.models import Config

import retry_legacy
from retry_parity import _native
from retry_parity._native import Latency
from retry_parity.evidence import evidence_of
from retry_with_backoff import _core
from timed import Timed

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Retries of a chain.
BUDGET: Final = 2
_NAME: Final = "soak"
_CEILINGS_MS: Final = (200, 400)
_HOOK: Final = framework.ToolHookType.TOOL_POST_INVOKE
_FAILURE: Final = {
    "content": [{"type": "text", "text": "upstream failed"}],
    "isError": True,
    "structuredContent": {"status_code": 503, "error": "later"},
    "_meta": None,
}
_SUCCESS: Final = {
    "content": [{"type": "text", "text": "42"}],
    "isError": False,
    "structuredContent": None,
    "_meta": None,
}
#: New chains of a round that are left to themselves.
_LEFT: Final = 8
#: What a million chains may take, and what little an empty store does.
_MOST_BYTES_EACH: Final = 100 * 2**20 / 1_000_000
_MOST_BYTES_EMPTY: Final = 2**20
#: One of the store's many hash tables doubles where by chance it has more entries than ever, and in
#: time each of them may, once. A place takes five bytes, and a table has at most 16 for 7 entries:
#: it doubles where more than 7 of 8 are taken.
_DOUBLING_BYTES_EACH: Final = 5 * 16 / 7
#: With fewer chains a table has so few of them that this is common.
_FEWEST_STEADY: Final = 20_000


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is under load.

    Attributes:
        plugin: Module and class.
        settings: Its settings.
        least_delay_ms: The least that a failure within the budget is told. The hybrid's may be 0
            (ledger: jitter-zero).
        evicts: Whether its store is bounded, so that chains can be left to themselves for ever.
        live: Live chains, unless told otherwise. The hybrid walks over all of its at each call.
    """

    plugin: str
    settings: dict[str, Any]
    least_delay_ms: int
    evicts: bool
    live: int


SUBJECTS: Final = {
    "product": Subject("retry_with_backoff:RetryWithBackoffPlugin", {}, 1, True, 1_000_000),  # noqa: FBT003 - a row of a table
    "shadow": Subject(
        "retry_parity:MigrationPlugin",
        {"migration": {"implementation": "shadow"}},
        0,
        False,  # noqa: FBT003 - as above
        1_000,
    ),
}


class Load:
    """The plugin behind its manager, and the chains that are open in it."""

    def __init__(self, subject: Subject, live: int) -> None:
        """Prepare for so many live chains."""
        self._subject = subject
        self.live = live
        self.calls = self.begun = self.ended = self.wrong = 0
        self.call_times = Latency()
        self._open: deque[str] = deque()
        self._numbers = itertools.count()
        self._failing = framework.ToolPostInvokePayload(name="search", result=dict(_FAILURE))
        self._fine = framework.ToolPostInvokePayload(name="search", result=dict(_SUCCESS))

    async def start(self) -> None:
        """Build the plugin.

        Raises:
            RuntimeError: The framework skipped it.
        """
        # Chains give up by the million.
        logging.disable(logging.WARNING)
        Timed.plugin = self._subject.plugin
        entry = framework.PluginConfig(
            name=_NAME,
            kind="timed.Timed",
            hooks=[_HOOK.value],
            config={"max_retries": BUDGET, **self._subject.settings},
        )
        self._manager = framework.TenantPluginManager(
            config=Config(plugins=[entry], plugin_dirs=[])
        )
        await self._manager.initialize()
        plugin = self._manager.get_plugin(_NAME)
        if plugin is None:
            message = "the framework skipped the plugin"
            raise RuntimeError(message)
        self._plugin: Any = plugin
        # A process that has been at work before may have left some.
        _core.clear_state()
        if self._subject.evicts:
            _core.set_max_chains(self.live)
        self._evicted_before = _core.evicted_chains()
        self._errors_before = _core.internal_errors()
        # Once each way, so that what is made once is there before memory is looked at.
        await self.round()

    async def fill(self) -> None:
        """Open so many chains; not through the manager, which would take minutes."""
        hook = self._plugin.tool_post_invoke
        request = framework.GlobalContext(request_id="")
        context = framework.PluginContext(global_context=request)
        for _ in range(self.live - _core.live_chains()):
            request.request_id = self._new()
            self.calls += 1
            answer = await hook(self._failing, context)
            self._check(answer.retry_delay_ms, 1)
            self._keep(request.request_id)

    async def round(self) -> None:
        """Begin chains and leave them, have one give up and one succeed; a success besides."""
        for _ in range(_LEFT):
            left = self._new()
            await self._fail(left, 1)
            self._keep(left)
        exhausted = self._new()
        for failures in range(1, BUDGET + 2):
            await self._fail(exhausted, failures)
        self.ended += 1
        recovered = self._new()
        await self._fail(recovered, 1)
        await self._succeed(recovered)
        self.ended += 1
        await self._succeed(f"unknown {next(self._numbers)}")
        if not self._subject.evicts:
            while len(self._open) > self.live:
                await self._succeed(self._open.popleft())
                self.ended += 1

    def troubles(self, *, may_expire: bool) -> Iterator[tuple[str, int]]:
        """Say what is wrong, and how often.

        Args:
            may_expire: Whether chains may have reached their end of life.
        """
        yield "wrong answers", self.wrong
        yield "internal errors", _core.internal_errors() - self._errors_before
        expired = self.expired
        yield "chains unaccounted for", -min(expired, 0) if may_expire else abs(expired)
        yield "chains beyond the limit", max(0, _core.live_chains() - self.live - _LEFT)
        if self._subject.plugin.endswith(":MigrationPlugin"):
            counts = evidence_of(_NAME).counts()
            yield "divergences", sum(counts.divergent.values())
            yield "errors of the harness", sum(counts.harness_errors.values())

    @property
    def evicted(self) -> int:
        """Chains dropped for want of room."""
        return _core.evicted_chains() - self._evicted_before

    @property
    def expired(self) -> int:
        """Chains that are neither live nor ended nor evicted."""
        return self.begun - self.ended - self.evicted - _core.live_chains()

    @property
    def most_store_bytes(self) -> int:
        """What the store may take at most with so many chains."""
        return round(self.live * _MOST_BYTES_EACH) + _MOST_BYTES_EMPTY

    def _new(self) -> str:
        self.begun += 1
        return f"{next(self._numbers):032x}"

    def _keep(self, request_id: str) -> None:
        if not self._subject.evicts:
            self._open.append(request_id)

    async def _fail(self, request_id: str, failures: int) -> None:
        self._check(await self._call(self._failing, request_id), failures)

    async def _succeed(self, request_id: str) -> None:
        self.wrong += await self._call(self._fine, request_id) != 0

    def _check(self, delay_ms: int, failures: int) -> None:
        if failures > BUDGET:
            self.wrong += delay_ms != 0
        else:
            ceiling_ms = _CEILINGS_MS[failures - 1]
            self.wrong += not self._subject.least_delay_ms <= delay_ms <= ceiling_ms

    async def _call(self, payload: Any, request_id: str) -> int:
        self.calls += 1
        context = framework.GlobalContext(request_id=request_id)
        begin = perf_counter_ns()
        answer, _ = await self._manager.invoke_hook(_HOOK, payload, context)
        self.call_times.add(perf_counter_ns() - begin)
        delay_ms: int = answer.retry_delay_ms
        return delay_ms


def has_grown(live: int, before: int, after: int) -> bool:
    """Whether a store that was at its limit takes more than it took."""
    return live >= _FEWEST_STEADY and after > before + live * _DOUBLING_BYTES_EACH


def replace_clocks(clock: Any) -> None:
    """Put a clock in place everywhere; None puts the real ones back."""
    for replace in (_core.set_clock, retry_legacy.set_clock, _native.set_clock):
        replace(clock)
