//! The warning that a chain has used up its retries.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// How much of a name is shown.
const SHOWN_CHARS: usize = 100;

static LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Warns through Python's logging; a handler that fails is reported, never raised into the hook.
pub(crate) fn warn(py: Python<'_>, tool: &str, request_id: &str, failures: u32) {
    if let Err(error) = try_warn(py, tool, request_id, failures) {
        error.write_unraisable(py, None);
    }
}

fn try_warn(py: Python<'_>, tool: &str, request_id: &str, failures: u32) -> PyResult<()> {
    let logger = LOGGER.get_or_try_init(py, || {
        py.import("logging")?
            .call_method1("getLogger", ("retry_legacy",))
            .map(Bound::unbind)
    })?;
    logger.call_method1(
        py,
        "warning",
        (
            "retries exhausted: tool=%s request_id=%s failures=%d",
            shown(tool),
            shown(request_id),
            failures,
        ),
    )?;
    Ok(())
}

/// A name on one line and of bounded length, as a log bears it.
fn shown(name: &str) -> String {
    name.chars()
        .take(SHOWN_CHARS)
        .flat_map(char::escape_debug)
        .collect()
}
