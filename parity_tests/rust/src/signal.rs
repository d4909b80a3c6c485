//! What a result says, and what may be told of it without telling what is in it.

use std::hash::Hasher;
use std::sync::{LazyLock, PoisonError, RwLock};

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};
use retry_models::Mapping;
use siphasher::sip::SipHasher13;

/// `strata.Signal`, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    NoResult,
    None,
    Flag,
    FlagAndRetryable,
    FlagAndOther,
    InnerFlag,
    StatusRetryable,
    StatusOther,
    Text,
    Unreadable,
}

impl Signal {
    pub(crate) fn index(self) -> usize {
        match self {
            Self::NoResult => 0,
            Self::None => 1,
            Self::Flag => 2,
            Self::FlagAndRetryable => 3,
            Self::FlagAndOther => 4,
            Self::InnerFlag => 5,
            Self::StatusRetryable => 6,
            Self::StatusOther => 7,
            Self::Text => 8,
            Self::Unreadable => 9,
        }
    }
}

/// Whether two can read the content of a result, one after the other. What a container written in C
/// holds is there for the second one as well; an iterator, and whatever a class of Python's gives
/// when it is iterated, may be used up by the first, and looking for that would use it up too.
///
/// # Errors
///
/// Whatever reading the result raises.
pub(crate) fn is_read_alike_again(result: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = result.py();
    let Some(content) = Mapping::of(result)?
        .map(|mapping| mapping.get(intern!(py, "content")))
        .transpose()?
        .flatten()
    else {
        return Ok(true);
    };
    if content.is_exact_instance_of::<PyList>() || content.is_none() {
        return Ok(true);
    }
    let class = content.get_type();
    let Ok(iterate) = class.getattr(intern!(py, "__iter__")) else {
        return Ok(!class.hasattr(intern!(py, "__getitem__"))?);
    };
    let in_c = py
        .get_type::<PyList>()
        .getattr(intern!(py, "__iter__"))?
        .get_type();
    Ok(iterate.get_type().is(&in_c) && !class.hasattr(intern!(py, "__next__"))?)
}

/// Names what a result says, by the first of its signals that decides (BEHAVIOUR.md, "Is it a
/// failure?").
///
/// # Errors
///
/// What ends the process or the task; whatever else reading raises makes the result unreadable.
pub(crate) fn signal_of(result: &Bound<'_, PyAny>, retryable: &[i64]) -> PyResult<Signal> {
    read_signal(result, retryable).or_else(|error| {
        if error.is_instance_of::<PyException>(result.py()) {
            Ok(Signal::Unreadable)
        } else {
            Err(error)
        }
    })
}

fn read_signal(result: &Bound<'_, PyAny>, retryable: &[i64]) -> PyResult<Signal> {
    let py = result.py();
    let Some(mapping) = Mapping::of(result)? else {
        return Ok(Signal::NoResult);
    };
    let flag = mapping.is_true(intern!(py, "isError"))?;
    let structured = mapping.get(intern!(py, "structuredContent"))?;
    let mut inner_flag = false;
    let mut is_retryable = None;
    if let Some(structured) = &structured
        && let Some(inner) = Mapping::of(structured)?
    {
        inner_flag = inner.is_true(intern!(py, "isError"))?;
        is_retryable = inner
            .get(intern!(py, "status_code"))?
            .filter(Bound::is_instance_of::<PyInt>)
            .map(|status| {
                status
                    .extract::<i64>()
                    .is_ok_and(|status| retryable.contains(&status))
            });
    }
    Ok(match (flag, inner_flag, is_retryable) {
        (true, _, None) => Signal::Flag,
        (true, _, Some(true)) => Signal::FlagAndRetryable,
        (true, _, Some(false)) => Signal::FlagAndOther,
        (false, true, _) => Signal::InnerFlag,
        (false, false, Some(true)) => Signal::StatusRetryable,
        (false, false, Some(false)) => Signal::StatusOther,
        (false, false, None) if structured.is_none() && has_content(&mapping) => Signal::Text,
        (false, false, None) => Signal::None,
    })
}

/// Whether there is content at all; one that cannot be asked is none.
fn has_content(result: &Mapping<'_, '_>) -> bool {
    let py = result.object().py();
    result
        .get(intern!(py, "content"))
        .ok()
        .flatten()
        .is_some_and(|content| content.is_truthy().unwrap_or(false))
}

/// See `_native.pyi`.
#[pyfunction]
#[pyo3(name = "signal_of", signature = (result, retryable, /))]
#[expect(
    clippy::needless_pass_by_value,
    reason = "arguments of a Python function are extracted, not borrowed"
)]
pub(crate) fn signal_number(result: &Bound<'_, PyAny>, retryable: Vec<i64>) -> PyResult<usize> {
    Ok(signal_of(result, &retryable)?.index())
}

/// The type of a value, as far as a decision may depend on it.
#[derive(Clone, Copy, Debug, Default)]
enum Kind {
    #[default]
    None,
    True,
    False,
    Int,
    Float,
    Text,
    Dict,
    List,
    Other,
}

impl Kind {
    fn of(value: Option<&Bound<'_, PyAny>>) -> Self {
        let Some(value) = value else {
            return Self::None;
        };
        if value.is(PyBool::new(value.py(), true)) {
            Self::True
        } else if value.is_instance_of::<PyBool>() {
            Self::False
        } else if value.is_instance_of::<PyInt>() {
            Self::Int
        } else if value.is_instance_of::<PyFloat>() {
            Self::Float
        } else if value.is_instance_of::<PyString>() {
            Self::Text
        } else if value.is_instance_of::<PyDict>() {
            Self::Dict
        } else if value.is_instance_of::<PyList>() {
            Self::List
        } else {
            Self::Other
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::None => "null",
            Self::True => "true",
            Self::False => "false",
            Self::Int => "integer",
            Self::Float => "float",
            Self::Text => "text",
            Self::Dict => "object",
            Self::List => "list",
            Self::Other => "other",
        }
    }
}

/// What may be told of a result: the keys that a decision reads, types, lengths, status codes, and
/// a salted hash of the first text. Nothing here can hold a text or an argument of a tool.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    is_dict: bool,
    flag: Kind,
    structured: Kind,
    inner_flag: Kind,
    status: Kind,
    status_code: Option<i64>,
    content: Kind,
    items: usize,
    first_text: Option<(usize, Option<u64>)>,
}

/// How much of a text is hashed, bytes: enough to tell texts apart, and never slow.
const HASHED: usize = 4096;
/// Longer texts, in characters, have a length and no hash: `CPython` may have to encode all of one.
const LONGEST_HASHED: usize = 65_536;

impl Facts {
    /// Looks at a result. What cannot be read is left out.
    ///
    /// # Errors
    ///
    /// What ends the process or the task.
    pub(crate) fn of(result: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut facts = Self::default();
        match facts.read(result) {
            Err(error) if !error.is_instance_of::<PyException>(result.py()) => Err(error),
            _ => Ok(facts),
        }
    }

    fn read(&mut self, result: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = result.py();
        let Some(mapping) = Mapping::of(result)? else {
            return Ok(());
        };
        self.is_dict = true;
        self.flag = Kind::of(mapping.get(intern!(py, "isError"))?.as_ref());
        let structured = mapping.get(intern!(py, "structuredContent"))?;
        self.structured = Kind::of(structured.as_ref());
        if let Some(structured) = &structured
            && let Some(inner) = Mapping::of(structured)?
        {
            self.inner_flag = Kind::of(inner.get(intern!(py, "isError"))?.as_ref());
            let status = inner.get(intern!(py, "status_code"))?;
            self.status = Kind::of(status.as_ref());
            self.status_code = status
                .filter(Bound::is_instance_of::<PyInt>)
                .and_then(|status| status.extract().ok())
                .filter(|status| (0..1000).contains(status));
        }
        let content = mapping.get(intern!(py, "content"))?;
        self.content = Kind::of(content.as_ref());
        if let Some(Ok(items)) = content.as_ref().map(Bound::cast_exact::<PyList>) {
            self.items = items.len();
            for item in items.iter().take(8) {
                let text = item
                    .cast_exact::<PyDict>()
                    .ok()
                    .and_then(|item| item.get_item(intern!(py, "text")).ok().flatten());
                if let Some(Ok(text)) = text.as_ref().map(Bound::cast::<PyString>) {
                    let length = text.len()?;
                    let hash = (length <= LONGEST_HASHED).then(|| salted(text));
                    self.first_text = Some((length, hash));
                    break;
                }
            }
        }
        Ok(())
    }

    /// The facts as plain data; what is missing is left out.
    pub(crate) fn to_dict(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let told = PyDict::new(py);
        if !self.is_dict {
            told.set_item("result", "no object")?;
            return Ok(told);
        }
        for (name, kind) in [
            ("isError", self.flag),
            ("structuredContent", self.structured),
            ("structuredContent.isError", self.inner_flag),
            ("structuredContent.status_code", self.status),
            ("content", self.content),
        ] {
            told.set_item(name, kind.word())?;
        }
        if let Some(status) = self.status_code {
            told.set_item("status_code", status)?;
        }
        if matches!(self.content, Kind::List) {
            told.set_item("items", self.items)?;
        }
        if let Some((length, hash)) = self.first_text {
            told.set_item("first_text_length", length)?;
            if let Some(hash) = hash {
                told.set_item("first_text_hash", format!("{hash:016x}"))?;
            }
        }
        Ok(told)
    }
}

/// How much text the items of a result have, characters; no more is counted than is asked for.
pub(crate) fn text_length(result: &Bound<'_, PyAny>, enough: usize) -> usize {
    let py = result.py();
    let content = Mapping::of(result)
        .ok()
        .flatten()
        .and_then(|result| result.get(intern!(py, "content")).ok().flatten());
    let Some(Ok(items)) = content.as_ref().map(Bound::cast::<PyList>) else {
        return 0;
    };
    let mut length = 0_usize;
    for item in items.iter() {
        let text = Mapping::of(&item)
            .ok()
            .flatten()
            .and_then(|item| item.get(intern!(py, "text")).ok().flatten());
        // Every item counts a little, so that a million empty ones are too many as well.
        let more = text.and_then(|text| text.len().ok()).unwrap_or(0);
        length = length.saturating_add(more).saturating_add(16);
        if length > enough {
            break;
        }
    }
    length
}

fn salted(text: &Bound<'_, PyString>) -> u64 {
    let text = text.to_str().unwrap_or_default().as_bytes();
    hash_of(text.get(..HASHED).unwrap_or(text))
}

static SALT: LazyLock<RwLock<[u64; 2]>> = LazyLock::new(|| {
    // The standard library's keys are random, and differ with each call.
    let draw = || std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u8);
    RwLock::new([draw(), draw()])
});

/// See `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (salt, /))]
pub(crate) fn set_salt(salt: [u8; 16]) {
    let salt = u128::from_le_bytes(salt);
    let halves = [salt, salt >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)));
    *SALT.write().unwrap_or_else(PoisonError::into_inner) = halves.map(Result::unwrap_or_default);
}

/// A hash that tells equal texts of one process, and nothing to who does not have its salt.
pub(crate) fn hash_of(bytes: &[u8]) -> u64 {
    let [first, second] = *SALT.read().unwrap_or_else(PoisonError::into_inner);
    let mut hasher = SipHasher13::new_with_keys(first, second);
    hasher.write(bytes);
    hasher.finish()
}

/// See `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (result, /))]
pub(crate) fn facts_of<'py>(result: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    Facts::of(result)?.to_dict(result.py())
}

/// See `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (text, /))]
pub(crate) fn salted_hash(text: &Bound<'_, PyString>) -> PyResult<String> {
    Ok(format!(
        "{:016x}",
        hash_of(&retry_models::text_bytes(text)?)
    ))
}
