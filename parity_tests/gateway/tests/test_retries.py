"""What callers and upstreams see of retries: the same under every implementation."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import TYPE_CHECKING

import httpx
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from gateway.stack import Tool
from gateway.tests.configurations import BUDGET, CEILING, EVERY, ONE_WORKER, POLICIES

if TYPE_CHECKING:
    from mcp.types import CallToolResult

    from gateway.stack import Stack
    from gateway.tests.conftest import Stacks

every_stack = pytest.mark.parametrize("stack", EVERY, ids=str, indirect=True)
every_tool = pytest.mark.parametrize("tool", Tool)
#: By a result that says so, and by an exception in the gateway.
every_manner = pytest.mark.parametrize("manner", ["error", "break"])


@every_stack
@every_tool
@every_manner
def test_recovers_after_every_number_of_failures_in_the_budget(
    stack: Stack, tool: Tool, manner: str
) -> None:
    """A call succeeds after k failures, by k + 1 attempts, for each k up to ``max_retries``."""
    for failures in range(BUDGET + 1):
        case = f"recovers-{tool}-{manner}-{failures}"
        answer = stack.call(tool, case, failures, manner)
        assert not answer.failed, answer
        assert f"succeeded at attempt {failures}" in answer.text
        assert stack.attempts(case) == failures + 1


@every_stack
@every_tool
@every_manner
def test_the_last_failure_surfaces_beyond_the_budget(stack: Stack, tool: Tool, manner: str) -> None:
    """After ``max_retries`` retries the caller gets the failure itself, and nobody tries again."""
    for failures in (BUDGET + 1, BUDGET + 2, 100):
        case = f"surfaces-{tool}-{manner}-{failures}"
        answer = stack.call(tool, case, failures, manner)
        assert answer.failed, answer
        # Of an exception the gateway tells its callers at /rpc nothing.
        assert ("failed as told" if manner == "error" else "Internal error") in answer.text
        assert stack.attempts(case) == BUDGET + 1


@pytest.mark.parametrize("tool", POLICIES)
def test_attempts_are_the_same_under_every_implementation(stacks: Stacks, tool: str) -> None:
    """Whatever a tool's policy, each implementation makes as many attempts as the hybrid."""

    def attempts(stack: Stack, failures: int, manner: str) -> int:
        case = f"same-{tool}-{manner}-{failures}"
        stack.call(tool, case, failures, manner)
        return stack.attempts(case)

    calls = list(product((0, 1, BUDGET, 100), ("error", "break")))
    for configuration in ONE_WORKER:
        stacks.begin(configuration)
    table = {
        str(configuration): {call: attempts(stacks[configuration].stack, *call) for call in calls}
        for configuration in ONE_WORKER
    }
    assert table == dict.fromkeys(table, table["legacy"])


@every_stack
def test_the_gateway_bounds_the_budget(stack: Stack) -> None:
    """``max_tool_retries`` of the gateway holds where a policy allows more."""
    answer = stack.call("rest-above-the-ceiling", "ceiling", 100)
    assert answer.failed
    assert stack.attempts("ceiling") == CEILING + 1


@every_stack
def test_calls_at_the_same_time_have_budgets_of_their_own(stack: Stack) -> None:
    """A chain belongs to one request: others that fail at the same time take nothing from it."""
    failures = [number % (BUDGET + 2) for number in range(12)]
    cases = [f"at-once-{number}" for number in range(len(failures))]
    with ThreadPoolExecutor(len(cases)) as pool:
        answers = list(pool.map(stack.call, [Tool.MCP] * len(cases), cases, failures))
    assert [answer.failed for answer in answers] == [count > BUDGET for count in failures]
    assert [stack.attempts(case) for case in cases] == [
        min(count, BUDGET) + 1 for count in failures
    ]


@every_stack
@pytest.mark.parametrize("failures", [1, BUDGET + 1])
def test_a_request_id_that_comes_back_has_its_whole_budget(stack: Stack, failures: int) -> None:
    """Success and exhaustion end a chain: the next call of the same request id starts anew."""
    for number in range(2):
        case = f"comes-back-{failures}-{number}"
        stack.call(Tool.REST, case, failures, request_id=f"the-same-{failures}")
        assert stack.attempts(case) == min(failures, BUDGET) + 1


@every_stack
def test_an_mcp_client_sees_the_same(stack: Stack) -> None:
    """What holds for JSON-RPC holds for an MCP client at ``/mcp``."""

    async def calls(*arguments: dict[str, object]) -> list[CallToolResult]:
        url = f"{stack.gateway.url}/mcp/"
        headers = {"Authorization": f"Bearer {stack.token}"}
        async with (
            httpx.AsyncClient(headers=headers) as http_client,
            streamable_http_client(url, http_client=http_client) as (reader, writer, _),
            ClientSession(reader, writer) as session,
        ):
            await session.initialize()
            return [await session.call_tool(Tool.MCP, argument) for argument in arguments]

    recovered, failed = asyncio.run(
        calls(
            {"case": "client-recovers", "failures": BUDGET},
            {"case": "client-fails", "failures": BUDGET + 1, "manner": "break"},
        )
    )
    assert not recovered.isError
    assert failed.isError
    assert stack.attempts("client-recovers") == BUDGET + 1
    assert stack.attempts("client-fails") == BUDGET + 1
