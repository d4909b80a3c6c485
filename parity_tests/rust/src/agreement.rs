//! Whether two answers agree, at a glance.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyType};

use retry_models::fields_of;

use crate::plain::{Entries, surely_same};

/// An answer of the class that cpex defines, and its delay.
pub(crate) struct Answer<'py> {
    fields: Bound<'py, PyDict>,
    pub(crate) delay_ms: i64,
}

impl<'py> Answer<'py> {
    /// Reads an answer; `None` where it is of another class, or its delay is no integer.
    pub(crate) fn read(answer: &Bound<'py, PyAny>, class: &Bound<'py, PyType>) -> Option<Self> {
        if !answer.get_type().is(class) {
            return None;
        }
        let fields = fields_of(answer).ok()?;
        let delay = fields
            .get_item(intern!(answer.py(), "retry_delay_ms"))
            .ok()??;
        let delay_ms = delay.cast_exact::<PyInt>().ok()?.extract().ok()?;
        Some(Self { fields, delay_ms })
    }

    /// Whether the answer does no more than say when to retry: everything but the delay and the
    /// metadata is certainly as in a neutral answer, and the metadata are nothing but plain entries.
    pub(crate) fn only_says_when(&self, neutral: &Bound<'py, PyDict>) -> bool {
        let py = self.fields.py();
        let (delay, metadata) = (intern!(py, "retry_delay_ms"), intern!(py, "metadata"));
        self.fields.len() == neutral.len()
            && Entries::of(neutral.as_borrowed()).all(|(key, usual)| {
                match self.fields.get_item(key) {
                    Ok(Some(_)) if key.is(delay) => true,
                    Ok(Some(given)) if key.is(metadata) => {
                        given.is_none() || given.is_exact_instance_of::<PyDict>()
                    }
                    Ok(Some(given)) => surely_same(&given, &usual),
                    _ => false,
                }
            })
    }

    /// Whether everything but the delay is certainly the same.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let delay = intern!(self.fields.py(), "retry_delay_ms");
        self.fields.len() == other.fields.len()
            && Entries::of(self.fields.as_borrowed())
                .zip(Entries::of(other.fields.as_borrowed()))
                .all(|((key, value), (their_key, their_value))| {
                    key.is(&*their_key) && (key.is(delay) || surely_same(&value, &their_value))
                })
    }
}

/// The delay that a gateway would see in an answer of another form, milliseconds; 0 where it would
/// not retry.
pub(crate) fn odd_delay_of(answer: &Bound<'_, PyAny>) -> i64 {
    answer
        .getattr(intern!(answer.py(), "retry_delay_ms"))
        .ok()
        .filter(Bound::is_instance_of::<PyInt>)
        .map_or(0, |delay| {
            // Beyond 64 bits it is a delay all the same, unless it is negative.
            let positive = delay.gt(0).unwrap_or(false);
            delay
                .extract::<i64>()
                .unwrap_or(if positive { i64::MAX } else { 0 })
                .max(0)
        })
}
