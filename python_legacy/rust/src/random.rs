//! A random source that a replay may put in place of the real one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

static REPLACEMENT: Mutex<Option<Py<PyAny>>> = Mutex::new(None);
/// Whether `REPLACEMENT` holds a source; spares the usual call the lock.
static REPLACED: AtomicBool = AtomicBool::new(false);

/// Installs `source`, or the real one for `None`.
pub(crate) fn replace(source: Option<Py<PyAny>>) {
    REPLACED.store(source.is_some(), Ordering::Release);
    let mut slot = REPLACEMENT.lock().unwrap_or_else(PoisonError::into_inner);
    let previous = std::mem::replace(&mut *slot, source);
    drop(slot);
    // Dropped after the lock: a finalizer may run Python code that comes back here.
    drop(previous);
}

/// What the replacement draws from [0, 1); `None` where there is none.
///
/// # Errors
/// What it raises, or a `TypeError` when it does not return a float.
pub(crate) fn draw(py: Python<'_>) -> PyResult<Option<f64>> {
    if !REPLACED.load(Ordering::Acquire) {
        return Ok(None);
    }
    let source = REPLACEMENT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .as_ref()
        .map(|source| source.clone_ref(py));
    source
        .map(|source| source.call0(py)?.extract(py))
        .transpose()
}

/// Makes of a draw from [0, 1) one from 0 up to and including `most`.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a delay beyond 2^53 ms may be off by a rounding; a cast saturates"
)]
pub(crate) fn spread(fraction: f64, most: u64) -> u64 {
    ((fraction * (most as f64 + 1.0)) as u64).min(most)
}
