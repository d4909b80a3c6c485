//! The hybrid's fast path: chain state and backoff arithmetic behind `RetryStateManager`.
//!
//! This crate is the reference that the Rust core is compared with, so it keeps what the published
//! plugin does, including what nobody would write today: jitter that may draw 0, keys that collide
//! (`tool:request`), a scan of every live chain on each access, and a status that raises when it
//! does not fit 32 bits. Improvements belong into the core, never here.
//!
//! It does not read payloads, merge overrides or build metadata: that is the Python half.

mod backoff;
mod chains;
mod clock;
mod exhaustion;
mod manager;
mod random;

use pyo3::prelude::*;

/// Drops every chain of this store.
#[pyfunction]
fn clear_state() {
    chains::clear();
}

/// How many chains this store holds, stale ones included until the next access.
#[pyfunction]
fn live_chains() -> usize {
    chains::count()
}

/// Replaces the clock of this module: a callable that returns monotonic seconds, None for the real one.
#[pyfunction]
#[pyo3(signature = (clock, /))]
fn set_clock(clock: Option<Bound<'_, PyAny>>) {
    clock::replace(clock.map(Bound::unbind));
}

/// Replaces the random source of this module: a callable that draws from [0, 1), None for the real
/// one.
#[pyfunction]
#[pyo3(signature = (source, /))]
fn set_random(source: Option<Bound<'_, PyAny>>) {
    random::replace(source.map(Bound::unbind));
}

/// Bytes that this store takes.
#[pyfunction]
fn store_bytes() -> usize {
    chains::bytes()
}

/// The hybrid's Rust fast path.
#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use super::{
        clear_state, live_chains, manager::RetryStateManager, set_clock, set_random, store_bytes,
    };
}
