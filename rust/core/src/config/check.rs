//! Applies the rules to one mapping of settings: the base, or one tool's overrides.

use std::num::NonZeroU64;

use super::notice::Notice;
use super::{Policy, coerce, key};
use crate::error::{ConfigError, Place};
use crate::value::{Value, shortened};

/// How the values of one mapping are taken.
pub(super) struct Rules {
    retries: fn(&Value, Option<u32>, &Place) -> Result<u32, ConfigError>,
    delay: fn(&Value, &Place) -> Result<NonZeroU64, ConfigError>,
    statuses: fn(&Value, &Place) -> Result<Vec<i32>, ConfigError>,
    jitter: fn(&Value, &Place) -> Result<bool, ConfigError>,
}

/// Pydantic's lax rules, which the hybrid applies to the base.
pub(super) const BASE: Rules = Rules {
    retries: coerce::lax_retries,
    delay: coerce::lax_delay,
    statuses: coerce::lax_statuses,
    jitter: coerce::lax_flag,
};

/// The rules of the hybrid's native module, which reads the overrides.
pub(super) const OVERRIDES: Rules = Rules {
    retries: coerce::strict_retries,
    delay: coerce::strict_delay,
    statuses: coerce::strict_statuses,
    jitter: coerce::strict_flag,
};

/// The checking of one mapping.
pub(super) struct Checker<'a> {
    rules: &'static Rules,
    ceiling: Option<u32>,
    tool: Option<&'a [u8]>,
    /// What this mapping says about `max_retries`, for the notice that it was clamped.
    retries_as_written: Option<String>,
    notices: &'a mut Vec<Notice>,
}

impl<'a> Checker<'a> {
    /// A checker of the base, or of the overrides of `tool`.
    pub(super) fn new(
        tool: Option<&'a [u8]>,
        ceiling: Option<u32>,
        notices: &'a mut Vec<Notice>,
    ) -> Self {
        Self {
            rules: if tool.is_some() { &OVERRIDES } else { &BASE },
            ceiling,
            tool,
            retries_as_written: None,
            notices,
        }
    }

    /// Takes one setting over into `policy`. A key that no setting has is noted and ignored;
    /// `tool_overrides` is none within overrides.
    pub(super) fn setting(
        &mut self,
        policy: &mut Policy,
        name: &[u8],
        value: &Value,
    ) -> Result<(), ConfigError> {
        let Some(key) = key::ALL.into_iter().find(|key| key.as_bytes() == name) else {
            self.note_unknown(name);
            return Ok(());
        };
        let place = Place::new(self.tool, key);
        match key {
            key::MAX_RETRIES => {
                let retries = (self.rules.retries)(value, self.ceiling, &place)?;
                policy.declared_max_retries = retries;
                policy.max_retries = retries;
                self.retries_as_written = Some(value.to_string());
            }
            key::BACKOFF_BASE_MS => policy.backoff_base_ms = (self.rules.delay)(value, &place)?,
            key::MAX_BACKOFF_MS => policy.max_backoff_ms = (self.rules.delay)(value, &place)?,
            key::RETRY_ON_STATUS => policy.retry_on_status = (self.rules.statuses)(value, &place)?,
            key::JITTER => policy.jitter = (self.rules.jitter)(value, &place)?,
            key::CHECK_TEXT_CONTENT => {
                policy.check_text_content = coerce::lax_flag(value, &place)?;
            }
            _ => self.note_unknown(name),
        }
        Ok(())
    }

    /// What needs more than one setting to be known: the ceiling (which bounds the default and an
    /// inherited value too), and a cap below the base.
    pub(super) fn finish(&mut self, policy: &mut Policy) {
        if let Some(ceiling) = self.ceiling.filter(|ceiling| policy.max_retries > *ceiling) {
            self.notices.push(Notice::Clamped {
                place: Place::new(self.tool, key::MAX_RETRIES),
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
                place: Place::new(self.tool, key::MAX_BACKOFF_MS),
                cap_ms: policy.max_backoff_ms,
                base_ms: policy.backoff_base_ms,
            });
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
}
