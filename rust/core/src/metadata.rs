//! What a decision says about itself, by the names that readers of the metadata know.

use crate::config::{Policy, key};
use crate::engine::Decision;

/// Key of the policy in a result's metadata.
pub const POLICY_KEY: &str = "retry_policy";
/// Key of the counters in a traced result's metadata (ledger: trace-metrics).
pub const TRACE_KEY: &str = "retry_with_backoff";
/// The `kind` of a native policy.
pub const NATIVE_KIND: &str = "retry_with_backoff";

/// One value of a metadata mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// A whole number.
    Number(i128),
    /// A list of status codes.
    Statuses(&'a [i32]),
    /// A boolean.
    Flag(bool),
    /// A fixed word.
    Word(&'static str),
}

/// The settings of `policy` as metadata shows them, in order.
#[must_use]
pub fn policy_fields(policy: &Policy) -> [(&'static str, Field<'_>); 4] {
    [
        (key::MAX_RETRIES, Field::Number(policy.max_retries().into())),
        (
            key::BACKOFF_BASE_MS,
            Field::Number(policy.backoff_base_ms().get().into()),
        ),
        (
            key::MAX_BACKOFF_MS,
            Field::Number(policy.max_backoff_ms().get().into()),
        ),
        (
            key::RETRY_ON_STATUS,
            Field::Statuses(policy.retry_on_status()),
        ),
    ]
}

/// The counters of `decision`, in order.
#[must_use]
pub fn trace_fields(decision: &Decision) -> [(&'static str, Field<'static>); 2] {
    [
        ("retry_count", Field::Number(decision.failures.into())),
        (
            "retry_delay_ms",
            Field::Number(decision.retry_delay_ms().into()),
        ),
    ]
}

/// A policy in the form that the gateway's own Rust path reads.
#[derive(Clone, Copy, Debug)]
pub struct NativePolicy<'a> {
    policy: &'a Policy,
    max_retries: i64,
}

impl<'a> NativePolicy<'a> {
    /// The policy as declared, its retries bounded by `ceiling` and nothing else.
    #[must_use]
    pub(crate) fn new(policy: &'a Policy, ceiling: i64) -> Self {
        Self {
            policy,
            max_retries: ceiling.min(policy.declared_max_retries().into()),
        }
    }

    /// Its fields, in order.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, Field<'a>); 6] {
        [
            ("kind", Field::Word(NATIVE_KIND)),
            ("maxRetries", Field::Number(self.max_retries.into())),
            (
                "backoffBaseMs",
                Field::Number(self.policy.backoff_base_ms().get().into()),
            ),
            (
                "maxBackoffMs",
                Field::Number(self.policy.max_backoff_ms().get().into()),
            ),
            (
                "retryOnStatus",
                Field::Statuses(self.policy.retry_on_status()),
            ),
            ("jitter", Field::Flag(self.policy.jitter())),
        ]
    }
}
