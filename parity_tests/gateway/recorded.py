"""MCP servers that answer with the results of a corpus, chain by chain.

A program of its own, for the gateway's environment: ``python recorded.py --port PORT CORPUS``. A
tool that was recorded as ``PREFIX-REST`` is the tool ``REST`` of the server at ``/PREFIX/mcp``, so
that a gateway which knows that server as ``PREFIX`` gives it the recorded name. Each call names its
chain by the recorded request id, a dash, and what makes the chain a new one; its k-th attempt gets
the k-th recorded result, and the last one from there on. The attempts that arrived are counted by
chain, ``GET /attempts/CHAIN``, and in total, ``GET /attempts``.

What is no MCP result cannot be answered: a result whose ``isError`` is null has false here, NaN and
the infinities are null.
"""

from __future__ import annotations

import argparse
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import CallToolResult, Tool
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from retry_parity.corpus import read_corpus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from retry_parity.corpus import Record

#: A gateway that is left running with its traffic must not fill the memory with old chains.
_MOST_CHAINS: Final = 100_000
_INPUT: Final = {
    "type": "object",
    "properties": {"chain": {"type": "string"}},
    "required": ["chain"],
}


class Chains:
    """The recorded chains, and how far each of those that are asked for has come."""

    def __init__(self, records: Iterable[Record]) -> None:
        """Take the recording."""
        #: The tools, as they were recorded.
        self.tools: set[str] = set()
        #: All attempts, those of forgotten chains too.
        self.total = 0
        self._results: dict[tuple[str, str], list[CallToolResult]] = {}
        self._attempts: dict[str, int] = {}
        for record in records:
            self.tools.add(record.tool)
            results = self._results.setdefault((record.tool, record.request_id), [])
            results.append(_answerable(record.result))

    def arrive(self, tool: str, chain: str) -> CallToolResult:
        """Count an attempt, and give what it is answered.

        Raises:
            KeyError: The tool has no such chain.
        """
        request_id, _, _ = chain.rpartition("-")
        results = self._results[tool, request_id]
        self.total += 1
        attempt = self._attempts.pop(chain, 0)
        self._attempts[chain] = attempt + 1
        if len(self._attempts) > _MOST_CHAINS:
            del self._attempts[next(iter(self._attempts))]
        return results[min(attempt, len(results) - 1)]

    def attempts(self, chain: str) -> int:
        """Give the number of attempts so far."""
        return self._attempts.get(chain, 0)


def _answerable(result: Mapping[str, object]) -> CallToolResult:
    """Make a recorded result one that MCP can carry."""
    return CallToolResult.model_validate({**result, "isError": bool(result["isError"])})


def _server(prefix: str, chains: Chains) -> StreamableHTTPSessionManager:
    """Make the server of one prefix. The low-level one: it neither adds nor checks anything."""
    server: Server[object, Any] = Server(prefix)
    own = sorted(tool for tool in chains.tools if tool.partition("-")[0] == prefix)
    tools = [Tool(name=tool.removeprefix(f"{prefix}-"), inputSchema=_INPUT) for tool in own]

    @server.list_tools()  # type: ignore[untyped-decorator] # it has no types
    async def _list_tools() -> list[Tool]:
        return tools

    @server.call_tool(validate_input=False)  # type: ignore[untyped-decorator] # it has no types
    async def _call_tool(name: str, arguments: Mapping[str, str]) -> CallToolResult:
        return chains.arrive(f"{prefix}-{name}", arguments["chain"])

    return StreamableHTTPSessionManager(server, json_response=True, stateless=True)


def application(corpus: Path) -> Starlette:
    """Put the servers and the counts together."""
    chains = Chains(read_corpus(corpus))
    prefixes = sorted({tool.partition("-")[0] for tool in chains.tools})
    managers = {prefix: _server(prefix, chains) for prefix in prefixes}

    async def attempts(request: Request) -> Response:
        chain = request.path_params.get("chain")
        return JSONResponse({"attempts": chains.total if chain is None else chains.attempts(chain)})

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "healthy"})

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            for manager in managers.values():
                await running.enter_async_context(manager.run())
            yield

    return Starlette(
        routes=[
            Route("/attempts", attempts),
            Route("/attempts/{chain}", attempts),
            Route("/health", health),
            *(Route(f"/{prefix}/mcp", _Endpoint(managers[prefix])) for prefix in prefixes),
        ],
        lifespan=lifespan,
    )


class _Endpoint:
    """A server as Starlette takes it: an object gets all methods, a function only GET."""

    def __init__(self, manager: StreamableHTTPSessionManager) -> None:
        self._manager = manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        await self._manager.handle_request(scope, receive, send)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("corpus", type=Path)
    options = parser.parse_args()
    uvicorn.run(
        application(options.corpus),
        host="127.0.0.1",
        port=options.port,
        log_level="critical",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
