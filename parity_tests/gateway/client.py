"""Talking to the gateway and to the servers behind it, with nothing but the standard library."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_TIMEOUT_S: Final = 120.0
_HOST: Final = "127.0.0.1"


class RequestError(Exception):
    """A request was not answered by success; one line says which and how."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool call came back with.

    Attributes:
        failed: Whether the caller sees a failure: a result with ``isError``, or a JSON-RPC error,
            which is what the gateway makes of exceptions and timeouts.
        text: The text of the result, or the message of the error.
    """

    failed: bool
    text: str


class Client:
    """HTTP requests to one local server.

    Each request has its own connection, so that the requests spread over a gateway's workers. As
    a context manager it keeps one connection, and so one worker, for all of its requests.
    """

    def __init__(self, port: int, token: str | None = None) -> None:
        """Take the server's port, and the token that it wants; nothing is sent yet."""
        self.url = f"http://{_HOST}:{port}"
        self._port = port
        self._token = token
        self._kept: HTTPConnection | None = None

    def __enter__(self) -> Self:
        """Keep one connection from here on."""
        self._kept = self._connection()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def another(self) -> Self:
        """Give a client of the same server, with connections of its own."""
        return type(self)(self._port, self._token)

    def is_healthy(self) -> bool:
        """Say whether the server answers."""
        try:
            self.text("GET", "/health")
        except RequestError:
            return False
        return True

    def json(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request and read its answer as JSON.

        Raises:
            RequestError: No connection, no JSON, or any status but success.
        """
        text = self.text(method, path, body, headers)
        try:
            return json.loads(text)
        except ValueError:
            message = f"{method} {self.url}{path}: no JSON but {text[:80]!r}"
            raise RequestError(message) from None

    def text(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Send a request and read its answer as text.

        Raises:
            RequestError: No connection, or any status but success.
        """
        sent = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self._token is not None:
            sent["Authorization"] = f"Bearer {self._token}"
        content = None if body is None else json.dumps(body)
        connection = self._kept or self._connection()
        try:
            connection.request(method, path, content, sent | dict(headers or {}))
            response = connection.getresponse()
            received = response.read().decode()
        except (OSError, HTTPException) as error:
            message = f"{method} {self.url}{path}: {type(error).__name__}: {error}"
            raise RequestError(message) from error
        finally:
            if connection is not self._kept:
                connection.close()
        if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
            message = f"{method} {self.url}{path}: status {response.status}: {received[:300]}"
            raise RequestError(message)
        return received

    def call_tool(
        self, name: str, arguments: Mapping[str, object], *, request_id: str | None = None
    ) -> Answer:
        """Call a tool through the gateway.

        Args:
            name: The tool, as the gateway names it.
            arguments: Its arguments.
            request_id: What the plugin shall see as the request's id, where the gateway's settings
                let the caller say so; ``None`` lets the gateway choose.
        """
        message = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": name, "arguments": dict(arguments)},
        }
        headers = {} if request_id is None else {"X-Correlation-ID": request_id}
        answer = self.json("POST", "/rpc", message, headers)
        if "error" in answer:
            return Answer(failed=True, text=answer["error"]["message"])
        result = answer["result"]
        text = "".join(item.get("text", "") for item in result["content"])
        return Answer(failed=bool(result.get("isError")), text=text)

    def metrics(self) -> str:
        """Read the gateway's metrics page."""
        return self.text("GET", "/metrics/prometheus")

    @property
    def local_port(self) -> int | None:
        """This side's port of the connection that is kept; ``None`` while there is none."""
        kept = None if self._kept is None else self._kept.sock
        return None if kept is None else int(kept.getsockname()[1])

    def _connection(self) -> HTTPConnection:
        return HTTPConnection(_HOST, self._port, timeout=_TIMEOUT_S)
