//! Lines for the operator, through Python's `logging`, and the counting of internal errors.
//!
//! Names and messages are cut and escaped before they are logged: a line break in a tool's name
//! cannot forge a log line, nor a long one fill a disk. A line that nobody reads is not formatted.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use pyo3::exceptions::{PyException, PyGeneratorExit, PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTraceback, PyType};
use retry_models::{Found, with_utf8};

use crate::nesting::Nesting;

/// The logger of the product.
const LOGGER_NAME: &str = "retry_with_backoff";
/// What a log line says of its origin.
const MODULE_NAME: &str = "retry_with_backoff._core";
const MODULE_LINE: u8 = 0;
const FUNCTION_NAME: &str = "retry_with_backoff";
/// Distinct messages that are remembered as already logged, and distinct causes of errors.
const REMEMBERED_MESSAGES: usize = 1_024;
/// How much of an error's message is shown, and of a name.
const SHOWN_CHARS: usize = 300;
/// How much of an error's type is shown.
const SHOWN_KIND_CHARS: usize = 100;

/// Levels of Python's `logging`.
const WARNING: u8 = 30;
const ERROR: u8 = 40;

static INTERNAL_ERRORS: AtomicU64 = AtomicU64::new(0);
/// Hook and type of the latest internal error; empty before the first.
static LAST_ERROR: Mutex<String> = Mutex::new(String::new());

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
            "tool {}, request {}: gave up after {failures} failures",
            shown_name(tool),
            shown_name(request_id),
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
    if ends_the_task(&error.get_type()) {
        return Err(PyErr::from_value(error.clone()));
    }
    INTERNAL_ERRORS.fetch_add(1, Ordering::Relaxed);
    let kind = error.get_type().name().map_or_else(
        |_| "unknown".to_owned(),
        |name| shown(&name, SHOWN_KIND_CHARS),
    );
    let cause = format!("{hook}: {kind}");
    // INVARIANT: nothing but a copy of a text happens under the lock.
    LAST_ERROR
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone_from(&cause);
    // Showing and logging run Python code, which may come back here with the next error.
    let Some(_nesting) = Nesting::enter() else {
        return Ok(());
    };
    if !first_of_its_kind(&cause) {
        return Ok(());
    }
    let message = if is_ours(error) {
        // A hostile exception may raise again when it is shown.
        error.str().map_or_else(
            |_| "(no message)".to_owned(),
            |text| shown(&text, SHOWN_CHARS),
        )
    } else {
        "(message not shown)".to_owned()
    };
    let line = || format!("internal error in {cause}: {message}");
    let stand_in = stand_in(error, &kind, &message).ok();
    log(py, ERROR, line, stand_in)
}

/// Whether no stranger's Python code has raised an error, whose message may repeat what a call
/// contains: then the hook that caught it, if any, is all of its traceback.
fn is_ours(error: &Bound<'_, PyAny>) -> bool {
    let traceback = PyErr::from_value(error.clone()).traceback(error.py());
    traceback.is_none_or(|hook| {
        hook.getattr(intern!(hook.py(), "tb_next"))
            .is_ok_and(|next| next.is_none())
    })
}

/// Type, value and traceback, as `logging` takes them.
type ErrorInfo<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Option<Bound<'py, PyTraceback>>,
);

/// What a log handler is given in place of an exception that may be hostile: of the same name, with
/// the message as it is shown. A handler shows an exception with all that its causes and notes say
/// of themselves, of any length and with line breaks.
fn stand_in<'py>(error: &Bound<'py, PyAny>, kind: &str, message: &str) -> PyResult<ErrorInfo<'py>> {
    let py = error.py();
    let attributes = PyDict::new(py);
    attributes.set_item("__module__", "builtins")?;
    let bases = (py.get_type::<PyException>(),);
    let class = py.get_type::<PyType>().call1((kind, bases, attributes))?;
    let value = class.call1((message,))?;
    let traceback = PyErr::from_value(error.clone()).traceback(py);
    Ok((class, value, traceback))
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

/// Whether an exception of this type is to be passed on.
fn ends_the_task(kind: &Bound<'_, PyType>) -> bool {
    let is_a = |answer: PyResult<bool>| answer.unwrap_or(false);
    is_a(kind.is_subclass_of::<PyKeyboardInterrupt>())
        || is_a(kind.is_subclass_of::<PySystemExit>())
        || is_a(kind.is_subclass_of::<PyGeneratorExit>())
        || is_a(cancelled(kind.py()).and_then(|cancelled| kind.is_subclass(cancelled)))
}

fn cancelled(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CANCELLED: Found<Py<PyType>> = Found::new();
    CANCELLED.import(py, "asyncio", "CancelledError")
}

/// Makes what reporting needs, so that no import has to run in a hook.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    cancelled(py)?;
    logger(py)?;
    Ok(())
}

/// Whether this process sees the message for the first time, or has forgotten it.
fn first_time(message: &str) -> bool {
    static MESSAGES: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    // INVARIANT: texts are compared and copied under the lock, and nothing else.
    let mut messages = MESSAGES.lock().unwrap_or_else(PoisonError::into_inner);
    if messages.len() >= REMEMBERED_MESSAGES {
        messages.clear();
    }
    messages.insert(message.to_owned())
}

/// Whether an internal error is the first of its cause. There may be classes of exceptions without
/// end, each made for one error: those beyond the first are only counted.
fn first_of_its_kind(cause: &str) -> bool {
    static CAUSES: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    // INVARIANT: as above.
    let mut causes = CAUSES.lock().unwrap_or_else(PoisonError::into_inner);
    causes.len() < REMEMBERED_MESSAGES && causes.insert(cause.to_owned())
}

/// A text of any length on one line.
fn shown(text: &Bound<'_, PyString>, most: usize) -> String {
    with_utf8(text, |text| text.escape_debug().take(most).collect())
        .unwrap_or_else(|_| "(no memory)".to_owned())
}

/// A name of any length on one line, in quotes, with a mark where it was cut.
fn shown_name(name: &[u8]) -> String {
    // A character takes four bytes at most.
    let head = name.get(..SHOWN_CHARS.saturating_mul(4)).unwrap_or(name);
    let text = String::from_utf8_lossy(head);
    let cut: String = text.chars().take(SHOWN_CHARS).collect();
    let mark = if cut.len() < text.len() || head.len() < name.len() {
        "..."
    } else {
        ""
    };
    format!("{cut:?}{mark}")
}

/// Logs a line; whatever a handler raises costs the line, but for what ends the task.
fn log(
    py: Python<'_>,
    level: u8,
    line: impl FnOnce() -> String,
    error: Option<ErrorInfo<'_>>,
) -> PyResult<()> {
    match try_to_log(py, level, line, error) {
        Err(broken) if ends_the_task(&broken.get_type(py)) => Err(broken),
        _ => Ok(()),
    }
}

fn try_to_log(
    py: Python<'_>,
    level: u8,
    line: impl FnOnce() -> String,
    error: Option<ErrorInfo<'_>>,
) -> PyResult<()> {
    let logger = logger(py)?;
    if logger.is_enabled_for.call1(py, (level,))?.is_truthy(py)? {
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

fn logger(py: Python<'_>) -> PyResult<&Logger> {
    static LOGGER: Found<Logger> = Found::new();
    LOGGER.get_or_try_find(|| Logger::named(py, LOGGER_NAME))
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
