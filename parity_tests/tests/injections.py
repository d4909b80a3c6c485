"""Faults of a candidate, and a gateway in small that drives the plugin through the real framework.

A fault strikes at one call: before the core has counted the call, or after. What strikes is in the
place of the real Rust core; everything else is as in production.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import product_tests
from cpex.framework import (
    GlobalContext,
    PluginConfig,
    TenantPluginManager,
    ToolHookType,
    ToolPostInvokePayload,
    ToolPostInvokeResult,
)
from cpex.framework.hooks.policies import HookPayloadPolicy
from cpex.framework.models import Config
from laboratory import FAILURE, NAME

import retry_legacy
from retry_parity import candidates, migration
from retry_parity.evidence import evidence_of
from retry_with_backoff import RetryWithBackoffPlugin, _core

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping
    from types import TracebackType

    import pytest

    from retry_parity.evidence import Counts

# A trace that nobody reads takes longer than all the rest of a panic.
os.environ["RUST_BACKTRACE"] = "0"

BUDGET: Final = 3
#: The delays of a tool that always fails.
DELAYS: Final = [100, 200, 400, 0]

#: Every value of the flag, and under it who decides and what of it is compared.
FLAGS: Final[dict[str, dict[str, Any]]] = {
    "legacy": {"implementation": "legacy"},
    "shadow": {"implementation": "shadow"},
    "canary, the hybrid's share": {"implementation": "canary", "canary_percent": 0.0},
    "canary, the core's share": {"implementation": "canary", "canary_percent": 100.0},
    "rust alone": {"implementation": "rust"},
    "rust, compared": {"implementation": "rust", "compare_percent": 100.0},
}

#: As the gateway has it: what makes the framework hand each plugin an isolated payload.
_POLICIES: Final = {
    ToolHookType.TOOL_POST_INVOKE.value: HookPayloadPolicy(writable_fields=frozenset({"result"}))
}


# --- faults ------------------------------------------------------------------------------------


_raised = product_tests.module("raised")
Panic: Final[type[BaseException]] = _raised.Panic
Liar: Final[type[Exception]] = _raised.Liar


class Unreadable(dict[str, Any]):
    """Metadata that raise whatever is asked of them."""

    def _refuse(self, *_: object) -> Any:
        raise RuntimeError

    __len__ = __bool__ = __iter__ = keys = items = get = _refuse


class Awaitable:
    """May be awaited, and raises then."""

    def __await__(self) -> Any:
        """Refuse."""
        raise RuntimeError


def _answer(**fields: Any) -> Callable[[], Any]:
    """Answer with fields that no validation would let through."""
    neutral = vars(ToolPostInvokeResult())
    return lambda: ToolPostInvokeResult.model_construct(**{**neutral, **fields})


async def _never_awaited() -> int:
    return 1  # pragma: no cover - that is the fault


#: Those of the product alone, and what only a candidate can raise without ending anything.
RAISING: Final[dict[str, Callable[..., Any]]] = {
    **_raised.RAISED,
    "GeneratorExit": _raised.raising(GeneratorExit),
    "SystemExit": _raised.raising(SystemExit),
    "a cancellation that nobody asked for": _raised.raising(asyncio.CancelledError),
}
NONSENSE: Final[dict[str, Callable[[], Any]]] = {
    "None": lambda: None,
    "a dict": lambda: {"retry_delay_ms": 100},
    "a negative delay": _answer(retry_delay_ms=-1),
    "a delay of 10^30": _answer(retry_delay_ms=10**30),
    "a delay beyond the cap": _answer(retry_delay_ms=2**62),
    "a delay that is no number": _answer(retry_delay_ms=float("nan")),
    "a delay that is text": _answer(retry_delay_ms="100"),
    "a delay that is True": _answer(retry_delay_ms=True),
    "metadata that raise": _answer(retry_delay_ms=100, metadata=Unreadable(a=1)),
    "a coroutine": _never_awaited,
    "an awaitable": Awaitable,
    "that the call is to stop": _answer(continue_processing=False),
    "another result": _answer(modified_payload=ToolPostInvokePayload(name="x", result=1)),
    "no fields at all": lambda: ToolPostInvokeResult.__new__(ToolPostInvokeResult),
}
FAULTS: Final = {f"raises {name}": each for name, each in RAISING.items()} | {
    f"answers {name}": each for name, each in NONSENSE.items()
}


# --- the candidate -----------------------------------------------------------------------------


@dataclass
class Plan:
    """Where a fault strikes.

    Attributes:
        fault: What happens.
        strikes: The calls, by their number among those that the candidate was asked, from 0.
        is_counted: Whether the core has counted the call before.
        calls: How often the candidate was asked.
        struck: How often the fault happened.
    """

    fault: Callable[[], Any] = lambda: None
    strikes: Collection[int] = ()
    is_counted: bool = False
    calls: int = 0
    struck: int = 0

    def strike_after(self, calls: int) -> None:
        """Strike once, after so many more calls."""
        self.strikes = {self.calls + calls}


class StruckPlugin(RetryWithBackoffPlugin):
    """The Rust core, struck as planned."""

    plan = Plan()

    async def tool_post_invoke(self, payload: Any, context: Any, extensions: Any = None) -> Any:
        """Answer, or not."""
        plan = self.plan
        number, plan.calls = plan.calls, plan.calls + 1
        is_struck = number in plan.strikes
        if not is_struck:
            return await super().tool_post_invoke(payload, context, extensions)
        if plan.is_counted:
            await super().tool_post_invoke(payload, context, extensions)
        plan.struck += 1
        return plan.fault()


def strike(monkeypatch: pytest.MonkeyPatch, plan: Plan) -> None:
    """Put the struck core in place of the Rust core."""
    monkeypatch.setattr(StruckPlugin, "plan", plan)
    monkeypatch.setitem(
        candidates._PATHS,  # noqa: SLF001 - the one place that names the core
        candidates.RUST,
        f"{__name__}:StruckPlugin",
    )


# --- the gateway -------------------------------------------------------------------------------


@dataclass
class Gateway:
    """One plugin under one config, called as the gateway does: again after each retry's delay.

    Attributes:
        migration: The section ``migration:``.
        config: The rest of the plugin's config.
    """

    migration: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner)
    _manager: Any = None
    _requests: int = 0

    def __enter__(self) -> Self:
        """Load the plugin."""
        self.rebuild()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Shut it down."""
        self.run(self._manager.shutdown())
        self._runner.close()

    def rebuild(self) -> None:
        """Load the plugin anew, as the gateway does every 30 s."""
        base = {"jitter": False, "backoff_base_ms": 100, "max_retries": BUDGET}
        plugin = PluginConfig(
            name=NAME,
            kind="retry_parity.MigrationPlugin",
            hooks=["tool_post_invoke"],
            config={**base, **self.config, "migration": dict(self.migration)},
        )
        before, self._manager = (
            self._manager,
            TenantPluginManager(
                config=Config(plugins=[plugin], plugin_dirs=[]), hook_policies=_POLICIES
            ),
        )
        self.run(self._manager.initialize())
        assert self._manager.plugin_count == 1
        if before is not None:
            self.run(before.shutdown())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the gateway's event loop."""
        return self._runner.run(coroutine)

    def call(self, request_id: str, result: object = FAILURE) -> int:
        """Tell the plugin of one result; give the delay that the gateway gets."""
        payload = ToolPostInvokePayload(name="tool", result=result)
        context = GlobalContext(request_id=request_id)
        hook = ToolHookType.TOOL_POST_INVOKE
        answer, _ = self.run(self._manager.invoke_hook(hook, payload, context))
        assert answer.continue_processing
        assert answer.modified_payload is None
        delay: int = answer.retry_delay_ms
        return delay

    def request(self) -> list[int]:
        """Make one request to a tool that always fails; give the delays, the last one being 0."""
        self._requests += 1
        delays: list[int] = []
        while not delays or delays[-1] > 0:
            delays.append(self.call(f"request-{self._requests}"))
            assert len(delays) <= BUDGET + 1, "more attempts than the budget allows"
        return delays


def begin_anew() -> None:
    """Forget every chain and count of this process."""
    retry_legacy.clear_state()
    _core.clear_state()
    migration.forget(NAME)


def counts() -> Counts:
    """Give what was counted."""
    return evidence_of(NAME).counts()


def counted(counts: Counts) -> int:
    """Say how many faults were counted, each by the one who saw it."""
    return (
        sum(counts.divergent.values()) + sum(counts.harness_errors.values())
        # A candidate's error that was compared is a divergence too.
        or sum(counts.candidate_errors.values())
    )


def resources() -> tuple[int, int]:
    """Count the threads and the open files of this process.

    Without the threads of an event loop's own pool, which has one or a few as it comes.
    """
    gc.collect()
    threads = [each for each in threading.enumerate() if not each.name.startswith("asyncio_")]
    return len(threads), len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough
