//! Builds what the hooks return.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyString, PyType};
use retry_core::config::key;
use retry_core::metadata::{self, Field, NativePolicy};
use retry_core::{Decision, Policy};
use retry_models::Found;

use crate::fresh::Mould;

/// The mapping under which `fields` stand.
fn mapping<'py>(
    py: Python<'py>,
    fields: &[(&'static str, Field<'_>)],
) -> PyResult<Bound<'py, PyDict>> {
    let mapping = PyDict::new(py);
    for (name, field) in fields {
        let value = match *field {
            Field::Number(number) => number.into_pyobject(py)?.into_any(),
            Field::Statuses(codes) => PyList::new(py, codes)?.into_any(),
            Field::Flag(flag) => PyBool::new(py, flag).to_owned().into_any(),
            Field::Word(word) => word.into_pyobject(py)?.into_any(),
        };
        mapping.set_item(PyString::intern(py, name), value)?;
    }
    Ok(mapping)
}

/// The metadata of results under one policy, made once and copied for each result.
pub(crate) struct PolicyMetadata {
    fields: Py<PyDict>,
    statuses: Py<PyList>,
}

impl PolicyMetadata {
    /// The metadata of `policy`.
    pub(crate) fn of(py: Python<'_>, policy: &Policy) -> PyResult<Self> {
        Ok(Self {
            fields: mapping(py, &metadata::policy_fields(policy))?.unbind(),
            statuses: PyList::new(py, policy.retry_on_status())?.unbind(),
        })
    }

    /// A copy that the receiver may change as it likes.
    pub(crate) fn copied<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = self.fields.bind(py).copy()?;
        let statuses = self.statuses.bind(py);
        fields.set_item(
            intern!(py, key::RETRY_ON_STATUS),
            statuses.get_slice(0, statuses.len()),
        )?;
        let metadata = PyDict::new(py);
        metadata.set_item(intern!(py, metadata::POLICY_KEY), fields)?;
        Ok(metadata)
    }
}

/// Adds the counters that the gateway puts on a traced call's span.
pub(crate) fn add_trace(metadata: &Bound<'_, PyDict>, decision: &Decision) -> PyResult<()> {
    let counters = mapping(metadata.py(), &metadata::trace_fields(decision))?;
    metadata.set_item(metadata::TRACE_KEY, counters)
}

/// A native policy as the gateway reads it.
pub(crate) fn native_policy<'py>(
    py: Python<'py>,
    policy: &NativePolicy<'_>,
) -> PyResult<Bound<'py, PyDict>> {
    mapping(py, &policy.fields())
}

static TOOL_RESULT: ResultClass = ResultClass::new("ToolPostInvokeResult");
static RESOURCE_RESULT: ResultClass = ResultClass::new("ResourcePostFetchResult");

/// What `tool_post_invoke` returns.
pub(crate) fn tool_result<'py>(
    metadata: &Bound<'py, PyDict>,
    retry_delay_ms: u64,
) -> PyResult<Bound<'py, PyAny>> {
    let py = metadata.py();
    TOOL_RESULT.made_with(py, |fields| {
        fields.set_item(intern!(py, "retry_delay_ms"), retry_delay_ms)?;
        fields.set_item(intern!(py, "metadata"), metadata)
    })
}

/// What `tool_post_invoke` returns after an internal error. Like any other result it is made without
/// running Python code where it can be: that may be what has just failed, at the end of the stack.
#[pyfunction]
#[pyo3(signature = (metadata, /))]
pub(crate) fn no_retry<'py>(metadata: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    tool_result(metadata, 0)
}

/// What `resource_post_fetch` returns.
pub(crate) fn resource_result<'py>(metadata: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    let py = metadata.py();
    RESOURCE_RESULT.made_with(py, |fields| {
        fields.set_item(intern!(py, "metadata"), metadata)
    })
}

/// Finds out, once per process and before any call, how results can be made.
///
/// # Errors
///
/// There is no cpex.
pub(crate) fn prepare(metadata: &Bound<'_, PyDict>) -> PyResult<()> {
    let fields = PyDict::new(metadata.py());
    fields.set_item("metadata", metadata)?;
    RESOURCE_RESULT.prepare(&fields)?;
    fields.set_item("retry_delay_ms", 1)?;
    TOOL_RESULT.prepare(&fields)
}

/// Whether results of the tool hook are copies, or validated one by one.
#[pyfunction]
pub(crate) fn results_are_copies() -> bool {
    matches!(TOOL_RESULT.mould.get(), Some(Some(_)))
}

/// A result class of cpex.
struct ResultClass {
    name: &'static str,
    class: Found<Py<PyType>>,
    mould: Found<Option<Mould>>,
}

impl ResultClass {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            class: Found::new(),
            mould: Found::new(),
        }
    }

    fn prepare(&self, sample: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = sample.py();
        let class = self.class.import(py, "cpex.framework", self.name)?;
        self.mould.get_or_find(|| Mould::of(class, sample));
        Ok(())
    }

    /// A result with the fields that `give` sets, the same ones at every call.
    fn made_with<'py>(
        &self,
        py: Python<'py>,
        give: impl Fn(&Bound<'py, PyDict>) -> PyResult<()>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(Some(mould)) = self.mould.get() {
            let casting = mould.cast(py)?;
            give(casting.fields())?;
            return casting.finish();
        }
        let fields = PyDict::new(py);
        give(&fields)?;
        self.class
            .import(py, "cpex.framework", self.name)?
            .call((), Some(&fields))
    }
}
