"""The flag, live: who decides changes with the flags file, in a gateway that is never restarted."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest

from gateway.flags import FlagsFile
from gateway.stack import Tool
from gateway.tests.calls import wait_for_attempt
from gateway.tests.configurations import BUDGET, LIVE, LONG_BUDGET, LONG_TOOL, SECRET
from gateway.tests.connections import each_worker
from gateway.tests.page import decided
from retry_parity._native import canary_bucket

if TYPE_CHECKING:
    from gateway.client import Answer, Client
    from gateway.tests.live import Live

#: Each ordered pair of values is once next to each other.
WALK: Final = (
    *("legacy", "shadow", "legacy", "canary", "legacy", "rust", "shadow"),
    *("canary", "shadow", "rust", "canary", "rust", "legacy"),
)
#: A file with a value that does not exist, and what is not even a flags file.
UNKNOWN: Final = FlagsFile.text("rust", "all").replace('"rust": "rust"', '"rust": "sideways"')
TRUNCATED: Final = FlagsFile.text("legacy")[:100]


def _call(live: Live, through: Client, failures: int) -> None:
    case = uuid.uuid4().hex
    answer = live.stack.call(Tool.REST, case, failures, note=SECRET, through=through)
    assert not answer.failed, answer
    assert live.stack.attempts(case) == failures + 1


def _decide(live: Live) -> Counter[str]:
    """Make three attempts in two calls on each worker, and give who decided on them."""
    before = decided(live.stack)
    with each_worker(live.stack) as clients:
        for client, failures in itertools.product(clients.values(), (0, 1)):
            _call(live, client, failures)
    return decided(live.stack) - before


def test_a_flip_in_the_middle_of_a_chain_keeps_its_budget(live: Live) -> None:
    """From each value to each other one: exactly one attempt more than the budget, never another.

    At each flip two chains wait for their second attempt. One can never succeed, one does at the
    last attempt. Some of them see the next flip before their third attempt. An edit holds on every
    worker within a second.
    """
    live.set(WALK[0], "half")
    took = []
    with ThreadPoolExecutor(2 * len(WALK)) as pool:
        calls = {}
        for number, value in enumerate(WALK[1:]):
            begun = {f"{failures}-flip-{number}": failures for failures in (LONG_BUDGET, 100)}
            for case, failures in begun.items():
                calls[case] = pool.submit(live.stack.call, LONG_TOOL, case, failures, note=SECRET)
            for case in begun:
                wait_for_attempt(live.stack, case, 1)
            took.append(live.flip(value, "half"))
            assert [live.stack.attempts(case) for case in begun] == [1, 1]
    assert {case: call.result().failed for case, call in calls.items()} == {
        case: case.startswith("100") for case in calls
    }
    assert {live.stack.attempts(case) for case in calls} == {LONG_BUDGET + 1}
    assert sorted(took)[len(took) // 2] <= 1.0


@pytest.mark.parametrize(
    ("value", "canary", "decides"),
    [
        ("shadow", "all", {"legacy"}),
        ("canary", "all", {"rust"}),
        ("rust", "none", {"rust"}),
        ("legacy", "all", {"legacy"}),
    ],
)
def test_the_file_says_who_decides(live: Live, value: str, canary: str, decides: set[str]) -> None:
    """What the flags file says holds for all new calls, on every worker, without a restart."""
    page = live.set(value, canary)
    assert page.total("flag_info", source="flag service") == LIVE.workers
    assert _decide(live) == dict.fromkeys(decides, 3 * LIVE.workers)


def test_a_share_of_the_chains_is_the_core_s(live: Live) -> None:
    """Under ``canary`` tool and request id say whose a chain is, whichever worker has the call.

    The calls are made at the same time: those that fail take nothing from each other's budgets.
    """
    live.set("canary", "half")
    before = decided(live.stack)
    failures = {f"share-{number}": number % (BUDGET + 2) for number in range(10)}

    def call(case: str) -> Answer:
        return live.stack.call(Tool.MCP, case, failures[case], note=SECRET, request_id=case)

    with ThreadPoolExecutor(len(failures)) as pool:
        answers = list(pool.map(call, failures))
    assert [answer.failed for answer in answers] == [count > BUDGET for count in failures.values()]
    expected: Counter[str] = Counter()
    for case, count in failures.items():
        attempts = live.stack.attempts(case)
        assert attempts == min(count, BUDGET) + 1
        is_core_s = canary_bucket(Tool.MCP, case) < 5000
        expected["rust" if is_core_s else "legacy"] += attempts
    assert decided(live.stack) - before == expected
    assert len(expected) == 2


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        pytest.param(UNKNOWN, "'sideways' is not one of", id="unknown value"),
        pytest.param(None, "is gone", id="deleted"),
        pytest.param(TRUNCATED, "is gone", id="truncated"),
    ],
)
def test_the_last_good_value_outlives_a_bad_file(
    live: Live, trouble: str | None, told: str
) -> None:
    """A value that does not exist, and a file that is gone or broken, change nothing for callers.

    Each worker says it in one line, the metrics show it, and the next good file is taken. What
    holds meanwhile is neither what the config says nor the default.
    """
    live.set("rust")
    rejected = live.page_when(lambda _: True).total("rejected_flags_total")
    before = len(live.stack.said())
    if trouble is None:
        live.flags.path.unlink()
    else:
        live.flags.put(trouble)
    if trouble is UNKNOWN:
        live.page_when(lambda page: page.total("rejected_flags_total") == rejected + LIVE.workers)
    else:
        live.page_when(lambda page: page.total("flag_service_state", state="gone") == LIVE.workers)
    assert _decide(live) == {"rust": 3 * LIVE.workers}
    said = [line for line in live.stack.said()[before:] if line.startswith(("WARN", "ERR"))]
    assert [told in line for line in said] == [True] * LIVE.workers
    assert all("rust holds" in line for line in said)
    live.set("shadow")
