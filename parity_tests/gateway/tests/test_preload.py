"""gunicorn with --preload: workers forked off a server that has used the plugin already."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from retry_parity.lifetime import bound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_WORKERS: Final = 4
_START_S: Final = 60.0
#: Answers that are read at most; a server's workers take turns as they please.
_MOST_ANSWERS: Final = 5_000
_FEWEST_EACH: Final = 4
_ROOT: Final = Path(__file__).resolve().parents[2]
PLUGINS: Final = {
    "product": ("retry_with_backoff:RetryWithBackoffPlugin", {}),
    "canary": (
        "retry_parity:MigrationPlugin",
        {"migration": {"implementation": "canary", "canary_percent": 100}},
    ),
    "rust": (
        "retry_parity:MigrationPlugin",
        {"migration": {"implementation": "rust", "compare_percent": 0}},
    ),
}


class _Connection(http.client.HTTPConnection):
    """A connection to a socket in the file system."""

    def __init__(self, path: str) -> None:
        super().__init__("preloaded")
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


def _ask(path: str) -> dict[str, Any]:
    connection = _Connection(path)
    try:
        connection.request("GET", "/")
        told: dict[str, Any] = json.loads(connection.getresponse().read())
        return told
    finally:
        connection.close()


@pytest.fixture(params=PLUGINS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The socket of a preloaded server."""
    plugin, settings = PLUGINS[request.param]
    path = str(tmp_path / "socket")
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", str(_WORKERS)]
    command += ["--bind", f"unix:{path}", "--no-control-socket", "gateway.preloaded:application"]
    told = {"PRELOADED_PLUGIN": plugin, "PRELOADED_SETTINGS": json.dumps(settings)}
    environment = {**os.environ, **told, "PYTHONPATH": str(_ROOT)}
    with (tmp_path / "log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(bound(command), env=environment, stdout=log, stderr=log)  # noqa: S603 - our own
        try:
            end = time.monotonic() + _START_S
            while not Path(path).exists():
                log.seek(0)
                assert process.poll() is None, log.read()
                assert time.monotonic() < end
                time.sleep(0.05)
            yield path
        finally:
            process.terminate()
            process.wait()


def test_every_worker_of_a_preloaded_server_draws_its_own_jitter(
    server: str, record_property: Callable[[str, object], None]
) -> None:
    """No draw of one is a draw of another, and each has a sound copy of the server's chains."""
    draws: dict[int, list[int]] = {}
    for _ in range(_MOST_ANSWERS):
        told = _ask(server)
        assert told["is_forked"]
        assert told["chain"] == [10, 20, 40, 0, 10]
        draws.setdefault(told["worker"], []).extend(told["draws"])
        each = len(told["draws"])
        if len(draws) == _WORKERS and min(map(len, draws.values())) >= _FEWEST_EACH * each:
            break
    drawn = [delay for worker in draws.values() for delay in worker]
    record_property("tried", len(drawn))
    record_property("lost", len(drawn) - len(set(drawn)))
    assert len(draws) == _WORKERS
    assert len(set(drawn)) == len(drawn)
