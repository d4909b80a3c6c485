//! What an answer has to be so that a gateway can be given it unseen.
//!
//! Where the candidate decides alone nobody compares. What no config and no defect but a gross one
//! can bring about is found out all the same: a wait beyond every cap holds the call for good, and
//! an answer that stops the call, or gives it another result, is none of a retry plugin's.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use retry_models::fields_of;

use crate::agreement::Answer;

/// The bounds of what is usable.
pub(crate) struct Usable {
    /// The fields of an answer that says nothing; `None` where there is none to be had.
    neutral: Option<Py<PyDict>>,
    longest_ms: i64,
}

impl Usable {
    /// Asks the lane for them. A bound that cannot be had bounds nothing.
    pub(crate) fn by(lane: &Bound<'_, PyAny>) -> Self {
        let py = lane.py();
        let neutral = lane
            .call_method0(intern!(py, "no_retry"))
            .and_then(|answer| fields_of(&answer));
        let longest = lane
            .call_method0(intern!(py, "longest_delay_ms"))
            .and_then(|longest| longest.extract());
        Self {
            neutral: neutral.ok().map(Bound::unbind),
            longest_ms: longest.unwrap_or(i64::MAX),
        }
    }

    pub(crate) fn holds(&self, answer: &Answer<'_>, py: Python<'_>) -> bool {
        (0..=self.longest_ms).contains(&answer.delay_ms)
            && self
                .neutral
                .as_ref()
                .is_none_or(|neutral| answer.only_says_when(neutral.bind(py)))
    }
}
