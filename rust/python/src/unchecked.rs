//! The few calls of the C interface that `PyO3` has no safe form of. All are part of its stable interface.

use std::ptr::fn_addr_eq;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyDict, PySet, PyString, PyType};
use pyo3::{ffi, intern};

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

/// Whether `get` is the `get` of C dicts, bound to `mapping`: calling it would read the mapping's
/// own storage and do nothing else.
pub(crate) fn is_dict_get(get: &Bound<'_, PyAny>, mapping: &Bound<'_, PyAny>) -> PyResult<bool> {
    static DICT_GET: PyOnceLock<ffi::PyCFunction> = PyOnceLock::new();
    let py = get.py();
    let Some(function) = function_of(get, Some(mapping)) else {
        return Ok(false);
    };
    let known = DICT_GET.get_or_try_init(py, || {
        let get = PyDict::new(py).getattr(intern!(py, "get"))?;
        function_of(&get, None).ok_or_else(|| PyTypeError::new_err("dict.get is no C function"))
    })?;
    Ok(fn_addr_eq(function, *known))
}

/// The C function behind a method of a C type, if it is one and bound to `owner`.
fn function_of(
    method: &Bound<'_, PyAny>,
    owner: Option<&Bound<'_, PyAny>>,
) -> Option<ffi::PyCFunction> {
    let method = method.cast_exact::<PyCFunction>().ok()?;
    // SAFETY: a live object of exactly the type that both functions ask for; the owner that the
    // first one gives is borrowed from it and only compared.
    unsafe {
        let bound_to = ffi::PyCFunction_GetSelf(method.as_ptr());
        if owner.is_some_and(|owner| owner.as_ptr() != bound_to) {
            return None;
        }
        ffi::PyCFunction_GetFunction(method.as_ptr())
    }
}
