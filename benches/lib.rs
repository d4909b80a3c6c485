//! What the benches beside it share: configurations, outcomes, texts and filled stores.

use std::fmt::Write as _;
use std::time::Duration;

use retry_core::{
    ChainId, ChainIds, ChainKey, Engine, Outcome, ReadPath, RetryConfig, Signals, StateStore,
    StatusCode, Structured, Value,
};

/// The time of every call.
pub const NOW: Duration = Duration::from_secs(1);
/// Live chains from a handful to a full store.
pub const LIVE: [u32; 4] = [10, 1_000, 100_000, 1_000_000];

/// A result without a failure.
pub const SUCCESS: Outcome = Outcome {
    error: false,
    structured: Structured::Absent,
};

/// A result that says so by its `isError`.
pub const FAILURE: Outcome = Outcome {
    error: true,
    structured: Structured::Absent,
};

/// A result that fails by its status.
#[must_use]
pub fn failing_status() -> Outcome {
    Outcome {
        error: false,
        structured: Structured::Object(Signals {
            error: false,
            status: Some(StatusCode::new(503)),
        }),
    }
}

/// An engine under these settings.
///
/// # Panics
///
/// The settings are wrong.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "the settings are those of the benches, and a wrong one is to stop them"
)]
pub fn engine(settings: &[(&str, Value)]) -> Engine {
    let written = settings
        .iter()
        .map(|(name, value)| (Value::text(name), value.clone()))
        .collect();
    Engine::new(RetryConfig::from_value(&Value::Map(written), None).expect("valid settings"))
}

/// An id as long as the gateway's.
pub const REQUEST_ID: &[u8] = b"00000000000000000000000000000007";

/// Gives chains their ids.
#[must_use]
pub fn ids() -> ChainIds {
    ChainIds::new([17, 4])
}

/// The id of request number `request`.
#[must_use]
pub fn chain(request: u32) -> ChainId {
    ids().of(&ChainKey {
        path: ReadPath::Structured,
        tool: b"search",
        request_id: format!("{request:032x}").as_bytes(),
    })
}

/// A store in which requests 0 to `live` have failed once at [`NOW`].
#[must_use]
pub fn store_of(live: u32) -> StateStore {
    let mut store = StateStore::new(live);
    for request in 0..live {
        store.record_failure(chain(request), NOW);
    }
    store
}

/// A JSON object of about `bytes` bytes, as a service writes one; `extra` is one more member.
#[must_use]
pub fn json_text(bytes: usize, extra: &str) -> String {
    let mut text = String::from("{");
    let mut row = 0_u32;
    text.push_str("\"rows\": [");
    while text.len() < bytes {
        let comma = if row == 0 { "" } else { ", " };
        let _ = write!(
            text,
            "{comma}{{\"id\": {row}, \"name\": \"item number {row}\", \"ok\": true, \
             \"tags\": [\"a\", \"b\"], \"score\": 0.5, \"note\": \"he said \\\"no\\\"\\n\"}}"
        );
        row = row.saturating_add(1);
    }
    let _ = write!(text, "], \"status\": \"done\"{extra}}}");
    text
}
