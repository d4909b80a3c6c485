//! Reads dicts of any class as Python would.

use std::cell::Cell;
use std::ptr::fn_addr_eq;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyCFunction, PyDict, PyString, PyType};
use pyo3::{ffi, intern};

use crate::Found;

/// What Python's `isinstance(object, dict)` holds for, and the way to read it.
pub struct Mapping<'a, 'py> {
    object: &'a Bound<'py, PyAny>,
    way: Way<'a, 'py>,
}

/// How a mapping is read.
enum Way<'a, 'py> {
    /// From its own storage: its `get` would read nothing else.
    Storage(&'a Bound<'py, PyDict>),
    /// By calling its `get`; the first call takes the one that was looked up already.
    Get(Cell<Option<Bound<'py, PyAny>>>),
}

impl<'a, 'py> Mapping<'a, 'py> {
    /// The mapping that an object is, if it is one.
    ///
    /// # Errors
    ///
    /// Whatever the object's class or its `__class__` raises when it is asked.
    pub fn of(object: &'a Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        if let Ok(dict) = object.cast_exact::<PyDict>() {
            let way = Way::Storage(dict);
            return Ok(Some(Self { object, way }));
        }
        if object.is_none() || object.is_exact_instance_of::<PyString>() {
            return Ok(None);
        }
        let dict = object.cast::<PyDict>().ok();
        // An object can also claim to be a dict, through its `__class__`.
        if dict.is_none() && !object.is_instance(&object.py().get_type::<PyDict>())? {
            return Ok(None);
        }
        // INVARIANT: the storage is never asked first: a lazy mapping keeps nothing there.
        let get = object.getattr(intern!(object.py(), "get"))?;
        let way = match dict {
            Some(dict) if is_dict_get(&get, dict)? && keeps_its_get(dict)? => Way::Storage(dict),
            _ => Way::Get(Cell::new(Some(get))),
        };
        Ok(Some(Self { object, way }))
    }

    /// The object itself.
    #[must_use]
    pub fn object(&self) -> &'a Bound<'py, PyAny> {
        self.object
    }

    /// `mapping.get(key)`; `None` where it is missing or None.
    ///
    /// # Errors
    ///
    /// Whatever a `get` of its own raises.
    pub fn get(&self, key: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let value = match &self.way {
            Way::Storage(dict) => dict.get_item(key)?,
            Way::Get(get) => {
                let get = match get.take() {
                    Some(get) => get,
                    None => self.object.getattr(intern!(key.py(), "get"))?,
                };
                Some(get.call1((key,))?)
            }
        };
        Ok(value.filter(|value| !value.is_none()))
    }

    /// Whether the value is the object `True`: no truthy value, no boolean of another library.
    ///
    /// # Errors
    ///
    /// Whatever a `get` of its own raises.
    pub fn is_true(&self, key: &Bound<'py, PyString>) -> PyResult<bool> {
        Ok(self
            .get(key)?
            .is_some_and(|value| value.is(PyBool::new(key.py(), true))))
    }
}

/// Whether the class leaves `get` to dicts, so that another look-up would not give another one.
fn keeps_its_get(dict: &Bound<'_, PyDict>) -> PyResult<bool> {
    /// The class met first that does: as a rule there is one.
    static KNOWN: Found<Py<PyType>> = Found::new();
    let (py, class) = (dict.py(), dict.get_type());
    if KNOWN.get().is_some_and(|known| class.is(known)) {
        return Ok(true);
    }
    let dict_class = py.get_type::<PyDict>();
    for name in [intern!(py, "get"), intern!(py, "__getattribute__")] {
        if !class.getattr(name)?.is(&dict_class.getattr(name)?) {
            return Ok(false);
        }
    }
    // Another thread may have put its class there; either is right.
    KNOWN.get_or_find(|| class.unbind());
    Ok(true)
}

/// Whether `get` is the `get` of C dicts, bound to `mapping`: calling it would read the mapping's
/// own storage and do nothing else.
fn is_dict_get(get: &Bound<'_, PyAny>, mapping: &Bound<'_, PyAny>) -> PyResult<bool> {
    static DICT_GET: Found<ffi::PyCFunction> = Found::new();
    let py = get.py();
    let Some(function) = function_of(get, Some(mapping)) else {
        return Ok(false);
    };
    let known = DICT_GET.get_or_try_find(|| {
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
