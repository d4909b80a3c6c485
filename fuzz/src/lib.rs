//! What the fuzz targets check, without the engine that feeds them.
//!
//! A check takes any bytes and panics where a rule does not hold: that is a finding. The targets in
//! `fuzz_targets` hand it what the engine makes up, `tests/corpora.rs` what is stored.
//!
//! # What this crate does not do
//!
//! It does not say that Python's `json.loads` is as [`json`] models it; `tests/test_json_model.py`
//! does, with the real one.

pub mod config;
pub mod corpus;
pub mod json;
pub mod state;
pub mod text;
