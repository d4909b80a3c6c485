//! What steers the decisions of one plugin name: the flag service's word, and the guard.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::identity::BUCKETS;
use crate::side::Mode;

/// A service that says nothing.
const SILENT: u64 = u64::MAX;

/// See `_native.pyi`.
#[pyclass(frozen, module = "retry_parity._native")]
pub(crate) struct Switch {
    /// The mode that the service sets; `SILENT` where the plugin's own holds.
    mode: AtomicU64,
    /// The canary's share that the service sets, in buckets; `SILENT` likewise.
    canary_share: AtomicU64,
    tripped: AtomicBool,
    resting: AtomicBool,
}

#[pymethods]
impl Switch {
    #[new]
    fn new() -> Self {
        Self {
            mode: AtomicU64::new(SILENT),
            canary_share: AtomicU64::new(SILENT),
            tripped: AtomicBool::new(false),
            resting: AtomicBool::new(false),
        }
    }

    #[pyo3(signature = (mode, canary_percent, /))]
    fn follow(&self, mode: Option<u8>, canary_percent: Option<f64>) -> PyResult<()> {
        let share = canary_percent.map(buckets).transpose()?;
        let mode = mode.map(known).transpose()?;
        self.mode.store(
            mode.map_or(SILENT, |mode| mode_number(mode).into()),
            Ordering::Relaxed,
        );
        self.canary_share
            .store(share.unwrap_or(SILENT), Ordering::Relaxed);
        Ok(())
    }

    #[getter]
    fn tripped(&self) -> bool {
        self.is_tripped()
    }

    #[setter]
    fn set_tripped(&self, tripped: bool) {
        self.tripped.store(tripped, Ordering::Relaxed);
    }

    #[getter]
    fn resting(&self) -> bool {
        self.is_resting()
    }

    #[setter]
    fn set_resting(&self, resting: bool) {
        self.resting.store(resting, Ordering::Relaxed);
    }
}

impl Switch {
    /// The mode in force where the plugin's own is `configured`.
    pub(crate) fn mode(&self, configured: Mode) -> Mode {
        u8::try_from(self.mode.load(Ordering::Relaxed))
            .ok()
            .and_then(Mode::of)
            .unwrap_or(configured)
    }

    /// The canary's share in force, in buckets.
    pub(crate) fn canary_share(&self, configured: u64) -> u64 {
        match self.canary_share.load(Ordering::Relaxed) {
            SILENT => configured,
            share => share,
        }
    }

    /// Whether new chains are the hybrid's, whatever the mode.
    pub(crate) fn is_tripped(&self) -> bool {
        self.tripped.load(Ordering::Relaxed)
    }

    /// Whether the candidate is not to be asked, unless its rest is over.
    pub(crate) fn is_resting(&self) -> bool {
        self.resting.load(Ordering::Relaxed)
    }
}

/// The mode of a number.
///
/// # Errors
///
/// There is no such mode.
pub(crate) fn known(number: u8) -> PyResult<Mode> {
    Mode::of(number).ok_or_else(|| PyValueError::new_err(format!("{number} is no mode")))
}

fn mode_number(mode: Mode) -> u8 {
    match mode {
        Mode::Legacy => 0,
        Mode::Shadow => 1,
        Mode::Canary => 2,
        Mode::Rust => 3,
    }
}

/// A share in percent as a number of buckets.
///
/// # Errors
///
/// It is not between 0 and 100.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a number between 0 and 10,000"
)]
pub(crate) fn buckets(percent: f64) -> PyResult<u64> {
    if !(0.0..=100.0).contains(&percent) {
        return Err(PyValueError::new_err(format!(
            "{percent} is no share: 0 to 100 percent are allowed"
        )));
    }
    Ok((percent / 100.0 * BUCKETS as f64).round() as u64)
}
