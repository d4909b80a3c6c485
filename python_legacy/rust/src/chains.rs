//! The store: one for the process, shared by every manager.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// How long a chain outlives its last failure, in seconds. A chain exactly this old still counts.
const TTL_S: f64 = 300.0;

/// What is known of the failures that share a key.
#[derive(Default)]
struct Chain {
    failures: u32,
    last_failure_at_s: f64,
}

impl Chain {
    fn fail(&mut self, now_s: f64) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.last_failure_at_s = now_s;
        self.failures
    }
}

static CHAINS: LazyLock<Mutex<HashMap<String, Chain>>> = LazyLock::new(Mutex::default);

/// INVARIANT: no Python code runs while the guard lives; it could come back here and never return.
fn chains() -> MutexGuard<'static, HashMap<String, Chain>> {
    CHAINS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One string for both names, so that `a:b` + `c` and `a` + `b:c` meet (ledger: key-collision).
fn key(tool: &str, request_id: &str) -> String {
    format!("{tool}:{request_id}")
}

/// What a failure meant for its chain.
pub(crate) enum Failure {
    /// Within the budget; the chain's first failure is 1.
    Retryable(u32),
    /// Beyond the budget: the chain is gone.
    Exhausted(u32),
}

/// Drops every stale chain, walking over all of them as the reference does.
fn evict_stale(chains: &mut HashMap<String, Chain>, now_s: f64) {
    let oldest_s = now_s - TTL_S;
    chains.retain(|_, chain| chain.last_failure_at_s >= oldest_s);
}

/// Adds a failure and drops the chain when that is more than `max_retries`.
pub(crate) fn fail(tool: &str, request_id: &str, max_retries: u32, now_s: f64) -> Failure {
    let mut chains = chains();
    evict_stale(&mut chains, now_s);
    let key = key(tool, request_id);
    let failures = chains.entry(key.clone()).or_default().fail(now_s);
    if failures <= max_retries {
        Failure::Retryable(failures)
    } else {
        chains.remove(&key);
        Failure::Exhausted(failures)
    }
}

/// Ends the chain after a success.
pub(crate) fn succeed(tool: &str, request_id: &str, now_s: f64) {
    let mut chains = chains();
    evict_stale(&mut chains, now_s);
    chains.remove(&key(tool, request_id));
}

/// Adds a failure without a budget and without looking for stale chains; returns the new count.
pub(crate) fn record_failure(tool: &str, request_id: &str, now_s: f64) -> u32 {
    chains()
        .entry(key(tool, request_id))
        .or_default()
        .fail(now_s)
}

/// Sets the count back to 0; the entry stays.
pub(crate) fn record_success(tool: &str, request_id: &str) {
    if let Some(chain) = chains().get_mut(&key(tool, request_id)) {
        chain.failures = 0;
    }
}

/// Failures so far; 0 for an unknown chain. Stale ones still count: nothing is evicted here.
pub(crate) fn failures(tool: &str, request_id: &str) -> u32 {
    chains()
        .get(&key(tool, request_id))
        .map_or(0, |chain| chain.failures)
}

/// Forgets the chain.
pub(crate) fn remove(tool: &str, request_id: &str) {
    chains().remove(&key(tool, request_id));
}

/// Forgets every chain.
pub(crate) fn clear() {
    chains().clear();
}

/// Entries held, stale ones included.
pub(crate) fn count() -> usize {
    chains().len()
}

/// Bytes taken: the table with its one control byte for each place, and the keys.
pub(crate) fn bytes() -> usize {
    let chains = chains();
    let place = size_of::<(String, Chain)>().saturating_add(1);
    let keys = chains.keys().map(String::capacity).sum::<usize>();
    chains.capacity().saturating_mul(place).saturating_add(keys)
}
