//! Which Python exception stands for which error.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::{PyErr, create_exception, intern};

create_exception!(
    retry_with_backoff,
    ConfigError,
    PyValueError,
    "A configuration was refused; one line says where, what was given and what is allowed."
);

/// A refused configuration, as Python sees it: the line, and tool and key for programs.
pub(crate) fn refused(py: Python<'_>, error: &retry_core::ConfigError) -> PyErr {
    let exception = ConfigError::new_err(error.to_string());
    let value = exception.value(py);
    let named = value
        .setattr(intern!(py, "tool"), error.tool())
        .and_then(|()| value.setattr(intern!(py, "key"), error.key()));
    named.err().unwrap_or(exception)
}

/// A refused setting that is not part of the plugin's own configuration.
pub(crate) fn refused_setting(place: &str, given: &str, allowed: &str) -> PyErr {
    ConfigError::new_err(format!("{place}: {given} given; allowed: {allowed}"))
}

/// A payload or context that cpex cannot have made.
pub(crate) fn not_text(place: &str, given: &Bound<'_, PyAny>) -> PyErr {
    let type_name = given.get_type().name().map_or_else(
        |_| "unknown".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    PyTypeError::new_err(format!(
        "{place}: an object of type {type_name} given; allowed: str"
    ))
}
