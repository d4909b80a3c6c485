//! What is remembered of chains outside of the desk: by the judge, and by the hybrid itself.

use std::sync::OnceLock;

use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::identity::Names;
use crate::setting::Setting;

/// How one of the hybrid's stores is read: how many chains it holds, and the failures of one.
pub(crate) type Store = (Py<PyAny>, Py<PyAny>);

/// The memories that a glance has to ask.
pub(crate) struct Memories {
    /// Collections of the hybrid's keys of chains that a judge has to see.
    remembered: Vec<Py<PyAny>>,
    /// The hybrid's stores, once it is loaded.
    stores: OnceLock<Vec<Store>>,
}

impl Memories {
    pub(crate) fn new(remembered: Vec<Py<PyAny>>) -> Self {
        Self {
            remembered,
            stores: OnceLock::new(),
        }
    }

    /// Knows the hybrid's stores from now on.
    pub(crate) fn meet(&self, stores: Vec<Store>) {
        // Another thread may have been faster; its stores are the same.
        let _ = self.stores.set(stores);
    }

    pub(crate) fn is_anything_remembered(&self, py: Python<'_>) -> Option<bool> {
        for chains in &self.remembered {
            if !chains.bind(py).is_empty().ok()? {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Whether a judge has to see a call of this chain, or of one that the hybrid confuses it with.
    pub(crate) fn is_remembered(&self, names: &Names<'_>, retries: bool) -> PyResult<bool> {
        let py = names.tool.py();
        if retries && names.may_collide()? {
            return Ok(true);
        }
        let joined = names.tool.add(intern!(py, ":"))?.add(&names.request_id)?;
        for chains in &self.remembered {
            if chains.bind(py).contains(&joined)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn is_anything_live(&self, py: Python<'_>) -> Option<bool> {
        for (live, _) in self.stores.get()? {
            if is_live(py, live)? {
                return Some(true);
            }
        }
        Some(false)
    }

    /// The hybrid's count of a chain, in whichever of its stores it is.
    pub(crate) fn counted(&self, py: Python<'_>, names: &Names<'_>) -> Option<u32> {
        let mut all = 0_u32;
        for store in self.stores.get()? {
            all = all.saturating_add(count(py, store, names)?);
        }
        Some(all)
    }

    /// The store in which the hybrid keeps the chains of a tool: the first one of those whose text
    /// is read, the last one of the others.
    fn store_of(&self, setting: &Setting) -> Option<&Store> {
        let stores = self.stores.get()?;
        if setting.text_path {
            stores.first()
        } else {
            stores.last()
        }
    }

    /// The hybrid's count of a chain of a tool with this setting.
    pub(crate) fn counted_for(
        &self,
        py: Python<'_>,
        setting: &Setting,
        names: &Names<'_>,
    ) -> Option<u32> {
        count(py, self.store_of(setting)?, names)
    }
}

/// The failures of a chain in one of the hybrid's stores.
fn count(py: Python<'_>, store: &Store, names: &Names<'_>) -> Option<u32> {
    let (live, counted) = store;
    if !is_live(py, live)? {
        return Some(0);
    }
    match counted.bind(py).call1((&names.tool, &names.request_id)) {
        Ok(count) => count.extract().ok(),
        // The fast path takes no such name (ledger: name-encoding), and counts nothing.
        Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(py) => Some(0),
        Err(_) => None,
    }
}

fn is_live(py: Python<'_>, live: &Py<PyAny>) -> Option<bool> {
    live.bind(py).call0().ok()?.is_truthy().ok()
}
