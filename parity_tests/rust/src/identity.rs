//! What a chain is known by, and where it stands in a share.

use std::hash::Hasher;

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use retry_models::{Fields, text_bytes};
use siphasher::sip128::{Hasher128, SipHasher24};

static PAYLOAD: Fields = Fields::new(&["name"]);
static CONTEXT: Fields = Fields::new(&["global_context"]);
static GLOBAL_CONTEXT: Fields = Fields::new(&["request_id"]);

/// How finely a share of all chains is cut: hundredths of a percent.
pub(crate) const BUCKETS: u64 = 10_000;

/// The key of the hash, which makes buckets the same on every worker and after a restart: the
/// bytes of "retry-parity/1.0", little-endian. It is no secret, and hides nothing.
const KEY: [u64; 2] = [
    u64::from_le_bytes(*b"retry-pa"),
    u64::from_le_bytes(*b"rity/1.0"),
];

/// A tool and a request id as 128 bits.
///
/// The first half says which share of the canary the chain is in, the second one whether it is
/// sampled; the two are independent of each other. Both together stand for the pair where chains
/// are remembered: two of a million share them with a chance of some 10^-27.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    first: u64,
    second: u64,
}

impl Identity {
    fn new(tool: &[u8], request_id: &[u8]) -> Self {
        let [first, second] = KEY;
        let mut hasher = SipHasher24::new_with_keys(first, second);
        // INVARIANT: the length stands before the texts, so that no two pairs write the same bytes.
        hasher.write(&u64::try_from(tool.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.write(tool);
        hasher.write(request_id);
        let hash = hasher.finish128();
        Self {
            first: hash.h1,
            second: hash.h2,
        }
    }

    /// Whether the chain is among the first `share` hundredths of a percent of the canary.
    pub(crate) fn is_in_canary(self, share: u64) -> bool {
        self.first % BUCKETS < share
    }

    /// Whether the chain is among the first `share` hundredths of a percent that are compared.
    pub(crate) fn is_sampled(self, share: u64) -> bool {
        self.second % BUCKETS < share
    }
}

/// The two texts that tie the calls of a chain together.
pub(crate) struct Names<'py> {
    pub(crate) tool: Bound<'py, PyString>,
    pub(crate) request_id: Bound<'py, PyString>,
}

impl<'py> Names<'py> {
    /// Reads them; `None` where one of the two is no text: such a call belongs to no chain.
    ///
    /// # Errors
    ///
    /// Whatever the objects raise while they are read.
    pub(crate) fn read(
        payload: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Self>> {
        let py = payload.py();
        let tool = PAYLOAD.of(payload).get(intern!(py, "name"))?;
        let global_context = CONTEXT.of(context).get(intern!(py, "global_context"))?;
        let request_id = GLOBAL_CONTEXT
            .of(&global_context)
            .get(intern!(py, "request_id"))?;
        Ok(match (tool.cast_into(), request_id.cast_into()) {
            (Ok(tool), Ok(request_id)) => Some(Self { tool, request_id }),
            _ => None,
        })
    }

    /// What stands for the pair.
    pub(crate) fn identity(&self) -> PyResult<Identity> {
        Ok(Identity::new(
            &text_bytes(&self.tool)?,
            &text_bytes(&self.request_id)?,
        ))
    }

    /// Whether another pair could have the same "tool:request", under which the hybrid keeps it.
    pub(crate) fn may_collide(&self) -> PyResult<bool> {
        let colon = intern!(self.tool.py(), ":");
        Ok(self.tool.contains(colon)? || self.request_id.contains(colon)?)
    }
}

/// A hash that chains share which the hybrid may take for one: it keeps them as "tool:request".
fn joined(tool: &Bound<'_, PyString>, request_id: &Bound<'_, PyString>) -> PyResult<u64> {
    let [first, second] = KEY;
    let mut hasher = SipHasher24::new_with_keys(first, second);
    hasher.write(&text_bytes(tool)?);
    hasher.write(b":");
    hasher.write(&text_bytes(request_id)?);
    Ok(hasher.finish128().h1)
}

/// See `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (tool, request_id, /))]
pub(crate) fn chain_hash(
    tool: &Bound<'_, PyString>,
    request_id: &Bound<'_, PyString>,
) -> PyResult<u64> {
    joined(tool, request_id)
}

/// See `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (tools, request_ids, /))]
pub(crate) fn chain_hashes<'py>(
    tools: &Bound<'py, PyAny>,
    request_ids: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = tools.py();
    let mut hashes = Vec::new();
    let mut request_ids = request_ids.try_iter()?;
    for tool in tools.try_iter()? {
        let Some(request_id) = request_ids.next() else {
            return Err(PyValueError::new_err("fewer request ids than tools given"));
        };
        let hash = joined(tool?.cast()?, request_id?.cast()?)?;
        hashes.extend_from_slice(&hash.to_le_bytes());
    }
    Ok(PyBytes::new(py, &hashes))
}

/// See `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (tool, request_id, /))]
pub(crate) fn canary_bucket(
    tool: &Bound<'_, PyString>,
    request_id: &Bound<'_, PyString>,
) -> PyResult<u64> {
    let identity = Identity::new(&text_bytes(tool)?, &text_bytes(request_id)?);
    Ok(identity.first % BUCKETS)
}

/// See `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (tool, request_id, /))]
pub(crate) fn sample_bucket(
    tool: &Bound<'_, PyString>,
    request_id: &Bound<'_, PyString>,
) -> PyResult<u64> {
    let identity = Identity::new(&text_bytes(tool)?, &text_bytes(request_id)?);
    Ok(identity.second % BUCKETS)
}
