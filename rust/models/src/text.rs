//! Texts as bytes.

use std::borrow::Cow;

use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// A text as UTF-8. A lone surrogate has no such form and becomes what Python's `surrogatepass`
/// makes of it, so that any text is a name (ledger: name-encoding).
///
/// # Errors
///
/// There is no memory for it.
pub fn text_bytes<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, [u8]>> {
    match text.to_str() {
        Ok(text) => Ok(text.as_bytes().into()),
        Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(text.py()) => {
            let encoded = text.call_method1("encode", ("utf-8", "surrogatepass"))?;
            Ok(encoded.extract::<Vec<u8>>()?.into())
        }
        Err(error) => Err(error),
    }
}
