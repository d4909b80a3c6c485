//! One decision of the core: a success, failures of each kind, the last one of a chain.
#![allow(missing_docs, reason = "criterion's macros write undocumented items")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use retry_benches::{FAILURE, NOW, REQUEST_ID, SUCCESS, engine, failing_status, ids, json_text};
use retry_core::{ContentItem, Engine, Outcome, StateStore, Value};

const MANY: i64 = 1_000_000_000;

/// One call, from the result to the decision.
fn decide(engine: &Engine, outcome: &Outcome, items: &[ContentItem<'_>], store: &mut StateStore) {
    let judgement = engine.judge(b"search", black_box(outcome), &mut { items });
    let chain = ids().of(&judgement.chain(black_box(REQUEST_ID)));
    black_box(engine.settle(&judgement, chain, store, NOW, 1));
}

fn decision(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decision");
    let patient = engine(&[("max_retries", Value::int(MANY.into()))]);
    let impatient = engine(&[("max_retries", Value::int(0))]);
    let reading = engine(&[
        ("max_retries", Value::int(MANY.into())),
        ("check_text_content", Value::Bool(true)),
    ]);
    let short = [ContentItem::Text(
        r#"{"status_code": 503, "message": "try later"}"#,
    )];
    let long = json_text(17_000, "");
    let long = [ContentItem::Text(&long)];
    for (name, engine, outcome, items) in [
        ("success", &patient, SUCCESS, [].as_slice()),
        ("failure by flag", &patient, FAILURE, &[]),
        ("failure by status", &patient, failing_status(), &[]),
        ("exhausted", &impatient, FAILURE, &[]),
        ("failure in 44 bytes of text", &reading, SUCCESS, &short),
        ("no failure in 17 KB of text", &reading, SUCCESS, &long),
    ] {
        let mut store = StateStore::new(1_000);
        group.bench_function(name, |bencher| {
            bencher.iter(|| decide(engine, &outcome, items, &mut store));
        });
    }
    group.finish();
}

criterion_group!(benches, decision);
criterion_main!(benches);
