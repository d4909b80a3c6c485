//! The extension module `retry_parity._native`: what the migration does at every single call.
//!
//! It asks the side that decides and, where they are compared, the other one; it sees at a glance
//! that the two agree, and leaves whatever it does not see to the judging in Python, which is the
//! one that finds differences. It knows no entry of the ledger. Of the retry plugin it knows what makes
//! a glance possible: what a result says (`signal`), how long a delay may be (`setting`), how long
//! a chain counts (`open`), and the key under which the hybrid keeps one (`memories`).

mod agreement;
mod asking;
mod book;
mod bound;
mod clock;
mod desk;
mod identity;
mod latency;
mod memories;
mod open;
mod plain;
mod plan;
mod playback;
mod setting;
mod side;
mod signal;
mod switch;
mod usable;

/// The extension module. Its surface is typed and documented in `_native.pyi`.
#[pyo3::pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use crate::book::Book;
    #[pymodule_export]
    use crate::bound::binomial_upper_bound;
    #[pymodule_export]
    use crate::clock::set_clock;
    #[pymodule_export]
    use crate::desk::Desk;
    #[pymodule_export]
    use crate::identity::{canary_bucket, chain_hash, chain_hashes, sample_bucket};
    #[pymodule_export]
    use crate::latency::Latency;
    #[pymodule_export]
    use crate::open::{evicted_chains, forget_chains, open_chains, steps_of};
    #[pymodule_export]
    use crate::plain::surely_same;
    #[pymodule_export]
    use crate::playback::Playback;
    #[pymodule_export]
    use crate::setting::Setting;
    #[pymodule_export]
    use crate::signal::{facts_of, salted_hash, set_salt, signal_number};
    #[pymodule_export]
    use crate::switch::Switch;
}
