//! Fixed work for counting instructions: `.ci/instructions` runs it under callgrind, which counts
//! what happens inside [`measured`] and nothing else.
//!
//! Given a name, does that work; given none, prints the names.
#![allow(
    clippy::print_stdout,
    reason = "what is printed is the result, for the program that started this"
)]

use std::hint::black_box;
use std::time::Duration;

use retry_benches::{
    FAILURE, NOW, REQUEST_ID, SUCCESS, chain, engine, failing_status, ids, json_text, store_of,
};
use retry_core::state::TTL;
use retry_core::text::read;
use retry_core::{ContentItem, Engine, Outcome, StateStore, Value};

const TIMES: u32 = 100;
const LIVE: u32 = 10_000;

/// A name, and the work that it stands for.
type Work = (&'static str, fn());

const WORKS: [Work; 8] = [
    ("decision: success", || decisions(&[], &SUCCESS)),
    ("decision: failure by flag", || decisions(&[], &FAILURE)),
    ("decision: failure by status", || {
        decisions(&[], &failing_status());
    }),
    ("decision: exhausted", || {
        decisions(&[("max_retries", Value::int(0))], &FAILURE);
    }),
    ("state: new chain in a full store", || {
        let mut store = store_of(LIVE);
        let new: Vec<_> = (LIVE..LIVE + TIMES).map(chain).collect();
        measured(|| {
            for id in &new {
                black_box(store.record_failure(*id, NOW));
            }
        });
    }),
    ("state: success while chains expire", || {
        let mut store = store_of(LIVE);
        let later = NOW + TTL + Duration::from_nanos(1);
        let unknown = chain(u32::MAX);
        measured(|| {
            for _ in 0..TIMES {
                black_box(store.forget(unknown, later));
            }
        });
    }),
    ("text: 17 KB, neither key", || texts("")),
    ("text: 17 KB, a key, no failure", || {
        texts(", \"isError\": false");
    }),
];

fn main() {
    let Some(wanted) = std::env::args().nth(1) else {
        for (name, _) in WORKS {
            println!("{name}");
        }
        return;
    };
    for (name, work) in WORKS {
        if name == wanted {
            work();
        }
    }
}

/// What is counted.
#[inline(never)]
fn measured(mut work: impl FnMut()) {
    work();
}

fn decisions(settings: &[(&str, Value)], outcome: &Outcome) {
    let engine = engine(settings);
    let mut store = StateStore::new(1_000);
    decide(&engine, outcome, &mut store);
    measured(|| {
        for _ in 0..TIMES {
            decide(&engine, outcome, &mut store);
        }
    });
}

fn decide(engine: &Engine, outcome: &Outcome, store: &mut StateStore) {
    let mut items: &[ContentItem<'_>] = &[];
    let judgement = engine.judge(b"search", black_box(outcome), &mut items);
    let chain = ids().of(&judgement.chain(black_box(REQUEST_ID)));
    black_box(engine.settle(&judgement, chain, store, NOW, 1));
}

fn texts(extra: &str) {
    let text = json_text(17_000, extra);
    black_box(read(&text));
    measured(|| {
        black_box(read(black_box(&text)));
    });
}
