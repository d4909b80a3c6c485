"""How failures add up, and what forgets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import retry_legacy

if TYPE_CHECKING:
    from .driver import Load, VirtualClock

SUCCESS: dict[str, object] = {"content": [], "isError": False, "structuredContent": None}
TTL_S = 300


def test_delays_double_up_to_the_cap_and_then_end(load_on: Load) -> None:
    """Failure n of a chain waits base * 2^(n-1), capped; beyond the budget there is no retry."""
    plugin = load_on(max_retries=4, backoff_base_ms=100, max_backoff_ms=350)
    assert [plugin.delay() for _ in range(5)] == [100, 200, 350, 350, 0]


def test_a_failure_after_the_end_begins_anew(load_on: Load) -> None:
    """Exhaustion drops the chain, so that the next failure has the whole budget again."""
    plugin = load_on(max_retries=1)
    assert [plugin.delay() for _ in range(4)] == [200, 0, 200, 0]


def test_a_success_ends_the_chain(load_on: Load) -> None:
    """After a success the count starts at one."""
    plugin = load_on()
    assert [plugin.delay(), plugin.delay(SUCCESS), plugin.delay()] == [200, 0, 200]
    assert retry_legacy.live_chains() == 1


def test_plugin_objects_share_their_chains(load_on: Load) -> None:
    """State is the process's: a rebuilt plugin object does not grant a second budget."""
    load_on(max_retries=2).delay()
    assert load_on(max_retries=2).delay() == 400
    assert load_on(max_retries=2).delay() == 0


def test_the_paths_do_not_share_their_chains(load: Load) -> None:
    """Each path has a store of its own."""
    load(native=True).delay()
    assert load(native=False).delay() == 200
    assert retry_legacy.live_chains() == 2


def test_the_bytes_of_the_chains_are_told(load_on: Load) -> None:
    """More chains, and longer names, take more, on either path."""
    plugin = load_on()
    before = retry_legacy.store_bytes()
    for number in range(500):
        plugin.delay(request_id=f"{number}")
    short = retry_legacy.store_bytes()
    for number in range(500):
        plugin.delay(request_id=f"{number}{'x' * 200}")
    assert short - before >= 500 * 40
    assert retry_legacy.store_bytes() - short >= 500 * 200


def test_names_with_colons_meet(load_on: Load) -> None:
    """The key is "tool:request", so that two chains may be one (ledger: key-collision)."""
    plugin = load_on()
    plugin.delay(tool="a:b", request_id="c")
    assert plugin.delay(tool="a", request_id="b:c") == 400


@pytest.mark.parametrize(("age_s", "delay"), [(TTL_S, 400), (TTL_S + 1, 200)])
def test_a_chain_outlives_its_last_failure_by_300_seconds(
    load_on: Load, clock: VirtualClock, age_s: float, delay: int
) -> None:
    """A chain exactly 300 s old still counts, an older one does not."""
    plugin = load_on()
    plugin.delay()
    clock.advance(age_s)
    assert plugin.delay() == delay


def test_each_failure_starts_the_300_seconds_again(load_on: Load, clock: VirtualClock) -> None:
    """Age is counted from the last failure, not from the first."""
    plugin = load_on(max_retries=3)
    for _ in range(2):
        plugin.delay()
        clock.advance(200)
    assert plugin.delay() == 800


def test_any_access_drops_every_stale_chain(load_on: Load, clock: VirtualClock) -> None:
    """Stale chains are held until their store is next used, by whatever call."""
    plugin = load_on()
    for number in range(10):
        plugin.delay(request_id=str(number))
    clock.advance(TTL_S + 1)
    assert retry_legacy.live_chains() == 10
    plugin.delay(SUCCESS)
    assert retry_legacy.live_chains() == 0


def test_a_result_that_raises_leaves_an_empty_chain_for_ever(
    load: Load, clock: VirtualClock
) -> None:
    """The Python path begins a chain before it judges; without a failure it never goes stale."""
    plugin = load(check_text_content=True)
    with pytest.raises(TypeError):
        plugin.delay({"content": None})
    clock.advance(10 * TTL_S)
    plugin.delay(SUCCESS, tool="other")
    assert retry_legacy.live_chains() == 1


def test_a_budget_of_0_keeps_no_chain(load_on: Load) -> None:
    """With max_retries 0 nothing is retried and nothing remembered."""
    assert load_on(max_retries=0).delay() == 0
    assert retry_legacy.live_chains() == 0


def test_exhaustion_is_warned_of_on_the_fast_path_only(
    load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    """The fast path says in the log that a chain has ended; the Python path is silent."""
    load(native=False, max_retries=0).delay()
    load(native=True, max_retries=0).delay(tool="weather", request_id="r-1")
    warnings = [r.getMessage() for r in caplog.records if r.name == "retry_legacy"]
    assert warnings == ["retries exhausted: tool=weather request_id=r-1 failures=1"]


def test_clear_state_forgets_both_stores(load: Load) -> None:
    """Nothing is left after clear_state()."""
    load(native=True).delay()
    load(native=False).delay()
    retry_legacy.clear_state()
    assert retry_legacy.live_chains() == 0


def test_the_real_clock_comes_back(load_on: Load) -> None:
    """Without a replacement both paths read the process's own clock."""
    retry_legacy.set_clock(None)
    plugin = load_on()
    assert [plugin.delay(), plugin.delay()] == [200, 400]
