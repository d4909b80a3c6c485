"""Every short chain around an accepted difference, and every odd override: no alarm, no blindness.

Generated scenarios meet such orders now and then; here they are all walked through.
"""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from retry_legacy import RetryWithBackoffPlugin as Legacy
from retry_parity import recipes
from retry_parity.candidates import Candidate
from retry_parity.driver import Driver
from retry_parity.recipes import mapping, sequence
from retry_parity.scenarios import Call, Fetch, Policy, Scenario, Wait
from retry_parity.subject import RetrySubject
from retry_parity.trial import Trial
from retry_with_backoff import ConfigError
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


TOOLS: Final = ["search", b"search", "\ud800", "", "\u00fcn\u00ef".encode(), 5, None, b"\xff"]
KEYS: Final = [
    *("max_retries", b"max_retries", "retry_on_status", "jitter", "check_text_content"),
    *("backoff_base_ms", "unknown"),
]
VALUES: Final = [
    *(0, True, "3", b"3", 3.0, 2.5, 1e19, float("inf"), float("nan"), -1, 2**32, 2**63, 10**30),
    *(None, mapping({}), *(sequence(items) for items in ([], [503], ["503"], [2**40]))),
    *(("decimal", "9.5"), ("decimal", "NaN"), ("decimal", "Infinity"), ("fraction", 7, 2)),
    *(("numpy", kind, 9) for kind in ("int64", "float32", "longdouble", "bool_")),
]
#: The ceiling, and whether the base checks texts. What a ceiling beyond 32 bits leaves, the
#: hybrid's fast path cannot take.
AROUND: Final = [(None, False), (1, True), (1, False), (2**40, False)]


@pytest.fixture(autouse=True)
def _numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let recipes have numbers of numpy."""
    make = {"numpy": lambda kind, value: getattr(np, kind)(value)}
    monkeypatch.setattr(recipes, "OTHERS", recipes.OTHERS | make)


def as_named(key: object) -> str:
    """Give the name of the tool that a key of the config is meant for."""
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)


def overridden(tool: object, *settings: dict[Any, Any]) -> Iterator[Scenario]:
    """Give a scenario for every odd value of a setting, beside others, under one key of a tool."""
    name = as_named(tool)
    steps: tuple[Step, ...] = (
        *(Call(0, name, "r1", result) for result in (FAILURE, SUCCESS)),
        *(Call(0, name, "r2", UNLIKE[-1][1], "trace"), Policy(name, 2), Policy(name, 0)),
        *(Call(0, "other", "r1", FAILURE), Fetch(0)),
    )
    odd = [
        *itertools.product(KEYS, VALUES, [{}]),
        *itertools.product(["jitter"], VALUES, settings),
        ("retry_on_status", ("numpy", "array", (503,)), {}),
    ]
    for (key, value, beside), (ceiling, checked) in itertools.product(odd, AROUND):
        overrides = mapping({tool: mapping({key: value} | beside)})
        base = {"tool_overrides": overrides, "check_text_content": checked, "jitter": False}
        yield Scenario(mapping(base), ceiling, steps)


def explained(
    scenario: Scenario, candidate: Callable[[Any], Any] = Rust
) -> tuple[set[tuple[int, str]], dict[int, str]]:
    """Give what the ledger accepts of a core, with the step, and by step what it does not."""
    accepted: set[tuple[int, str]] = set()
    unexplained: dict[int, str] = {}

    def observe(step: int, comparison: Any) -> None:
        accepted.update((step, entry) for entry in comparison.accepted)
        for each in comparison.unexplained:
            unexplained[step] = str(each)

    Trial(
        scenario, lambda config: Candidate(candidate(config), takes_extensions=True), observe
    ).run()
    return accepted, unexplained


@pytest.mark.parametrize("tool", TOOLS)
def test_no_odd_override_is_an_alarm(tool: object) -> None:
    """Under any kind of key, at load, at calls and at the question for a policy.

    Of two keys for one setting the last one holds, and the first one's value is not looked at.
    """
    found = {
        each
        for scenario in overridden(tool, {b"jitter": True}, {b"jitter": None})
        for each in explained(scenario)[1].values()
    }
    assert found == set()


@pytest.mark.parametrize("first", [mapping({"max_retries": "3"}), mapping({5: 1}), None])
@pytest.mark.parametrize("last", [mapping({"max_retries": 1}), mapping({"jitter": 3}), mapping({})])
@pytest.mark.parametrize("tools", [("search", b"search"), (b"search", "search")])
def test_of_two_keys_for_one_tool_the_last_one_holds(
    tools: tuple[str | bytes, ...], first: Any, last: Any
) -> None:
    """The core refused a value that the hybrid never reads. What is no mapping, both refuse."""
    overrides = mapping(dict(zip(tools, (first, last), strict=True)))
    steps = (Call(0, "search", "r1", FAILURE), Policy("search", 2))
    config = mapping({"tool_overrides": overrides, "jitter": False})
    assert [explained(Scenario(config, ceiling, steps))[1] for ceiling in (None, 1)] == [{}, {}]


class WrongDelay(Rust):
    """A core that waits longer than any config here allows."""

    async def tool_post_invoke(self, *asked: Any) -> Any:
        """Decide, and add to it."""
        answer = await Rust.tool_post_invoke(self, *asked)
        return answer.model_copy(update={"retry_delay_ms": answer.retry_delay_ms + 2**60})


class WrongPolicy(Rust):
    """A core that allows a retry too many where it has a policy, and has one where it has none."""

    def to_rust_native_policy(self, *asked: Any) -> Any:
        """Describe another policy."""
        policy = super().to_rust_native_policy(*asked)
        return {**policy, "maxRetries": policy["maxRetries"] + 1} if policy else {}


def wrong_refusal(config: Any) -> Any:
    """Load no core at all, and blame a setting that is not there."""
    del config
    error = ConfigError('tool_overrides["search"].max_backoff_ms: 0 given')
    error.tool, error.key = "search", "max_backoff_ms"
    raise error


@pytest.mark.parametrize(
    ("candidate", "entries"),
    [
        (WrongDelay, {"name-encoding"}),
        (WrongPolicy, {"clamped-number"}),
        (wrong_refusal, {"override-at-load", "error-family-at-load"}),
    ],
)
def test_a_wrong_core_is_found_under_every_odd_override(
    candidate: Callable[[Any], Any], entries: set[str]
) -> None:
    """Whatever the ledger accepts of the right core there, it accepts of no wrong one."""
    accepted = {
        (scenario, step)
        for scenario in itertools.chain(overridden(b"search"), overridden("\ud800"))
        for step, entry in explained(scenario)[0]
        if entry in entries
    }
    missed = [each for each in accepted if each[1] not in explained(each[0], candidate)[1]]
    assert accepted
    assert missed == []
