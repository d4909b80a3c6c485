//! Latencies in a fixed amount of memory.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;

/// Sub-buckets per power of two: a value is known to within 1/32, about 3 %.
const SUB_BITS: u32 = 5;
const SUB_BUCKETS: usize = 1 << SUB_BITS;
/// Powers of two beyond the sub-buckets: 2^40 ns are some 18 minutes.
const POWERS: usize = 36;
const BUCKETS: usize = POWERS * SUB_BUCKETS;

/// See `_native.pyi`.
#[pyclass(frozen, module = "retry_parity._native")]
pub(crate) struct Latency {
    buckets: Box<[AtomicU64]>,
    count: AtomicU64,
}

#[pymethods]
impl Latency {
    #[new]
    fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            count: AtomicU64::new(0),
        }
    }

    #[getter]
    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    #[pyo3(name = "add", signature = (duration_ns, /))]
    fn add_any(&self, duration_ns: &Bound<'_, PyAny>) -> PyResult<()> {
        if duration_ns.lt(0)? {
            self.add(0);
        } else {
            // Beyond 64 bits it counts in the last bucket, as everything does that is too long.
            self.add(duration_ns.extract().unwrap_or(u64::MAX));
        }
        Ok(())
    }

    #[pyo3(signature = (share, /))]
    fn quantile_ns(&self, share: f64) -> Option<u64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let mut seen = 0_u64;
        for (position, number) in self.buckets.iter().enumerate() {
            seen = seen.saturating_add(number.load(Ordering::Relaxed));
            if covers(seen, count, share) {
                return Some(lower_bound(position));
            }
        }
        Some(lower_bound(BUCKETS.saturating_sub(1)))
    }
}

impl Latency {
    /// Counts one duration.
    pub(crate) fn add(&self, duration_ns: u64) {
        let last = BUCKETS.saturating_sub(1);
        if let Some(bucket) = self.buckets.get(bucket(duration_ns).min(last)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the first `seen` of `count` durations, at least one of them, are the share asked for.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a quantile of more than 2^53 durations may be off by one of them"
)]
fn covers(seen: u64, count: u64, share: f64) -> bool {
    seen > 0 && seen as f64 >= share * count as f64
}

fn bucket(duration_ns: u64) -> usize {
    let bits = u64::BITS.saturating_sub(duration_ns.leading_zeros());
    let shift = bits.saturating_sub(SUB_BITS.saturating_add(1));
    let within = usize::try_from(duration_ns >> shift).unwrap_or(usize::MAX);
    usize::try_from(shift)
        .unwrap_or(usize::MAX)
        .saturating_mul(SUB_BUCKETS)
        .saturating_add(within)
}

fn lower_bound(position: usize) -> u64 {
    if position < SUB_BUCKETS.saturating_mul(2) {
        return u64::try_from(position).unwrap_or(u64::MAX);
    }
    let shift = (position / SUB_BUCKETS).saturating_sub(1);
    let within = position.saturating_sub(shift.saturating_mul(SUB_BUCKETS));
    let shift = u32::try_from(shift).unwrap_or(u32::MAX);
    u64::try_from(within)
        .ok()
        .and_then(|within| within.checked_shl(shift))
        .unwrap_or(u64::MAX)
}
