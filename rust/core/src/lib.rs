//! Decides whether a finished tool call is retried, and after how long.
//!
//! The way of one call, in two hops from the plugin hook: [`Engine::judge`] says whether the
//! result is a failure ([`failure`], [`text`]), [`Engine::settle`] counts it in its chain
//! ([`chain`], [`state`]) and turns the count into a delay ([`backoff`]).
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use retry_core::{ChainIds, Engine, Outcome, RetryConfig, StateStore, Structured, Value};
//!
//! let config = RetryConfig::from_value(&Value::Map(vec![
//!     (Value::text("jitter"), Value::Bool(false)),
//! ]), None)?;
//! let engine = Engine::new(config);
//! let mut store = StateStore::new(1_000);
//! let ids = ChainIds::new([17, 4]); // random bits, in a program
//! let failed = Outcome { error: true, structured: Structured::Absent };
//!
//! let judgement = engine.judge(b"search", &failed, &mut [].as_slice());
//! let chain = ids.of(&judgement.chain(b"request-1"));
//! let decision = engine.settle(&judgement, chain, &mut store, Duration::ZERO, 0);
//! assert_eq!(decision.retry_delay_ms(), 200);
//! # Ok::<(), retry_core::ConfigError>(())
//! ```
//!
//! # What this crate does not do
//!
//! It reads no clock, draws no random number, starts no thread, opens no file and knows no
//! Python: time and draws are arguments. It does not wait, and it does not call the tool again:
//! the gateway does both.

#![forbid(unsafe_code)]

pub mod backoff;
pub mod chain;
pub mod config;
pub mod content;
pub mod engine;
pub mod error;
pub mod failure;
pub mod metadata;
pub mod state;
pub mod text;
pub mod value;

pub use chain::{ChainId, ChainIds, ChainKey, ReadPath};
pub use config::{Policy, RetryConfig};
pub use content::{Content, ContentItem, Finding};
pub use engine::{Decision, Engine, Judgement, Verdict};
pub use error::ConfigError;
pub use failure::{Outcome, Signals, StatusCode, Structured, is_failure};
pub use state::{SharedStore, StateStore};
pub use value::{Integer, Value};
