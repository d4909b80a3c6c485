//! The one place that reads time: the process's monotonic clock, or a Python callable in its stead.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use pyo3::prelude::*;

static EPOCH: OnceLock<Instant> = OnceLock::new();
static REPLACEMENT: Mutex<Option<Py<PyAny>>> = Mutex::new(None);
/// Whether `REPLACEMENT` holds a clock; spares the usual call the lock.
static REPLACED: AtomicBool = AtomicBool::new(false);

/// Installs `clock`, or the real one for `None`.
pub(crate) fn replace(clock: Option<Py<PyAny>>) {
    REPLACED.store(clock.is_some(), Ordering::Release);
    let mut slot = REPLACEMENT.lock().unwrap_or_else(PoisonError::into_inner);
    let previous = std::mem::replace(&mut *slot, clock);
    drop(slot);
    // Dropped after the lock: a finalizer may run Python code that comes back here.
    drop(previous);
}

/// Monotonic seconds since an arbitrary start.
///
/// # Errors
/// What a replacing clock raises, or a `TypeError` when it does not return a float.
pub(crate) fn now_s(py: Python<'_>) -> PyResult<f64> {
    if REPLACED.load(Ordering::Acquire) {
        let clock = REPLACEMENT
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(|clock| clock.clone_ref(py));
        if let Some(clock) = clock {
            return clock.call0(py)?.extract(py);
        }
    }
    Ok(EPOCH.get_or_init(Instant::now).elapsed().as_secs_f64())
}
