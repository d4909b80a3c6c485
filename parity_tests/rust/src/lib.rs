//! The extension module `retry_parity._native`: what the harness does at every single call.
//!
//! It only ever says "these two agree, and nothing else has to be known". Whatever it does not see
//! at a glance is left to the judging in Python, which is the one that finds differences.

mod agreement;
mod latency;
mod plain;

/// The extension module. Its surface is typed and documented in `_native.pyi`.
#[pyo3::pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use crate::agreement::Agreement;
    #[pymodule_export]
    use crate::latency::Latency;
    #[pymodule_export]
    use crate::plain::surely_same;
}
