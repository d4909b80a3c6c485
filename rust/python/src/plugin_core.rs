//! `RetryPluginCore`: the hooks of the plugin.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString};
use retry_core::{Engine, Policy, Verdict};
use retry_models::text_bytes;

use crate::nesting::Nesting;
use crate::payload::{ResultContent, ToolCall, is_traced, outcome, tool_name};
use crate::results::PolicyMetadata;
use crate::{config, payload, process, report, results, settings};

/// See `_core.pyi`.
#[pyclass(frozen, module = "retry_with_backoff")]
pub(crate) struct RetryPluginCore {
    engine: Engine,
    /// The metadata of each policy, by its position.
    metadata: Vec<PolicyMetadata>,
    is_quiet: AtomicBool,
}

impl RetryPluginCore {
    fn metadata<'py>(&self, py: Python<'py>, policy: &Policy) -> PyResult<Bound<'py, PyDict>> {
        match self.metadata.get(policy.position()) {
            Some(metadata) => metadata.copied(py),
            None => PolicyMetadata::of(py, policy)?.copied(py),
        }
    }
}

#[pymethods]
impl RetryPluginCore {
    #[new]
    #[pyo3(signature = (config=None, /))]
    fn new(py: Python<'_>, config: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        if let Some(most) = settings::max_chains(py)? {
            process::store().with(|store| store.set_max_chains(most));
        }
        let config = config::read(py, config, settings::ceiling(py)?)?;
        for notice in config.notices() {
            report::notice(py, &notice.to_string())?;
        }
        let metadata = config
            .policies()
            .map(|policy| PolicyMetadata::of(py, policy))
            .collect::<PyResult<Vec<_>>>()?;
        // A hook that is called deep in a stack, or under a low limit of it, cannot import.
        payload::prepare(py)?;
        report::prepare(py)?;
        if let Some(sample) = metadata.first() {
            results::prepare(&sample.copied(py)?)?;
        }
        Ok(Self {
            engine: Engine::new(config),
            metadata,
            is_quiet: AtomicBool::new(false),
        })
    }

    #[pyo3(signature = (payload, context, extensions=None))]
    fn tool_post_invoke<'py>(
        &self,
        py: Python<'py>,
        payload: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        extensions: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some(_nesting) = Nesting::enter() else {
            return Err(PyRuntimeError::new_err(
                "the payload calls the hook again and again while it is read",
            ));
        };
        let call = ToolCall::read(payload, context)?;
        let (tool, request_id) = (call.tool()?, call.request_id()?);
        let mut items = ResultContent::new(call.result());
        let judgement = self
            .engine
            .judge(&tool, &outcome(call.result())?, &mut items);
        items.finish()?;
        let draw = if judgement.needs_draw() {
            process::draw(py)?
        } else {
            0
        };
        // Whatever can fail comes before the failure is counted.
        let traced = is_traced(extensions)?;
        let now = process::now(py)?;
        let chain = process::chain_id(&judgement.chain(&request_id));
        // INVARIANT: no Python code runs while the store is locked.
        let decision =
            process::store().with(|store| self.engine.settle(&judgement, chain, store, now, draw));
        if decision.verdict == Verdict::Exhausted && !self.is_quiet.load(Ordering::Relaxed) {
            report::exhausted(py, &tool, &request_id, decision.failures)?;
        }
        let metadata = self.metadata(py, judgement.policy())?;
        if traced {
            results::add_trace(&metadata, &decision)?;
        }
        results::tool_result(&metadata, decision.retry_delay_ms())
    }

    #[pyo3(signature = (_payload=None, _context=None))]
    fn resource_post_fetch<'py>(
        &self,
        py: Python<'py>,
        _payload: Option<&Bound<'py, PyAny>>,
        _context: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        results::resource_result(&self.metadata(py, self.engine.config().base())?)
    }

    fn to_rust_native_policy<'py>(
        &self,
        py: Python<'py>,
        tool_name: &Bound<'py, PyString>,
        ceiling: &Bound<'py, PyInt>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        // A ceiling beyond 64 bits bounds nothing, or everything.
        let outermost = if ceiling.lt(0)? { i64::MIN } else { i64::MAX };
        let ceiling = ceiling.extract().unwrap_or(outermost);
        self.engine
            .native_policy(&text_bytes(tool_name)?, ceiling)
            .map(|policy| results::native_policy(py, &policy))
            .transpose()
    }

    #[pyo3(signature = (payload, /))]
    fn metadata_of<'py>(&self, payload: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let config = self.engine.config();
        // A payload that has called the plugin too often is not asked for its name either.
        let nesting = Nesting::enter();
        let name = nesting.and_then(|_nesting| tool_name(payload).ok());
        let policy = match name.as_ref().map(text_bytes) {
            Some(Ok(tool)) => config.policy(&tool),
            _ => config.base(),
        };
        self.metadata(payload.py(), policy)
    }

    #[pyo3(signature = (quiet, /))]
    fn set_quiet(&self, quiet: bool) {
        self.is_quiet.store(quiet, Ordering::Relaxed);
    }
}
