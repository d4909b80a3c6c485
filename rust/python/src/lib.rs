//! The extension module `retry_with_backoff._core`.
//!
//! It reads Python payloads, calls [`retry_core`], builds cpex results and maps errors. No rule
//! about retries lives here.

mod config;
mod errors;
mod fresh;
mod nesting;
mod payload;
mod plugin_core;
mod process;
mod report;
mod results;
mod settings;
mod unchecked;
mod value;

/// The extension module. Its public surface is typed and documented in `_core.pyi`.
#[pyo3::pymodule(gil_used = true)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::config::PyRetryConfig;
    #[pymodule_export]
    use crate::errors::ConfigError;
    #[pymodule_export]
    use crate::plugin_core::RetryPluginCore;
    #[pymodule_export]
    use crate::process::{
        clear_state, evicted_chains, live_chains, panic_for_tests, set_clock, set_max_chains,
        set_random, store_bytes,
    };
    #[pymodule_export]
    use crate::report::{internal_errors, last_internal_error, report_internal_error};

    #[pymodule_export]
    use crate::results::{no_retry, results_are_copies};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        crate::config::add_limits(module)?;
        crate::process::reseed_after_fork(module)
    }
}
