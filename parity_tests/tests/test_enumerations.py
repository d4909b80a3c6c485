"""Every short chain around an accepted difference, and every odd override: no alarm, no blindness.

Generated scenarios meet such orders now and then; here they are all walked through.
"""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest

from retry_legacy import RetryWithBackoffPlugin as Legacy
from retry_parity.driver import Driver
from retry_parity.recipes import mapping, sequence
from retry_parity.scenarios import Call, Fetch, Policy, Scenario, Wait
from retry_parity.subject import RetrySubject
from retry_parity.trial import Trial
from retry_with_backoff import RetryWithBackoffPlugin as Rust

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from retry_parity.scenarios import Step

FAILURE: Final = mapping({"isError": True})
SUCCESS: Final = mapping({"isError": False})
TOO_LONG: Final = mapping({"type": "text", "text": ("repeated", "7", 5000)})
#: What only one side counts, on the plugin object that checks texts (0) and on the other one (1).
UNLIKE: Final = [
    (0, mapping({"content": sequence([TOO_LONG])})),
    (0, mapping({"content": 5})),
    (0, mapping({"structuredContent": ("unreadable", ())})),
    (1, mapping({"structuredContent": ("unreadable", ())})),
    (1, mapping({"structuredContent": mapping({"status_code": 2**40})})),
]
PLAIN: Final = list(itertools.product((0, 1), (FAILURE, SUCCESS)))


def chains(request_id: str) -> Iterator[Scenario]:
    """Give every chain of a failure, something that counts unlike, and what may follow."""
    texts, other = (
        mapping({"check_text_content": checked, "max_retries": 1, "backoff_base_ms": 50})
        for checked in (True, False)
    )

    def call(asked: tuple[int, Any]) -> Call:
        return Call(asked[0], "tool", request_id, asked[1])

    calls = [*map(call, PLAIN)]
    following: list[Step] = [*calls, *map(call, UNLIKE), Wait(200.0), Wait(301.0)]
    for first, unlike in itertools.product((call((0, FAILURE)), call((1, FAILURE))), UNLIKE):
        for rest in itertools.product(following, calls, calls[::2]):
            yield Scenario(texts, None, (first, call(unlike), *rest), other)


def about(plugin: type[Any]) -> Any:
    """Say which build it is, as an interpreter does."""
    return SimpleNamespace(modules=(plugin.__module__,), versions={})


def compared(reference: type[Any], candidate: type[Any]) -> Callable[[Scenario], set[str]]:
    """Give what runs a scenario on both as if they were apart, and names what is unexplained."""
    subject = RetrySubject()
    subject.meet(about(reference), about(candidate))
    ours, theirs = Driver(reference), Driver(candidate)

    def findings(scenario: Scenario) -> set[str]:
        told = ours.run(scenario), theirs.run(scenario)
        return {each.what for each in subject.judge(scenario, *told, lambda _: b"").findings}

    return findings


@pytest.mark.parametrize("request_id", ["r1", "\ud800", "a:b"])
@pytest.mark.parametrize("reference", [Legacy, Rust])
def test_no_chain_around_an_accepted_difference_is_an_alarm(
    reference: type[Any], request_id: str
) -> None:
    """Each path has chains of its own; what a success on one path ends, the other one keeps.

    With the core as reference, its own count is what says which draws are legal.
    """
    findings = compared(reference, Rust)
    assert set().union(*map(findings, chains(request_id))) == set()


@pytest.mark.parametrize("request_id", ["r1", "\ud800"])
def test_nor_where_both_run_in_one_process(request_id: str) -> None:
    """As in shadow mode."""
    found: list[str] = []
    for scenario in chains(request_id):
        Trial(
            scenario,
            observer=lambda _, comparison: found.extend(map(str, comparison.unexplained)),
        ).run()
    assert found == []


class OneStore(Rust):
    """A core that ends the chains of both paths where one of them succeeds."""

    async def tool_post_invoke(self, *asked: Any) -> Any:
        """Decide, and forget too much."""
        from retry_with_backoff import _core

        answer = await super().tool_post_invoke(*asked)
        if answer.retry_delay_ms == 0:
            _core.clear_state()
        return answer


def test_a_core_that_mixes_the_paths_up_is_found_there() -> None:
    """The enumeration is not blind to what it is about."""
    findings = compared(Legacy, OneStore)
    assert "retry-extra" in set().union(*map(findings, chains("r1")))


TOOLS: Final = ["search", b"search", "\ud800", "s:e", "", "\u00fcn\u00ef".encode()]
KEYS: Final = ["max_retries", b"max_retries", "retry_on_status", "jitter", "check_text_content"]
VALUES: Final = [
    *(0, True, "3", 3.0, 2.5, 1e19, float("inf"), float("nan"), -1, 2**63, 10**30, None, b"3"),
    *(sequence(items) for items in ([], [503], ["503"], [2**40])),
    *(("decimal", "9.5"), ("fraction", 7, 2)),
]


@pytest.mark.parametrize("ceiling", [None, 1])
@pytest.mark.parametrize("tool", TOOLS)
def test_no_odd_override_is_an_alarm(tool: str | bytes, ceiling: int | None) -> None:
    """Under any kind of key, at load, at calls and at the question for a policy."""
    name = tool.decode() if isinstance(tool, bytes) else tool
    steps: tuple[Step, ...] = (
        *(Call(0, name, "r1", result) for result in (FAILURE, SUCCESS)),
        *(Call(0, name, "r2", UNLIKE[-1][1], "trace"), Policy(name, 2), Policy(name, 0)),
        *(Call(0, "other", "r1", FAILURE), Fetch(0)),
    )
    found: set[str] = set()
    for key, value, checked in itertools.product(KEYS, VALUES, (False, True)):
        # Of two keys for one tool, the last one holds.
        overrides = {tool.swapcase(): mapping({}), tool: mapping({key: value})}
        config = mapping({"tool_overrides": mapping(overrides), "check_text_content": checked})
        Trial(
            Scenario(config, ceiling, steps),
            observer=lambda _, comparison: found.update(map(str, comparison.unexplained)),
        ).run()
    assert found == set()
