//! The checked configuration: base settings and the overrides of each tool, resolved once.
//!
//! Base values are taken as leniently as the hybrid takes them (Pydantic's lax rules: `"3"`, `3.0`
//! and `True` are integers), override values as strictly (its native module takes no text and no
//! floats). What the hybrid notices only when a tool is called is refused here, at load (ledger:
//! override-at-load).

mod coerce;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;

use crate::error::{ConfigError, Place};
use crate::value::{Value, shortened};

/// Names of the settings, as configuration files spell them.
pub mod key {
    /// Retries after the first call.
    pub const MAX_RETRIES: &str = "max_retries";
    /// Longest delay before the first retry, in milliseconds.
    pub const BACKOFF_BASE_MS: &str = "backoff_base_ms";
    /// Longest delay before any retry, in milliseconds.
    pub const MAX_BACKOFF_MS: &str = "max_backoff_ms";
    /// Status codes that are worth a retry.
    pub const RETRY_ON_STATUS: &str = "retry_on_status";
    /// Whether delays are drawn at random.
    pub const JITTER: &str = "jitter";
    /// Whether text content is read for signals.
    pub const CHECK_TEXT_CONTENT: &str = "check_text_content";
    /// Settings of single tools.
    pub const TOOL_OVERRIDES: &str = "tool_overrides";

    /// All of them.
    pub const ALL: [&str; 7] = [
        MAX_RETRIES,
        BACKOFF_BASE_MS,
        MAX_BACKOFF_MS,
        RETRY_ON_STATUS,
        JITTER,
        CHECK_TEXT_CONTENT,
        TOOL_OVERRIDES,
    ];
}

/// Default of `max_retries`.
pub const DEFAULT_MAX_RETRIES: u32 = 2;
/// Default of `backoff_base_ms`.
pub const DEFAULT_BACKOFF_BASE_MS: NonZeroU64 = NonZeroU64::new(200).unwrap();
/// Default of `max_backoff_ms`.
pub const DEFAULT_MAX_BACKOFF_MS: NonZeroU64 = NonZeroU64::new(5_000).unwrap();
/// Default of `retry_on_status`.
pub const DEFAULT_RETRY_ON_STATUS: [i32; 5] = [429, 500, 502, 503, 504];

/// The settings in force for one tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    max_retries: u32,
    declared_max_retries: u32,
    backoff_base_ms: NonZeroU64,
    max_backoff_ms: NonZeroU64,
    retry_on_status: Vec<i32>,
    jitter: bool,
    check_text_content: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_retries: DEFAULT_MAX_RETRIES,
            declared_max_retries: DEFAULT_MAX_RETRIES,
            backoff_base_ms: DEFAULT_BACKOFF_BASE_MS,
            max_backoff_ms: DEFAULT_MAX_BACKOFF_MS,
            retry_on_status: DEFAULT_RETRY_ON_STATUS.to_vec(),
            jitter: true,
            check_text_content: false,
        }
    }
}

impl Policy {
    /// Retries after the first call, ceiling applied.
    #[must_use]
    pub fn max_retries(&self) -> u32 {
        self.max_retries
    }

    /// Retries as the operator wrote them, before any ceiling.
    #[must_use]
    pub fn declared_max_retries(&self) -> u32 {
        self.declared_max_retries
    }

    /// Longest delay before the first retry, in milliseconds.
    #[must_use]
    pub fn backoff_base_ms(&self) -> NonZeroU64 {
        self.backoff_base_ms
    }

    /// Longest delay before any retry, in milliseconds. May be below the base, and wins then.
    #[must_use]
    pub fn max_backoff_ms(&self) -> NonZeroU64 {
        self.max_backoff_ms
    }

    /// Status codes that are worth a retry, in the operator's order.
    #[must_use]
    pub fn retry_on_status(&self) -> &[i32] {
        &self.retry_on_status
    }

    /// Whether delays are drawn at random.
    #[must_use]
    pub fn jitter(&self) -> bool {
        self.jitter
    }

    /// Whether text content is read for signals.
    #[must_use]
    pub fn check_text_content(&self) -> bool {
        self.check_text_content
    }
}

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

/// A checked configuration.
///
/// # Examples
///
/// ```
/// use retry_core::{RetryConfig, Value};
///
/// let written = Value::Map(vec![
///     (Value::text("max_retries"), Value::text("5")),
///     (Value::text("tool_overrides"), Value::Map(vec![
///         (Value::text("pay"), Value::Map(vec![(Value::text("max_retries"), Value::int(0))])),
///     ])),
/// ]);
/// let config = RetryConfig::from_value(&written, Some(3))?;
/// assert_eq!(config.policy(b"search").max_retries(), 3);
/// assert_eq!(config.policy(b"pay").max_retries(), 0);
/// # Ok::<(), retry_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryConfig {
    base: Policy,
    tools: BTreeMap<Box<[u8]>, Policy>,
    notices: Vec<Notice>,
}

impl RetryConfig {
    /// Checks what an operator wrote. Keys that no setting has are ignored, with a notice.
    ///
    /// `ceiling` bounds every `max_retries`, base and overrides.
    ///
    /// # Errors
    ///
    /// The first value that no rule takes, with its place and what would be taken.
    pub fn from_value(written: &Value, ceiling: Option<u32>) -> Result<Self, ConfigError> {
        let entries = match written {
            Value::Map(entries) => entries.as_slice(),
            // The hybrid reads an absent or empty config as the default one, of whatever type.
            Value::Null | Value::Bool(false) => &[],
            Value::List { items, .. } if items.is_empty() => &[],
            other => {
                return Err(ConfigError::NotAMapping {
                    given: other.to_string(),
                });
            }
        };
        let mut config = Self::default();
        let mut overrides: &[(Value, Value)] = &[];
        let mut checker = Checker {
            ceiling,
            tool: None,
            retries_as_written: None,
            notices: &mut config.notices,
        };
        for (name, value) in entries {
            let Value::Text(name) = name else {
                return Err(ConfigError::Key {
                    within: "config".to_owned(),
                    given: name.to_string(),
                });
            };
            if name == key::TOOL_OVERRIDES.as_bytes() {
                overrides = checker.overrides(value)?;
            } else {
                checker.base_setting(&mut config.base, name, value)?;
            }
        }
        checker.finish(&mut config.base);
        for (name, value) in overrides {
            let tool = name.as_name().ok_or_else(|| ConfigError::Key {
                within: key::TOOL_OVERRIDES.to_owned(),
                given: name.to_string(),
            })?;
            let mut checker = Checker {
                ceiling,
                tool: Some(tool),
                retries_as_written: None,
                notices: &mut config.notices,
            };
            let policy = checker.tool_policy(&config.base, tool, value)?;
            config.tools.insert(tool.into(), policy);
        }
        Ok(config)
    }

    /// The settings in force for `tool`.
    #[must_use]
    pub fn policy(&self, tool: &[u8]) -> &Policy {
        self.tools.get(tool).unwrap_or(&self.base)
    }

    /// The settings of tools without overrides.
    #[must_use]
    pub fn base(&self) -> &Policy {
        &self.base
    }

    /// The tools with overrides and the settings in force for each.
    pub fn tools(&self) -> impl Iterator<Item = (&[u8], &Policy)> {
        self.tools.iter().map(|(tool, policy)| (&**tool, policy))
    }

    /// What the operator should know about this configuration.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }
}

/// Applies the rules to one mapping of settings: the base, or one tool's overrides.
struct Checker<'a> {
    ceiling: Option<u32>,
    tool: Option<&'a [u8]>,
    /// What this mapping says about `max_retries`, for the notice that it was clamped.
    retries_as_written: Option<String>,
    notices: &'a mut Vec<Notice>,
}

impl Checker<'_> {
    fn place(&self, key: &'static str) -> Place {
        Place::new(self.tool, key)
    }

    fn base_setting(
        &mut self,
        policy: &mut Policy,
        name: &[u8],
        value: &Value,
    ) -> Result<(), ConfigError> {
        match setting(name) {
            Some(key::MAX_RETRIES) => {
                let retries =
                    coerce::lax_retries(value, self.ceiling, &self.place(key::MAX_RETRIES))?;
                policy.declared_max_retries = retries;
                policy.max_retries = retries;
                self.retries_as_written = Some(value.to_string());
            }
            Some(name @ key::BACKOFF_BASE_MS) => {
                policy.backoff_base_ms = coerce::lax_delay(value, &self.place(name))?;
            }
            Some(name @ key::MAX_BACKOFF_MS) => {
                policy.max_backoff_ms = coerce::lax_delay(value, &self.place(name))?;
            }
            Some(name @ key::RETRY_ON_STATUS) => {
                policy.retry_on_status = coerce::lax_statuses(value, &self.place(name))?;
            }
            Some(name @ key::JITTER) => {
                policy.jitter = coerce::lax_flag(value, &self.place(name))?;
            }
            Some(name @ key::CHECK_TEXT_CONTENT) => {
                policy.check_text_content = coerce::lax_flag(value, &self.place(name))?;
            }
            _ => self.note_unknown(name),
        }
        Ok(())
    }

    fn override_setting(
        &mut self,
        policy: &mut Policy,
        name: &[u8],
        value: &Value,
    ) -> Result<(), ConfigError> {
        match setting(name) {
            Some(name @ key::MAX_RETRIES) => {
                // The hybrid compares with the ceiling before it looks at the type, so that a
                // number of any sort above the ceiling is taken.
                let retries = match self.ceiling {
                    Some(ceiling) if coerce::is_above(value, ceiling) => {
                        coerce::saturated_retries(value)
                    }
                    _ => coerce::strict_retries(value, &self.place(name))?,
                };
                policy.declared_max_retries = retries;
                policy.max_retries = retries;
                self.retries_as_written = Some(value.to_string());
            }
            Some(name @ key::BACKOFF_BASE_MS) => {
                policy.backoff_base_ms = coerce::strict_delay(value, &self.place(name))?;
            }
            Some(name @ key::MAX_BACKOFF_MS) => {
                policy.max_backoff_ms = coerce::strict_delay(value, &self.place(name))?;
            }
            Some(name @ key::RETRY_ON_STATUS) => {
                policy.retry_on_status = coerce::strict_statuses(value, &self.place(name))?;
            }
            Some(name @ key::JITTER) => {
                policy.jitter = coerce::strict_flag(value, &self.place(name))?;
            }
            Some(name @ key::CHECK_TEXT_CONTENT) => {
                policy.check_text_content = coerce::lax_flag(value, &self.place(name))?;
            }
            _ => self.note_unknown(name),
        }
        Ok(())
    }

    fn tool_policy(
        &mut self,
        base: &Policy,
        tool: &[u8],
        value: &Value,
    ) -> Result<Policy, ConfigError> {
        let shown = || shortened(&String::from_utf8_lossy(tool)).into_owned();
        let Value::Map(entries) = value else {
            return Err(ConfigError::Overrides {
                tool: shown(),
                given: value.to_string(),
            });
        };
        let mut policy = base.clone();
        for (name, value) in entries {
            let name = name.as_name().ok_or_else(|| ConfigError::Key {
                within: format!("{}[{:?}]", key::TOOL_OVERRIDES, shown()),
                given: name.to_string(),
            })?;
            self.override_setting(&mut policy, name, value)?;
        }
        if !entries.is_empty() {
            self.finish(&mut policy);
        }
        Ok(policy)
    }

    fn overrides<'v>(&self, value: &'v Value) -> Result<&'v [(Value, Value)], ConfigError> {
        match value {
            Value::Map(entries) => Ok(entries),
            other => Err(ConfigError::Value {
                place: self.place(key::TOOL_OVERRIDES),
                given: other.to_string(),
                allowed: "a mapping of tool names to settings".to_owned(),
            }),
        }
    }

    fn note_unknown(&mut self, name: &[u8]) {
        let name = String::from_utf8_lossy(name);
        let name = shortened(&name);
        let shown = match self.tool {
            Some(tool) => format!(
                "{}[{:?}].{name:?}",
                key::TOOL_OVERRIDES,
                shortened(&String::from_utf8_lossy(tool))
            ),
            None => format!("{name:?}"),
        };
        self.notices.push(Notice::UnknownKey { shown });
    }

    /// What needs more than one setting to be known: the ceiling (which bounds the default and an
    /// inherited value too), and a cap below the base.
    fn finish(&mut self, policy: &mut Policy) {
        if let Some(ceiling) = self.ceiling.filter(|ceiling| policy.max_retries > *ceiling) {
            self.notices.push(Notice::Clamped {
                place: self.place(key::MAX_RETRIES),
                given: self
                    .retries_as_written
                    .take()
                    .unwrap_or_else(|| policy.declared_max_retries.to_string()),
                ceiling,
            });
            policy.max_retries = ceiling;
        }
        if policy.max_backoff_ms < policy.backoff_base_ms {
            self.notices.push(Notice::CapBelowBase {
                place: self.place(key::MAX_BACKOFF_MS),
                cap_ms: policy.max_backoff_ms,
                base_ms: policy.backoff_base_ms,
            });
        }
    }
}

/// The setting of this name; `tool_overrides` is none within overrides, where it is ignored.
fn setting(name: &[u8]) -> Option<&'static str> {
    key::ALL
        .into_iter()
        .find(|key| key.as_bytes() == name && *key != key::TOOL_OVERRIDES)
}
