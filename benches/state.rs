//! One failing call at 10 to 1,000,000 live chains: the cost must not grow with their number.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros write undocumented items, and a bench fails by panicking"
)]

use std::collections::hash_map::RandomState;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use retry_core::{Engine, Outcome, RetryConfig, StateStore, Structured, Value};

const NOW: Duration = Duration::from_secs(1);

fn engine() -> Engine {
    let settings = Value::Map(vec![(
        Value::text("max_retries"),
        Value::int(1_000_000_000),
    )]);
    Engine::new(RetryConfig::from_value(&settings, None).unwrap())
}

fn failing_call(criterion: &mut Criterion) {
    let engine = engine();
    let failed = Outcome {
        error: true,
        structured: Structured::Absent,
    };
    let judgement = engine.judge(b"tool", &failed, &mut [].as_slice());
    let mut group = criterion.benchmark_group("failing call");
    for live in [10_u32, 1_000, 100_000, 1_000_000] {
        let mut store = StateStore::new(live, RandomState::new());
        for id in 0..live {
            engine.settle(&judgement, id.to_string().as_bytes(), &mut store, NOW, 0);
        }
        group.bench_function(BenchmarkId::from_parameter(live), |bencher| {
            bencher.iter(|| engine.settle(&judgement, black_box(b"7"), &mut store, NOW, 1));
        });
    }
    group.finish();
}

fn success_of_an_unknown_chain(criterion: &mut Criterion) {
    let engine = engine();
    let failed = Outcome {
        error: true,
        structured: Structured::Absent,
    };
    let succeeded = Outcome {
        error: false,
        structured: Structured::Absent,
    };
    let failure = engine.judge(b"tool", &failed, &mut [].as_slice());
    let success = engine.judge(b"tool", &succeeded, &mut [].as_slice());
    let mut group = criterion.benchmark_group("success of an unknown chain");
    for live in [10_u32, 1_000, 100_000, 1_000_000] {
        let mut store = StateStore::new(live, RandomState::new());
        for id in 0..live {
            engine.settle(&failure, id.to_string().as_bytes(), &mut store, NOW, 0);
        }
        group.bench_function(BenchmarkId::from_parameter(live), |bencher| {
            bencher.iter(|| engine.settle(&success, black_box(b"unknown"), &mut store, NOW, 1));
        });
    }
    group.finish();
}

criterion_group!(benches, failing_call, success_of_an_unknown_chain);
criterion_main!(benches);
