"""What callers and upstreams see of retries: the same under every implementation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from gateway.stack import Tool
from gateway.tests.calls import MANNERS, RECOVERED, SURFACING, UNDER_POLICIES, Call
from gateway.tests.configurations import BUDGET, CEILING, ONE_WORKER, POLICIES, SECRET

if TYPE_CHECKING:
    from mcp.types import CallToolResult

    from gateway.stack import Stack
    from gateway.tests.conftest import Begun, Stacks

every_stack = pytest.mark.parametrize("begun", ONE_WORKER, ids=str, indirect=True)
every_tool = pytest.mark.parametrize("tool", Tool)
every_manner = pytest.mark.parametrize("manner", MANNERS)


@every_stack
@every_tool
@every_manner
def test_recovers_after_every_number_of_failures_in_the_budget(
    begun: Begun, tool: Tool, manner: str
) -> None:
    """A call succeeds after k failures, by k + 1 attempts, for each k up to ``max_retries``."""
    for failures in RECOVERED:
        ended = begun.calls[Call(tool, failures, manner)].result()
        assert not ended.answer.failed, ended
        assert f"succeeded at attempt {failures}" in ended.answer.text
        assert ended.attempts == failures + 1


@every_stack
@every_tool
@every_manner
def test_the_last_failure_surfaces_beyond_the_budget(begun: Begun, tool: Tool, manner: str) -> None:
    """After ``max_retries`` retries the caller gets the failure itself, and nobody tries again."""
    for failures in SURFACING:
        ended = begun.calls[Call(tool, failures, manner)].result()
        assert ended.answer.failed, ended
        # Of an exception the gateway tells its callers at /rpc nothing.
        told = "failed as told" if manner == "error" else "Internal error"
        assert told in ended.answer.text
        assert ended.attempts == BUDGET + 1


@pytest.mark.parametrize("tool", POLICIES)
def test_attempts_are_the_same_under_every_implementation(stacks: Stacks, tool: str) -> None:
    """Whatever a tool's policy, each implementation makes as many attempts as the hybrid."""
    table = {
        str(configuration): {
            call: stacks[configuration].calls[call].result().attempts
            for call in UNDER_POLICIES
            if call.tool == tool
        }
        for configuration in ONE_WORKER
    }
    assert table == dict.fromkeys(table, table["legacy"])


@every_stack
def test_the_gateway_bounds_the_budget(begun: Begun) -> None:
    """``max_tool_retries`` of the gateway holds where a policy allows more."""
    ended = begun.calls[Call("rest-above-the-ceiling", 100)].result()
    assert ended.answer.failed
    assert ended.attempts == CEILING + 1


@every_stack
@pytest.mark.parametrize("failures", [1, BUDGET + 1])
def test_a_request_id_that_comes_back_has_its_whole_budget(stack: Stack, failures: int) -> None:
    """Success and exhaustion end a chain: the next call of the same request id starts anew."""
    for number in range(2):
        case = f"comes-back-{failures}-{number}"
        stack.call(Tool.REST, case, failures, note=SECRET, request_id=f"the-same-{failures}")
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
            {"case": "client-recovers", "failures": BUDGET, "note": SECRET},
            {"case": "client-fails", "failures": BUDGET + 1, "manner": "break", "note": SECRET},
        )
    )
    assert not recovered.isError
    assert failed.isError
    assert stack.attempts("client-recovers") == BUDGET + 1
    assert stack.attempts("client-fails") == BUDGET + 1
