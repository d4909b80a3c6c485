//! The few calls of the C interface that `PyO3` has no safe form of. All are part of its stable interface.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySet, PyString, PyType};

/// A new instance of `class`, made as `object.__new__` makes it: no constructor runs.
///
/// The caller has to know that the class's instances are made by `object.__new__`.
pub(crate) fn instance<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the pointer is that of a live type, and the function gives a new reference or sets
    // an exception. All memory of the instance is zeroed, which is how slots are unset.
    unsafe {
        let made = ffi::PyType_GenericAlloc(class.as_type_ptr(), 0);
        Bound::from_owned_ptr_or_err(class.py(), made)
    }
}

/// `object.__setattr__(object, name, value)`.
pub(crate) fn set_attribute(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    // SAFETY: three live objects; the function takes its own references.
    let status =
        unsafe { ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value.as_ptr()) };
    if status == 0 {
        Ok(())
    } else {
        Err(PyErr::fetch(object.py()))
    }
}

/// `object.__dict__ = fields` where the class lets instances have a dict, and no say in it.
pub(crate) fn set_fields(object: &Bound<'_, PyAny>, fields: &Bound<'_, PyDict>) -> PyResult<()> {
    // SAFETY: two live objects; the function takes its own reference. The context is unused.
    let status = unsafe {
        ffi::PyObject_GenericSetDict(object.as_ptr(), fields.as_ptr(), std::ptr::null_mut())
    };
    if status == 0 {
        Ok(())
    } else {
        Err(PyErr::fetch(object.py()))
    }
}

/// A copy of a set, without walking it through Python's iterator.
pub(crate) fn set_of<'py>(items: &Bound<'py, PySet>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a live object; the function gives a new reference or sets an exception.
    unsafe { Bound::from_owned_ptr_or_err(items.py(), ffi::PySet_New(items.as_ptr())) }
}
