"""Workers that are killed, and a gateway that is told to stop."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from gateway.tests.calls import wait_for_attempt
from gateway.tests.configurations import DRILL, LONG_BUDGET, LONG_TOOL, SECRET
from gateway.tests.connections import each_worker
from gateway.tests.drill import TRIPPED_ELSEWHERE
from gateway.tests.evidence import Evidence
from gateway.tests.live import wait_for_lines
from gateway.tests.page import page_when

if TYPE_CHECKING:
    from gateway.tests.drill import Drill
    from gateway.tests.live import Live


def test_a_killed_worker_takes_nothing_with_it(drill: Drill) -> None:
    """After a ``kill -9`` calls go on, what was written is whole, and the guard still holds.

    A chain that is open in the other worker keeps its budget.
    """
    drill.trip()
    stack, case = drill.stack, "long-drill"
    with each_worker(stack) as clients, ThreadPoolExecutor(1) as pool:
        killed, other = clients
        call = pool.submit(
            stack.call, LONG_TOOL, case, LONG_BUDGET, note=SECRET, through=clients[other]
        )
        wait_for_attempt(stack, case, 1)
        for _ in range(5):
            drill.recovers(1, clients[killed])
        before = len(stack.said())
        os.kill(killed, signal.SIGKILL)
        for _ in range(5):
            drill.recovers(1)
        wait_for_lines(stack, before, (TRIPPED_ELSEWHERE,), 1)
        with each_worker(stack, besides={killed}) as successors:
            for client in successors.values():
                drill.recovers(1, client)
        assert not call.result().failed
        assert stack.attempts(case) == LONG_BUDGET + 1
    page = page_when(
        stack.gateway,
        lambda page: page.values("flag_info", "implementation") == {"canary": DRILL.workers},
    )
    assert page.total("guard_tripped") == 1
    (successor,) = successors.keys() - {other}
    assert set(drill.evidence.wait_for_first(successor)) == {"legacy"}
    *whole, last = (drill.evidence.run_of(killed) / "counts.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in whole] == ["run", *["counts"] * (len(whole) - 1)]
    assert last.startswith('{"kind":"counts"')
    assert len(drill.evidence.runs()) == DRILL.workers + 1


def test_a_gateway_that_is_stopped_writes_its_last_counts(live: Live) -> None:
    """After a SIGTERM the evidence is complete, although the last second's was not written yet."""
    live.set("shadow")
    evidence = Evidence(live.stack)
    evidence.wait_for_decisions(live.stack.attempts())
    for number in range(10):
        live.stack.call(LONG_TOOL, f"last-{number}", note=SECRET)
    attempts = live.stack.attempts()
    live.stack.program.stop()
    assert live.stack.program.status == 0
    assert evidence.decisions() == attempts
