//! `RetryConfig`: a checked configuration that Python code can hold.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use retry_core::RetryConfig;
use retry_core::config::{
    DEFAULT_BACKOFF_BASE_MS, DEFAULT_CHECK_TEXT_CONTENT, DEFAULT_JITTER, DEFAULT_MAX_BACKOFF_MS,
    DEFAULT_MAX_RETRIES, DEFAULT_RETRY_ON_STATUS, LARGEST_DELAY_MS, LARGEST_RETRIES,
    LARGEST_STATUS, Policy, SMALLEST_STATUS, key,
};
use retry_models::text_bytes;

use crate::errors::refused;
use crate::results::PolicyMetadata;
use crate::value::config_of;

/// See `_core.pyi`.
#[pyclass(frozen, eq, name = "RetryConfig", module = "retry_with_backoff")]
#[derive(PartialEq)]
pub(crate) struct PyRetryConfig {
    config: RetryConfig,
}

impl PyRetryConfig {
    fn policy(&self, tool: Option<&Bound<'_, PyString>>) -> PyResult<&Policy> {
        Ok(match tool {
            Some(tool) => self.config.policy(&text_bytes(tool)?),
            None => self.config.base(),
        })
    }
}

#[pymethods]
impl PyRetryConfig {
    #[staticmethod]
    #[pyo3(signature = (config, /, *, ceiling=None))]
    fn from_dict(
        py: Python<'_>,
        config: Option<&Bound<'_, PyAny>>,
        ceiling: Option<u32>,
    ) -> PyResult<Self> {
        read(py, config, ceiling).map(|config| Self { config })
    }

    #[pyo3(signature = (tool_name=None))]
    fn to_dict<'py>(
        &self,
        py: Python<'py>,
        tool_name: Option<&Bound<'py, PyString>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let policy = self.policy(tool_name)?;
        let settings = PyDict::new(py);
        settings.set_item(key::MAX_RETRIES, policy.max_retries())?;
        settings.set_item(key::BACKOFF_BASE_MS, policy.backoff_base_ms())?;
        settings.set_item(key::MAX_BACKOFF_MS, policy.max_backoff_ms())?;
        settings.set_item(key::RETRY_ON_STATUS, policy.retry_on_status())?;
        settings.set_item(key::JITTER, policy.jitter())?;
        settings.set_item(key::CHECK_TEXT_CONTENT, policy.check_text_content())?;
        Ok(settings)
    }

    #[pyo3(signature = (tool_name=None))]
    fn to_metadata_dict<'py>(
        &self,
        py: Python<'py>,
        tool_name: Option<&Bound<'py, PyString>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        PolicyMetadata::of(py, self.policy(tool_name)?)?.copied(py)
    }

    fn notices(&self) -> Vec<String> {
        self.config
            .notices()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let settings = self.to_dict(py, None)?;
        Ok(format!(
            "RetryConfig({settings}, {} tool overrides)",
            self.config.tools().count()
        ))
    }
}

/// Checks what an operator wrote.
pub(crate) fn read(
    py: Python<'_>,
    config: Option<&Bound<'_, PyAny>>,
    ceiling: Option<u32>,
) -> PyResult<RetryConfig> {
    RetryConfig::from_value(&config_of(config)?, ceiling).map_err(|error| refused(py, &error))
}

/// Defaults and limits, so that the config model and the documents read them from here.
pub(crate) fn add_limits(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("DEFAULT_MAX_RETRIES", DEFAULT_MAX_RETRIES)?;
    module.add("DEFAULT_BACKOFF_BASE_MS", DEFAULT_BACKOFF_BASE_MS)?;
    module.add("DEFAULT_MAX_BACKOFF_MS", DEFAULT_MAX_BACKOFF_MS)?;
    module.add(
        "DEFAULT_RETRY_ON_STATUS",
        DEFAULT_RETRY_ON_STATUS.as_slice(),
    )?;
    module.add("DEFAULT_JITTER", DEFAULT_JITTER)?;
    module.add("DEFAULT_CHECK_TEXT_CONTENT", DEFAULT_CHECK_TEXT_CONTENT)?;
    module.add("LARGEST_RETRIES", LARGEST_RETRIES)?;
    module.add("LARGEST_DELAY_MS", LARGEST_DELAY_MS)?;
    module.add("SMALLEST_STATUS", SMALLEST_STATUS)?;
    module.add("LARGEST_STATUS", LARGEST_STATUS)
}
