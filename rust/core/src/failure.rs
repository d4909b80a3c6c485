//! Is a tool result a failure?
//!
//! Flags arrive here already read: `true` means that the flag was the object `True` and nothing
//! else, and a status is there only when it was an integer (BEHAVIOUR, "Is it a failure?").

use crate::config::Policy;
use crate::content::{Content, ContentItem, Finding};
use crate::text::{self, Reading};

/// A status code: an integer of any size, of which only 32 bits can be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusCode(Option<i32>);

impl StatusCode {
    /// A code beyond 32 bits. It is never retryable (ledger: status-range).
    pub const OUT_OF_RANGE: Self = Self(None);

    /// The code, or [`Self::OUT_OF_RANGE`].
    #[must_use]
    pub fn new(code: i64) -> Self {
        Self(i32::try_from(code).ok())
    }

    /// Whether `policy` retries this code.
    #[must_use]
    pub fn is_retryable(self, policy: &Policy) -> bool {
        self.0
            .is_some_and(|code| policy.retry_on_status().contains(&code))
    }
}

/// The two signals a JSON object can give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// Its `isError` is exactly true.
    pub error: bool,
    /// Its `status_code`, when that is an integer.
    pub status: Option<StatusCode>,
}

impl Signals {
    fn has_retryable_status(&self, policy: &Policy) -> bool {
        self.status.is_some_and(|code| code.is_retryable(policy))
    }
}

/// A result's `structuredContent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structured {
    /// Missing or null: text may speak for it.
    Absent,
    /// An object.
    Object(Signals),
    /// Something else, which carries no signal but keeps the text from being read.
    Opaque,
}

/// What a result says outside its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its `isError` is exactly true.
    pub error: bool,
    /// Its `structuredContent`.
    pub structured: Structured,
}

impl Outcome {
    /// What is no result object at all is no failure.
    pub const NO_RESULT: Self = Self {
        error: false,
        structured: Structured::Opaque,
    };
}

/// Whether a result counts as a failure that is worth a retry.
///
/// `content` is walked only where `policy` checks text, the result itself gives no signal and
/// there is no structured content.
#[must_use]
pub fn is_failure(policy: &Policy, outcome: &Outcome, content: &mut dyn Content) -> bool {
    let signals = match outcome.structured {
        Structured::Object(signals) => signals,
        Structured::Absent | Structured::Opaque => Signals::default(),
    };
    let retryable = signals.has_retryable_status(policy);
    if outcome.error {
        return signals.status.is_none() || retryable;
    }
    if !policy.check_text_content() {
        return retryable || (signals.error && signals.status.is_none());
    }
    // With text checks on, a structured isError counts whatever the status. The paths differ here
    // in the hybrid, so they differ here.
    if signals.error || retryable {
        return true;
    }
    outcome.structured == Structured::Absent
        && content.any_failure(&mut |item| examine(policy, item))
}

/// What one content item says.
fn examine(policy: &Policy, item: ContentItem<'_>) -> Finding {
    let signals = match item {
        ContentItem::Text(text) => match text::read(text) {
            Reading::Object(signals) => signals,
            Reading::Nothing => return Finding::Clear,
            Reading::BeyondLimits => return Finding::Unread,
        },
        ContentItem::Read(Some(signals)) => signals,
        ContentItem::Read(None) | ContentItem::Image | ContentItem::Resource => {
            return Finding::Clear;
        }
    };
    if signals.error || signals.has_retryable_status(policy) {
        Finding::Failure
    } else {
        Finding::Clear
    }
}
