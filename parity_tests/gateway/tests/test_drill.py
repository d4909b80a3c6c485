"""A candidate that is wrong is to decide: callers see nothing of it, and the guard ends it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from gateway.stack import PLUGIN_NAME, Tool
from gateway.tests.calls import wait_for_attempt
from gateway.tests.configurations import BUDGET, DRILL, GUARD_LIMIT, SECRET, TEAM_TOOL
from gateway.tests.connections import each_worker
from gateway.tests.drill import TRIPPED_ELSEWHERE, TRIPPED_HERE
from gateway.tests.page import decided, page_when, settled_page
from gateway.tests.prometheus import needs_prometheus, prometheus

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from gateway.tests.drill import Drill


def _decided_by_each_worker(drill: Drill) -> Counter[str]:
    """Make a call on each worker that succeeds at once, and give who decided."""
    before = decided(drill.stack)
    with each_worker(drill.stack) as clients:
        for client in clients.values():
            drill.recovers(0, client)
    return decided(drill.stack) - before


def test_callers_see_nothing_of_a_wrong_candidate(drill: Drill) -> None:
    """Every call ends as under the hybrid: before the guard trips, at that moment, and after it.

    Without the hybrid's answer in place of the candidate's no failure would be recovered from.
    """
    assert _decided_by_each_worker(drill) == {"rust": DRILL.workers}
    before = len(drill.stack.said())
    with each_worker(drill.stack) as clients:
        for client, manner in zip(clients.values(), ("error", "structured"), strict=True):
            for failures in reversed(range(BUDGET + 1)):
                drill.recovers(failures, client, manner=manner)
            case = f"surfaces-{manner}"
            answer = drill.stack.call(Tool.MCP, case, 100, manner, note=SECRET, through=client)
            assert answer.failed
            assert drill.stack.attempts(case) == BUDGET + 1
    drill.wait_until_tripped(before)
    page = settled_page(drill.stack)
    assert page.total("fallbacks_total") > 0
    assert set(page.values("divergences_total", "signature")) == {"retry-lost"}
    assert page.total("harness_errors_total") == 0


def test_the_guard_gives_the_decision_back_on_every_worker(drill: Drill) -> None:
    """More trouble than is borne, seen by one worker, and the hybrid decides on all of them.

    The worker that saw it says why in one line, the others that they follow.
    """
    before = len(drill.stack.said())
    drill.trip()
    lines = [line for line in drill.stack.said()[before:] if "guard" in line]
    (here,) = (line for line in lines if TRIPPED_HERE in line)
    (elsewhere,) = (line for line in lines if TRIPPED_ELSEWHERE in line)
    why = (
        f"{GUARD_LIMIT + 1} unexplained divergences or errors of the candidate within 300 s, "
        f"{GUARD_LIMIT} are borne; the last one: retry-lost"
    )
    assert here.endswith(why)
    assert elsewhere.endswith(why)
    assert len(lines) == DRILL.workers
    page_when(drill.stack.gateway, lambda page: page.total("guard_tripped") == 1)
    assert _decided_by_each_worker(drill) == {"legacy": DRILL.workers}


def test_a_person_resets_the_guard(drill: Drill) -> None:
    """``retry-parity guard`` shows why, resets, and every worker lets the flag decide again."""
    drill.trip()
    told = drill.guard()
    assert (told.status, told.errors) == (1, "")
    assert told.output.startswith(f"{PLUGIN_NAME}: tripped since ")
    assert "retry-lost" in told.output
    assert drill.guard("--reset", "NoSuchPlugin").status == 2
    before = len(drill.stack.said())
    told = drill.guard("--reset", PLUGIN_NAME)
    assert (told.status, told.errors) == (0, "")
    assert told.output.startswith(f"{PLUGIN_NAME}: reset; every worker lets the flag decide")
    drill.wait_until_reset(before)
    told = drill.guard()
    assert told.status == 0
    assert told.output.startswith(f"{PLUGIN_NAME}: reset at ")
    assert "no guard is tripped in " in told.output
    page_when(drill.stack.gateway, lambda page: page.total("guard_tripped") == 0)
    assert _decided_by_each_worker(drill) == {"rust": DRILL.workers}


def test_samples_tell_how_it_came_to_a_divergence(drill: Drill) -> None:
    """A sample has both decisions, and every earlier call of the chain with who decided it."""
    drill.trip()
    drill.evidence.wait_for_decisions(drill.stack.attempts())
    samples = drill.evidence.samples()
    assert {len(sample["chain"]) for sample in samples} == set(range(BUDGET))
    for sample in samples:
        assert sample["signature"] == "retry-lost"
        assert sample["legacy"]["delay_ms"] > sample["rust"]["delay_ms"] == 0
        assert sample["chain_forgotten"] == 0
        assert [step["decided_by"] for step in sample["chain"]] == ["legacy"] * len(sample["chain"])


def test_guard_and_counts_outlive_the_plugin_object(drill: Drill) -> None:
    """A team's plugin object is replaced in the middle of a chain: nothing is forgotten by it.

    All decisions since the start are still on the page, and the guard holds.
    """
    drill.trip()
    stack, case = drill.stack, "team-drill"
    before, built = settled_page(stack), stack.plugins_built()
    with (
        each_worker(stack) as clients,
        each_worker(stack) as others,
        ThreadPoolExecutor(1) as pool,
    ):
        worker = next(iter(clients))
        call = pool.submit(stack.call, TEAM_TOOL, case, 100, note=SECRET, through=clients[worker])
        for attempt in (1, 2):
            wait_for_attempt(stack, case, attempt)
            stack.rebuild_plugin(TEAM_TOOL, through=others[worker])
        assert call.result().failed
    assert stack.attempts(case) == 3
    assert stack.plugins_built() >= built + 2
    after = settled_page(stack)
    for name in ("guard_tripped", "guard_trips_total"):
        assert after.total(name) == before.total(name) > 0
    assert _decided_by_each_worker(drill) == {"legacy": DRILL.workers}


@needs_prometheus
def test_an_alert_fires_until_the_guard_is_reset(drill: Drill, tmp_path: Path) -> None:
    """The alerts that ship tell a Prometheus server of it, from this gateway's page."""
    alert = "RetryMigrationGuardTripped"
    with prometheus(drill.stack, tmp_path) as server:
        server.wait_until(lambda server: server.value("up") == 1)
        assert alert not in server.firing()
        drill.trip()
        server.wait_until(lambda server: alert in server.firing())
        drill.reset()
        server.wait_until(lambda server: alert not in server.firing())
