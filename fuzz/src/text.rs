//! The text reader against the model of `json.loads`.

use retry_core::text::{
    Demand, MAX_DEPTH, MAX_INTEGER_DIGITS, MOST_DEPTH, MOST_INTEGER_DIGITS, Reading, demand, read,
};
use retry_core::{Signals, StatusCode};

use crate::json::{self, Json, Verdict, loads};

/// Checks one text; whether there was one, bytes that are no UTF-8 being none.
///
/// # Panics
///
/// The reader says something else than the model.
#[must_use]
pub fn check(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let model = loads(text);
    what_is_read_is_what_json_loads_gives(text, &model);
    what_is_demanded_is_what_the_model_met(text, &model);
    true
}

fn what_is_read_is_what_json_loads_gives(text: &str, model: &json::Reading) {
    let beyond_limits = model.depth > MAX_DEPTH || model.digits > MAX_INTEGER_DIGITS;
    let expected = match &model.verdict {
        Verdict::Value(value) => Some(signals_of(value)),
        Verdict::Refused => Some(Signals::default()),
        Verdict::TooDeep => None,
    };
    match read(text) {
        Reading::BeyondLimits => assert!(
            beyond_limits,
            "given up at depth {} and {} digits: {text:?}",
            model.depth, model.digits
        ),
        Reading::Object(signals) => {
            assert!(!beyond_limits, "read beyond the limits: {text:?}");
            assert!(
                matches!(model.verdict, Verdict::Value(Json::Object(_))),
                "taken for an object, json.loads gives {:?}: {text:?}",
                model.verdict
            );
            assert_eq!(Some(signals), expected, "{text:?}");
        }
        // An object without signals may be passed over, whatever is in it; signals never.
        Reading::Nothing => assert!(
            expected.is_none_or(|signals| signals == Signals::default()),
            "overlooked {expected:?}: {text:?}"
        ),
    }
}

fn what_is_demanded_is_what_the_model_met(text: &str, model: &json::Reading) {
    let expected = match &model.verdict {
        Verdict::Value(value @ Json::Object(_))
            if model.depth <= MOST_DEPTH && model.digits <= MOST_INTEGER_DIGITS =>
        {
            Some(Demand {
                depth: model.depth,
                digits: model.digits,
                signals: signals_of(value),
            })
        }
        _ => None,
    };
    assert_eq!(demand(text), expected, "{text:?}");
}

/// What a value that is no failure of its own says: nothing, unless it is an object.
fn signals_of(value: &Json) -> Signals {
    Signals {
        error: value.get("isError") == Some(&Json::Bool(true)),
        status: match value.get("status_code") {
            Some(Json::Bool(flag)) => Some(StatusCode::new(i64::from(*flag))),
            Some(Json::Integer(written)) => Some(
                written
                    .parse()
                    .map_or(StatusCode::OUT_OF_RANGE, StatusCode::new),
            ),
            _ => None,
        },
    }
}
