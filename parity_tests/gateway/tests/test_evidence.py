"""What the workers write down, while it can be written and while it cannot."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from gateway.stack import Tool
from gateway.tests.configurations import LIVE, SECRET
from gateway.tests.connections import each_worker
from gateway.tests.evidence import Evidence

if TYPE_CHECKING:
    from gateway.tests.live import Live


def _call_each_worker(live: Live) -> None:
    with each_worker(live.stack) as clients:
        for client in clients.values():
            case = uuid.uuid4().hex
            answer = live.stack.call(Tool.MCP, case, 2, note=SECRET, through=client)
            assert not answer.failed, answer
            assert live.stack.attempts(case) == 3


def test_each_worker_has_its_file_and_they_add_up(live: Live) -> None:
    """Every attempt behind the gateway is one decision in the evidence of one worker."""
    live.set("shadow")
    evidence = Evidence(live.stack)
    _call_each_worker(live)
    evidence.wait_for_decisions(live.stack.attempts())
    counts = evidence.counts()
    assert len(counts) == LIVE.workers
    for each in counts:
        assert each["flag"]["implementation"] == "shadow"
        assert each["flag"]["source"] == "flag service"
        assert each["divergent"] == each["candidate_errors"] == each["harness_errors"] == {}
        compared = sum(number for cells in each["strata"].values() for number in cells.values())
        assert compared == each["matches"] + each["accepted_calls"] > 0


def test_a_folder_that_is_lost_loses_nothing_but_time(live: Live) -> None:
    """With a file in the place of the folder calls go on, and what is dropped is counted and said.

    When the folder is back, so are the counts, those of the meantime included.
    """
    live.set("shadow")
    evidence = Evidence(live.stack)
    _call_each_worker(live)
    evidence.wait_for_decisions(live.stack.attempts())
    before, said = evidence.decisions(), len(live.stack.said())
    aside = evidence.folder.rename(evidence.folder.with_name("aside"))
    evidence.folder.touch()
    try:
        _call_each_worker(live)
        live.page_when(lambda page: page.total("evidence_dropped_total") >= 2 * LIVE.workers)
        page = live.page_when(lambda page: page.total("decisions_total") == live.stack.attempts())
        assert page.total("decisions_total") > before
    finally:
        evidence.folder.unlink()
        aside.rename(evidence.folder)
    _call_each_worker(live)
    evidence.wait_for_decisions(live.stack.attempts())
    lines = live.stack.said()[said:]
    assert lines
    assert all("evidence cannot be kept" in line for line in lines)
    assert len(lines) == len(set(lines)) * LIVE.workers, "each worker says each reason once"
