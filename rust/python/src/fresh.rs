//! Makes results of a cpex class without validating anew what is right by construction.
//!
//! Validation costs more than the whole decision, and all it does for the plugin's results is to
//! put given values beside defaults. So one validated result per process serves as the mould of
//! all others. [`Mould::of`] accepts a class only where such a copy is a validated result in every
//! respect; for any other class [`Mould::of`] gives `None` and every result is validated.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyDict, PyInt, PyList, PySet, PyString, PyTuple, PyTupleMethods, PyType,
};

use crate::unchecked;

/// A validated result, taken apart.
pub(crate) struct Mould {
    class: Py<PyType>,
    /// All fields, in the class's order; those that are given hold a placeholder.
    fields: Py<PyDict>,
    /// Fields whose default is a new empty list.
    lists: Vec<Py<PyString>>,
    fields_set: Py<PySet>,
}

impl Mould {
    /// The mould of `class`, if copies of a validated result are as good as validated ones.
    ///
    /// `given` are fields and sample values; every result will be given just these fields.
    ///
    /// # Errors
    ///
    /// The class refuses the sample.
    pub(crate) fn of(
        class: &Bound<'_, PyType>,
        given: &Bound<'_, PyDict>,
    ) -> PyResult<Option<Self>> {
        let py = class.py();
        let sample = class.call((), Some(given))?;
        if !is_made_plainly(class)? {
            return Ok(None);
        }
        let state = sample
            .getattr(intern!(py, "__dict__"))?
            .cast_into::<PyDict>()?;
        let fields = state.copy()?;
        let mut lists = Vec::new();
        for (name, value) in state.iter() {
            if given.contains(&name)? || is_shareable(&value) {
                continue;
            }
            match value.cast_exact::<PyList>() {
                Ok(list) if list.is_empty() => lists.push(name.cast_into::<PyString>()?.unbind()),
                _ => return Ok(None),
            }
        }
        let mould = Self {
            class: class.clone().unbind(),
            fields: fields.unbind(),
            lists,
            fields_set: PySet::new(py, given.keys())?.unbind(),
        };
        let copy = mould.cast(py)?;
        copy.fill_from(given)?;
        Ok(are_alike(&copy.finish()?, &sample)?.then_some(mould))
    }

    /// A new result; the fields that are given still have to be filled in.
    pub(crate) fn cast<'py>(&self, py: Python<'py>) -> PyResult<Casting<'_, 'py>> {
        let fields = self.fields.bind(py).copy()?;
        for name in &self.lists {
            fields.set_item(name, PyList::empty(py))?;
        }
        Ok(Casting {
            mould: self,
            fields,
        })
    }
}

/// A result whose fields are being filled in.
pub(crate) struct Casting<'a, 'py> {
    mould: &'a Mould,
    fields: Bound<'py, PyDict>,
}

impl<'py> Casting<'_, 'py> {
    /// The fields. Every given one has to be set to a value that validation would leave as it is.
    pub(crate) fn fields(&self) -> &Bound<'py, PyDict> {
        &self.fields
    }

    fn fill_from(&self, given: &Bound<'py, PyDict>) -> PyResult<()> {
        self.fields.update(given.as_mapping())
    }

    /// The result.
    pub(crate) fn finish(self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.fields.py();
        let result = unchecked::instance(self.mould.class.bind(py))?;
        let fields_set = unchecked::set_of(self.mould.fields_set.bind(py))?;
        unchecked::set_fields(&result, &self.fields)?;
        for (name, value) in [
            (intern!(py, "__pydantic_fields_set__"), fields_set.as_any()),
            (intern!(py, "__pydantic_extra__"), py.None().bind(py)),
            (intern!(py, "__pydantic_private__"), py.None().bind(py)),
        ] {
            unchecked::set_attribute(&result, name, value)?;
        }
        Ok(result)
    }
}

/// Whether nothing but validation makes an instance: no constructor, validator or hook of its own.
fn is_made_plainly(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    let base = py.import("pydantic")?.getattr("BaseModel")?;
    let object = py.import("builtins")?.getattr("object")?;
    let same = |name: &str, owner: &Bound<'_, PyAny>| -> PyResult<bool> {
        Ok(class.getattr(name)?.is(&owner.getattr(name)?))
    };
    let decorators = class.getattr("__pydantic_decorators__")?;
    for kind in [
        "validators",
        "field_validators",
        "root_validators",
        "model_validators",
    ] {
        if decorators.getattr(kind)?.is_truthy()? {
            return Ok(false);
        }
    }
    Ok(same("__new__", &object)?
        && same("__init__", &base)?
        && class.getattr("__pydantic_post_init__")?.is_none())
}

/// Whether all results may hold the very same object.
fn is_shareable(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyString>()
        || value
            .cast_exact::<PyTuple>()
            .is_ok_and(PyTupleMethods::is_empty)
}

/// Whether two results are equal, down to the order of their fields and what Pydantic keeps beside.
fn are_alike(left: &Bound<'_, PyAny>, right: &Bound<'_, PyAny>) -> PyResult<bool> {
    if !left.get_type().is(right.get_type()) || !left.eq(right)? {
        return Ok(false);
    }
    for name in [
        "__dict__",
        "__pydantic_fields_set__",
        "__pydantic_extra__",
        "__pydantic_private__",
    ] {
        if !left.getattr(name)?.eq(right.getattr(name)?)? {
            return Ok(false);
        }
    }
    let fields =
        |result: &Bound<'_, PyAny>| result.getattr("__dict__")?.repr()?.extract::<String>();
    Ok(fields(left)? == fields(right)?)
}
