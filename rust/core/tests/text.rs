//! The text reader takes and refuses what Python's `json.loads` takes and refuses.
#![allow(
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking, and its numbers are small"
)]

use retry_core::text::{
    Demand, MAX_DEPTH, MAX_INTEGER_DIGITS, MOST_DEPTH, MOST_INTEGER_DIGITS, Reading, demand, read,
};
use retry_core::{Signals, StatusCode};

fn signals(text: &str) -> Option<(bool, Option<StatusCode>)> {
    match read(text) {
        Reading::Object(signals) => Some((signals.error, signals.status)),
        Reading::Nothing => None,
        Reading::BeyondLimits => panic!("{text:.40} is beyond the limits"),
    }
}

/// The status as JSON readers see it.
macro_rules! status {
    ($code:expr) => {
        Some(StatusCode::new($code))
    };
}

#[test]
fn both_signals_are_read_from_the_outermost_object() {
    assert_eq!(
        signals(r#" {"a": [1, {"isError": false}], "isError": true, "status_code": 503} "#),
        Some((true, status!(503)))
    );
}

#[test]
fn signals_of_inner_objects_do_not_count() {
    assert_eq!(
        signals(r#"{"error": {"isError": true, "status_code": 503}}"#),
        Some((false, None))
    );
}

#[test]
fn the_last_of_duplicate_keys_wins() {
    assert_eq!(
        signals(r#"{"isError": true, "status_code": 503, "isError": 1, "status_code": null}"#),
        Some((false, None))
    );
}

#[test]
fn what_python_takes_beyond_the_standard_is_taken() {
    for text in [
        r#"{"status_code": 503, "latency": NaN}"#,
        r#"{"status_code": 503, "a": [Infinity, -Infinity]}"#,
        r#"{"status_code": 503, "a": "\ud800"}"#,
        r#"{"status_code": 503, "a": 1e999}"#,
        "{\"status_code\": 503, \"a\": \"\u{7f}\u{2028}\"}",
        "\t\n\r {\"status_code\":503}\r\n",
    ] {
        assert_eq!(signals(text), Some((false, status!(503))), "{text}");
    }
}

#[test]
fn what_python_refuses_is_refused() {
    for text in [
        r#"{"isError": true"#,
        r#"{"isError": true,}"#,
        r#"{"isError": true} x"#,
        r#"{"isError": true}{}"#,
        r#"{"isError": trues}"#,
        r#"{"isError": +1}"#,
        r#"{"isError": 01}"#,
        r#"{"isError": .5}"#,
        r#"{"isError": 5.}"#,
        r#"{"isError": 1e}"#,
        r#"{"isError": -}"#,
        r#"{"isError": -NaN}"#,
        r#"{"isError": nan}"#,
        r#"{"isError": True}"#,
        r"{'isError': true}",
        r"{isError: true}",
        r#"{"isError" true}"#,
        r#"{"isError": [1, 2,]}"#,
        r#"{"isError": [1 2]}"#,
        r#"{"isError": [}"#,
        r#"{"isError": true, "a": "\x"}"#,
        r#"{"isError": true, "a": "\u12g4"}"#,
        "{\"isError\": true, \"a\": \"\n\"}",
        "{\"isError\": true, \"a\": \"\0\"}",
        "\u{feff}{\"isError\": true}",
        "\u{a0}{\"isError\": true}",
        "[{\"isError\": true}]",
        "\"isError\"",
        "isError",
        "",
    ] {
        assert_eq!(read(text), Reading::Nothing, "{text}");
    }
}

#[test]
fn only_integers_and_booleans_are_a_status() {
    for (value, code) in [
        ("503", status!(503)),
        ("-5", status!(-5)),
        ("-0", status!(0)),
        ("true", status!(1)),
        ("false", status!(0)),
        ("503.0", None),
        ("5e2", None),
        ("\"503\"", None),
        ("null", None),
        ("[503]", None),
        ("{}", None),
        ("2147483648", Some(StatusCode::OUT_OF_RANGE)),
        (
            "123456789012345678901234567890",
            Some(StatusCode::OUT_OF_RANGE),
        ),
    ] {
        let text = format!(r#"{{"status_code": {value}}}"#);
        assert_eq!(signals(&text), Some((false, code)), "{value}");
    }
}

#[test]
fn a_key_may_be_spelled_with_escapes() {
    assert_eq!(
        signals(r#"{"\u0069s\u0045rror": true, "status\u005Fcode": 503}"#),
        Some((true, status!(503)))
    );
    assert_eq!(
        signals(r#"{"isError\u0000": true, "is\u0145rror": true, "is\nError": true}"#),
        Some((false, None))
    );
}

fn nested(depth: usize) -> String {
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    format!(r#"{{"isError": true, "a": {open}{close}}}"#)
}

fn digits(count: usize) -> String {
    format!(r#"{{"isError": true, "a": -{}}}"#, "7".repeat(count))
}

#[test]
fn depth_and_digits_beyond_the_limits_are_left_to_the_caller() {
    assert_eq!(signals(&nested(MAX_DEPTH - 1)), Some((true, None)));
    assert_eq!(read(&nested(MAX_DEPTH)), Reading::BeyondLimits);
    assert_eq!(signals(&digits(MAX_INTEGER_DIGITS)), Some((true, None)));
    assert_eq!(read(&digits(MAX_INTEGER_DIGITS + 1)), Reading::BeyondLimits);
}

#[test]
fn a_float_may_have_any_number_of_digits() {
    let text = format!(r#"{{"isError": true, "a": 0.{}}}"#, "7".repeat(9_000));
    assert_eq!(signals(&text), Some((true, None)));
}

#[test]
fn a_text_beyond_the_limits_is_read_to_its_end_for_what_it_takes() {
    let taking = |depth, digits| {
        let signals = Signals {
            error: true,
            status: None,
        };
        Some(Demand {
            depth,
            digits,
            signals,
        })
    };
    assert_eq!(demand(&nested(MAX_DEPTH)), taking(MAX_DEPTH + 1, 0));
    assert_eq!(demand(&nested(MOST_DEPTH - 1)), taking(MOST_DEPTH, 0));
    let longest = MAX_INTEGER_DIGITS + 1;
    assert_eq!(demand(&digits(longest)), taking(1, longest));
    assert_eq!(
        demand(&digits(MOST_INTEGER_DIGITS)),
        taking(1, MOST_INTEGER_DIGITS)
    );
    let later = nested(MAX_DEPTH).replace("]}", "], \"b\": [12, 1.25, 7e3]}");
    assert_eq!(demand(&later), taking(MAX_DEPTH + 1, 2));
}

#[test]
fn nobody_is_asked_for_more_than_any_reader_should_take() {
    assert_eq!(demand(&nested(MOST_DEPTH)), None);
    assert_eq!(demand(&digits(MOST_INTEGER_DIGITS + 1)), None);
    for unclosed in [nested(MAX_DEPTH), digits(MAX_INTEGER_DIGITS + 1)] {
        assert_eq!(demand(unclosed.trim_end_matches('}')), None);
    }
}

#[test]
fn a_key_that_is_spelled_longer_than_with_escapes_alone_is_no_signal() {
    let spelled = |key: &str| {
        let escapes: Vec<String> = key.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        format!(r#"{{"{}": 503}}"#, escapes.concat())
    };
    assert_eq!(
        signals(&spelled("status_code")),
        Some((false, status!(503)))
    );
    assert_eq!(signals(&spelled("status_codes")), Some((false, None)));
}
