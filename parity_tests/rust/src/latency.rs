//! Latencies in a fixed amount of memory.

use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// Durations are known to within 1 %.
const SIGNIFICANT_DIGITS: u8 = 2;
/// What is longer counts as this long: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// See `_native.pyi`.
#[pyclass(frozen, module = "retry_parity._native")]
pub(crate) struct Latency {
    counted: Mutex<Counted>,
}

struct Counted {
    histogram: Histogram<u64>,
    sum_ns: u64,
}

#[pymethods]
impl Latency {
    #[new]
    fn new() -> PyResult<Self> {
        let counted = Mutex::new(Counted {
            histogram: empty()?,
            sum_ns: 0,
        });
        Ok(Self { counted })
    }

    #[getter]
    fn count(&self) -> u64 {
        self.lock().histogram.len()
    }

    #[getter]
    fn sum_ns(&self) -> u64 {
        self.lock().sum_ns
    }

    #[pyo3(name = "add", signature = (duration_ns, /))]
    fn add_any(&self, duration_ns: &Bound<'_, PyAny>) -> PyResult<()> {
        if duration_ns.lt(0)? {
            self.add(0);
        } else {
            // Beyond 64 bits it is as long as can be told, as everything is that is too long.
            self.add(duration_ns.extract().unwrap_or(u64::MAX));
        }
        Ok(())
    }

    #[pyo3(signature = (share, /))]
    fn quantile_ns(&self, share: f64) -> Option<u64> {
        let counted = self.lock();
        (!counted.histogram.is_empty()).then(|| counted.histogram.value_at_quantile(share))
    }

    #[pyo3(signature = (bounds_ns, /))]
    fn cumulative(&self, bounds_ns: Vec<u64>) -> Vec<u64> {
        let counted = self.lock();
        bounds_ns
            .into_iter()
            .map(|bound| counted.histogram.count_between(0, bound))
            .collect()
    }

    fn buckets(&self) -> Vec<(u64, u64)> {
        self.lock()
            .histogram
            .iter_recorded()
            .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
            .collect()
    }

    #[pyo3(signature = (other, /))]
    fn merge(&self, other: &Self) -> PyResult<()> {
        // A copy first: the two locks are never held at once, and the two may be one.
        let (histogram, sum_ns) = {
            let other = other.lock();
            (other.histogram.clone(), other.sum_ns)
        };
        let mut counted = self.lock();
        counted.sum_ns = counted.sum_ns.saturating_add(sum_ns);
        counted.histogram.add(histogram).map_err(unusable)
    }

    #[staticmethod]
    #[pyo3(signature = (text, /))]
    fn decoded(text: &str) -> PyResult<Self> {
        let bytes = STANDARD.decode(text).map_err(unusable)?;
        let read: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(unusable)?;
        // The sum is not in the format; a bucket's middle is within 1 % of what is in it.
        let middles = read.iter_recorded().map(|step| {
            let middle = read.median_equivalent(step.value_iterated_to());
            middle.saturating_mul(step.count_since_last_iteration())
        });
        let sum_ns = middles.fold(0, u64::saturating_add);
        // Only what fits in here can be merged with others.
        let mut histogram = empty()?;
        histogram.add(read).map_err(unusable)?;
        Ok(Self {
            counted: Mutex::new(Counted { histogram, sum_ns }),
        })
    }

    fn clear(&self) {
        let mut counted = self.lock();
        counted.histogram.reset();
        counted.sum_ns = 0;
    }

    fn encoded(&self) -> PyResult<String> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.lock().histogram, &mut bytes)
            .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(STANDARD.encode(bytes))
    }
}

fn empty() -> PyResult<Histogram<u64>> {
    Histogram::new_with_bounds(1, LONGEST_NS, SIGNIFICANT_DIGITS)
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

fn unusable(error: impl Display) -> PyErr {
    PyValueError::new_err(format!("not a usable histogram: {error}"))
}

impl Latency {
    /// Counts one duration.
    pub(crate) fn add(&self, duration_ns: u64) {
        let mut counted = self.lock();
        counted.sum_ns = counted.sum_ns.saturating_add(duration_ns);
        counted.histogram.saturating_record(duration_ns.max(1));
    }

    /// INVARIANT: nothing that holds the lock runs Python code or can fail half-way.
    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
