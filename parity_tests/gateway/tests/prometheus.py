"""A real Prometheus server that scrapes a gateway."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest

from gateway.client import Client, RequestError
from gateway.programs import Program, free_port
from gateway.stack import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.stack import Stack

_START_S: Final = 60.0
_DEADLINE_S: Final = 30.0
_POLL_S: Final = 0.2
_ALERTS: Final = files("retry_parity").joinpath("dashboards", "alerts.yaml")

_SERVER: Final = shutil.which("prometheus")

needs_prometheus = pytest.mark.skipif(
    _SERVER is None,
    reason="Prometheus is not installed; Debian's package prometheus has it",
)


class Prometheus:
    """The server."""

    def __init__(self, client: Client) -> None:
        """Take the way to it."""
        self._client = client

    def is_ready(self) -> bool:
        """Say whether it answers."""
        try:
            self._client.text("GET", "/-/ready")
        except RequestError:
            return False
        return True

    def value(self, query: str) -> float | None:
        """Evaluate a query of one number; ``None`` where there is none."""
        found = self._asked(f"/api/v1/query?query={quote(query)}")["result"]
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> set[str]:
        """Give the names of the alerts that fire."""
        alerts = self._asked("/api/v1/alerts")["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    def wait_until(self, is_so: Callable[[Prometheus], bool]) -> None:
        """Wait until it has seen what is expected."""
        deadline = time.monotonic() + _DEADLINE_S
        while not is_so(self):
            assert time.monotonic() < deadline, self.firing()
            time.sleep(_POLL_S)

    def _asked(self, path: str) -> Any:
        return self._client.json("GET", path)["data"]


@contextmanager
def prometheus(stack: Stack, folder: Path) -> Iterator[Prometheus]:
    """Start a server with the alerts that ship, which scrapes a stack every second."""
    port = free_port()
    scraped = {
        "job_name": "gateway",
        "metrics_path": "/metrics/prometheus",
        "authorization": {"credentials_file": str(stack.folder / TOKEN)},
        "static_configs": [{"targets": [stack.gateway.url.partition("://")[2]]}],
    }
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(_ALERTS)],
        "scrape_configs": [scraped],
    }
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")
    with Program(
        "prometheus",
        [
            _SERVER or "",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        log=folder / "prometheus.log",
        folder=folder,
        environment={},
    ) as program:
        server = Prometheus(Client(port))
        program.wait_until(server.is_ready, _START_S)
        yield server
