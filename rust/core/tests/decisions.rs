//! Decision tables: every shape of a result, on both read paths, and whole chains.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use retry_core::{
    ChainIds, ContentItem, Decision, Engine, Judgement, Outcome, RetryConfig, Signals, StateStore,
    StatusCode, Structured, Value,
};
use serde_json::json;

fn engine(settings: &[(&str, Value)]) -> Engine {
    let written = settings
        .iter()
        .map(|(name, value)| (Value::text(name), value.clone()))
        .collect();
    Engine::new(RetryConfig::from_value(&Value::Map(written), None).unwrap())
}

fn store() -> StateStore {
    StateStore::new(100)
}

/// The call belongs to the chain of request `r`.
fn settle(
    engine: &Engine,
    judgement: &Judgement<'_>,
    store: &mut StateStore,
    draw: u64,
) -> Decision {
    let chain = ChainIds::new([17, 4]).of(&judgement.chain(b"r"));
    engine.settle(judgement, chain, store, Duration::ZERO, draw)
}

fn failed() -> Outcome {
    Outcome {
        error: true,
        structured: Structured::Absent,
    }
}

fn structured(error: bool, status: Option<i64>) -> Structured {
    Structured::Object(Signals {
        error,
        status: status.map(StatusCode::new),
    })
}

#[test]
fn every_combination_of_signals_is_judged_as_the_hybrid_does() {
    let statuses = [None, Some(503), Some(404), Some(1 << 40)];
    let mut shapes = vec![
        ("absent".to_owned(), Structured::Absent),
        ("opaque".to_owned(), Structured::Opaque),
    ];
    for error in [false, true] {
        for status in statuses {
            let name = format!("isError {error}, status {status:?}");
            shapes.push((name, structured(error, status)));
        }
    }
    let failing_text = [ContentItem::Text(r#"{"status_code": 503}"#)];
    let mut table = Vec::new();
    for text_check in [false, true] {
        let engine = engine(&[("check_text_content", Value::Bool(text_check))]);
        for error in [false, true] {
            for (name, structured) in &shapes {
                let outcome = Outcome {
                    error,
                    structured: *structured,
                };
                let judgement = engine.judge(b"t", &outcome, &mut failing_text.as_slice());
                table.push(format!(
                    "{} | isError {error} | structured: {name} -> {}",
                    if text_check {
                        "text path"
                    } else {
                        "structured path"
                    },
                    if judgement.is_failure() {
                        "failure"
                    } else {
                        "-"
                    }
                ));
            }
        }
    }
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn content_items_are_judged_one_by_one() {
    let engine = engine(&[("check_text_content", Value::Bool(true))]);
    let quiet = Outcome {
        error: false,
        structured: Structured::Absent,
    };
    let retryable = Signals {
        error: false,
        status: Some(StatusCode::new(503)),
    };
    let items = [
        ("plain text", ContentItem::Text("HTTP 503")),
        (
            "a retryable status",
            ContentItem::Text(r#"{"status_code": 503}"#),
        ),
        (
            "another status",
            ContentItem::Text(r#"{"status_code": 404}"#),
        ),
        (
            "an error",
            ContentItem::Text(r#"{"isError": true, "status_code": 404}"#),
        ),
        ("status true", ContentItem::Text(r#"{"status_code": true}"#)),
        (
            "NaN",
            ContentItem::Text(r#"{"status_code": 503, "latency": NaN}"#),
        ),
        (
            "read elsewhere, a signal",
            ContentItem::Read(Some(retryable)),
        ),
        ("read elsewhere, none", ContentItem::Read(None)),
        ("image", ContentItem::Image),
        ("resource", ContentItem::Resource),
    ];
    let table: Vec<String> = items
        .iter()
        .map(|(name, item)| {
            let judgement = engine.judge(b"t", &quiet, &mut [*item].as_slice());
            format!(
                "{name} -> {}",
                if judgement.is_failure() {
                    "failure"
                } else {
                    "-"
                }
            )
        })
        .collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn a_chain_retries_within_its_budget_then_starts_anew() {
    let engine = engine(&[
        ("max_retries", Value::int(3)),
        ("backoff_base_ms", Value::int(100)),
        ("max_backoff_ms", Value::int(250)),
        ("jitter", Value::Bool(false)),
    ]);
    let mut store = store();
    let judgement = engine.judge(b"t", &failed(), &mut [].as_slice());
    let table: Vec<String> = (1..=6)
        .map(|call| {
            let decision = settle(&engine, &judgement, &mut store, 0);
            format!(
                "failure {call}: {:?}, count {}, delay {} ms, live chains {}",
                decision.verdict,
                decision.failures,
                decision.retry_delay_ms(),
                store.len()
            )
        })
        .collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn no_budget_means_no_retry_and_no_state() {
    let engine = engine(&[("max_retries", Value::int(0))]);
    let mut store = store();
    let judgement = engine.judge(b"t", &failed(), &mut [].as_slice());
    let decision = settle(&engine, &judgement, &mut store, 0);
    assert_eq!(decision.retry_delay_ms(), 0);
    assert!(store.is_empty());
}

#[test]
fn jitter_never_loses_a_retry() {
    // The hybrid's fast path may draw 0, which the gateway reads as "do not retry".
    let engine = engine(&[
        ("backoff_base_ms", Value::int(1)),
        ("max_retries", Value::int(1)),
    ]);
    let judgement = engine.judge(b"t", &failed(), &mut [].as_slice());
    for draw in [0, 1, u64::MAX / 2, u64::MAX] {
        let decision = settle(&engine, &judgement, &mut store(), draw);
        assert_eq!(decision.retry_delay_ms(), 1, "draw {draw}");
    }
}

#[test]
fn an_override_changes_the_budget_the_delay_and_the_read_path() {
    let engine = engine(&[
        ("jitter", Value::Bool(false)),
        (
            "tool_overrides",
            Value::Map(vec![(
                Value::text("slow"),
                Value::Map(vec![
                    (Value::text("max_retries"), Value::int(1)),
                    (Value::text("backoff_base_ms"), Value::int(7)),
                    (Value::text("check_text_content"), Value::Bool(true)),
                ]),
            )]),
        ),
    ]);
    let quiet = Outcome {
        error: false,
        structured: Structured::Absent,
    };
    let items = [ContentItem::Text(r#"{"isError": true}"#)];
    let slow = engine.judge(b"slow", &quiet, &mut items.as_slice());
    assert!(slow.is_failure());
    assert!(
        !engine
            .judge(b"other", &quiet, &mut items.as_slice())
            .is_failure()
    );
    let mut store = store();
    let delays: Vec<u64> = (0..2)
        .map(|_| settle(&engine, &slow, &mut store, 0).retry_delay_ms())
        .collect();
    assert_eq!(delays, [7, 0]);
}

#[test]
fn a_native_policy_is_what_was_declared_bounded_by_its_own_ceiling() {
    let written = Value::Map(vec![(Value::text("max_retries"), Value::int(9))]);
    let engine = Engine::new(RetryConfig::from_value(&written, Some(2)).unwrap());
    let retries = |ceiling| {
        let policy = engine.native_policy(b"t", ceiling).unwrap();
        format!("{:?}", policy.fields()[1])
    };
    let observed = json!({
        "ceiling 100": retries(100), "ceiling 5": retries(5), "ceiling -1": retries(-1),
    });
    insta::assert_json_snapshot!(observed, @r#"
    {
      "ceiling -1": "(\"maxRetries\", Number(-1))",
      "ceiling 100": "(\"maxRetries\", Number(9))",
      "ceiling 5": "(\"maxRetries\", Number(5))"
    }
    "#);
}
