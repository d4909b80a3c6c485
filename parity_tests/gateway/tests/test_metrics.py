"""The metrics page of two workers, and a real Prometheus that reads it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from gateway.stack import Tool
from gateway.tests.configurations import LIVE, SECRET
from gateway.tests.connections import each_worker
from gateway.tests.page import Page
from gateway.tests.prometheus import needs_prometheus, prometheus

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.tests.live import Live


def test_the_page_adds_up_the_workers(live: Live) -> None:
    """Whichever worker makes the page, it has the decisions of all, and the flags of all."""
    page = live.set("shadow")
    before = page.total("comparisons_total")
    with each_worker(live.stack) as clients:
        for calls, client in enumerate(clients.values(), 2):
            for _ in range(calls):
                case = uuid.uuid4().hex
                live.stack.call(Tool.REST, case, 1, note=SECRET, through=client)
        live.page_when(lambda page: page.total("comparisons_total") == before + 2 * (2 + 3))
        for client in clients.values():
            page = Page(client.metrics())
            assert page.total("decisions_total") == live.stack.attempts()
            assert page.values("flag_info", "implementation") == {"shadow": LIVE.workers}
            assert page.total("comparisons_total", result="divergent") == 0
            assert page.total("hook_duration_seconds_count", implementation="rust") > 0


@needs_prometheus
def test_a_prometheus_server_reads_it(live: Live, tmp_path: Path) -> None:
    """A server that has the gateway's token sees the sums of both workers, and no false alert."""
    live.set("shadow")
    attempts = live.stack.attempts()
    with prometheus(live.stack, tmp_path) as server:
        server.wait_until(
            lambda server: server.value("sum(retry_migration_decisions_total)") == attempts
        )
        assert server.value('up{job="gateway"}') == 1
        query = 'sum by (implementation) (retry_migration_flag_info{implementation="shadow"})'
        assert server.value(query) == LIVE.workers
        # Tests before this one may have had a value refused, which is told for ten minutes.
        refused = server.value("sum(retry_migration_rejected_flags_total)")
        expected = {"RetryMigrationFlagRejected"} if refused else set()
        server.wait_until(lambda server: server.firing() == expected)
