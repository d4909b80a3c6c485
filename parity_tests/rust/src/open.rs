//! The chains that are open, who decides them, and what led to where they are.
//!
//! A chain is decided by one side from its first failure to its end, whatever the flag does
//! meanwhile. That a side did not see a part of a chain is known here as well: it is not compared,
//! and not asked to decide, before it has forgotten the chain.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::identity::{Identity, Names};
use crate::side::{Act, Side};
use crate::signal::Facts;

/// Seconds after its last failure during which a chain counts, the last instant included
/// (BEHAVIOUR.md, "The chain").
const TTL_S: f64 = 300.0;
/// The oldest chain goes beyond it, and what follows on it is a new chain.
const MOST_CHAINS: NonZeroUsize = match NonZeroUsize::new(32_768) {
    Some(most) => most,
    None => NonZeroUsize::MIN,
};
/// Calls of one chain that are remembered; the first ones.
const MOST_STEPS: usize = 16;
/// Calls of all chains that are remembered.
const MOST_STEPS_IN_ALL: usize = 32_768;

/// One call of a chain, as far as it may be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) at_s: f64,
    pub(crate) facts: Facts,
    pub(crate) decider: Side,
    pub(crate) reference: Option<(Act, i64)>,
    pub(crate) candidate: Option<(Act, i64)>,
}

/// An open chain.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// Who decides it.
    pub(crate) owner: Side,
    /// Whether both sides have seen all of it.
    pub(crate) is_whole: bool,
    /// Whether the other side has seen a part of it.
    pub(crate) other_has_seen: bool,
    /// The owner's count of failures; 0 once the chain is over and the other side may not know.
    pub(crate) failures: u32,
    pub(crate) at_s: f64,
    steps: Vec<Step>,
    forgotten_steps: u32,
}

impl Chain {
    pub(crate) fn new(owner: Side) -> Self {
        Self {
            owner,
            is_whole: true,
            other_has_seen: false,
            failures: 0,
            at_s: 0.0,
            steps: Vec::new(),
            forgotten_steps: 0,
        }
    }
}

struct Open {
    chains: LruCache<Identity, Chain>,
    steps: usize,
}

static OPEN: LazyLock<Mutex<Open>> = LazyLock::new(|| {
    Mutex::new(Open {
        chains: LruCache::new(MOST_CHAINS),
        steps: 0,
    })
});
/// How many chains there are, for whoever only needs to know whether there is any.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static EVICTED: AtomicUsize = AtomicUsize::new(0);

impl Open {
    fn remove(&mut self, identity: Identity) -> Option<Chain> {
        let chain = self.chains.pop(&identity)?;
        self.steps = self.steps.saturating_sub(chain.steps.len());
        Some(chain)
    }

    fn drop_expired(&mut self, now_s: f64) {
        // The cache is in the order of the last touch, and so of age.
        while let Some((&identity, chain)) = self.chains.peek_lru() {
            if now_s - chain.at_s <= TTL_S {
                break;
            }
            self.remove(identity);
        }
    }
}

/// INVARIANT: nothing that holds the lock runs Python code.
fn open() -> MutexGuard<'static, Open> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether no chain is open: nothing has to be looked up then.
pub(crate) fn is_empty() -> bool {
    COUNT.load(Ordering::Relaxed) == 0
}

/// What is known of a chain that is open at a time.
pub(crate) fn look_up(identity: Identity, now_s: f64) -> Option<Known> {
    let open = open();
    let chain = open.chains.peek(&identity)?;
    (now_s - chain.at_s <= TTL_S).then_some(Known {
        owner: chain.owner,
        is_whole: chain.is_whole,
        failures: chain.failures,
    })
}

/// What a decision has to know of an open chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) owner: Side,
    pub(crate) is_whole: bool,
    pub(crate) failures: u32,
}

/// What a call did to its chain.
pub(crate) struct Change {
    /// Who decides from here on.
    pub(crate) owner: Side,
    /// Whether both sides took part in the call, and each is known to have counted it.
    pub(crate) both: bool,
    /// Whether the other side was asked at all.
    pub(crate) other_has_seen: bool,
    /// The owner's count after the call; 0 where the chain is over.
    pub(crate) failures: u32,
    pub(crate) now_s: f64,
    pub(crate) step: Step,
}

/// Notes what a call did to its chain.
pub(crate) fn note(identity: Identity, change: &Change) {
    let mut open = open();
    open.drop_expired(change.now_s);
    let before = open.remove(identity);
    let mut chain = before.unwrap_or_else(|| Chain::new(change.owner));
    chain.owner = change.owner;
    chain.is_whole &= change.both;
    chain.other_has_seen |= change.other_has_seen;
    chain.failures = change.failures;
    chain.at_s = change.now_s;
    // What is over is forgotten, unless a side has seen a part of it and not its end.
    let is_over = change.failures == 0;
    if !is_over || (!change.both && chain.other_has_seen) {
        if is_over {
            chain.steps.clear();
            chain.is_whole = false;
        } else if chain.steps.len() < MOST_STEPS && open.steps < MOST_STEPS_IN_ALL {
            // Most chains have one or two calls, and there may be many chains.
            chain.steps.reserve_exact(1);
            chain.steps.push(change.step);
        } else {
            chain.forgotten_steps = chain.forgotten_steps.saturating_add(1);
        }
        open.steps = open.steps.saturating_add(chain.steps.len());
        if let Some((dropped, chain)) = open.chains.push(identity, chain)
            && dropped != identity
        {
            open.steps = open.steps.saturating_sub(chain.steps.len());
            EVICTED.fetch_add(1, Ordering::Relaxed);
        }
    }
    COUNT.store(open.chains.len(), Ordering::Relaxed);
}

/// See `_native.pyi`.
#[pyfunction]
pub(crate) fn open_chains() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// See `_native.pyi`.
#[pyfunction]
pub(crate) fn evicted_chains() -> usize {
    EVICTED.load(Ordering::Relaxed)
}

/// See `_native.pyi`.
#[pyfunction]
pub(crate) fn forget_chains() {
    let mut open = open();
    open.chains.clear();
    open.steps = 0;
    COUNT.store(0, Ordering::Relaxed);
}

/// See `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (payload, context, /))]
pub(crate) fn steps_of<'py>(
    payload: &Bound<'py, PyAny>,
    context: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyList>, u32)> {
    let py = payload.py();
    // What cannot be read belongs to no chain.
    let (steps, forgotten) = match Names::read(payload, context) {
        Ok(Some(names)) => {
            let identity = names.identity()?;
            open()
                .chains
                .peek(&identity)
                .map_or((Vec::new(), 0), |chain| {
                    (chain.steps.clone(), chain.forgotten_steps)
                })
        }
        _ => (Vec::new(), 0),
    };
    let told = PyList::empty(py);
    for step in steps {
        told.append(step.to_dict(py)?)?;
    }
    Ok((told, forgotten))
}

impl Step {
    fn to_dict(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let told = PyDict::new(py);
        told.set_item("at_s", self.at_s)?;
        told.set_item("result", self.facts.to_dict(py)?)?;
        told.set_item("decided_by", self.decider.word())?;
        for (side, did) in [
            (Side::Reference, self.reference),
            (Side::Candidate, self.candidate),
        ] {
            if let Some((act, delay_ms)) = did {
                told.set_item(side.word(), act.word())?;
                told.set_item(format!("{}_delay_ms", side.word()), delay_ms)?;
            }
        }
        Ok(told)
    }
}
