//! From a written value to a checked one.
//!
//! `lax_` rules are Pydantic's, which the hybrid applies to base settings; `strict_` rules are
//! those of its native module, which reads the overrides.

use std::num::NonZeroU64;

use super::{LARGEST_DELAY_MS, LARGEST_RETRIES, LARGEST_STATUS, SMALLEST_STATUS};
use crate::error::{ConfigError, Place};
use crate::value::{Integer, Value, whole_of};

/// Ends the list of what is allowed where text and floats are not.
const EXACTLY: &str = ", not as text or float";

pub(super) fn lax_retries(
    value: &Value,
    ceiling: Option<u32>,
    place: &Place,
) -> Result<u32, ConfigError> {
    let retries = lax_whole(value).map(|number| match ceiling {
        // The hybrid clamps before it looks at the width.
        Some(ceiling) if number > i128::from(ceiling) => saturated(number),
        _ => number,
    });
    retries_within(retries, value, place, "")
}

pub(super) fn strict_retries(
    value: &Value,
    ceiling: Option<u32>,
    place: &Place,
) -> Result<u32, ConfigError> {
    let retries = match (value, ceiling) {
        // The hybrid compares with the ceiling first, which such an object cannot ..
        (Value::Index(_), _) => None,
        // .. and which takes a number of any sort that is above it.
        (number, Some(ceiling)) if is_above(number, ceiling) => {
            Some(lax_whole(number).map_or(i128::from(LARGEST_RETRIES), saturated))
        }
        (number, _) => strict_whole(number),
    };
    retries_within(retries, value, place, EXACTLY)
}

fn retries_within(
    retries: Option<i128>,
    value: &Value,
    place: &Place,
    how: &str,
) -> Result<u32, ConfigError> {
    retries.and_then(narrow).ok_or_else(|| {
        let allowed = format!("an integer from 0 to {LARGEST_RETRIES}{how}");
        refused(value, place, &allowed)
    })
}

pub(super) fn lax_delay(value: &Value, place: &Place) -> Result<NonZeroU64, ConfigError> {
    delay_within(lax_whole(value), value, place, "")
}

pub(super) fn strict_delay(value: &Value, place: &Place) -> Result<NonZeroU64, ConfigError> {
    delay_within(strict_whole(value), value, place, EXACTLY)
}

fn delay_within(
    delay_ms: Option<i128>,
    value: &Value,
    place: &Place,
    how: &str,
) -> Result<NonZeroU64, ConfigError> {
    delay_ms
        .and_then(narrow)
        .and_then(NonZeroU64::new)
        .ok_or_else(|| {
            let allowed = format!("an integer from 1 to {LARGEST_DELAY_MS} (milliseconds){how}");
            refused(value, place, &allowed)
        })
}

pub(super) fn lax_statuses(value: &Value, place: &Place) -> Result<Vec<i32>, ConfigError> {
    match value {
        Value::List { items, .. } => statuses(items, place, lax_whole),
        _ => Err(refused(value, place, "a list of integers")),
    }
}

pub(super) fn strict_statuses(value: &Value, place: &Place) -> Result<Vec<i32>, ConfigError> {
    match value {
        Value::List {
            items,
            indexable: true,
        } => statuses(items, place, strict_whole),
        _ => Err(refused(value, place, "a list of integers, no set")),
    }
}

pub(super) fn lax_flag(value: &Value, place: &Place) -> Result<bool, ConfigError> {
    let flag = match value {
        Value::Bool(flag) | Value::ForeignBool(flag) => Some(*flag),
        Value::Int(Integer::Small(number))
        | Value::Index(Integer::Small(number))
        | Value::Real {
            whole: Some(number),
            ..
        } => match number {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        Value::Text(bytes) | Value::Bytes(bytes) => flag_of_text(bytes),
        _ => None,
    };
    flag.ok_or_else(|| {
        refused(
            value,
            place,
            "a boolean (true, false, yes, no, on, off, 1, 0)",
        )
    })
}

pub(super) fn strict_flag(value: &Value, place: &Place) -> Result<bool, ConfigError> {
    match value {
        Value::Bool(flag) | Value::ForeignBool(flag) => Ok(*flag),
        _ => Err(refused(value, place, "true or false")),
    }
}

/// Whether a number of any sort is above `ceiling`.
fn is_above(value: &Value, ceiling: u32) -> bool {
    match value {
        Value::Bool(flag) | Value::ForeignBool(flag) => u32::from(*flag) > ceiling,
        Value::Int(Integer::Small(number)) => *number > i128::from(ceiling),
        Value::Int(Integer::Huge { negative, .. }) => !negative,
        Value::Real { approx, .. } => *approx > f64::from(ceiling),
        _ => false,
    }
}

/// A number of retries that fits its width.
fn saturated(number: i128) -> i128 {
    number.min(i128::from(LARGEST_RETRIES))
}

fn narrow<T: TryFrom<i128>>(number: i128) -> Option<T> {
    T::try_from(number).ok()
}

fn refused(value: &Value, place: &Place, allowed: &str) -> ConfigError {
    ConfigError::Value {
        place: place.clone(),
        given: value.to_string(),
        allowed: allowed.to_owned(),
    }
}

fn statuses(
    items: &[Value],
    place: &Place,
    whole: fn(&Value) -> Option<i128>,
) -> Result<Vec<i32>, ConfigError> {
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            whole(item).and_then(narrow).ok_or_else(|| {
                let allowed = format!("an integer from {SMALLEST_STATUS} to {LARGEST_STATUS}");
                refused(item, &place.item(index), &allowed)
            })
        })
        .collect()
}

/// The integer a native module takes: no text, no float. A huge one becomes the outermost, which
/// fits no setting either.
fn strict_whole(value: &Value) -> Option<i128> {
    match value {
        Value::Bool(flag) => Some(i128::from(*flag)),
        Value::Int(integer) => Some(integer.saturated()),
        // The hybrid reads overrides by both sets of rules.
        Value::Index(offered) => as_pydantic_reads(offered),
        _ => None,
    }
}

fn lax_whole(value: &Value) -> Option<i128> {
    match value {
        Value::Real { whole, .. } => *whole,
        Value::ForeignBool(flag) => Some(i128::from(*flag)),
        Value::Text(bytes) | Value::Bytes(bytes) => whole_of_text(bytes),
        Value::Member(inner) => strict_whole(inner),
        Value::Index(offered) => as_pydantic_reads(offered),
        other => strict_whole(other),
    }
}

/// What an object offers as an integer: Pydantic takes it for a double, rounded and bounded as one.
fn as_pydantic_reads(offered: &Integer) -> Option<i128> {
    // There is no checked cast from an integer to f64; parsing rounds as one would.
    whole_of(offered.saturated().to_string().parse().ok()?)
}

/// Longer numbers are refused as text, as the hybrid refuses them, whatever their value.
const MAX_DIGITS: usize = 4_300;

/// Digits with an optional sign, single underscores between them, `.0` behind, space around.
fn whole_of_text(bytes: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let (integer, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = integer.strip_prefix(['+', '-']).unwrap_or(integer);
    let grouped = digits
        .split('_')
        .all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    let zeros_only = !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0');
    if grouped && zeros_only && text.len() <= MAX_DIGITS {
        let digits = integer.replace('_', "");
        // Too long for 128 bits: the outermost value, as for a huge integer.
        let outermost = if digits.starts_with('-') {
            i128::MIN
        } else {
            i128::MAX
        };
        Some(digits.parse().unwrap_or(outermost))
    } else {
        None
    }
}

fn flag_of_text(bytes: &[u8]) -> Option<bool> {
    const YES: [&str; 6] = ["1", "on", "t", "true", "y", "yes"];
    const NO: [&str; 6] = ["0", "off", "f", "false", "n", "no"];
    let text = std::str::from_utf8(bytes).ok()?;
    let is_one_of = |words: [&str; 6]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_one_of(YES) {
        Some(true)
    } else if is_one_of(NO) {
        Some(false)
    } else {
        None
    }
}
