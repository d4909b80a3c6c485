//! Prints the longest single call while all chains of a store expire, and while it fills, as JSON.
//!
//! A machine interrupts a long run now and then, at another call each time. Each run here is the
//! same sequence of calls, so every call counts with the shortest of its times in all runs.
#![allow(
    clippy::print_stdout,
    reason = "what is printed is the result, for the program that started this"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use retry_benches::{LIVE, NOW, chain, store_of};
use retry_core::StateStore;
use retry_core::state::TTL;

const RUNS: u32 = 5;

fn main() {
    for live in LIVE {
        println!(
            "{{\"live\": {live}, \"expiring_ns\": {}, \"filling_ns\": {}}}",
            longest(live, expiring).as_nanos(),
            longest(live, filling).as_nanos(),
        );
    }
}

fn longest(live: u32, run: fn(u32) -> Vec<Duration>) -> Duration {
    let shortest = (1..RUNS).fold(run(live), |shortest, _| {
        let pairs = shortest.into_iter().zip(run(live));
        pairs.map(|(one, other)| one.min(other)).collect()
    });
    shortest.into_iter().max().unwrap_or_default()
}

/// How long each of `live` calls takes that meet a store of as many expired chains.
fn expiring(live: u32) -> Vec<Duration> {
    let mut store = store_of(live);
    let later = NOW.saturating_add(TTL).saturating_add(NOW);
    let unknown = chain(u32::MAX);
    let times = (0..live)
        .map(|_| timed(|| store.forget(unknown, later)))
        .collect();
    assert!(store.is_empty(), "expiry fell behind");
    times
}

/// How long each of `live` calls takes that begin a chain, from an empty store on.
fn filling(live: u32) -> Vec<Duration> {
    let mut store = StateStore::new(live);
    (0..live)
        .map(|request| {
            let id = chain(request);
            timed(|| store.record_failure(id, NOW))
        })
        .collect()
}

fn timed<T>(call: impl FnOnce() -> T) -> Duration {
    let begin = Instant::now();
    black_box(call());
    begin.elapsed()
}
