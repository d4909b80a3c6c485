//! Values that are found out once per process.

use std::sync::OnceLock;

use pyo3::PyTypeCheck;
use pyo3::prelude::*;

/// A value that is found out when it is first asked for.
///
/// INVARIANT: nothing is locked while it is being found out. That may run Python code: an import, a
/// hostile class's `__getattribute__`, and at any allocation the finalizers of collected objects.
/// Such code may ask for the same value again, or wait for a thread that does; `PyOnceLock` would
/// stand still there. Here the value is found out twice, and the first one stays.
pub struct Found<T> {
    cell: OnceLock<T>,
}

impl<T> Found<T> {
    /// A value that is not known yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            cell: OnceLock::new(),
        }
    }

    /// The value, if it is known.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.cell.get()
    }

    /// The value, found out by `find` where it is not known.
    #[inline]
    pub fn get_or_find(&self, find: impl FnOnce() -> T) -> &T {
        if let Some(known) = self.cell.get() {
            return known;
        }
        let found = find();
        self.cell.get_or_init(|| found)
    }

    /// The value, found out by `find` where it is not known.
    ///
    /// # Errors
    ///
    /// That of `find`; the value is still not known then.
    #[inline]
    pub fn get_or_try_find<E>(&self, find: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(known) = self.cell.get() {
            return Ok(known);
        }
        let found = find()?;
        Ok(self.cell.get_or_init(|| found))
    }
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: PyTypeCheck> Found<Py<T>> {
    /// What a module has under a name.
    ///
    /// # Errors
    ///
    /// It cannot be imported, or is of another type.
    pub fn import<'py>(
        &self,
        py: Python<'py>,
        module: &str,
        name: &str,
    ) -> PyResult<&Bound<'py, T>> {
        let found = self.get_or_try_find(|| {
            let object = py.import(module)?.getattr(name)?.cast_into::<T>()?;
            PyResult::Ok(object.unbind())
        })?;
        Ok(found.bind(py))
    }
}
