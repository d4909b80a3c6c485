//! What a configuration takes, refuses and becomes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use retry_core::metadata::policy_fields;
use retry_core::{Integer, RetryConfig, Value};

fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(
        entries
            .iter()
            .map(|(name, value)| (Value::text(name), value.clone()))
            .collect(),
    )
}

fn overriding(settings: &[(&str, Value)]) -> Value {
    map(&[("tool_overrides", map(&[("pay", map(settings))]))])
}

/// What one setting becomes for the tool `pay`, or why it is refused.
fn verdict(key: &str, written: &Value) -> String {
    match RetryConfig::from_value(written, None) {
        Ok(config) => {
            let policy = config.policy(b"pay");
            match key {
                "max_retries" => policy.max_retries().to_string(),
                "backoff_base_ms" => policy.backoff_base_ms().to_string(),
                "max_backoff_ms" => policy.max_backoff_ms().to_string(),
                "retry_on_status" => format!("{:?}", policy.retry_on_status()),
                "jitter" => policy.jitter().to_string(),
                _ => policy.check_text_content().to_string(),
            }
        }
        Err(error) => format!("refused: {error}"),
    }
}

fn huge() -> Value {
    Value::Int(Integer::Huge {
        negative: false,
        shown: "0xffffffffffffffffffffffffffffffffffff".to_owned(),
    })
}

/// Values of every kind, as the edge hands them over.
fn values() -> Vec<(&'static str, Value)> {
    vec![
        ("null", Value::Null),
        ("true", Value::Bool(true)),
        ("foreign true", Value::ForeignBool(true)),
        ("0", Value::int(0)),
        ("1", Value::int(1)),
        ("-1", Value::int(-1)),
        ("2^32", Value::int(1 << 32)),
        ("2^64", Value::int(1 << 64)),
        ("huge", huge()),
        ("index of 3", Value::Index(Integer::Small(3))),
        ("3.0", Value::real(3.0)),
        ("3.5", Value::real(3.5)),
        ("NaN", Value::real(f64::NAN)),
        ("infinity", Value::real(f64::INFINITY)),
        ("text 3", Value::text("3")),
        ("text ' +1_0.00 '", Value::text(" +1_0.00 ")),
        ("text 3.", Value::text("3.")),
        ("text 1__0", Value::text("1__0")),
        ("text yes", Value::text("yes")),
        ("text of 30 digits", Value::text(&"1".repeat(30))),
        ("bytes 3", Value::Bytes(b"3".to_vec())),
        ("enum member 3", Value::Member(Box::new(Value::int(3)))),
        (
            "list",
            Value::list(vec![Value::int(500), Value::text("503")]),
        ),
        ("list of integers", Value::list(vec![Value::int(500)])),
        (
            "set",
            Value::List {
                items: vec![Value::int(500)],
                indexable: false,
            },
        ),
        ("mapping", Value::Map(Vec::new())),
        ("object", Value::Other("Thing".to_owned())),
    ]
}

#[test]
fn base_settings_are_taken_by_the_lax_rules() {
    let mut table = Vec::new();
    for key in [
        "max_retries",
        "backoff_base_ms",
        "jitter",
        "retry_on_status",
    ] {
        for (name, value) in values() {
            let written = map(&[(key, value)]);
            table.push(format!("{key} = {name} -> {}", verdict(key, &written)));
        }
    }
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn override_settings_are_taken_by_the_strict_rules() {
    let mut table = Vec::new();
    for key in [
        "max_retries",
        "max_backoff_ms",
        "jitter",
        "retry_on_status",
        "check_text_content",
    ] {
        for (name, value) in values() {
            let written = overriding(&[(key, value)]);
            table.push(format!("{key} = {name} -> {}", verdict(key, &written)));
        }
    }
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn a_ceiling_bounds_base_default_and_overrides_and_says_so() {
    let mut table = Vec::new();
    for (name, written) in [
        ("default", map(&[])),
        ("base 5", map(&[("max_retries", Value::int(5))])),
        ("base huge", map(&[("max_retries", huge())])),
        ("base 1", map(&[("max_retries", Value::int(1))])),
        ("override 5", overriding(&[("max_retries", Value::int(5))])),
        (
            "override 9.5",
            overriding(&[("max_retries", Value::real(9.5))]),
        ),
        ("override huge", overriding(&[("max_retries", huge())])),
        (
            "override 0.5",
            overriding(&[("max_retries", Value::real(0.5))]),
        ),
        (
            "override without retries",
            overriding(&[("jitter", Value::Bool(false))]),
        ),
    ] {
        let outcome = match RetryConfig::from_value(&written, Some(1)) {
            Ok(config) => format!(
                "base {} (declared {}), pay {} (declared {}), notices {:?}",
                config.base().max_retries(),
                config.base().declared_max_retries(),
                config.policy(b"pay").max_retries(),
                config.policy(b"pay").declared_max_retries(),
                config
                    .notices()
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>(),
            ),
            Err(error) => format!("refused: {error}"),
        };
        table.push(format!("{name} -> {outcome}"));
    }
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn shapes_that_are_no_configuration_are_refused_on_one_line() {
    let nested = |value| map(&[("tool_overrides", value)]);
    let cases = [
        Value::text("x"),
        Value::list(vec![Value::int(1)]),
        Value::Map(vec![(Value::int(1), Value::int(2))]),
        nested(Value::Null),
        nested(Value::list(Vec::new())),
        nested(Value::Map(vec![(Value::int(1), map(&[]))])),
        nested(map(&[("pay", Value::Null)])),
        nested(map(&[("evil\nname", map(&[("jitter", Value::int(1))]))])),
        nested(map(&[(
            "pay",
            Value::Map(vec![(Value::Null, Value::Null)]),
        )])),
    ];
    let table: Vec<String> = cases
        .iter()
        .map(|written| {
            RetryConfig::from_value(written, None)
                .unwrap_err()
                .to_string()
        })
        .collect();
    assert!(table.iter().all(|line| !line.contains('\n')));
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn an_absent_or_empty_configuration_is_the_default_one() {
    let default = RetryConfig::default();
    for written in [
        Value::Null,
        Value::Bool(false),
        Value::list(Vec::new()),
        Value::Map(Vec::new()),
    ] {
        assert_eq!(RetryConfig::from_value(&written, None).unwrap(), default);
    }
}

#[test]
fn keys_may_be_bytes_in_overrides_and_the_last_of_equal_names_wins() {
    let entry = |retries| {
        Value::Map(vec![(
            Value::Bytes(b"max_retries".to_vec()),
            Value::int(retries),
        )])
    };
    let written = map(&[(
        "tool_overrides",
        Value::Map(vec![
            (Value::Bytes(b"pay".to_vec()), entry(7)),
            (Value::text("pay"), entry(8)),
        ]),
    )]);
    let config = RetryConfig::from_value(&written, None).unwrap();
    assert_eq!(config.policy(b"pay").max_retries(), 8);
}

/// The hybrid's mappings keep the last of two values under one name, and it reads no other.
#[test]
fn a_value_whose_name_comes_again_is_not_checked() {
    let bytes = |name: &str| Value::Bytes(name.as_bytes().to_vec());
    let of = |name: Value, value: Value, settings: &[(&str, Value)]| {
        let tools = vec![(name, value), (Value::text("pay"), map(settings))];
        RetryConfig::from_value(&map(&[("tool_overrides", Value::Map(tools))]), None)
    };
    let wrong = map(&[("max_retries", Value::text("many"))]);
    let config = of(
        bytes("pay"),
        wrong.clone(),
        &[("jitter", Value::Bool(false))],
    )
    .unwrap();
    assert_eq!(
        (config.policy(b"pay").max_retries(), config.tools().count()),
        (2, 1)
    );
    assert!(of(bytes("pay"), Value::Null, &[]).is_err());
    assert!(
        of(
            bytes("pay"),
            Value::Map(vec![(Value::int(5), Value::Null)]),
            &[]
        )
        .is_err()
    );
    assert!(of(bytes("other"), wrong, &[]).is_err());
    let settings = vec![
        (bytes("max_retries"), Value::text("many")),
        (Value::text("max_retries"), Value::int(1)),
    ];
    let config = of(bytes("refund"), Value::Map(settings), &[]).unwrap();
    assert_eq!(config.policy(b"refund").max_retries(), 1);
}

#[test]
fn surprising_settings_are_taken_with_a_notice() {
    let written = map(&[
        ("max_backoff_ms", Value::int(5)),
        ("max_retrys", Value::int(1)),
        (
            "tool_overrides",
            map(&[("pay", map(&[("tool_overrides", Value::Null)]))]),
        ),
    ]);
    let config = RetryConfig::from_value(&written, None).unwrap();
    let notices: Vec<String> = config.notices().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(notices.join("\n"));
}

#[test]
fn metadata_shows_the_settings_in_force() {
    let written = map(&[
        ("max_retries", Value::int(5)),
        (
            "retry_on_status",
            Value::list(vec![Value::int(503), Value::Bool(true)]),
        ),
    ]);
    let config = RetryConfig::from_value(&written, Some(3)).unwrap();
    insta::assert_debug_snapshot!(policy_fields(config.base()));
}

#[test]
fn a_class_of_any_name_cannot_break_a_message() {
    // Found by fuzzing: the name of a class went into the message, and into the log, as it was.
    for value in [
        Value::Other("Evil\nERROR forged".to_owned()),
        Value::Int(Integer::Huge {
            negative: false,
            shown: "0x1\r\nERROR forged".to_owned(),
        }),
    ] {
        let written = Value::Map(vec![(Value::text("max_retries"), value)]);
        let refusal = RetryConfig::from_value(&written, None).unwrap_err();
        assert!(!refusal.to_string().chars().any(char::is_control));
    }
}
