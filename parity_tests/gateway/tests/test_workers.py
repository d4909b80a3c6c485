"""Several workers, forked from a master that has loaded the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.stack import Tool
from gateway.tests.configurations import BUDGET, TWO_WORKERS

if TYPE_CHECKING:
    from gateway.client import Client
    from gateway.stack import Stack

#: Far more than it takes until both workers have accepted one.
_MOST_CONNECTIONS = 200


@pytest.mark.parametrize("stack", TWO_WORKERS, ids=str, indirect=True)
def test_every_worker_retries(stack: Stack) -> None:
    """Each worker has a working plugin of its own after the fork: recovery and exhaustion."""
    workers: set[int] = set()
    for _ in range(_MOST_CONNECTIONS):
        with stack.gateway.another() as client:
            worker = client.worker()
            if worker not in workers:
                workers.add(worker)
                _check(stack, client, f"worker-{worker}")
                assert client.worker() == worker, "a kept connection stays with its worker"
        if len(workers) == 2:
            break
    assert len(workers) == 2
    assert stack.plugins_built() >= 2


def _check(stack: Stack, client: Client, case: str) -> None:
    for failures in range(BUDGET + 2):
        answer = client.call_tool(Tool.MCP, {"case": f"{case}-{failures}", "failures": failures})
        assert answer.failed is (failures > BUDGET)
        assert stack.attempts(f"{case}-{failures}") == min(failures, BUDGET) + 1
