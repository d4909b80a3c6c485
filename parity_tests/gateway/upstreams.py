"""The servers behind the gateway: an MCP server and a REST service that fail as they are told.

A program of its own, for the gateway's environment: ``python upstreams.py --port PORT``. Each
request names a case and says how often and in which manner the case fails before it succeeds, so
that nothing has to be set up beforehand, and cases never disturb each other. The attempts that
arrived are counted by case, ``GET /attempts/CASE``, and in total, ``GET /attempts``.
"""

from __future__ import annotations

import argparse
import json
from collections import OrderedDict
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NoReturn

import anyio
import uvicorn
from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from mcp.types import CallToolResult, TextContent
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: A gateway that is left running with its traffic must not fill the memory with old cases.
_MOST_CASES: Final = 100_000
_FAILURE: Final = "failed as told"


class Manner(StrEnum):
    """How an attempt fails."""

    #: MCP: a result with `isError`. REST: HTTP 500. (429, 502, 503 and 504 are no use here: the
    #: gateway's own HTTP client repeats those, and they would be counted as attempts.)
    ERROR = "error"
    #: MCP: the same, with structured content that has a status code and the note. REST: as above.
    STRUCTURED = "structured"
    #: The gateway gets no result but an exception. MCP: the call's POST is answered by HTTP 500.
    #: REST: the connection ends in the middle of the answer.
    BREAK = "break"
    #: No answer at all, so that the gateway times out.
    SILENCE = "silence"


class Cases:
    """The attempts that arrived, by case; the oldest cases are forgotten first."""

    def __init__(self) -> None:
        """Start with none."""
        self._attempts: OrderedDict[str, int] = OrderedDict()
        #: All attempts, those of forgotten cases too.
        self.total = 0

    def arrive(self, case: str) -> int:
        """Count an attempt and give its number, from 0."""
        self.total += 1
        attempt = self._attempts.pop(case, 0)
        self._attempts[case] = attempt + 1
        if len(self._attempts) > _MOST_CASES:
            self._attempts.popitem(last=False)
        return attempt

    def attempts(self, case: str) -> int:
        """Give the number of attempts so far."""
        return self._attempts.get(case, 0)


_cases = Cases()


async def flaky(
    case: str, failures: int = 0, manner: Manner = Manner.ERROR, note: str = ""
) -> CallToolResult:
    """Fail the first attempts of a case, then succeed.

    Args:
        case: Whose attempts are counted.
        failures: How many attempts fail.
        manner: How they fail.
        note: What every answer ends with.
    """
    attempt = _cases.arrive(case)
    if attempt < failures:
        if manner is Manner.SILENCE:
            await _say_nothing()
        if manner is Manner.STRUCTURED:
            structured = {"status_code": int(HTTPStatus.INTERNAL_SERVER_ERROR), "note": note}
            return _result(_noted(_FAILURE, note), structured, is_error=True)
        raise ToolError(_noted(_FAILURE, note))
    answer = _noted(_success(attempt), note)
    return _result(answer, {"answer": answer}, is_error=False)


async def flaky_rest(request: Request) -> Response:
    """Do the same for REST; the arguments are the JSON body."""
    arguments = await request.json()
    attempt, note = _cases.arrive(arguments["case"]), arguments.get("note", "")
    if attempt >= arguments.get("failures", 0):
        return JSONResponse({"answer": _noted(_success(attempt), note)})
    manner = Manner(arguments.get("manner", Manner.ERROR))
    if manner is Manner.SILENCE:
        await _say_nothing()
    if manner is Manner.BREAK:
        # uvicorn closes a connection whose answer is shorter than its head promised.
        return Response("{", headers={"content-length": "1000"}, media_type="application/json")
    failure = {"error": _noted(_FAILURE, note)}
    return JSONResponse(failure, status_code=HTTPStatus.INTERNAL_SERVER_ERROR)


async def attempts(request: Request) -> Response:
    """Give the number of attempts of a case, or of all."""
    case = request.path_params.get("case")
    return JSONResponse({"attempts": _cases.total if case is None else _cases.attempts(case)})


async def health(_request: Request) -> Response:
    """Say that the server is there."""
    return JSONResponse({"status": "healthy"})


class _Breaking:
    """Answers an MCP tool call that shall break by HTTP 500, before the MCP server sees it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != "/mcp":
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        arguments = _call_arguments(body)
        if arguments.get("manner") == Manner.BREAK:
            attempt = _cases.attempts(arguments["case"])
            if attempt < arguments.get("failures", 0):
                _cases.arrive(arguments["case"])
                broken = Response(_FAILURE, status_code=HTTPStatus.INTERNAL_SERVER_ERROR)
                await broken(scope, receive, send)
                return
        unread = [body]

        async def replay() -> Message:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            return await receive()

        await self._app(scope, replay, send)


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _call_arguments(body: bytes) -> dict[str, Any]:
    message = json.loads(body)
    if not isinstance(message, dict) or message.get("method") != "tools/call":
        return {}
    arguments: dict[str, Any] = message["params"].get("arguments", {})
    return arguments


async def _say_nothing() -> NoReturn:
    await anyio.sleep_forever()
    message = "the sleep ended"
    raise AssertionError(message)


def _success(attempt: int) -> str:
    return f"succeeded at attempt {attempt}"


def _result(text: str, structured: dict[str, object], *, is_error: bool) -> CallToolResult:
    content = TextContent(type="text", text=text)
    return CallToolResult(content=[content], structuredContent=structured, isError=is_error)


def _noted(text: str, note: str) -> str:
    return f"{text} {note}".rstrip()


def application() -> ASGIApp:
    """Put the MCP server, the REST service and the counts together."""
    server = FastMCP("upstream", json_response=True, stateless_http=True, log_level="WARNING")
    server.add_tool(flaky)
    server.custom_route("/flaky", methods=["POST"])(flaky_rest)
    server.custom_route("/attempts", methods=["GET"])(attempts)
    server.custom_route("/attempts/{case}", methods=["GET"])(attempts)
    server.custom_route("/health", methods=["GET"])(health)
    return _Breaking(server.streamable_http_app())


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port: int = parser.parse_args().port
    # Answers that break are errors to uvicorn, and not worth a traceback each. Whoever waits for an
    # answer that never comes must not hold up the end.
    uvicorn.run(
        application(),
        host="127.0.0.1",
        port=port,
        log_level="critical",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
