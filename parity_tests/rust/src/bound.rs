//! How large a rate can be of which so much was seen.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use statrs::function::beta::beta_reg;

/// Halvings of the interval; what is left of it is below a double's precision.
const HALVINGS: u32 = 64;

/// See `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (failures, trials, confidence, /))]
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "counts beyond 2^53 would differ in the sixteenth digit of the bound"
)]
pub(crate) fn binomial_upper_bound(failures: u64, trials: u64, confidence: f64) -> PyResult<f64> {
    if failures > trials || !(confidence > 0.0 && confidence < 1.0) {
        return Err(PyValueError::new_err(format!(
            "{failures} of {trials} at {confidence} given; allowed: no more failures than trials, \
             and a confidence between 0 and 1"
        )));
    }
    if failures == trials {
        return Ok(1.0);
    }
    // The rate at which so few failures would be seen with a chance of 1 - confidence only. That
    // chance, P(X <= failures), is the regularized incomplete beta function (Clopper and Pearson).
    let (few, many) = (
        (failures as f64) + 1.0,
        trials.saturating_sub(failures) as f64,
    );
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if beta_reg(few, many, middle) < confidence {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(high)
}
