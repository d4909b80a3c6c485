//! Lines for the operator, through Python's `logging`, and the counting of internal errors.
//!
//! Names and messages are escaped before they are logged: a line break in a tool's name cannot
//! forge a log line. A line that nobody reads is not formatted.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use pyo3::exceptions::{PyException, PyGeneratorExit, PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// The logger of the product.
const LOGGER_NAME: &str = "retry_with_backoff";
/// What a log line says of its origin.
const MODULE_NAME: &str = "retry_with_backoff._core";
const MODULE_LINE: u8 = 0;
const FUNCTION_NAME: &str = "retry_with_backoff";
/// Distinct messages that are remembered as already logged.
const REMEMBERED_MESSAGES: usize = 1_024;
/// How much of an error's message is shown.
const SHOWN_CHARS: usize = 300;

/// Levels of Python's `logging`.
const WARNING: u8 = 30;
const ERROR: u8 = 40;

static INTERNAL_ERRORS: AtomicU64 = AtomicU64::new(0);
/// Hook and type of the latest internal error; empty before the first.
static LAST_ERROR: Mutex<String> = Mutex::new(String::new());
static MESSAGES: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Tells the operator once what is surprising about a configuration. The gateway builds its plugins
/// anew every 30 seconds, so a line appears the first time only.
pub(crate) fn notice(py: Python<'_>, line: &str) -> PyResult<()> {
    if first_time(line) {
        log(py, WARNING, || line.to_owned(), None)?;
    }
    Ok(())
}

/// Tells the operator that a call has failed for good.
pub(crate) fn exhausted(
    py: Python<'_>,
    tool: &[u8],
    request_id: &[u8],
    failures: u32,
) -> PyResult<()> {
    let line = || {
        format!(
            "tool {:?}, request {:?}: gave up after {failures} failures",
            String::from_utf8_lossy(tool),
            String::from_utf8_lossy(request_id),
        )
    };
    log(py, WARNING, line, None)
}

/// Counts an error that a hook turns into "no retry", and logs the first of each type.
///
/// # Errors
///
/// What ends the task or the process (cancellation, interrupt, exit) is given back: it is no error
/// of the core. A broken log handler costs the line, not the call.
#[pyfunction]
#[pyo3(signature = (hook, error, /))]
pub(crate) fn report_internal_error(hook: &str, error: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = error.py();
    // By the type, not by `isinstance`: an object can claim another class than it has.
    if ends_the_task(&error.get_type())? {
        return Err(PyErr::from_value(error.clone()));
    }
    INTERNAL_ERRORS.fetch_add(1, Ordering::Relaxed);
    let kind = error.get_type().name().map_or_else(
        |_| "unknown".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let cause = format!("{hook}: {kind}");
    LAST_ERROR
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone_from(&cause);
    if !first_time(&cause) {
        return Ok(());
    }
    let line = || {
        // A hostile exception may raise again when it is shown.
        let message = error.str().map_or_else(
            |_| "(no message)".to_owned(),
            |text| text.to_string_lossy().into_owned(),
        );
        let shown: String = message.escape_debug().take(SHOWN_CHARS).collect();
        format!("internal error in {cause}: {shown}")
    };
    match log(py, ERROR, line, Some(error)) {
        Err(broken) if !broken.is_instance_of::<PyException>(py) => Err(broken),
        _ => Ok(()),
    }
}

#[pyfunction]
pub(crate) fn internal_errors() -> u64 {
    INTERNAL_ERRORS.load(Ordering::Relaxed)
}

#[pyfunction]
pub(crate) fn last_internal_error() -> Option<String> {
    let latest = LAST_ERROR
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    (!latest.is_empty()).then_some(latest)
}

fn ends_the_task(kind: &Bound<'_, PyType>) -> PyResult<bool> {
    static CANCELLED: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = kind.py();
    Ok(kind.is_subclass_of::<PyKeyboardInterrupt>()?
        || kind.is_subclass_of::<PySystemExit>()?
        || kind.is_subclass_of::<PyGeneratorExit>()?
        || kind.is_subclass(CANCELLED.import(py, "asyncio", "CancelledError")?)?)
}

/// Whether this process sees the message for the first time.
fn first_time(message: &str) -> bool {
    let mut messages = MESSAGES.lock().unwrap_or_else(PoisonError::into_inner);
    if messages.len() >= REMEMBERED_MESSAGES {
        messages.clear();
    }
    messages.insert(message.to_owned())
}

fn log(
    py: Python<'_>,
    level: u8,
    line: impl FnOnce() -> String,
    error: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    static LOGGER: PyOnceLock<Logger> = PyOnceLock::new();
    let logger = LOGGER.get_or_try_init(py, || Logger::named(py, LOGGER_NAME))?;
    if logger.is_enabled_for.call1(py, (level,))?.is_truthy(py)? {
        let error = error
            .map(|error| {
                let trace = error.getattr(intern!(py, "__traceback__"))?;
                PyResult::Ok((error.get_type(), error, trace))
            })
            .transpose()?;
        // `Logger.log` would look for the caller's line, which is always the same one of the shim
        // and costs as much as all the rest.
        let logger = logger.logger.bind(py);
        let record = logger.call_method1(
            intern!(py, "makeRecord"),
            (
                LOGGER_NAME,
                level,
                MODULE_NAME,
                MODULE_LINE,
                "%s",
                (line(),),
                error,
                FUNCTION_NAME,
            ),
        )?;
        logger.call_method1(intern!(py, "handle"), (record,))?;
    }
    Ok(())
}

/// A logger, and the question whether it logs, which every exhausted chain asks.
struct Logger {
    logger: Py<PyAny>,
    is_enabled_for: Py<PyAny>,
}

impl Logger {
    fn named(py: Python<'_>, name: &str) -> PyResult<Self> {
        let logger = py.import("logging")?.call_method1("getLogger", (name,))?;
        Ok(Self {
            is_enabled_for: logger.getattr("isEnabledFor")?.unbind(),
            logger: logger.unbind(),
        })
    }
}
