"""A chain whose beginning the candidate has not seen is not judged; a forgetful one is."""

from __future__ import annotations

from typing import Any

import pytest
from cpex.framework import PluginConfig
from laboratory import FAILURE, HUGE_STATUS, NAME, SUCCESS, Laboratory, answered

import retry_legacy
from retry_parity import MigrationPlugin, beginnings
from retry_parity.compare import Outcome
from retry_parity.evidence import BEGINNINGS
from retry_with_backoff import _core

UNSEEN = "chain-began-unseen"


def hybrid_alone(lab: Laboratory, result: Any = FAILURE, request_id: str = "r1") -> None:
    """Let the hybrid decide a call that no candidate sees, as under the flag legacy."""
    flagged = {**(lab.config.config or {}), "migration": {"implementation": "legacy"}}
    before, plugin = lab.shadow, MigrationPlugin(PluginConfig(name=NAME, kind="x", config=flagged))
    lab.shadow = plugin  # type: ignore[assignment] # the same hook
    lab.ask(result, request_id=request_id)
    lab.shadow = before


@pytest.mark.parametrize("text_path", [False, True])
def test_a_chain_that_began_under_legacy_is_ignored_until_it_has_ended(*, text_path: bool) -> None:
    """The hybrid has a count and the core none: that is the flag's doing, not the core's."""
    lab = Laboratory(max_retries=3, check_text_content=text_path)
    hybrid_alone(lab)
    for _ in range(5):
        comparison = lab.call(FAILURE)
        assert comparison.outcome is Outcome.IGNORED
        assert comparison.reason == UNSEEN
    assert lab.call(SUCCESS).outcome is Outcome.MATCH
    assert lab.call(FAILURE).outcome is Outcome.MATCH
    assert lab.counts.ignored == {UNSEEN: 5}
    assert lab.counts.divergent == {}


def test_an_exhausted_chain_that_began_under_legacy_is_ignored() -> None:
    """The first call the shadow meets may be the hybrid's last: no count is left to be seen."""
    lab = Laboratory(max_retries=2)
    hybrid_alone(lab)
    hybrid_alone(lab)
    assert lab.call(FAILURE).reason == UNSEEN
    assert retry_legacy.live_chains() == 0


def test_a_call_that_the_hybrid_alone_took_in_between_is_noticed() -> None:
    """A flag that goes to legacy and back leaves the core behind as well."""
    lab = Laboratory(max_retries=9)
    assert lab.call(FAILURE).outcome is Outcome.MATCH
    hybrid_alone(lab)
    assert lab.call(FAILURE).reason == UNSEEN


def test_a_chain_that_the_hybrid_alone_ended_is_noticed() -> None:
    """The core still has what the hybrid has dropped."""
    lab = Laboratory(max_retries=9)
    assert lab.call(FAILURE).outcome is Outcome.MATCH
    hybrid_alone(lab, SUCCESS)
    assert lab.call(FAILURE).reason == UNSEEN


def test_a_forgetful_candidate_is_a_divergence() -> None:
    """A candidate that was asked about the beginning has no excuse for not knowing it."""
    lab = Laboratory(lambda *_: answered(100))
    assert lab.call(FAILURE).outcome is Outcome.MATCH
    assert lab.call(FAILURE).signature == "delay"
    assert lab.call(FAILURE).signature == "retry-extra"
    assert lab.call(FAILURE).outcome is Outcome.MATCH
    assert lab.counts.ignored == {}


def test_a_core_that_loses_its_chains_is_a_divergence() -> None:
    """The real core, made to forget in the middle of a chain."""
    lab = Laboratory(max_retries=9)
    lab.call(FAILURE)
    _core.clear_state()
    assert lab.call(FAILURE).signature == "delay"
    assert lab.counts.ignored == {}


def test_a_candidate_that_loses_every_retry_is_a_divergence() -> None:
    """On each failure of the chain."""
    lab = Laboratory(lambda *_: answered(0))
    for signature in ("retry-lost", "retry-lost", ""):
        assert lab.call(FAILURE).signature == signature


def test_faults_that_need_no_count_are_judged_on_any_chain() -> None:
    """A crash is a crash, however long the chain is."""

    def crash(*_: Any) -> Any:
        raise ZeroDivisionError

    lab = Laboratory(crash)
    hybrid_alone(lab)
    assert lab.call(FAILURE).signature == "raised-only-by-candidate:ZeroDivisionError"
    assert lab.counts.ignored == {}


def test_an_exception_of_the_hybrid_on_a_missed_chain_is_not_judged() -> None:
    """Whether the core decides right there depends on the count too."""
    lab = Laboratory(max_retries=9)
    hybrid_alone(lab)
    assert lab.call(HUGE_STATUS).reason == UNSEEN
    assert lab.call(FAILURE).reason == UNSEEN


def test_an_expired_chain_begins_anew_for_both() -> None:
    """300 s after the last failure neither side knows anything."""
    now_s = 1000.0
    for module in (retry_legacy, _core):
        module.set_clock(lambda: now_s)
    lab = Laboratory(max_retries=9)
    hybrid_alone(lab, request_id="missed")
    assert lab.call(FAILURE, request_id="missed").reason == UNSEEN
    assert lab.call(FAILURE, request_id="met").outcome is Outcome.MATCH
    now_s += 300.5
    for request_id in ("missed", "met"):
        assert lab.call(FAILURE, request_id=request_id).outcome is Outcome.MATCH


def test_successes_are_not_looked_up_and_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The normal path pays for no question to the hybrid."""
    lab = Laboratory()
    monkeypatch.setattr("retry_parity.reference.Reference.failures", lambda *_: 1 / 0)
    assert lab.call(SUCCESS).outcome is Outcome.MATCH
    assert lab.counts.harness_errors == {}
    assert len(BEGINNINGS) == 0


def test_memory_of_live_chains_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What had to be forgotten is not compared, and is never taken for a match."""
    monkeypatch.setattr(beginnings, "_MOST_MET", 2)
    lab = Laboratory()
    for request_id in "abc":
        lab.call(FAILURE, request_id=request_id)
    assert len(BEGINNINGS) == 2
    assert lab.call(FAILURE, request_id="a").reason == UNSEEN
    assert lab.call(FAILURE, request_id="c").outcome is Outcome.MATCH
