//! What is known of a tool's effective config.

use pyo3::prelude::*;

/// See `_native.pyi`.
#[pyclass(frozen, module = "retry_parity._native")]
pub(crate) struct Setting {
    pub(crate) jitter: bool,
    #[pyo3(get)]
    pub(crate) text_path: bool,
    #[pyo3(get)]
    pub(crate) overridden: bool,
    pub(crate) retryable: Vec<i64>,
    base_ms: u64,
    cap_ms: u64,
}

#[pymethods]
impl Setting {
    #[new]
    #[pyo3(signature = (*, jitter, text_path, overridden, retryable, base_ms, cap_ms))]
    fn new(
        jitter: bool,
        text_path: bool,
        overridden: bool,
        retryable: Vec<i64>,
        base_ms: u64,
        cap_ms: u64,
    ) -> Self {
        Self {
            jitter,
            text_path,
            overridden,
            retryable,
            base_ms,
            cap_ms,
        }
    }
}

impl Setting {
    /// The longest delay after so many failures, from 1.
    pub(crate) fn ceiling_ms(&self, failures: u32) -> u64 {
        let doublings = failures.saturating_sub(1);
        let doubled = 1_u64
            .checked_shl(doublings)
            .and_then(|factor| self.base_ms.checked_mul(factor));
        doubled.map_or(self.cap_ms, |delay_ms| delay_ms.min(self.cap_ms))
    }
}
