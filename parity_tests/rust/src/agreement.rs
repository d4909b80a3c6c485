//! Two answers that agree, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString, PyType};

use retry_models::{Fields, fields_of};

use crate::latency::Latency;
use crate::plain::surely_same;

static PAYLOAD: Fields = Fields::new(&["name"]);
static CONTEXT: Fields = Fields::new(&["global_context"]);
static GLOBAL_CONTEXT: Fields = Fields::new(&["request_id"]);

/// See `_native.pyi`.
#[pyclass(frozen, module = "retry_parity._native")]
pub(crate) struct Agreement {
    class: Py<PyType>,
    reference: Py<Latency>,
    candidate: Py<Latency>,
    /// Collections of the reference's keys of chains of which something is remembered.
    remembered: Vec<Py<PyAny>>,
    /// How many chains the reference holds: the sum of what these give.
    live: Vec<Py<PyAny>>,
    /// The failures that the reference has counted for a tool and a request id.
    counted: Py<PyAny>,
    matches: AtomicU64,
}

#[pymethods]
impl Agreement {
    #[new]
    #[pyo3(signature = (class_, reference, candidate, remembered, live, counted, /))]
    fn new(
        class_: Py<PyType>,
        reference: Py<Latency>,
        candidate: Py<Latency>,
        remembered: Vec<Py<PyAny>>,
        live: Vec<Py<PyAny>>,
        counted: Py<PyAny>,
    ) -> Self {
        Self {
            class: class_,
            reference,
            candidate,
            remembered,
            live,
            counted,
            matches: AtomicU64::new(0),
        }
    }

    #[getter]
    fn matches(&self) -> u64 {
        self.matches.load(Ordering::Relaxed)
    }

    #[pyo3(signature = (payload, context, ours, theirs, begun_ns, between_ns, ended_ns, /))]
    #[expect(
        clippy::too_many_arguments,
        reason = "the facts of one call, from the one place that has them"
    )]
    fn seen(
        &self,
        payload: &Bound<'_, PyAny>,
        context: &Bound<'_, PyAny>,
        ours: &Bound<'_, PyAny>,
        theirs: &Bound<'_, PyAny>,
        begun_ns: u64,
        between_ns: u64,
        ended_ns: u64,
    ) -> PyResult<bool> {
        let py = payload.py();
        let class = self.class.bind(py);
        if !ours.get_type().is(class) || !theirs.get_type().is(class) {
            return Ok(false);
        }
        let (ours, theirs) = (fields_of(ours)?, fields_of(theirs)?);
        if !asks_for_nothing(&ours)?
            || !surely_same(&ours, &theirs)
            || self.is_remembered(payload, context)?
        {
            return Ok(false);
        }
        self.matches.fetch_add(1, Ordering::Relaxed);
        let spent = |from: u64, to: u64| to.saturating_sub(from);
        self.reference.get().add(spent(begun_ns, between_ns));
        self.candidate.get().add(spent(between_ns, ended_ns));
        Ok(true)
    }
}

impl Agreement {
    /// Whether anything is known of the call's chain, or of one that the reference confuses it
    /// with.
    ///
    /// The reference may also have counted a failure and asked for no retry all the same, with a
    /// jittered delay of 0: then its chain is live.
    fn is_remembered(
        &self,
        payload: &Bound<'_, PyAny>,
        context: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let py = payload.py();
        let mut is_live = false;
        for live in &self.live {
            is_live |= live.bind(py).call0()?.is_truthy()?;
        }
        let mut remembered = false;
        for chains in &self.remembered {
            remembered |= !chains.bind(py).is_empty()?;
        }
        if !is_live && !remembered {
            return Ok(false);
        }
        let tool = PAYLOAD.of(payload).get(intern!(py, "name"))?;
        let global_context = CONTEXT.of(context).get(intern!(py, "global_context"))?;
        let request_id = GLOBAL_CONTEXT
            .of(&global_context)
            .get(intern!(py, "request_id"))?;
        let (Ok(tool), Ok(request_id)) = (
            tool.cast_exact::<PyString>(),
            request_id.cast_exact::<PyString>(),
        ) else {
            return Ok(true);
        };
        if remembered {
            let joined = tool.add(intern!(py, ":"))?.add(request_id)?;
            for chains in &self.remembered {
                if chains.bind(py).contains(&joined)? {
                    return Ok(true);
                }
            }
        }
        Ok(is_live
            && self
                .counted
                .bind(py)
                .call1((tool, request_id))?
                .is_truthy()?)
    }
}

/// Whether an answer is "no retry", given as an integer.
fn asks_for_nothing(fields: &Bound<'_, PyDict>) -> PyResult<bool> {
    match fields.get_item(intern!(fields.py(), "retry_delay_ms"))? {
        Some(delay) => Ok(delay.is_exact_instance_of::<PyInt>() && delay.eq(0)?),
        None => Ok(false),
    }
}
