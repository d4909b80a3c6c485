//! What can be wrong with a configuration.

use std::fmt;

use crate::value::shortened;

/// Where in a configuration a value stands: `max_retries`, or `tool_overrides["search"].jitter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    tool: Option<String>,
    key: &'static str,
    index: Option<usize>,
}

impl Place {
    /// A key of the base configuration, or of the overrides of `tool`.
    #[must_use]
    pub(crate) fn new(tool: Option<&[u8]>, key: &'static str) -> Self {
        Self {
            tool: tool.map(|name| String::from_utf8_lossy(name).into_owned()),
            key,
            index: None,
        }
    }

    /// The item at `index`, counted from 0.
    #[must_use]
    pub(crate) fn item(&self, index: usize) -> Self {
        Self {
            index: Some(index),
            ..self.clone()
        }
    }
}

impl Place {
    /// The tool whose overrides hold it; none for the base.
    #[must_use]
    pub fn tool(&self) -> Option<&str> {
        self.tool.as_deref()
    }

    /// The setting.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.key
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tool {
            // Debug formatting escapes line breaks: a tool's name cannot forge a log line.
            Some(tool) => write!(out, "tool_overrides[{:?}].{}", shortened(tool), self.key)?,
            None => out.write_str(self.key)?,
        }
        match self.index {
            Some(index) => write!(out, "[{index}]"),
            None => Ok(()),
        }
    }
}

/// Why a configuration was refused.
///
/// Each message is one line: where, what was given, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The configuration is not a mapping.
    #[error("config: {given} given; allowed: a mapping of settings")]
    NotAMapping {
        /// What was there instead.
        given: String,
    },
    /// A value has the wrong type or is out of range.
    #[error("{place}: {given} given; allowed: {allowed}")]
    Value {
        /// Where it stands.
        place: Place,
        /// The value as it was given.
        given: String,
        /// What the rule takes.
        allowed: String,
    },
    /// A key of `tool_overrides` or of one tool's overrides is no name.
    #[error("{within}: key {given} given; allowed: text keys")]
    Key {
        /// The mapping that holds the key.
        within: String,
        /// The key as it was given.
        given: String,
    },
    /// The overrides of one tool are not a mapping.
    #[error(
        "tool_overrides[{:?}]: {given} given; allowed: a mapping of settings",
        shortened(tool)
    )]
    Overrides {
        /// The tool.
        tool: String,
        /// What was there instead.
        given: String,
    },
}

impl ConfigError {
    /// The tool whose overrides were refused, in full; none where the base was.
    #[must_use]
    pub fn tool(&self) -> Option<&str> {
        match self {
            Self::Value { place, .. } => place.tool(),
            Self::Overrides { tool, .. } => Some(tool),
            Self::NotAMapping { .. } | Self::Key { .. } => None,
        }
    }

    /// The setting that was refused; none where no setting was reached.
    #[must_use]
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::Value { place, .. } => Some(place.key()),
            Self::Overrides { .. } | Self::NotAMapping { .. } | Self::Key { .. } => None,
        }
    }
}
