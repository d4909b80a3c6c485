//! Chains are counted exactly, forgotten in time, and bounded.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use retry_core::state::TTL;
use retry_core::{ChainId, ChainIds, ChainKey, ReadPath, SharedStore, StateStore};

const START: Duration = Duration::from_secs(1_000);
const TICK: Duration = Duration::from_nanos(1);

fn store(max_chains: u32) -> StateStore {
    StateStore::new(max_chains)
}

fn on_path(path: ReadPath, tool: &str, request_id: &str) -> ChainId {
    ChainIds::new([17, 4]).of(&ChainKey {
        path,
        tool: tool.as_bytes(),
        request_id: request_id.as_bytes(),
    })
}

fn key(tool: &str, request_id: &str) -> ChainId {
    on_path(ReadPath::Structured, tool, request_id)
}

#[test]
fn each_failure_adds_one_to_its_own_chain() {
    let mut store = store(10);
    assert_eq!(store.record_failure(key("a", "1"), START), 1);
    assert_eq!(store.record_failure(key("a", "1"), START), 2);
    assert_eq!(store.record_failure(key("a", "2"), START), 1);
    assert_eq!(store.record_failure(key("b", "1"), START), 1);
    assert_eq!(store.failures(key("a", "1"), START), 2);
}

#[test]
fn tool_and_request_id_are_a_pair() {
    // The hybrid joined the two with a colon, so that these two chains were one.
    let mut store = store(10);
    store.record_failure(key("a:b", "c"), START);
    assert_eq!(store.record_failure(key("a", "b:c"), START), 1);
    assert_eq!(store.failures(key("ab:", "c"), START), 0);
}

#[test]
fn the_two_read_paths_do_not_share_a_count() {
    let mut store = store(10);
    store.record_failure(key("a", "1"), START);
    let text = on_path(ReadPath::Text, "a", "1");
    assert_eq!(store.record_failure(text, START), 1);
}

#[test]
fn a_chain_of_exactly_the_ttl_is_alive_and_one_nanosecond_later_it_is_not() {
    let mut store = store(10);
    store.record_failure(key("alive", "1"), START);
    store.record_failure(key("gone", "1"), START);
    assert_eq!(store.record_failure(key("alive", "1"), START + TTL), 2);
    let later = START + TTL + TICK;
    assert_eq!(store.failures(key("gone", "1"), later), 0);
    assert_eq!(store.record_failure(key("gone", "1"), later), 1);
}

#[test]
fn a_failure_renews_the_ttl_of_its_chain() {
    let mut store = store(10);
    store.record_failure(key("a", "1"), START);
    store.record_failure(key("a", "1"), START + TTL);
    assert_eq!(store.record_failure(key("a", "1"), START + TTL + TTL), 3);
}

#[test]
fn expired_chains_leave_without_being_met_again() {
    let mut store = store(10_000);
    for id in 0..1_000 {
        store.record_failure(key("a", &id.to_string()), START);
    }
    let later = START + TTL + TICK;
    for id in 0..500 {
        store.record_failure(key("b", &id.to_string()), later);
    }
    assert_eq!(store.len(), 500);
}

#[test]
fn expired_chains_leave_under_successes_too() {
    // After an outage only successes come; the memory of the failures has to go all the same.
    let mut store = store(10_000);
    for id in 0..1_000 {
        store.record_failure(key("a", &id.to_string()), START);
    }
    let later = START + TTL + TICK;
    for _ in 0..500 {
        store.forget(key("b", "unknown"), later);
    }
    assert!(store.is_empty());
}

#[test]
fn the_bytes_are_those_of_the_entries_and_their_tables() {
    // Some 50 bytes for each of many; what little an empty store takes is told as well.
    let mut store = store(200_000);
    let empty = store.bytes();
    for id in 0..100_000 {
        store.record_failure(key("a", &id.to_string()), START);
    }
    let each = (store.bytes() - empty) / 100_000;
    assert!((40..=64).contains(&each), "{each} bytes for each chain");
    store.clear();
    assert_eq!(store.bytes(), empty);
}

#[test]
fn a_success_forgets_the_chain() {
    let mut store = store(10);
    store.record_failure(key("a", "1"), START);
    assert!(store.forget(key("a", "1"), START));
    assert!(!store.forget(key("a", "1"), START));
    assert!(store.is_empty());
    assert_eq!(store.record_failure(key("a", "1"), START), 1);
}

#[test]
fn a_success_of_an_unknown_chain_leaves_nothing_behind() {
    let mut store = store(10);
    store.record_failure(key("a", "1"), START);
    for id in 0..1_000 {
        store.forget(key("a", &format!("unknown-{id}")), START);
    }
    assert_eq!(store.len(), 1);
}

#[test]
fn beyond_the_bound_the_chain_with_the_oldest_failure_goes() {
    let mut store = store(3);
    for (seconds, id) in ["1", "2", "3"].into_iter().enumerate() {
        let now = START + Duration::from_secs(seconds.try_into().unwrap());
        store.record_failure(key("a", id), now);
    }
    let now = START + Duration::from_secs(10);
    store.record_failure(key("a", "1"), now);
    store.record_failure(key("a", "4"), now);
    assert_eq!(store.len(), 3);
    assert_eq!(store.evicted(), 1);
    assert_eq!(store.failures(key("a", "2"), now), 0);
    assert_eq!(store.failures(key("a", "1"), now), 2);
}

#[test]
fn a_lower_bound_drops_the_oldest_at_once() {
    let mut store = store(100);
    for id in 0..100 {
        store.record_failure(key("a", &id.to_string()), START);
    }
    store.set_max_chains(10);
    assert_eq!(store.len(), 10);
    assert_eq!(store.evicted(), 90);
    assert_eq!(store.failures(key("a", "99"), START), 1);
}

#[test]
fn counts_stay_right_through_a_long_random_walk() {
    // A model with a plain map checks the linked slab: any slip in the links shows up here.
    let mut store = store(12);
    let mut model: Vec<(String, Duration, u32)> = Vec::new();
    let mut seed: u64 = 7;
    let mut draw = |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut now = START;
    for _ in 0..20_000 {
        now += Duration::from_secs(draw(40));
        let id = draw(60).to_string();
        let chain = key("tool", &id);
        model.retain(|(_, last, _)| now.saturating_sub(*last) <= TTL);
        let position = model.iter().position(|(known, ..)| *known == id);
        if draw(4) == 0 {
            let found = position.map(|at| model.remove(at)).is_some();
            assert_eq!(store.failures(chain, now) > 0, found);
            store.forget(chain, now);
        } else {
            let before = position.map_or(0, |at| model.remove(at).2);
            if before == 0 && model.len() == 12 {
                model.remove(0);
            }
            model.push((id.clone(), now, before + 1));
            assert_eq!(store.record_failure(chain, now), before + 1);
        }
        store.drop_expired(now, u32::MAX);
        assert_eq!(store.len(), model.len());
    }
    assert!(store.evicted() > 0, "the walk never met the bound");
}

#[test]
fn clearing_keeps_the_bound() {
    let mut store = store(2);
    store.record_failure(key("a", "1"), START);
    store.clear();
    for id in 0..5 {
        store.record_failure(key("a", &id.to_string()), START);
    }
    assert_eq!(store.len(), 2);
}

#[test]
fn a_panic_under_the_lock_does_not_take_later_calls_down() {
    let shared = SharedStore::new(store(10));
    shared.with(|store| store.record_failure(key("a", "1"), START));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        shared.with(|_| panic!("a fault while the store is in use"));
    }));
    assert!(panicked.is_err());
    let count = shared.with(|store| store.record_failure(key("a", "1"), START));
    assert_eq!(count, 1, "the store starts empty after a panic");
    let count = shared.with(|store| store.record_failure(key("a", "1"), START));
    assert_eq!(count, 2, "and counts on from there");
}
