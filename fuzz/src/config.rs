//! The rules of a configuration: what holds of every one, whatever an operator wrote.
//!
//! Which values are taken is the hybrid's to say; that comparison is the target `decisions`.

use arbitrary::{Arbitrary, Result, Unstructured};
use retry_core::config::key;
use retry_core::value::{Integer, Value};
use retry_core::{ConfigError, Policy, RetryConfig};

/// Containers within each other.
const DEPTH: u32 = 4;
/// Entries of a container.
const MOST_ENTRIES: usize = 8;
/// Bytes of a message at most: three shortened texts with every character escaped, and the words.
const LONGEST_MESSAGE: usize = 2_000;

/// Checks one configuration; whether there was one.
///
/// # Panics
///
/// A rule does not hold.
#[must_use]
pub fn check(bytes: &[u8]) -> bool {
    let mut source = Unstructured::new(bytes);
    let Ok((written, ceiling)) = written(&mut source) else {
        return false;
    };
    let config = match RetryConfig::from_value(&written, ceiling) {
        Ok(config) => config,
        Err(error) => {
            says_it_on_one_line(&error.to_string());
            a_refusal_names_its_place(&error);
            return true;
        }
    };
    assert_eq!(
        RetryConfig::from_value(&written, ceiling).as_ref(),
        Ok(&config),
        "read again, it is another one"
    );
    for notice in config.notices() {
        says_it_on_one_line(&notice.to_string());
    }
    every_tool_has_its_policy(&config);
    for policy in config.policies() {
        if let Some(ceiling) = ceiling {
            assert!(policy.max_retries() <= ceiling, "above the ceiling");
        }
        assert!(policy.max_retries() <= policy.declared_max_retries());
    }
    what_is_in_force_reads_as_itself(&config);
    a_ceiling_changes_nothing_but_retries(&written, ceiling, &config);
    an_unknown_key_changes_nothing(written, ceiling, &config);
    true
}

fn says_it_on_one_line(message: &str) {
    assert!(
        !message.chars().any(char::is_control),
        "a message that breaks its line: {message:?}"
    );
    assert!(message.len() <= LONGEST_MESSAGE, "too long: {message:?}");
}

fn a_refusal_names_its_place(error: &ConfigError) {
    if let ConfigError::Value { place, .. } = error {
        assert_eq!(error.key(), Some(place.key()));
        assert!(error.to_string().contains(place.key()));
    }
}

fn every_tool_has_its_policy(config: &RetryConfig) {
    assert_eq!(config.base().position(), 0);
    for (position, policy) in config.policies().enumerate() {
        assert_eq!(policy.position(), position);
    }
    // Longer than each of them, so none of them.
    let mut other = b"any other".to_vec();
    for (tool, policy) in config.tools() {
        assert_eq!(config.policy(tool), policy);
        other.extend_from_slice(tool);
    }
    assert_eq!(config.policy(&other), config.base());
}

/// Written out in full, settings in force are taken as they are, as base and as overrides.
fn what_is_in_force_reads_as_itself(config: &RetryConfig) {
    for policy in config.policies() {
        let settings = settings(policy);
        let base = RetryConfig::from_value(&Value::Map(settings.clone()), None);
        assert!(base.is_ok_and(|read| is_same(read.base(), policy)));
        let overrides = Value::Map(vec![(Value::text("t"), Value::Map(settings))]);
        let written = Value::Map(vec![(Value::text(key::TOOL_OVERRIDES), overrides)]);
        let config = RetryConfig::from_value(&written, None);
        assert!(config.is_ok_and(|read| is_same(read.policy(b"t"), policy)));
    }
}

/// What is taken without a ceiling is taken with one, and differs only in its retries.
fn a_ceiling_changes_nothing_but_retries(
    written: &Value,
    ceiling: Option<u32>,
    config: &RetryConfig,
) {
    let Ok(free) = RetryConfig::from_value(written, None) else {
        return;
    };
    let most = ceiling.unwrap_or(u32::MAX);
    for (free, bounded) in free.policies().zip(config.policies()) {
        assert_eq!(bounded.max_retries(), free.max_retries().min(most));
        assert_eq!(
            (
                bounded.backoff_base_ms(),
                bounded.max_backoff_ms(),
                bounded.retry_on_status(),
                bounded.jitter(),
                bounded.check_text_content(),
            ),
            (
                free.backoff_base_ms(),
                free.max_backoff_ms(),
                free.retry_on_status(),
                free.jitter(),
                free.check_text_content(),
            )
        );
    }
}

fn an_unknown_key_changes_nothing(written: Value, ceiling: Option<u32>, config: &RetryConfig) {
    let Value::Map(mut entries) = written else {
        return;
    };
    entries.push((Value::text("no such setting"), Value::Null));
    let more = RetryConfig::from_value(&Value::Map(entries), ceiling);
    assert!(more.is_ok_and(|more| more.policies().eq(config.policies())));
}

fn settings(policy: &Policy) -> Vec<(Value, Value)> {
    let statuses = policy
        .retry_on_status()
        .iter()
        .map(|code| Value::int(i128::from(*code)))
        .collect();
    [
        (
            key::MAX_RETRIES,
            Value::int(i128::from(policy.max_retries())),
        ),
        (
            key::BACKOFF_BASE_MS,
            Value::int(i128::from(policy.backoff_base_ms().get())),
        ),
        (
            key::MAX_BACKOFF_MS,
            Value::int(i128::from(policy.max_backoff_ms().get())),
        ),
        (key::RETRY_ON_STATUS, Value::list(statuses)),
        (key::JITTER, Value::Bool(policy.jitter())),
        (
            key::CHECK_TEXT_CONTENT,
            Value::Bool(policy.check_text_content()),
        ),
    ]
    .map(|(name, value)| (Value::text(name), value))
    .to_vec()
}

/// The same settings, wherever they stand.
fn is_same(left: &Policy, right: &Policy) -> bool {
    settings(left) == settings(right)
}

/// A configuration as somebody may write it, mostly with the names and shapes that settings have.
fn written(source: &mut Unstructured<'_>) -> Result<(Value, Option<u32>)> {
    let ceiling = Option::<u32>::arbitrary(source)?;
    let written = if source.ratio(1, 16)? {
        value(source, DEPTH)?
    } else {
        Value::Map(base_settings(source)?)
    };
    Ok((written, ceiling))
}

fn base_settings(source: &mut Unstructured<'_>) -> Result<Vec<(Value, Value)>> {
    entries(source, |source| {
        let name = name(source)?;
        let value = if name == Value::text(key::TOOL_OVERRIDES) && !source.ratio(1, 16)? {
            Value::Map(entries(source, |source| {
                let tool = if source.ratio(1, 2)? {
                    Value::text("t")
                } else {
                    value(source, 1)?
                };
                let overrides = entries(source, |source| {
                    Ok((name_of_override(source)?, value(source, 1)?))
                })?;
                Ok((tool, Value::Map(overrides)))
            })?)
        } else {
            value(source, DEPTH)?
        };
        Ok((name, value))
    })
}

fn entries<T>(
    source: &mut Unstructured<'_>,
    mut entry: impl FnMut(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let size = source.int_in_range(0..=MOST_ENTRIES)?;
    (0..size).map(|_| entry(source)).collect()
}

fn name(source: &mut Unstructured<'_>) -> Result<Value> {
    if source.ratio(1, 16)? {
        return value(source, 1);
    }
    source.choose(&key::ALL).map(|name| Value::text(name))
}

fn name_of_override(source: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match name(source)? {
        Value::Text(name) if source.ratio(1, 8)? => Value::Bytes(name),
        other => other,
    })
}

fn value(source: &mut Unstructured<'_>, depth: u32) -> Result<Value> {
    let shapes = if depth == 0 { 10 } else { 12 };
    Ok(match source.int_in_range(0..=shapes - 1)? {
        0 => Value::int(i128::from(i16::arbitrary(source)?)),
        1 => Value::Bool(bool::arbitrary(source)?),
        2 => Value::Text(text(source)?),
        3 => Value::Int(integer(source)?),
        4 => Value::Index(integer(source)?),
        5 => Value::real(f64::arbitrary(source)?),
        6 => Value::Null,
        7 => Value::Bytes(text(source)?),
        8 => Value::ForeignBool(bool::arbitrary(source)?),
        9 => Value::Other(String::arbitrary(source)?),
        10 => Value::List {
            items: entries(source, |source| value(source, depth - 1))?,
            indexable: !source.ratio(1, 8)?,
        },
        _ if source.ratio(1, 4)? => Value::Member(Box::new(value(source, 0)?)),
        _ => Value::Map(entries(source, |source| {
            Ok((value(source, 0)?, value(source, depth - 1)?))
        })?),
    })
}

fn integer(source: &mut Unstructured<'_>) -> Result<Integer> {
    Ok(if source.ratio(1, 4)? {
        Integer::Huge {
            negative: bool::arbitrary(source)?,
            shown: String::arbitrary(source)?,
        }
    } else {
        Integer::Small(i128::arbitrary(source)?)
    })
}

fn text(source: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    const WRITTEN: [&str; 8] = ["3", "+1_0.00", "yes", "off", "\u{a0}7 ", "-0", "1e3", "t"];
    if source.ratio(1, 2)? {
        return source.choose(&WRITTEN).map(|text| text.as_bytes().to_vec());
    }
    Vec::arbitrary(source)
}
