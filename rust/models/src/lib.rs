//! Reads what cpex hands to plugins: attributes of Pydantic models, and dicts of any class.
//!
//! Python goes through a model's `__getattr__` machinery for every attribute, which costs several
//! times the look-up itself. The fields of a model live in the instance's dict alone, so they are
//! read from there wherever the class leaves attribute access as it is. Whether it does is found
//! out once: a class that is patched has to be patched before its first object is read.

mod found;
mod mapping;
mod text;

pub use found::Found;
pub use mapping::Mapping;
pub use text::{text_bytes, with_utf8};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

/// The fields that are read of one kind of object.
pub struct Fields {
    names: &'static [&'static str],
    /// The class met first, if its instances keep the fields in their dicts. Objects of any other
    /// class are asked the usual way.
    class: Found<Option<Py<PyType>>>,
}

impl Fields {
    /// Fields of these names, and no others.
    #[must_use]
    pub const fn new(names: &'static [&'static str]) -> Self {
        Self {
            names,
            class: Found::new(),
        }
    }

    /// Prepares to read the fields of an object.
    pub fn of<'a, 'py>(&self, object: &'a Bound<'py, PyAny>) -> Reader<'a, 'py> {
        let class = object.get_type();
        let known = self.class.get_or_find(|| {
            let keeps = self.are_kept_in_dicts_of(&class).unwrap_or(false);
            keeps.then(|| class.clone().unbind())
        });
        let fields = match known {
            Some(known) if known.is(&class) => fields_of(object).ok(),
            _ => None,
        };
        Reader { object, fields }
    }

    /// Whether instances find the fields in their dict and nowhere else.
    fn are_kept_in_dicts_of(&self, class: &Bound<'_, PyType>) -> PyResult<bool> {
        let object = class.py().import("builtins")?.getattr("object")?;
        let lookup = "__getattribute__";
        if !class.getattr(lookup)?.is(&object.getattr(lookup)?) {
            return Ok(false);
        }
        for name in self.names {
            if class.getattr_opt(name)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// An object whose fields are being read.
pub struct Reader<'a, 'py> {
    object: &'a Bound<'py, PyAny>,
    fields: Option<Bound<'py, PyDict>>,
}

impl<'py> Reader<'_, 'py> {
    /// The token of the object's interpreter.
    #[must_use]
    pub fn py(&self) -> Python<'py> {
        self.object.py()
    }

    /// `object.name`.
    ///
    /// # Errors
    ///
    /// Whatever reading the attribute raises.
    pub fn get(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(fields) = &self.fields
            && let Some(value) = fields.get_item(name)?
        {
            return Ok(value);
        }
        self.object.getattr(name)
    }
}

/// The dict of an instance, whatever its class answers for `__dict__`.
///
/// # Errors
///
/// The object has no dict.
pub fn fields_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    // SAFETY: a live object; the function gives a new reference or sets an exception, which it
    // does for an object without a dict. The context is unused.
    let fields = unsafe {
        let fields = ffi::PyObject_GenericGetDict(object.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(object.py(), fields)?
    };
    Ok(fields.cast_into()?)
}
