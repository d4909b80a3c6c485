//! What all plugin objects of the process share: chains, clock, random source.
//!
//! The gateway rebuilds its plugin objects every 30 seconds, so nothing that a chain needs may
//! live in one. This is the one module that reads the clock and entropy.
//!
//! INVARIANT: no lock is held, and nothing is borrowed, while Python code may run, which it may at
//! any allocation of a Python object. Nor does anything in here give the interpreter up while it
//! holds a lock, so that a process that Python forks never inherits one that is taken.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::IntoPyDict;
use rand::rngs::{SmallRng, SysRng};
use rand::{Rng, SeedableRng};
use retry_core::state::DEFAULT_MAX_CHAINS;
use retry_core::{ChainId, ChainIds, ChainKey, SharedStore, StateStore};

use crate::nesting;

static STORE: LazyLock<SharedStore> =
    LazyLock::new(|| SharedStore::new(StateStore::new(DEFAULT_MAX_CHAINS)));
/// Random, so that no caller can choose request ids that meet.
static CHAIN_IDS: LazyLock<ChainIds> = LazyLock::new(|| {
    let secret = RandomState::new();
    ChainIds::new([secret.hash_one(0), secret.hash_one(1)])
});
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);
static CLOCK: Replaceable = Replaceable::new();
static RANDOM: Replaceable = Replaceable::new();
/// How often this process is a fork of the one that loaded the module.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// The chains of the process.
pub(crate) fn store() -> &'static SharedStore {
    &STORE
}

/// The id of a chain in this process.
pub(crate) fn chain_id(key: &ChainKey<'_>) -> ChainId {
    CHAIN_IDS.of(key)
}

/// A source that a test or a replay may put a Python callable in place of.
struct Replaceable {
    /// Spares the lock in normal operation.
    is_replaced: AtomicBool,
    source: Mutex<Option<Py<PyAny>>>,
}

impl Replaceable {
    const fn new() -> Self {
        Self {
            is_replaced: AtomicBool::new(false),
            source: Mutex::new(None),
        }
    }

    fn replace(&self, source: Option<Py<PyAny>>) {
        self.is_replaced.store(source.is_some(), Ordering::Release);
        let before = std::mem::replace(
            &mut *self.source.lock().unwrap_or_else(PoisonError::into_inner),
            source,
        );
        // INVARIANT: dropped behind the lock: a finalizer may run Python code.
        drop(before);
    }

    /// The number that the replacement gives; `None` where there is none.
    fn call(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        if !self.is_replaced.load(Ordering::Acquire) {
            return Ok(None);
        }
        // INVARIANT: the reference is copied under the lock and called behind it.
        let source = self
            .source
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(|source| source.clone_ref(py));
        source
            .map(|source| source.call0(py)?.extract(py))
            .transpose()
    }
}

/// Monotonic time since a fixed moment of the process, or what the replaced clock says.
pub(crate) fn now(py: Python<'_>) -> PyResult<Duration> {
    match CLOCK.call(py)? {
        None => Ok(EPOCH.elapsed()),
        // The store keeps nanoseconds in 64 bits.
        Some(seconds) => Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|time| u64::try_from(time.as_nanos()).is_ok())
            .ok_or_else(|| {
                PyValueError::new_err(format!(
                    "clock: {seconds} given; allowed: seconds from 0 to 2^64 ns, some 584 years"
                ))
            }),
    }
}

/// 64 uniform random bits, or what the replaced source makes of them.
pub(crate) fn draw(py: Python<'_>) -> PyResult<u64> {
    thread_local! {
        /// The generator of this thread, and the fork it was seeded in.
        static GENERATOR: RefCell<Option<(u64, SmallRng)>> = const { RefCell::new(None) };
    }
    if let Some(fraction) = RANDOM.call(py)? {
        return bits_of(fraction);
    }
    let fork = FORKS.load(Ordering::Relaxed);
    // INVARIANT: entropy comes from the system, and an error is not made a Python object in here.
    GENERATOR.with_borrow_mut(|generator| {
        if let Some((seeded_in, generator)) = generator
            && *seeded_in == fork
        {
            return Ok(generator.next_u64());
        }
        let mut fresh = SmallRng::try_from_rng(&mut SysRng)
            .map_err(|error| PyValueError::new_err(format!("no entropy: {error}")))?;
        let bits = fresh.next_u64();
        *generator = Some((fork, fresh));
        Ok(bits)
    })
}

/// The top 53 bits of a draw from `fraction` in [0, 1), as `random.random()` gives it.
fn bits_of(fraction: f64) -> PyResult<u64> {
    const STEPS: f64 = 9_007_199_254_740_992.0;
    let steps = (fraction * STEPS).floor();
    if (0.0..STEPS).contains(&steps)
        && let Some(whole) = retry_core::value::whole_of(steps)
        && let Ok(bits) = u64::try_from(whole)
    {
        return Ok(bits << 11);
    }
    Err(PyValueError::new_err(format!(
        "random source: {fraction} given; allowed: from 0 to below 1"
    )))
}

/// Has every worker that is forked off draw its own jitter (ledger: fork-jitter).
pub(crate) fn reseed_after_fork(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let os = py.import("os")?;
    if let Some(register) = os.getattr_opt("register_at_fork")? {
        let hook = pyo3::wrap_pyfunction!(after_fork, module)?;
        let arguments = [("after_in_child", hook)].into_py_dict(py)?;
        register.call((), Some(&arguments))?;
    }
    Ok(())
}

#[pyfunction]
fn after_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    nesting::begin_anew();
}

#[pyfunction]
#[pyo3(signature = (clock, /))]
pub(crate) fn set_clock(clock: Option<Py<PyAny>>) {
    CLOCK.replace(clock);
}

#[pyfunction]
#[pyo3(signature = (source, /))]
pub(crate) fn set_random(source: Option<Py<PyAny>>) {
    RANDOM.replace(source);
}

#[pyfunction]
pub(crate) fn clear_state() {
    STORE.with(StateStore::clear);
}

#[pyfunction]
#[pyo3(signature = (most, /))]
pub(crate) fn set_max_chains(most: u32) {
    STORE.with(|store| store.set_max_chains(most));
}

#[pyfunction]
pub(crate) fn live_chains() -> usize {
    STORE.with(|store| store.len())
}

#[pyfunction]
pub(crate) fn store_bytes() -> usize {
    STORE.with(|store| store.bytes())
}

#[pyfunction]
pub(crate) fn evicted_chains() -> u64 {
    STORE.with(|store| store.evicted())
}

#[pyfunction]
#[expect(
    clippy::panic,
    reason = "the guards against panics need a real one to be tested with"
)]
pub(crate) fn panic_for_tests() {
    STORE.with(|_| panic!("asked for, with the store's lock held"));
}
