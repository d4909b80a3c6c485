//! The Python class: one effective config, deciding over the shared store.

use std::collections::HashSet;

use pyo3::prelude::*;

use crate::backoff::Backoff;
use crate::chains::{self, Failure};
use crate::{clock, exhaustion};

/// Decides retries for one effective config.
///
/// Arguments are taken strictly and raise otherwise: `max_retries` as 32 bits, delays as 64 bits,
/// `jitter` as a bool, statuses as signed 32 bits, names as text without lone surrogates. All
/// managers of a process share one store.
#[pyclass(frozen, module = "retry_legacy._native")]
pub(crate) struct RetryStateManager {
    max_retries: u32,
    backoff: Backoff,
    retry_on_status: HashSet<i32>,
}

impl RetryStateManager {
    fn is_failure(&self, is_error: bool, status_code: Option<i32>) -> bool {
        match status_code {
            Some(status) => self.retry_on_status.contains(&status),
            None => is_error,
        }
    }
}

#[expect(
    clippy::unused_self,
    reason = "the store is the process's, the methods are the class's"
)]
#[pymethods]
impl RetryStateManager {
    #[new]
    fn new(
        max_retries: u32,
        base_ms: u64,
        max_ms: u64,
        jitter: bool,
        retry_on_status: Vec<i32>,
    ) -> Self {
        Self {
            max_retries,
            backoff: Backoff {
                base_ms,
                max_ms,
                jitter,
            },
            retry_on_status: retry_on_status.into_iter().collect(),
        }
    }

    /// A sign of life.
    fn ping(&self) -> &'static str {
        "retry_legacy._native is alive"
    }

    /// Failures so far of the chain, 0 when it is unknown.
    fn get_failures(&self, tool: &str, request_id: &str) -> u32 {
        chains::failures(tool, request_id)
    }

    /// Adds a failure, whatever the budget; returns the new count.
    ///
    /// # Errors
    /// What a replacing clock raises.
    fn record_failure(&self, py: Python<'_>, tool: &str, request_id: &str) -> PyResult<u32> {
        Ok(chains::record_failure(tool, request_id, clock::now_s(py)?))
    }

    /// Sets the chain's count back to 0 and keeps its entry.
    fn record_success(&self, tool: &str, request_id: &str) {
        chains::record_success(tool, request_id);
    }

    /// Forgets the chain.
    fn delete_state(&self, tool: &str, request_id: &str) {
        chains::remove(tool, request_id);
    }

    /// Chains in the shared store, stale ones included.
    fn state_count(&self) -> usize {
        chains::count()
    }

    /// The delay in milliseconds before retry number `attempt`, which starts at 0.
    ///
    /// # Errors
    /// What a replacing random source raises.
    fn compute_delay(&self, py: Python<'_>, attempt: u32) -> PyResult<u64> {
        self.backoff.delay_ms(py, attempt)
    }

    /// Whether these signals are a failure: a status decides when there is one, the flag otherwise.
    #[pyo3(signature = (is_error, status_code))]
    fn check_failure(&self, is_error: bool, status_code: Option<i32>) -> bool {
        self.is_failure(is_error, status_code)
    }

    /// Takes one result into account; returns (retry, delay in milliseconds).
    ///
    /// # Errors
    /// What a replacing clock or random source raises.
    #[pyo3(signature = (tool, request_id, is_error, status_code))]
    fn check_and_update(
        &self,
        py: Python<'_>,
        tool: &str,
        request_id: &str,
        is_error: bool,
        status_code: Option<i32>,
    ) -> PyResult<(bool, u64)> {
        let now_s = clock::now_s(py)?;
        if !self.is_failure(is_error, status_code) {
            chains::succeed(tool, request_id, now_s);
            return Ok((false, 0));
        }
        Ok(
            match chains::fail(tool, request_id, self.max_retries, now_s) {
                Failure::Retryable(failures) => {
                    (true, self.backoff.delay_ms(py, failures.saturating_sub(1))?)
                }
                Failure::Exhausted(failures) => {
                    exhaustion::warn(py, tool, request_id, failures);
                    (false, 0)
                }
            },
        )
    }
}
