//! Texts as bytes.

use std::borrow::Cow;
use std::ffi::CStr;

use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use pyo3::{ffi, intern};

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
            let encoded = encoded(text, c"surrogatepass")?;
            Ok(encoded.as_bytes().to_vec().into())
        }
        Err(error) => Err(error),
    }
}

/// Texts of so many characters and more are not left in two forms: what Python keeps beside a text
/// that is not ASCII, once its UTF-8 is asked for, stays as long as the text itself.
const LARGE: isize = 1 << 16;

/// Gives `read` a text as UTF-8, with a question mark for each lone surrogate.
///
/// # Errors
///
/// There is no memory for it.
pub fn with_utf8<T>(text: &Bound<'_, PyString>, read: impl FnOnce(&str) -> T) -> PyResult<T> {
    if length_of(text) < LARGE || is_ascii(text) {
        match text.to_str() {
            Ok(text) => return Ok(read(text)),
            Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(text.py()) => {}
            Err(error) => return Err(error),
        }
    }
    let encoded = encoded(text, c"replace")?;
    // Borrowed: what Python has encoded is UTF-8.
    Ok(read(&String::from_utf8_lossy(encoded.as_bytes())))
}

/// How many characters the text has, whatever a class of its own makes of `len`.
fn length_of(text: &Bound<'_, PyString>) -> isize {
    // SAFETY: a live text.
    unsafe { ffi::PyUnicode_GetLength(text.as_ptr()) }
}

/// Whether the text certainly is its own UTF-8. A class of its own may lie, so it is not asked.
fn is_ascii(text: &Bound<'_, PyString>) -> bool {
    text.is_exact_instance_of::<PyString>()
        && text
            .call_method0(intern!(text.py(), "isascii"))
            .and_then(|ascii| ascii.is_truthy())
            .unwrap_or(false)
}

/// `str.encode(text, "utf-8", errors)`, whatever a class of its own makes of `encode`.
fn encoded<'py>(text: &Bound<'py, PyString>, errors: &CStr) -> PyResult<Bound<'py, PyBytes>> {
    // SAFETY: a live text and two texts that end in NUL; the function gives a new reference or sets
    // an exception.
    let bytes = unsafe {
        let bytes =
            ffi::PyUnicode_AsEncodedString(text.as_ptr(), c"utf-8".as_ptr(), errors.as_ptr());
        Bound::from_owned_ptr_or_err(text.py(), bytes)?
    };
    Ok(bytes.cast_into()?)
}
