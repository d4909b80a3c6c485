"""Retries of calls that take long; the calls were begun when the stacks were up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.tests.calls import OUTLIVING, TIMEOUTS, Call
from gateway.tests.configurations import BUDGET, ONE_WORKER

if TYPE_CHECKING:
    from gateway.tests.conftest import Begun

every_stack = pytest.mark.parametrize("begun", ONE_WORKER, ids=str, indirect=True)


@every_stack
@pytest.mark.parametrize("call", TIMEOUTS, ids=str)
def test_timeouts_take_the_retry_path(call: Call, begun: Begun) -> None:
    """An attempt without an answer is a failure like any other, and counts in the budget."""
    ended = begun.calls[call].result()
    assert ended.answer.failed is (call.failures > BUDGET)
    assert ended.attempts == min(call.failures, BUDGET) + 1


@every_stack
@pytest.mark.parametrize("call", OUTLIVING, ids=str)
def test_a_chain_outlives_the_plugin_object_that_began_it(call: Call, begun: Begun) -> None:
    """The gateway drops plugin objects that are 30 s old; the chain goes on, with what is left.

    Nothing of the gateway is changed for this: the tool's delay is 31 s. With a budget of one
    retry, a chain that is forgotten is one attempt too many.
    """
    ended = begun.calls[call].result()
    assert ended.rebuilt > 0
    assert ended.answer.failed is (call.failures > 1)
    assert ended.attempts == 2
