//! Settings that come from around the plugin: the gateway's, and the environment's.

use pyo3::prelude::*;
use pyo3::types::PyInt;

use crate::errors::refused_setting;

/// The most retries that the gateway allows, where no gateway is loaded in the process.
const CEILING_VARIABLE: &str = "MAX_TOOL_RETRIES";
/// The gateway's module of settings, and the setting in it.
const GATEWAY_MODULE: &str = "mcpgateway.config";
const GATEWAY_SETTING: &str = "mcpgateway.config.settings.max_tool_retries";
/// The most chains that are kept.
const MAX_CHAINS_VARIABLE: &str = "RETRY_MAX_CHAINS";

/// The gateway's bound on retries: of the gateway in this process, else of the environment. One that
/// is wider than any number of retries bounds none: what is too wide without it stays so.
///
/// # Errors
///
/// The bound is no integer of at least 0.
pub(crate) fn ceiling(py: Python<'_>) -> PyResult<Option<u32>> {
    let modules = py.import("sys")?.getattr("modules")?;
    let gateway = modules.call_method1("get", (GATEWAY_MODULE,))?;
    let settings = gateway.getattr_opt("settings")?;
    let bound = match settings {
        Some(settings) => settings.getattr_opt("max_tool_retries")?,
        None => None,
    };
    let bound = match bound.filter(|bound| !bound.is_none()) {
        Some(bound) => {
            let shown = bound.to_string();
            let bound = at_least(&bound, 0);
            Some(bound.ok_or_else(|| refused(GATEWAY_SETTING, &shown, 0))?)
        }
        None => from_environment(py, CEILING_VARIABLE, 0)?,
    };
    Ok(bound.and_then(|bound| u32::try_from(bound).ok()))
}

/// The bound of the environment on the number of live chains, cut to the most that can be counted.
///
/// # Errors
///
/// The variable is no integer of at least 1.
pub(crate) fn max_chains(py: Python<'_>) -> PyResult<Option<u32>> {
    let bound = from_environment(py, MAX_CHAINS_VARIABLE, 1)?;
    Ok(bound.map(|bound| u32::try_from(bound).unwrap_or(u32::MAX)))
}

/// A number from the environment, by Python's rules for text; a blank variable is not set.
fn from_environment(py: Python<'_>, variable: &str, least: i64) -> PyResult<Option<u64>> {
    let Some(given) = std::env::var_os(variable) else {
        return Ok(None);
    };
    let given = given.to_string_lossy();
    let given = given.trim();
    if given.is_empty() {
        return Ok(None);
    }
    py.get_type::<PyInt>()
        .call1((given,))
        .ok()
        .and_then(|number| at_least(&number, least))
        .map(Some)
        .ok_or_else(|| refused(variable, &format!("{given:?}"), least))
}

/// An integer of at least `least`, cut to 64 bits.
fn at_least(number: &Bound<'_, PyAny>, least: i64) -> Option<u64> {
    let is_large_enough = number.is_instance_of::<PyInt>() && number.ge(least).is_ok_and(|ge| ge);
    is_large_enough.then(|| number.extract().unwrap_or(u64::MAX))
}

fn refused(place: &str, given: &str, least: i64) -> PyErr {
    refused_setting(place, given, &format!("an integer of at least {least}"))
}
