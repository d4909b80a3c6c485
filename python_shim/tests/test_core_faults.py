"""The core fails in every way, at every attempt: "no retry", counted, logged once, and on it goes.

Through the real PluginManager, without the migration's harness. What ends a task or a process is
passed on and counts nothing: `test_shim` has that, as it has a plugin that cannot be loaded.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from cpex.framework import (
    GlobalContext,
    PluginConfig,
    ResourceHookType,
    ResourcePostFetchPayload,
    TenantPluginManager,
    ToolHookType,
    ToolPostInvokePayload,
)
from cpex.framework.models import Config
from exhaustion import ROOMS_MIB, huge_texts
from raised import RAISED, Panic, raising, recurse

from retry_with_backoff import RetryWithBackoffPlugin, _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Record = Callable[[str, object], None]

# A trace that nobody reads takes longer than all the rest of a panic.
os.environ["RUST_BACKTRACE"] = "0"

DELAYS: Final = [100, 200, 400, 0]
POLICY: Final = {
    "retry_policy": {
        "max_retries": 3,
        "backoff_base_ms": 100,
        "max_backoff_ms": 5000,
        "retry_on_status": [429, 500, 502, 503, 504],
    }
}
FAILURE: Final[dict[str, Any]] = {"isError": True, "structuredContent": None, "content": []}
_numbers = itertools.count()


class Struck:
    """The core of a plugin, failing at chosen calls of each hook."""

    def __init__(self, core: Any, fault: Callable[..., Any]) -> None:
        self._core, self._fault = core, fault
        self.strikes: frozenset[int] = frozenset()
        self.is_counted = False
        self.calls = self.struck = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def _call(self, method: Callable[..., Any], *arguments: object) -> Any:
        number, self.calls = self.calls, self.calls + 1
        is_struck = number in self.strikes
        answer = None if is_struck and not self.is_counted else method(*arguments)
        if not is_struck:
            return answer
        self.struck += 1
        return self._fault()

    def tool_post_invoke(self, *arguments: object) -> Any:
        """Decide, or fail."""
        return self._call(self._core.tool_post_invoke, *arguments)

    def resource_post_fetch(self, *arguments: object) -> Any:
        """Answer, or fail."""
        return self._call(self._core.resource_post_fetch, *arguments)

    def to_rust_native_policy(self, *arguments: object) -> Any:
        """Answer, or fail."""
        return self._call(self._core.to_rust_native_policy, *arguments)


class Gateway:
    """The plugin in the real framework, called again after each retry."""

    def __init__(self, fault: Callable[..., Any]) -> None:
        config = {"jitter": False, "backoff_base_ms": 100, "max_retries": 3}
        plugin = PluginConfig(
            name="retry",
            kind="retry_with_backoff.RetryWithBackoffPlugin",
            hooks=["tool_post_invoke", "resource_post_fetch"],
            config=config,
        )
        self.runner = asyncio.Runner()
        self.manager = TenantPluginManager(config=Config(plugins=[plugin], plugin_dirs=[]))
        self.runner.run(self.manager.initialize())
        self.plugin: Any = self.manager.get_plugin("retry")
        assert isinstance(self.plugin, RetryWithBackoffPlugin)
        self.core = Struck(vars(self.plugin)["_core"], fault)
        self.put(self.core)

    def put(self, core: object) -> None:
        """Put a core in place of the plugin's."""
        vars(self.plugin)["_core"] = core

    def close(self) -> None:
        """Shut it down."""
        self.runner.run(self.manager.shutdown())
        self.runner.close()

    def request(self) -> list[int]:
        """Make one request to a tool that always fails; give the delays, the last one being 0."""
        request_id = f"injected-{next(_numbers)}"
        delays: list[int] = []
        while not delays or delays[-1] > 0:
            payload = ToolPostInvokePayload(name="tool", result=FAILURE)
            hook = self.manager.invoke_hook(
                ToolHookType.TOOL_POST_INVOKE, payload, GlobalContext(request_id=request_id)
            )
            answer, _ = self.runner.run(hook)
            assert answer.continue_processing
            assert answer.metadata is not None
            assert answer.metadata["retry_policy"] == POLICY["retry_policy"]
            delays.append(answer.retry_delay_ms)
            assert len(delays) <= len(DELAYS)
        return delays


@pytest.fixture
def gateways() -> Iterator[Callable[[str], Gateway]]:
    """Make gateways of faults by name, and shut them down."""
    made: list[Gateway] = []

    def make(fault: str) -> Gateway:
        made.append(Gateway(RAISED[fault]))
        return made[-1]

    _core.clear_state()
    yield make
    for each in made:
        each.close()


def lines(caplog: pytest.LogCaptureFixture) -> Counter[str]:
    """Count the lines about errors."""
    return Counter(
        each.getMessage().partition(": ")[2]
        for each in caplog.records
        if each.levelno >= logging.ERROR
    )


@pytest.mark.parametrize("fault", RAISED)
def test_a_fault_at_any_attempt_ends_that_request_and_no_other(
    gateways: Callable[[str], Gateway],
    fault: str,
    caplog: pytest.LogCaptureFixture,
    record_property: Record,
) -> None:
    """Before the failure is counted and after: no retry, with the policy; counted each time."""
    gateway = gateways(fault)
    core = gateway.core
    before, lost = _core.internal_errors(), 0
    for position, core.is_counted in itertools.product(range(len(DELAYS)), (False, True)):
        for _ in range(2):
            core.strikes = frozenset({core.calls + position})
            lost += gateway.request() != [*DELAYS[:position], 0]
            lost += gateway.request() != DELAYS
    assert core.struck == 4 * len(DELAYS)
    assert _core.internal_errors() - before == core.struck
    # Where another test has met it before, it is no news.
    assert set(lines(caplog).values()) <= {1}
    record_property("tried", core.struck)
    record_property("lost", lost)
    assert lost == 0


def test_each_kind_of_fault_has_its_line(
    gateways: Callable[[str], Gateway], caplog: pytest.LogCaptureFixture
) -> None:
    """Of a kind that nobody has met: one line, however often it strikes and wherever."""

    class UnheardOf(BaseException):
        pass

    RAISED["unheard of"] = raising(UnheardOf)
    try:
        for _ in range(3):
            gateway = gateways("unheard of")
            gateway.core.strikes = frozenset(range(3))
            assert [gateway.request() for _ in range(4)] == [[0], [0], [0], DELAYS]
    finally:
        del RAISED["unheard of"]
    assert [each.split(": ")[1] for each in caplog.messages if "UnheardOf" in each] == ["UnheardOf"]


@pytest.mark.parametrize("fault", RAISED)
def test_the_other_hooks_bear_the_same(gateways: Callable[[str], Gateway], fault: str) -> None:
    """A resource goes on without metadata; without a policy the gateway calls the hook."""
    gateway = gateways(fault)
    gateway.core.strikes = frozenset({0, 1})
    before = _core.internal_errors()
    seen: list[Any] = []
    for _ in range(2):
        payload = ResourcePostFetchPayload(uri="file:///a", content=None)
        hook = gateway.manager.invoke_hook(
            ResourceHookType.RESOURCE_POST_FETCH, payload, GlobalContext(request_id="r")
        )
        answer, _ = gateway.runner.run(hook)
        assert answer.continue_processing
        policy = gateway.plugin.to_rust_native_policy("tool", 9)
        seen.append((answer.metadata, policy and policy["maxRetries"]))
    assert not seen[0][0].get("retry_policy")
    assert seen[0][1] is None
    assert seen[1] == ({**seen[1][0], **POLICY}, 3)
    assert _core.internal_errors() - before == 2


@pytest.mark.parametrize("source", ["clock", "random source"])
@pytest.mark.parametrize(
    "fault", [raising(RuntimeError), raising(Panic), recurse, lambda: "x", lambda: -1.0]
)
def test_a_clock_or_random_source_that_fails_counts_nothing(
    gateways: Callable[[str], Gateway], source: str, fault: Callable[..., Any]
) -> None:
    """It is asked before the failure is counted, so that the budget is whole afterwards."""
    gateway = gateways("an exception")
    config = {"jitter": True, "backoff_base_ms": 100, "max_retries": 3}
    gateway.put(_core.RetryPluginCore(config))
    replace = _core.set_clock if source == "clock" else _core.set_random
    before = _core.internal_errors()
    try:
        replace(fault)
        assert [gateway.request() for _ in range(2)] == [[0], [0]]
    finally:
        replace(None)
    assert _core.internal_errors() - before == 2
    assert len(gateway.request()) == len(DELAYS)


def test_faults_leave_nothing_behind(record_property: Record) -> None:
    """Threads and open files are as many as after the first round."""
    seen: list[tuple[int, int]] = []
    tried = 0
    for _ in range(3):
        for fault in RAISED.values():
            gateway = Gateway(fault)
            gateway.core.strikes = frozenset(range(0, 100, 3))
            for _ in range(5):
                gateway.request()
            tried += gateway.core.struck
            gateway.close()
        gc.collect()
        seen.append((threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))))
    left = sum(each != seen[0] for each in seen)
    record_property("tried", tried)
    record_property("lost", left)
    assert left == 0, seen


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")
def test_a_core_that_runs_out_of_memory_says_no_retry(record_property: Record) -> None:
    """A process at its limit, and a text that cannot be read without a copy.

    No crash; one internal error; what follows is decided, with the limit still in place. The text
    was taken for one that says nothing, silently.
    """
    program = Path(__file__).with_name("exhaustion.py")
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, str(program)], capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == len(ROOMS_MIB) * len(huge_texts())
    lost = [
        each
        for each in told
        if each["after"] != [200, 400, 0]
        or (each["delay"], each["errors"]) not in {(0, 1), (200, 0)}
    ]
    exhausted = sum(each["errors"] for each in told)
    assert exhausted >= 2
    assert [each["delay"] for each in told if each["room_mib"] == max(ROOMS_MIB)] == [200] * 3
    record_property("tried", exhausted)
    record_property("lost", len(lost))
    assert lost == []
