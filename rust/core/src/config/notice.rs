//! What an operator should know about a configuration that is valid all the same.

use std::fmt;
use std::num::NonZeroU64;

use super::key;
use crate::error::Place;

/// Something about a valid configuration that its operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A number of retries was above the gateway's ceiling.
    Clamped {
        /// Where it stands.
        place: Place,
        /// What was asked for.
        given: String,
        /// What is in force.
        ceiling: u32,
    },
    /// A key that no setting has; it changes nothing.
    UnknownKey {
        /// The key, in its place.
        shown: String,
    },
    /// The cap is below the base, so that no delay ever reaches the base.
    CapBelowBase {
        /// Where the cap stands.
        place: Place,
        /// The cap.
        cap_ms: NonZeroU64,
        /// The base.
        base_ms: NonZeroU64,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clamped {
                place,
                given,
                ceiling,
            } => write!(
                out,
                "{place}: {given} exceeds the gateway's ceiling, using {ceiling}"
            ),
            Self::UnknownKey { shown } => write!(
                out,
                "{shown} is no setting and is ignored; settings: {}",
                key::ALL.join(", ")
            ),
            Self::CapBelowBase {
                place,
                cap_ms,
                base_ms,
            } => write!(
                out,
                "{place}: {cap_ms} is below {} {base_ms}, no delay will exceed {cap_ms} ms",
                key::BACKOFF_BASE_MS
            ),
        }
    }
}
