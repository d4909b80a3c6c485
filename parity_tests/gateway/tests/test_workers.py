"""Several workers, forked from a master that has loaded the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.stack import Tool
from gateway.tests.configurations import BUDGET, LIVE, SECRET
from gateway.tests.connections import each_worker, worker_of

if TYPE_CHECKING:
    from gateway.tests.live import Live


def test_every_worker_retries(live: Live) -> None:
    """Each worker has a working plugin of its own after the fork: recovery and exhaustion."""
    live.set("canary", "all")
    stack = live.stack
    with each_worker(stack) as clients:
        for worker, client in clients.items():
            for failures in range(BUDGET + 2):
                case = f"worker-{worker}-{failures}"
                answer = stack.call(Tool.MCP, case, failures, note=SECRET, through=client)
                assert answer.failed is (failures > BUDGET)
                assert stack.attempts(case) == min(failures, BUDGET) + 1
            assert worker_of(stack, client) == worker, "a kept connection stays with its worker"
    assert stack.plugins_built() >= LIVE.workers
