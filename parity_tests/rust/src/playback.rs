//! Recorded calls, one after the other, with the time at which each was made.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hasher;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use retry_models::text_bytes;
use siphasher::sip::SipHasher13;

use crate::desk::Desk;

/// Calls between two looks for an interrupt.
const CALLS_PER_LOOK: usize = 1024;
const MILLISECONDS: f64 = 1000.0;

/// See `_native.pyi`.
#[pyclass(frozen, module = "retry_parity._native")]
pub(crate) struct Playback {
    /// Seconds, as bits.
    now_s: AtomicU64,
    seq: AtomicI64,
    /// State of the generator, set anew with each call: what a call draws does not depend on
    /// which calls are played by the same process.
    random: AtomicU64,
}

/// The columns of a batch that are numbers.
struct Numbers {
    tool_of: Vec<i32>,
    result_of: Vec<i32>,
    seqs: Vec<i64>,
    times_ms: Vec<f64>,
}

#[pymethods]
impl Playback {
    #[new]
    fn new() -> Self {
        Self {
            now_s: AtomicU64::new(0.0_f64.to_bits()),
            seq: AtomicI64::new(0),
            random: AtomicU64::new(0),
        }
    }

    fn now(&self) -> f64 {
        f64::from_bits(self.now_s.load(Ordering::Relaxed))
    }

    #[getter]
    fn seq(&self) -> i64 {
        self.seq.load(Ordering::Relaxed)
    }

    /// The generator is `SplitMix64`.
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "53 bits are what a double holds"
    )]
    fn draw(&self) -> f64 {
        let state = self
            .random
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
            .wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let bits = (mixed ^ (mixed >> 31)) >> 11;
        bits as f64 / 9_007_199_254_740_992.0
    }

    #[pyo3(signature = (desk, context, make_payload, batch, /))]
    fn play(
        &self,
        desk: &Bound<'_, Desk>,
        context: &Bound<'_, PyAny>,
        make_payload: &Bound<'_, PyAny>,
        batch: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = desk.py();
        let numbers = Numbers::read(batch)?;
        let tools: Vec<Bound<'_, PyAny>> = batch.getattr(intern!(py, "tools"))?.extract()?;
        let results: Vec<Bound<'_, PyAny>> = batch.getattr(intern!(py, "results"))?.extract()?;
        let ids: Vec<Bound<'_, PyAny>> = batch.getattr(intern!(py, "request_ids"))?.extract()?;
        let told: Bound<'_, PyDict> = context
            .getattr(intern!(py, "global_context"))?
            .getattr(intern!(py, "__dict__"))?
            .cast_into()?;
        let hashes = tools
            .iter()
            .map(|tool| text_hash(0, tool))
            .collect::<PyResult<Vec<u64>>>()?;
        let extensions = py.None().into_bound(py);
        let desk = desk.get();
        let mut payloads: HashMap<(i32, i32), Bound<'_, PyAny>> = HashMap::new();
        if ids.len() != numbers.times_ms.len() {
            return Err(PyValueError::new_err("columns of different lengths given"));
        }
        for (place, (request_id, call)) in ids.iter().zip(numbers.calls()).enumerate() {
            if place % CALLS_PER_LOOK == 0 {
                py.check_signals()?;
            }
            let (tool, result, seq, time_ms) = call;
            let payload = match payloads.entry((tool, result)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let tool = tools.get(usize::try_from(tool)?).ok_or_else(outside)?;
                    let result = results.get(usize::try_from(result)?).ok_or_else(outside)?;
                    place.insert(make_payload.call1((tool, result))?)
                }
            };
            let hash = hashes.get(usize::try_from(tool)?).copied().unwrap_or(0);
            self.now_s
                .store((time_ms / MILLISECONDS).to_bits(), Ordering::Relaxed);
            self.seq.store(seq, Ordering::Relaxed);
            self.random.store(
                text_hash(hash ^ seq.cast_unsigned(), request_id)?,
                Ordering::Relaxed,
            );
            told.set_item(intern!(py, "request_id"), request_id)?;
            // What the reference raises is an outcome like another, and the desk has counted it.
            if let Err(error) = desk.decide(payload, context, &extensions)
                && !error.is_instance_of::<pyo3::exceptions::PyException>(py)
            {
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Numbers {
    fn read(batch: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = batch.py();
        let read = Self {
            tool_of: PyBuffer::get(&batch.getattr(intern!(py, "tool_of"))?)?.to_vec(py)?,
            result_of: PyBuffer::get(&batch.getattr(intern!(py, "result_of"))?)?.to_vec(py)?,
            seqs: batch.getattr(intern!(py, "seqs"))?.extract()?,
            times_ms: batch.getattr(intern!(py, "times_ms"))?.extract()?,
        };
        let calls = read.times_ms.len();
        let lengths = [read.tool_of.len(), read.result_of.len(), read.seqs.len()];
        if lengths.iter().any(|length| *length != calls) {
            return Err(PyValueError::new_err("columns of different lengths given"));
        }
        Ok(read)
    }

    fn calls(&self) -> impl Iterator<Item = (i32, i32, i64, f64)> {
        let places = self.tool_of.iter().zip(&self.result_of);
        let moments = self.seqs.iter().zip(&self.times_ms);
        places
            .zip(moments)
            .map(|((tool, result), (seq, time_ms))| (*tool, *result, *seq, *time_ms))
    }
}

fn outside() -> PyErr {
    PyValueError::new_err("a place outside of the batch's tools or results given")
}

fn text_hash(seed: u64, text: &Bound<'_, PyAny>) -> PyResult<u64> {
    let mut hasher = SipHasher13::new_with_keys(seed, 0);
    hasher.write(&text_bytes(text.cast::<PyString>()?)?);
    Ok(hasher.finish())
}
