//! Calls at 10 to 1,000,000 live chains: the cost must not grow with their number, neither while
//! they live nor while they expire. And two threads on one store.
#![allow(missing_docs, reason = "criterion's macros write undocumented items")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use retry_benches::{LIVE, NOW, chain, store_of};
use retry_core::state::TTL;
use retry_core::{SharedStore, StateStore};

fn failing_call(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("failing call");
    for live in LIVE {
        let mut store = store_of(live);
        let id = chain(7);
        group.bench_function(BenchmarkId::from_parameter(live), |bencher| {
            bencher.iter(|| store.record_failure(black_box(id), NOW));
        });
    }
    group.finish();
}

fn success_of_an_unknown_chain(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("success of an unknown chain");
    for live in LIVE {
        let mut store = store_of(live);
        let unknown = chain(u32::MAX);
        group.bench_function(BenchmarkId::from_parameter(live), |bencher| {
            bencher.iter(|| store.forget(black_box(unknown), NOW));
        });
    }
    group.finish();
}

/// A chain that begins, in a full store: one goes for it.
fn new_chain_in_a_full_store(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("new chain in a full store");
    for live in LIVE {
        let mut store = store_of(live);
        let mut request = live;
        group.bench_function(BenchmarkId::from_parameter(live), |bencher| {
            let next = || {
                request = request.wrapping_add(1);
                chain(request)
            };
            bencher.iter_batched(
                next,
                |id| store.record_failure(id, NOW),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// The longest single call while all chains of a store expire, and while it fills.
///
/// A machine interrupts a long run now and then, at another call each time. Each run here is the
/// same sequence of calls, so every call counts with the shortest of its times in all runs.
fn longest_call(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("longest call");
    group.sample_size(10);
    for live in LIVE {
        let mut bench = |name: &str, run: fn(u32) -> Vec<Duration>| {
            group.bench_function(BenchmarkId::new(name, live), |bencher| {
                bencher.iter_custom(|times| {
                    let longest = u64::try_from(longest(live, run).as_nanos()).unwrap_or(u64::MAX);
                    Duration::from_nanos(longest.saturating_mul(times))
                });
            });
        };
        bench("while all expire", expiring);
        bench("while it fills", filling);
    }
    group.finish();
}

fn longest(live: u32, run: fn(u32) -> Vec<Duration>) -> Duration {
    const RUNS: u32 = 5;
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

/// Each thread counts failures of its own chain; the time is that of all calls of one thread.
fn threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("threads");
    for threads in [1_u32, 2] {
        let shared = SharedStore::new(store_of(1_000));
        group.bench_function(BenchmarkId::from_parameter(threads), |bencher| {
            bencher.iter_custom(|calls| {
                let begin = Instant::now();
                std::thread::scope(|scope| {
                    for thread in 0..threads {
                        let (shared, id) = (&shared, chain(thread));
                        scope.spawn(move || {
                            for _ in 0..calls {
                                shared.with(|store| store.record_failure(black_box(id), NOW));
                            }
                        });
                    }
                });
                begin.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(
    benches,
    failing_call,
    success_of_an_unknown_chain,
    new_chain_in_a_full_store,
    longest_call,
    threads
);
criterion_main!(benches);
