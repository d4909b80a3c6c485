//! One call and one side: how it is asked, and what may come of it.

use std::cell::Cell;

use pyo3::exceptions::{PyGeneratorExit, PyKeyboardInterrupt, PyRuntimeError, PySystemExit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use pyo3::{ffi, intern};

use crate::agreement::Answer;
use crate::side::Act;

/// The hook of a side, and what else is known of it.
pub(crate) struct Hook {
    pub(crate) function: Py<PyAny>,
    pub(crate) takes_extensions: bool,
    pub(crate) internal_errors: Option<Py<PyAny>>,
}

/// What a side did.
pub(crate) struct Deed<'py> {
    pub(crate) outcome: PyResult<Bound<'py, PyAny>>,
    /// The answer, where it is of the usual form.
    pub(crate) answer: Option<Answer<'py>>,
    pub(crate) act: Act,
    pub(crate) delay_ms: i64,
    pub(crate) duration_ns: u64,
    /// Whether it is no answer that a gateway can use; known of the candidate only.
    pub(crate) is_nonsense: bool,
}

impl Deed<'_> {
    pub(crate) fn told(&self) -> (Act, i64) {
        (self.act, self.delay_ms)
    }
}

/// One call under way.
pub(crate) struct Call<'a, 'py> {
    pub(crate) payload: &'a Bound<'py, PyAny>,
    pub(crate) context: &'a Bound<'py, PyAny>,
    pub(crate) extensions: &'a Bound<'py, PyAny>,
}

/// Marks that a call is under way on this thread.
pub(crate) struct Inside;

thread_local! {
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl Inside {
    /// `None` where one is already.
    pub(crate) fn enter() -> Option<Self> {
        // Made only where it is given: one that is dropped at once would clear the mark.
        (!IS_INSIDE.replace(true)).then(|| Self)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        IS_INSIDE.set(false);
    }
}

/// Calls a hook and runs its coroutine, which never waits, to its end.
pub(crate) fn ask<'py>(hook: &Hook, call: &Call<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = call.payload.py();
    let function = hook.function.bind(py);
    let coroutine = if hook.takes_extensions {
        function.call1((call.payload, call.context, call.extensions))?
    } else {
        function.call1((call.payload, call.context))?
    };
    let mut result = std::ptr::null_mut();
    // SAFETY: a live object and None; where the function says that there is a result, it gives a
    // new reference, and otherwise it has set an exception.
    let (status, result) = unsafe {
        let status = ffi::PyIter_Send(coroutine.as_ptr(), ffi::Py_None(), &raw mut result);
        (status, Bound::from_owned_ptr_or_opt(py, result))
    };
    match (status, result) {
        (ffi::PySendResult::PYGEN_RETURN, Some(answer)) => Ok(answer),
        (ffi::PySendResult::PYGEN_NEXT, _) => {
            coroutine.call_method0(intern!(py, "close"))?;
            Err(PyRuntimeError::new_err(
                "the hook waited for something; it is expected to answer at once",
            ))
        }
        _ => Err(PyErr::fetch(py)),
    }
}

/// Ends a coroutine that came in place of an answer: nobody will await it.
pub(crate) fn dismiss(answer: &Bound<'_, PyAny>) {
    static COROUTINE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = answer.py();
    let kind = COROUTINE.import(py, "types", "CoroutineType");
    if kind.is_ok_and(|kind| answer.get_type().is(kind)) {
        // Whatever it says at its end is no answer either.
        let _ = answer.call_method0(intern!(py, "close"));
    }
}

/// How many errors a side has turned into answers so far.
pub(crate) fn internal_errors(py: Python<'_>, hook: &Hook) -> u64 {
    hook.internal_errors
        .as_ref()
        .and_then(|read| read.call0(py).ok()?.extract(py).ok())
        .unwrap_or(0)
}

/// Whether an exception ends the process, the task or a generator, and is nothing else.
pub(crate) fn passes_through(error: &PyErr, py: Python<'_>) -> bool {
    error.is_instance_of::<PyKeyboardInterrupt>(py)
        || error.is_instance_of::<PySystemExit>(py)
        || error.is_instance_of::<PyGeneratorExit>(py)
        || is_cancellation(error, py)
}

pub(crate) fn is_cancellation(error: &PyErr, py: Python<'_>) -> bool {
    static CANCELLED: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CANCELLED
        .import(py, "asyncio", "CancelledError")
        .is_ok_and(|cancelled| error.is_instance(py, cancelled))
}

/// Lets out of the harness's own steps only a person's interrupt and a cancellation; the lane has
/// made sure that it is a real one.
pub(crate) fn guarded<T>(py: Python<'_>, done: PyResult<T>) -> PyResult<Option<T>> {
    match done {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if error.is_instance_of::<PyKeyboardInterrupt>(py) || is_cancellation(&error, py) =>
        {
            Err(error)
        }
        Err(_) => Ok(None),
    }
}
