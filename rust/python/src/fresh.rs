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
    /// `given` are fields and sample values; every result will be given just these fields. A class
    /// that is not as expected in any respect, down to not being a model at all, has no mould.
    pub(crate) fn of(class: &Bound<'_, PyType>, given: &Bound<'_, PyDict>) -> Option<Self> {
        Self::tried(class, given).ok().flatten()
    }

    fn tried(class: &Bound<'_, PyType>, given: &Bound<'_, PyDict>) -> PyResult<Option<Self>> {
        let py = class.py();
        if !is_made_plainly(class, given)? {
            return Ok(None);
        }
        let sample = class.call((), Some(given))?;
        let fields = sample
            .getattr(intern!(py, "__dict__"))?
            .cast_into::<PyDict>()?
            .copy()?;
        let mut lists = Vec::new();
        for (name, value) in fields.iter() {
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
        // Another one: what differs from result to result must not be copied.
        let another = class.call((), Some(given))?;
        Ok(are_alike(&copy.finish()?, &another)?.then_some(mould))
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

/// Whether nothing but validation makes an instance, and validation leaves the given fields alone.
fn is_made_plainly(class: &Bound<'_, PyType>, given: &Bound<'_, PyDict>) -> PyResult<bool> {
    let py = class.py();
    let base = py.import("pydantic")?.getattr("BaseModel")?;
    let builtins = py.import("builtins")?;
    let (object, list) = (builtins.getattr("object")?, builtins.getattr("list")?);
    let inherits = |class: &Bound<'_, PyAny>, name: &str, owner: &Bound<'_, PyAny>| {
        PyResult::Ok(class.getattr(name)?.is(&owner.getattr(name)?))
    };
    let metaclass = class.get_type();
    let type_of_classes = builtins.getattr("type")?;
    if !inherits(class, "__new__", &object)?
        || !inherits(class, "__init__", &base)?
        || !inherits(&metaclass, "__call__", &type_of_classes)?
        || !class.getattr("__pydantic_post_init__")?.is_none()
    {
        return Ok(false);
    }
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
    for field in class
        .getattr("model_fields")?
        .call_method0("items")?
        .try_iter()?
    {
        let (name, field) = field?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        // A constraint or a validator of a field that is given; a default that is made anew.
        let allowed = if given.contains(&name)? {
            !field.getattr("metadata")?.is_truthy()?
        } else {
            let factory = field.getattr("default_factory")?;
            factory.is_none() || factory.is(&list)
        };
        if !allowed {
            return Ok(false);
        }
    }
    Ok(true)
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
