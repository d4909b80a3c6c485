//! The one place that reads a clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Instant;

use pyo3::prelude::*;

static REPLACED: AtomicBool = AtomicBool::new(false);
static CLOCK: RwLock<Option<Py<PyAny>>> = RwLock::new(None);

/// A moment on the process's monotonic clock, for durations.
pub(crate) fn now_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(Instant::now);
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The time by which chains age, seconds.
///
/// # Errors
///
/// What a clock that was put in place raises.
pub(crate) fn now_s(py: Python<'_>) -> PyResult<f64> {
    if REPLACED.load(Ordering::Relaxed) {
        let clock = CLOCK
            .read()
            .ok()
            .and_then(|clock| clock.as_ref().map(|clock| clock.clone_ref(py)));
        if let Some(clock) = clock {
            return clock.call0(py)?.extract(py);
        }
    }
    Ok(std::time::Duration::from_nanos(now_ns()).as_secs_f64())
}

/// See `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (clock, /))]
pub(crate) fn set_clock(clock: Option<Py<PyAny>>) {
    REPLACED.store(clock.is_some(), Ordering::Relaxed);
    let before = std::mem::replace(
        &mut *CLOCK.write().unwrap_or_else(PoisonError::into_inner),
        clock,
    );
    // INVARIANT: dropped behind the lock: a finalizer may run Python code.
    drop(before);
}
