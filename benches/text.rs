//! Texts by size: one that holds neither key, as almost all do, and ones that have to be read.
#![allow(missing_docs, reason = "criterion's macros write undocumented items")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use retry_benches::json_text;
use retry_core::text::read;

fn texts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("text");
    for bytes in [100_usize, 1_000, 17_000, 1_000_000] {
        for (name, extra) in [
            ("neither key", ""),
            ("a key, no failure", ", \"isError\": false"),
            ("an accent", ", \"caf\\u00e9\": 1"),
            ("a letter as an escape", ", \"\\u0061\": 1"),
        ] {
            let text = json_text(bytes, extra);
            group.throughput(Throughput::Bytes(u64::try_from(text.len()).unwrap_or(0)));
            group.bench_function(BenchmarkId::new(name, bytes), |bencher| {
                bencher.iter(|| read(black_box(&text)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, texts);
criterion_main!(benches);
