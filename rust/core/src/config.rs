//! The checked configuration: base settings and the overrides of each tool, resolved once.
//!
//! Base values are taken as leniently as the hybrid takes them (Pydantic's lax rules: `"3"`, `3.0`
//! and `True` are integers), override values as strictly (its native module takes no text, and no
//! floats but for retries above a ceiling). What the hybrid notices only when a tool is called is refused here, at load (ledger:
//! override-at-load).

mod check;
mod coerce;
mod notice;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use self::check::Checker;
pub use self::notice::Notice;

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

/// Default of `jitter`.
pub const DEFAULT_JITTER: bool = true;
/// Default of `check_text_content`.
pub const DEFAULT_CHECK_TEXT_CONTENT: bool = false;

/// Largest `max_retries`.
pub const LARGEST_RETRIES: u32 = u32::MAX;
/// Largest `backoff_base_ms` and `max_backoff_ms`.
pub const LARGEST_DELAY_MS: u64 = u64::MAX;
/// Smallest code in `retry_on_status`.
pub const SMALLEST_STATUS: i32 = i32::MIN;
/// Largest code in `retry_on_status`.
pub const LARGEST_STATUS: i32 = i32::MAX;

/// The settings in force for one tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    position: usize,
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
            position: 0,
            max_retries: DEFAULT_MAX_RETRIES,
            declared_max_retries: DEFAULT_MAX_RETRIES,
            backoff_base_ms: DEFAULT_BACKOFF_BASE_MS,
            max_backoff_ms: DEFAULT_MAX_BACKOFF_MS,
            retry_on_status: DEFAULT_RETRY_ON_STATUS.to_vec(),
            jitter: DEFAULT_JITTER,
            check_text_content: DEFAULT_CHECK_TEXT_CONTENT,
        }
    }
}

impl Policy {
    /// Its place in [`RetryConfig::policies`], from 0.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

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
        let mut base = Checker::new(None, ceiling, &mut config.notices);
        for (name, value) in entries {
            let Value::Text(name) = name else {
                return Err(ConfigError::Key {
                    within: "config".to_owned(),
                    given: name.to_string(),
                });
            };
            if name == key::TOOL_OVERRIDES.as_bytes() {
                overrides = overrides_of(value)?;
            } else {
                base.setting(&mut config.base, name, value)?;
            }
        }
        base.finish(&mut config.base);
        for (tool, value, holds) in named(overrides, || key::TOOL_OVERRIDES.to_owned())? {
            // The hybrid looks at one that does not hold too, but not at its values.
            let settings = settings_of(tool, value)?;
            if holds {
                let checker = Checker::new(Some(tool), ceiling, &mut config.notices);
                let policy = merged(&config.base, &settings, checker)?;
                config.tools.insert(tool.into(), policy);
            }
        }
        for (policy, position) in config.tools.values_mut().zip(1..) {
            policy.position = position;
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

    /// All settings in force: the base's first, then those of each tool with overrides.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        std::iter::once(&self.base).chain(self.tools.values())
    }

    /// What the operator should know about this configuration.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }
}

/// The overrides of all tools.
fn overrides_of(value: &Value) -> Result<&[(Value, Value)], ConfigError> {
    match value {
        Value::Map(entries) => Ok(entries),
        other => Err(ConfigError::Value {
            place: Place::new(None, key::TOOL_OVERRIDES),
            given: other.to_string(),
            allowed: "a mapping of tool names to settings".to_owned(),
        }),
    }
}

/// One entry of a mapping: its name, its value, and whether it holds.
type Named<'a> = (&'a [u8], &'a Value, bool);

/// The entries of a mapping by their names. Of two keys that give one name, the last one holds.
fn named(
    entries: &[(Value, Value)],
    within: impl Fn() -> String,
) -> Result<Vec<Named<'_>>, ConfigError> {
    let mut named = Vec::with_capacity(entries.len());
    let mut seen = BTreeSet::new();
    for (key, value) in entries.iter().rev() {
        let name = key.as_name().ok_or_else(|| ConfigError::Key {
            within: within(),
            given: key.to_string(),
        })?;
        named.push((name, value, seen.insert(name)));
    }
    named.reverse();
    Ok(named)
}

/// The settings in the overrides of `tool`.
fn settings_of<'a>(tool: &[u8], overrides: &'a Value) -> Result<Vec<Named<'a>>, ConfigError> {
    let tool = String::from_utf8_lossy(tool);
    match overrides {
        Value::Map(entries) => named(entries, || {
            format!("{}[{:?}]", key::TOOL_OVERRIDES, shortened(&tool))
        }),
        other => Err(ConfigError::Overrides {
            tool: tool.into_owned(),
            given: other.to_string(),
        }),
    }
}

/// The overrides of a tool merged over the base.
fn merged(
    base: &Policy,
    settings: &[Named<'_>],
    mut checker: Checker<'_>,
) -> Result<Policy, ConfigError> {
    let mut policy = base.clone();
    for (name, value, _) in settings.iter().filter(|(_, _, holds)| *holds) {
        checker.setting(&mut policy, name, value)?;
    }
    if !settings.is_empty() {
        checker.finish(&mut policy);
    }
    Ok(policy)
}
