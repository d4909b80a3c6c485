//! Builds what the hooks return.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyList, PyType};
use retry_core::metadata::{self, Field, NativePolicy};
use retry_core::{Decision, Policy};

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
        mapping.set_item(*name, value)?;
    }
    Ok(mapping)
}

/// The metadata of a result under `policy`.
pub(crate) fn metadata_of<'py>(py: Python<'py>, policy: &Policy) -> PyResult<Bound<'py, PyDict>> {
    let metadata = PyDict::new(py);
    metadata.set_item(
        metadata::POLICY_KEY,
        mapping(py, &metadata::policy_fields(policy))?,
    )?;
    Ok(metadata)
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

/// What `tool_post_invoke` returns.
pub(crate) fn tool_result<'py>(
    metadata: &Bound<'py, PyDict>,
    retry_delay_ms: u64,
) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = metadata.py();
    let fields = PyDict::new(py);
    fields.set_item(intern!(py, "retry_delay_ms"), retry_delay_ms)?;
    fields.set_item(intern!(py, "metadata"), metadata)?;
    CLASS
        .import(py, "cpex.framework", "ToolPostInvokeResult")?
        .call((), Some(&fields))
}

/// What `resource_post_fetch` returns.
pub(crate) fn resource_result<'py>(metadata: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = metadata.py();
    let fields = PyDict::new(py);
    fields.set_item(intern!(py, "metadata"), metadata)?;
    CLASS
        .import(py, "cpex.framework", "ResourcePostFetchResult")?
        .call((), Some(&fields))
}
