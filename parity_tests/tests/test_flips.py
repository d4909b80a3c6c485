"""Flips in the middle of a chain: every pair of values, at every position, exact to the attempt."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from cpex.framework import PluginConfig
from laboratory import FAILURE, NAME, SUCCESS, finish

from retry_parity import MigrationPlugin
from retry_parity.evidence import evidence_of
from retry_parity.figures import ServiceState
from retry_parity.flag import Implementation
from retry_parity.flag_service import Told
from retry_parity.migration import migration_of
from retry_parity.observation import Side

BUDGET = 3
DELAYS = [100, 200, 400, 0]
PAIRS = list(itertools.product(Implementation, repeat=2))


def ask(subject: Any, result: Any, request_id: str) -> int:
    """Tell the plugin of a result; give the delay that the gateway gets."""
    payload = SimpleNamespace(name="tool", result=result)
    context = SimpleNamespace(global_context=SimpleNamespace(request_id=request_id))
    delay: int = finish(subject.tool_post_invoke(payload, context, None)).retry_delay_ms
    return delay


class ByService:
    """One plugin object; the flag service says something else from one call to the next."""

    def __init__(self, **migration: Any) -> None:
        """Load it under ``legacy``."""
        config = {"jitter": False, "backoff_base_ms": 100, "max_retries": BUDGET}
        self.plugin = MigrationPlugin(
            PluginConfig(name=NAME, kind="x", config=config | {"migration": migration})
        )

    def under(self, flag: Implementation) -> MigrationPlugin:
        """Give the plugin under a value of the flag."""
        migration_of(NAME).follow(Told(flag, None, ServiceState.READY, 0))
        return self.plugin


class ByRebuild:
    """A new plugin object for each call, each with its own value of the flag."""

    def __init__(self, **migration: Any) -> None:
        """Keep the settings."""
        self.migration = migration

    def under(self, flag: Implementation) -> MigrationPlugin:
        """Give a plugin under a value of the flag."""
        config = {"jitter": False, "backoff_base_ms": 100, "max_retries": BUDGET}
        migration = self.migration | {"implementation": flag.value}
        return MigrationPlugin(
            PluginConfig(name=NAME, kind="x", config=config | {"migration": migration})
        )


@pytest.mark.parametrize("way", [ByService, ByRebuild])
@pytest.mark.parametrize("in_share", [False, True], ids=["outside", "in share"])
@pytest.mark.parametrize(("before", "after"), PAIRS, ids=lambda each: each.value)
def test_a_flip_neither_extends_nor_shortens_a_budget(
    way: Any, *, in_share: bool, before: Implementation, after: Implementation
) -> None:
    """However far the chain is, it gets its three retries and no fourth, and then starts anew."""
    flag = way(canary_percent=100.0 if in_share else 0.0, compare_percent=50.0)
    for position in range(BUDGET + 2):
        delays = [
            ask(flag.under(before if call < position else after), FAILURE, f"r{position}")
            for call in range(BUDGET + 1)
        ]
        assert delays == DELAYS
    assert evidence_of(NAME).counts().divergent == {}
    assert evidence_of(NAME).book.fallbacks == 0


@pytest.mark.parametrize("way", [ByService, ByRebuild])
@pytest.mark.parametrize(
    ("first", "second", "third"), list(itertools.permutations(Implementation, 3)), ids=str
)
def test_two_flips_in_one_chain_keep_its_budget(
    way: Any, *, first: Implementation, second: Implementation, third: Implementation
) -> None:
    """There and back, or further: a side that missed a part is not asked to decide the rest."""
    flag = way(canary_percent=50.0, compare_percent=50.0)
    for number in range(8):
        flags = [first, second, third, first]
        delays = [ask(flag.under(each), FAILURE, f"r{number}") for each in flags]
        assert delays == DELAYS
        assert [ask(flag.under(each), FAILURE, f"r{number}") for each in flags] == DELAYS
    assert evidence_of(NAME).counts().divergent == {}


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=lambda each: each.value)
def test_after_a_success_the_next_failure_has_the_whole_budget(
    before: Implementation, after: Implementation
) -> None:
    """Whoever saw the failure and whoever saw the success."""
    flag = ByRebuild(canary_percent=100.0, compare_percent=100.0)
    for value in (before, after):
        assert ask(flag.under(before), FAILURE, f"r {value}") == 100
        assert ask(flag.under(after), SUCCESS, f"r {value}") == 0
        delays = [ask(flag.under(value), FAILURE, f"r {value}") for _ in range(BUDGET + 1)]
        assert delays == DELAYS
    assert evidence_of(NAME).counts().divergent == {}


def test_the_service_goes_before_the_environment_and_the_config(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DESIGN.md, "The flag": service, environment, config; a silent service changes nothing."""
    monkeypatch.setenv("RETRY_IMPLEMENTATION", "shadow")
    flag = ByService(implementation="legacy")
    migration = migration_of(NAME)
    assert migration.flag.source == "RETRY_IMPLEMENTATION"
    flag.under(Implementation.RUST)
    assert (migration.flag.implementation, migration.flag.source) == (
        Implementation.RUST,
        "flag service",
    )
    migration.follow(Told(None, None, ServiceState.READY, 0))
    assert migration.flag.implementation is Implementation.SHADOW
    assert ask(flag.plugin, FAILURE, "r") == 100
    assert evidence_of(NAME).counts().matches == 1


def test_a_flip_reaches_every_object_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Objects that live for 30 s more decide by the new value at the next call."""
    objects = [ByService(implementation="legacy", compare_percent=0) for _ in range(3)]
    objects[0].under(Implementation.RUST)
    for number, each in enumerate(objects):
        assert ask(each.plugin, FAILURE, f"r{number}") == 100
    decisions = {key: count for key, count in evidence_of(NAME).decisions().items() if count}
    assert decisions == {(Side.CANDIDATE, "retry"): 3}
    lines = [each.getMessage() for each in caplog.records if "decides from now on" in each.message]
    assert lines == [f"{NAME}: rust decides from now on, was legacy (source: flag service)"]


def test_the_share_of_the_service_goes_before_the_config() -> None:
    """``retry-canary-percent`` moves the share; without a word the config's holds."""
    flag = ByService(implementation="canary", canary_percent=0)
    for percent, side in ((100.0, "candidate"), (None, "reference")):
        migration_of(NAME).follow(Told(None, percent, ServiceState.READY, 0))
        before = evidence_of(NAME).decisions()
        ask(flag.plugin, SUCCESS, f"r{percent}")
        after = evidence_of(NAME).decisions()
        assert [key[0].value for key in after if after[key] != before[key]] == [side]
        assert migration_of(NAME).canary_percent == (percent or 0)
