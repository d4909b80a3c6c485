//! One decision: is the result a failure, and what follows for its chain.

use std::time::Duration;

use crate::backoff;
use crate::chain::{ChainId, ChainKey, ReadPath};
use crate::config::{Policy, RetryConfig};
use crate::content::Content;
use crate::failure::{Outcome, is_failure};
use crate::metadata::NativePolicy;
use crate::state::StateStore;

/// Decides by one configuration. It holds no chain: those live in a [`StateStore`] that many
/// engines share.
///
/// A decision has two steps, so that a caller can read a result without holding the store's lock:
/// [`judge`](Self::judge) looks at the result alone, [`settle`](Self::settle) at the chain alone.
#[derive(Clone, Debug)]
pub struct Engine {
    config: RetryConfig,
}

/// What a result was found to be, for [`Engine::settle`].
#[derive(Clone, Copy, Debug)]
pub struct Judgement<'a> {
    tool: &'a [u8],
    policy: &'a Policy,
    is_failure: bool,
}

impl<'a> Judgement<'a> {
    /// The settings in force for the tool.
    #[must_use]
    pub fn policy(&self) -> &'a Policy {
        self.policy
    }

    /// Whether the result is a failure that is worth a retry.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.is_failure
    }

    /// What makes the call part of its chain.
    #[must_use]
    pub fn chain<'k>(&self, request_id: &'k [u8]) -> ChainKey<'k>
    where
        'a: 'k,
    {
        ChainKey {
            path: if self.policy.check_text_content() {
                ReadPath::Text
            } else {
                ReadPath::Structured
            },
            tool: self.tool,
            request_id,
        }
    }

    /// Whether settling may use its draw.
    #[must_use]
    pub fn needs_draw(&self) -> bool {
        self.is_failure && self.policy.jitter()
    }
}

/// Why a decision is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No failure: the chain, if there was one, is over.
    Success,
    /// A failure within the budget.
    Retry,
    /// A failure beyond the budget: the chain is over, and the next failure starts anew.
    Exhausted,
}

/// What one call of the hook decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Why.
    pub verdict: Verdict,
    /// Failures of the chain so far, this call included; 0 on success.
    pub failures: u32,
    retry_delay_ms: u64,
}

impl Decision {
    /// Milliseconds to wait before the retry; 0 means that there is none.
    #[must_use]
    pub fn retry_delay_ms(&self) -> u64 {
        self.retry_delay_ms
    }
}

impl Engine {
    /// An engine that decides by `config`.
    #[must_use]
    pub fn new(config: RetryConfig) -> Self {
        Self { config }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &RetryConfig {
        &self.config
    }

    /// Looks at the result of a call of `tool`.
    #[must_use]
    pub fn judge<'a>(
        &'a self,
        tool: &'a [u8],
        outcome: &Outcome,
        content: &mut dyn Content,
    ) -> Judgement<'a> {
        let policy = self.config.policy(tool);
        Judgement {
            tool,
            policy,
            is_failure: is_failure(policy, outcome, content),
        }
    }

    /// Counts the result in its chain and decides.
    ///
    /// `chain` is the id of [`Judgement::chain`]; `now` is the time since a fixed moment and must not go backwards between calls; `draw` is
    /// 64 uniform random bits, used only where [`Judgement::needs_draw`] says so.
    pub fn settle(
        &self,
        judgement: &Judgement<'_>,
        chain: ChainId,
        store: &mut StateStore,
        now: Duration,
        draw: u64,
    ) -> Decision {
        let policy = judgement.policy;
        if !judgement.is_failure {
            store.forget(chain, now);
            return Decision {
                verdict: Verdict::Success,
                failures: 0,
                retry_delay_ms: 0,
            };
        }
        let failures = store.record_failure(chain, now);
        if failures > policy.max_retries() {
            store.forget(chain, now);
            return Decision {
                verdict: Verdict::Exhausted,
                failures,
                retry_delay_ms: 0,
            };
        }
        let attempt = failures.saturating_sub(1);
        let ceiling =
            backoff::ceiling_ms(policy.backoff_base_ms(), policy.max_backoff_ms(), attempt);
        let delay = if policy.jitter() {
            backoff::full_jitter(ceiling, draw)
        } else {
            ceiling
        };
        Decision {
            verdict: Verdict::Retry,
            failures,
            retry_delay_ms: delay.get(),
        }
    }

    /// The policy that the gateway's own Rust path can apply without calling the hook, its retries
    /// bounded by `ceiling`; none for a tool whose text content has to be read.
    #[must_use]
    pub fn native_policy(&self, tool: &[u8], ceiling: i64) -> Option<NativePolicy<'_>> {
        let policy = self.config.policy(tool);
        (!policy.check_text_content()).then(|| NativePolicy::new(policy, ceiling))
    }
}
