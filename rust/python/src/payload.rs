//! Reads what a hook is given.
//!
//! A result may come in any dict subclass, some of which keep nothing in their own storage (the
//! `CopyOnWriteDict` of cpex up to 0.1.2): only a dict whose `get` is that of dicts is read
//! directly, everything else through its `get`, and the text of an item by item access where it has
//! one. Nothing here writes to a payload, and neither way adds a key to a `defaultdict`.

use std::borrow::Cow;

use pyo3::exceptions::{PyException, PyKeyError, PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyInt, PyList, PyString, PyTuple, PyTupleMethods};
use retry_core::text::{Demand, demand};
use retry_core::{Content, ContentItem, Finding, Outcome, Signals, StatusCode, Structured};
use retry_models::{Fields, Found, Mapping, Reader, text_bytes, with_utf8};

use crate::errors::not_text;

static PAYLOAD: Fields = Fields::new(&["name", "result"]);
static CONTEXT: Fields = Fields::new(&["global_context"]);
static GLOBAL_CONTEXT: Fields = Fields::new(&["request_id"]);

/// One finished call of a tool.
pub(crate) struct ToolCall<'py> {
    tool: Bound<'py, PyString>,
    request_id: Bound<'py, PyString>,
    result: Bound<'py, PyAny>,
}

impl<'py> ToolCall<'py> {
    /// What `tool_post_invoke` is told of the call.
    ///
    /// # Errors
    ///
    /// A name is missing or no text, or there is no result, which cpex never hands out.
    pub(crate) fn read(payload: &Bound<'py, PyAny>, context: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = payload.py();
        let global_context = CONTEXT.of(context).get(intern!(py, "global_context"))?;
        let request_id = GLOBAL_CONTEXT
            .of(&global_context)
            .get(intern!(py, "request_id"))?;
        let payload = PAYLOAD.of(payload);
        Ok(Self {
            tool: tool_in(&payload)?,
            request_id: request_id
                .cast_into()
                .map_err(|error| not_text("request_id", &error.into_inner()))?,
            result: payload.get(intern!(py, "result"))?,
        })
    }

    /// The tool's name as bytes.
    pub(crate) fn tool(&self) -> PyResult<Cow<'_, [u8]>> {
        text_bytes(&self.tool)
    }

    /// The request's id as bytes.
    pub(crate) fn request_id(&self) -> PyResult<Cow<'_, [u8]>> {
        text_bytes(&self.request_id)
    }

    /// What the tool gave.
    pub(crate) fn result(&self) -> &Bound<'py, PyAny> {
        &self.result
    }
}

/// The name of the tool that a payload belongs to.
pub(crate) fn tool_name<'py>(payload: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    tool_in(&PAYLOAD.of(payload))
}

fn tool_in<'py>(payload: &Reader<'_, 'py>) -> PyResult<Bound<'py, PyString>> {
    payload
        .get(intern!(payload.py(), "name"))?
        .cast_into()
        .map_err(|error| not_text("payload.name", &error.into_inner()))
}

/// Whether the call is traced: `extensions.request.trace_id` is a text that is not empty.
pub(crate) fn is_traced(extensions: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    let Some(extensions) = extensions else {
        return Ok(false);
    };
    let py = extensions.py();
    let Some(request) = extensions.getattr_opt(intern!(py, "request"))? else {
        return Ok(false);
    };
    let trace_id = request.getattr_opt(intern!(py, "trace_id"))?;
    Ok(match trace_id.as_ref().map(Bound::cast::<PyString>) {
        Some(Ok(trace_id)) => !trace_id.is_empty()?,
        _ => false,
    })
}

/// What a result says outside its content.
///
/// # Errors
///
/// Whatever a dict subclass raises from its `get`.
pub(crate) fn outcome(result: &Bound<'_, PyAny>) -> PyResult<Outcome> {
    let Some(result) = Mapping::of(result)? else {
        return Ok(Outcome::NO_RESULT);
    };
    let py = result.object().py();
    let error = result.is_true(intern!(py, "isError"))?;
    let structured = match result.get(intern!(py, "structuredContent"))? {
        None => Structured::Absent,
        Some(object) => match Mapping::of(&object)? {
            Some(object) => Structured::Object(signals(&object)?),
            None => Structured::Opaque,
        },
    };
    Ok(Outcome { error, structured })
}

fn signals(object: &Mapping<'_, '_>) -> PyResult<Signals> {
    let py = object.object().py();
    Ok(Signals {
        error: object.is_true(intern!(py, "isError"))?,
        status: object
            .get(intern!(py, "status_code"))?
            .as_ref()
            .and_then(status_code),
    })
}

/// An integer, a boolean included; nothing that merely offers itself as one.
fn status_code(value: &Bound<'_, PyAny>) -> Option<StatusCode> {
    value.is_instance_of::<PyInt>().then(|| {
        value
            .extract::<i64>()
            .map_or(StatusCode::OUT_OF_RANGE, StatusCode::new)
    })
}

/// Items that content may give beyond those it held when it was first seen: of a container that
/// is no list and no tuple, all of them. One that grows while it is read, or makes its items up,
/// need not end at all.
const MAX_SURPLUS: usize = 1 << 20;

/// The content of a result, read only when the core asks for it.
pub(crate) struct ResultContent<'a, 'py> {
    result: &'a Bound<'py, PyAny>,
    error: Option<PyErr>,
}

impl<'a, 'py> ResultContent<'a, 'py> {
    /// The content of `result`.
    pub(crate) fn new(result: &'a Bound<'py, PyAny>) -> Self {
        Self {
            result,
            error: None,
        }
    }

    /// What reading it raised.
    ///
    /// # Errors
    ///
    /// Whatever a hostile container raised.
    pub(crate) fn finish(self) -> PyResult<()> {
        self.error.map_or(Ok(()), Err)
    }

    fn walk(&self, examine: &mut dyn FnMut(ContentItem<'_>) -> Finding) -> PyResult<bool> {
        let py = self.result.py();
        let Some(result) = Mapping::of(self.result)? else {
            return Ok(false);
        };
        let Some(content) = result.get(intern!(py, "content"))? else {
            return Ok(false);
        };
        if let Ok(items) = content.cast_exact::<PyList>() {
            // As Python walks a list: reading an item may make the list longer, or shorter.
            let most = most_items(items.len());
            let mut position = 0_usize;
            while position < items.len() {
                if position >= most {
                    return Err(endless());
                }
                if item_fails(&items.get_item(position)?, examine)? {
                    return Ok(true);
                }
                position = position.saturating_add(1);
            }
            return Ok(false);
        }
        let items = match content.try_iter() {
            Ok(items) => items,
            // Ledger: content-shape. What cannot be walked gives no signal.
            Err(error) if error.is_instance_of::<PyTypeError>(py) => return Ok(false),
            Err(error) => return Err(error),
        };
        let most = most_items(
            content
                .cast_exact::<PyTuple>()
                .map_or(0, PyTupleMethods::len),
        );
        let items = items.enumerate().map(|(position, item)| {
            if position < most {
                item
            } else {
                Err(endless())
            }
        });
        for item in items {
            if item_fails(&item?, examine)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Content for ResultContent<'_, '_> {
    fn any_failure(&mut self, examine: &mut dyn FnMut(ContentItem<'_>) -> Finding) -> bool {
        self.walk(examine).unwrap_or_else(|error| {
            self.error = Some(error);
            false
        })
    }
}

fn most_items(held: usize) -> usize {
    held.saturating_add(MAX_SURPLUS)
}

fn endless() -> PyErr {
    PyRuntimeError::new_err(format!(
        "content: more than {MAX_SURPLUS} items beyond those that it held"
    ))
}

fn item_fails(
    item: &Bound<'_, PyAny>,
    examine: &mut dyn FnMut(ContentItem<'_>) -> Finding,
) -> PyResult<bool> {
    let Some(item) = Mapping::of(item)? else {
        return Ok(false);
    };
    let py = item.object().py();
    let Some(kind) = item.get(intern!(py, "type"))? else {
        return Ok(false);
    };
    let finding = match kind.cast_exact::<PyString>().map(|kind| kind.to_str()) {
        Ok(Ok("image" | "audio")) => examine(ContentItem::Image),
        Ok(Ok("resource" | "resource_link")) => examine(ContentItem::Resource),
        _ if kind.ne(intern!(py, "text"))? => Finding::Clear,
        _ => match text_of(&item)? {
            Some(text) => text_finding(&text, examine)?,
            None => Finding::Clear,
        },
    };
    Ok(finding == Finding::Failure)
}

/// The text of an item, which the hybrid takes by item access: a dict subclass may know it under
/// `[]` alone. One that makes up missing keys is asked only for a key that it has.
fn text_of<'py>(item: &Mapping<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let object = item.object();
    let key = intern!(object.py(), "text");
    if object.is_exact_instance_of::<PyDict>() {
        return item.get(key);
    }
    if object.hasattr(intern!(object.py(), "__missing__"))? && !object.contains(key)? {
        return Ok(None);
    }
    match object.get_item(key) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.is_instance_of::<PyKeyError>(object.py()) => Ok(None),
        Err(error) => Err(error),
    }
}

fn text_finding(
    text: &Bound<'_, PyAny>,
    examine: &mut dyn FnMut(ContentItem<'_>) -> Finding,
) -> PyResult<Finding> {
    if let Ok(string) = text.cast::<PyString>() {
        return string_finding(string, examine);
    } else if !text.is_instance_of::<PyBytes>() && !text.is_instance_of::<PyByteArray>() {
        return Ok(Finding::Clear);
    }
    match decoded(text)? {
        Some(string) => string_finding(&string, examine),
        None => Ok(Finding::Clear),
    }
}

fn string_finding(
    text: &Bound<'_, PyString>,
    examine: &mut dyn FnMut(ContentItem<'_>) -> Finding,
) -> PyResult<Finding> {
    // A lone surrogate stands in no signal's key, and outside of strings it is no JSON: any other
    // character in its place is read alike.
    let (finding, demand) = with_utf8(text, |utf8| match examine(ContentItem::Text(utf8)) {
        Finding::Unread => (Finding::Unread, demand(utf8)),
        finding => (finding, None),
    })?;
    if finding != Finding::Unread {
        return Ok(finding);
    }
    let signals = match demand {
        Some(demand) if json_takes(text.py(), &demand)? => Some(demand.signals),
        _ => None,
    };
    Ok(examine(ContentItem::Read(signals)))
}

static LOADS: Found<Py<PyAny>> = Found::new();
static DETECT_ENCODING: Found<Py<PyAny>> = Found::new();

/// Imports what reading may need, so that no import has to run in a hook.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    LOADS.import(py, "json", "loads")?;
    DETECT_ENCODING.import(py, "json", "detect_encoding")?;
    Ok(())
}

/// Whether Python's own `json.loads`, by the limits of this process at this depth of its stack,
/// reads a text near its limits: it is asked for the smallest text that takes as much. The text
/// itself would be built up as objects, many times its size. Where it raises, the text is skipped
/// (ledger: text-raises).
fn json_takes(py: Python<'_>, demand: &Demand) -> PyResult<bool> {
    let probe = [
        "[".repeat(demand.depth),
        "7".repeat(demand.digits),
        "]".repeat(demand.depth),
    ]
    .concat();
    unless_raised(LOADS.import(py, "json", "loads")?.call1((probe,)), py).map(|read| read.is_some())
}

/// A byte string as text, the way `json.loads` makes it one; `None` where that raises.
fn decoded<'py>(bytes: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyString>>> {
    let py = bytes.py();
    let encoding = DETECT_ENCODING
        .import(py, "json", "detect_encoding")?
        .call1((bytes,));
    let text = encoding.and_then(|encoding| {
        bytes.call_method1(
            intern!(py, "decode"),
            (encoding, intern!(py, "surrogatepass")),
        )
    });
    Ok(unless_raised(text, py)?.and_then(|text| text.cast_into().ok()))
}

/// What a call gave; `None` where it raised an error, which is no reason not to go on.
///
/// # Errors
///
/// What is no error: an interrupt, an exit.
fn unless_raised<'py>(
    outcome: PyResult<Bound<'py, PyAny>>,
    py: Python<'py>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_instance_of::<PyException>(py) => Ok(None),
        Err(error) => Err(error),
    }
}
