//! Whether two values are the same plain data, at a glance.

use std::ptr;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyList, PyString};
use pyo3::{Borrowed, ffi};

/// How deep containers are compared.
const MAX_DEPTH: u32 = 8;

/// See `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (left, right, /))]
pub(crate) fn surely_same(left: &Bound<'_, PyAny>, right: &Bound<'_, PyAny>) -> bool {
    same(left.as_borrowed(), right.as_borrowed(), MAX_DEPTH)
}

/// INVARIANT: no Python code runs in here, so that nothing can change under the walk: values are
/// compared only where both are exactly of one of the types below.
fn same(left: Borrowed<'_, '_, PyAny>, right: Borrowed<'_, '_, PyAny>, depth: u32) -> bool {
    if left.is_none() || left.is_exact_instance_of::<PyBool>() {
        return left.is(&*right);
    }
    if left.is_exact_instance_of::<PyInt>() && right.is_exact_instance_of::<PyInt>() {
        return same_integers(left, right);
    }
    if left.is_exact_instance_of::<PyString>() && right.is_exact_instance_of::<PyString>() {
        return left.is(&*right) || left.eq(&*right).unwrap_or(false);
    }
    let Some(below) = depth.checked_sub(1) else {
        return false;
    };
    if let (Ok(left), Ok(right)) = (left.cast_exact::<PyDict>(), right.cast_exact::<PyDict>()) {
        return same_dicts(left, right, below);
    }
    if let (Ok(left), Ok(right)) = (left.cast_exact::<PyList>(), right.cast_exact::<PyList>()) {
        return same_lists(left, right, below);
    }
    false
}

fn same_integers(left: Borrowed<'_, '_, PyAny>, right: Borrowed<'_, '_, PyAny>) -> bool {
    match (left.extract::<i64>(), right.extract::<i64>()) {
        (Ok(left), Ok(right)) => left == right,
        _ => left.eq(&*right).unwrap_or(false),
    }
}

fn same_lists(left: Borrowed<'_, '_, PyList>, right: Borrowed<'_, '_, PyList>, depth: u32) -> bool {
    left.len() == right.len()
        && (0..left.len()).all(|place| match (item(left, place), item(right, place)) {
            (Some(left), Some(right)) => same(left, right, depth),
            _ => false,
        })
}

/// An item of a list, without a reference taken to it.
fn item<'a, 'py>(
    list: Borrowed<'a, 'py, PyList>,
    place: usize,
) -> Option<Borrowed<'a, 'py, PyAny>> {
    let place = ffi::Py_ssize_t::try_from(place).ok()?;
    // SAFETY: a live list, which keeps its items alive: nothing changes it while it is walked (see
    // `same`). The function gives a borrowed reference, or null and an exception.
    unsafe {
        let item = ffi::PyList_GetItem(list.as_ptr(), place);
        if item.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(Borrowed::from_ptr(list.py(), item))
    }
}

/// Answers of one class have their fields in one order, and names are interned: the two are walked
/// side by side. Where that is not so, nothing is certain.
fn same_dicts(left: Borrowed<'_, '_, PyDict>, right: Borrowed<'_, '_, PyDict>, depth: u32) -> bool {
    left.len() == right.len()
        && Entries::of(left).zip(Entries::of(right)).all(
            |((key, value), (their_key, their_value))| {
                key.is_exact_instance_of::<PyString>()
                    && key.is(&*their_key)
                    && same(value, their_value, depth)
            },
        )
}

/// The entries of a dict, without a reference taken to any.
pub(crate) struct Entries<'a, 'py> {
    dict: Borrowed<'a, 'py, PyDict>,
    position: ffi::Py_ssize_t,
}

impl<'a, 'py> Entries<'a, 'py> {
    pub(crate) fn of(dict: Borrowed<'a, 'py, PyDict>) -> Self {
        Self { dict, position: 0 }
    }
}

impl<'a, 'py> Iterator for Entries<'a, 'py> {
    type Item = (Borrowed<'a, 'py, PyAny>, Borrowed<'a, 'py, PyAny>);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut key, mut value) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: a live dict, which keeps its keys and values alive: nothing changes it while it
        // is walked (see `same`). Where the function says that there is an entry, both pointers
        // are set to live objects.
        unsafe {
            let py = self.dict.py();
            let found = ffi::PyDict_Next(
                self.dict.as_ptr(),
                &raw mut self.position,
                &raw mut key,
                &raw mut value,
            );
            (found != 0).then(|| (Borrowed::from_ptr(py, key), Borrowed::from_ptr(py, value)))
        }
    }
}
