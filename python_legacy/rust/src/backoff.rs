//! The delay before a retry.

use pyo3::prelude::*;
use rand::RngExt;

use crate::random;

/// How a manager spaces its retries.
#[derive(Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) base_ms: u64,
    pub(crate) max_ms: u64,
    pub(crate) jitter: bool,
}

impl Backoff {
    /// `base * 2^attempt`, saturating, capped by the maximum; `attempt` starts at 0.
    ///
    /// With jitter a uniform draw from 0 up to and including that. A draw of 0 means "do not retry"
    /// to the gateway: the reference loses that retry, and so does this. The generator is the
    /// thread's own and is not reseeded after a fork, which the reference shares too.
    ///
    /// # Errors
    /// What a replacing random source raises.
    pub(crate) fn delay_ms(self, py: Python<'_>, attempt: u32) -> PyResult<u64> {
        let ceiling = self
            .base_ms
            .saturating_mul(2_u64.saturating_pow(attempt))
            .min(self.max_ms);
        if !self.jitter {
            return Ok(ceiling);
        }
        Ok(match random::draw(py)? {
            Some(fraction) => random::spread(fraction, ceiling),
            None => rand::rng().random_range(0..=ceiling),
        })
    }
}
