//! Calls at 10 to 1,000,000 live chains: the cost must not grow with their number. And two threads
//! on one store.
#![allow(missing_docs, reason = "criterion's macros write undocumented items")]

use std::hint::black_box;
use std::time::Instant;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use retry_benches::{LIVE, NOW, chain, store_of};
use retry_core::SharedStore;

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
    threads
);
criterion_main!(benches);
