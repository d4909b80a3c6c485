"""Plugin objects that the gateway replaces while a chain is open."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from gateway.tests.configurations import ONE_WORKER, TEAM_TOOL

if TYPE_CHECKING:
    from gateway.stack import Stack

_DEADLINE_S = 30.0


@pytest.mark.parametrize("stack", ONE_WORKER, ids=str, indirect=True)
def test_a_chain_of_a_team_outlives_a_changed_plugin_binding(stack: Stack) -> None:
    """A team's tool has a plugin object of its own; replacing it keeps the budget of open chains.

    An operator who writes a plugin binding makes the gateway replace the object at once. Done after
    each attempt, no two attempts of the chain are decided by the same object. (Of several workers
    only the one that takes the binding does so; without Redis the others hear nothing.)
    """
    case = "team"
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(stack.call, TEAM_TOOL, case, 100)
        for attempt in (1, 2):
            _wait_for(stack, case, attempt)
            before = stack.plugins_built()
            stack.rebuild_plugin(TEAM_TOOL)
            assert stack.plugins_built() > before
        answer = call.result()
    assert answer.failed
    assert stack.attempts(case) == 3


def _wait_for(stack: Stack, case: str, attempts: int) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while stack.attempts(case) < attempts:
        assert time.monotonic() < deadline, f"attempt {attempts} did not come"
        time.sleep(0.02)
