//! From a Python object to a [`Value`] of the core, without deciding anything about it.

use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyMapping, PyString, PyTuple, PyType};
use retry_core::value::{Integer, Value};
use retry_models::{Found, text_bytes};

/// How deep containers are read: statuses of overrides of tools of the configuration. Whatever
/// lies deeper (a container that holds itself, say) is no valid setting anyway.
const MAX_DEPTH: usize = 5;

/// A type of the standard library, imported once.
struct StdType {
    cell: Found<Py<PyType>>,
    module: &'static str,
    name: &'static str,
}

impl StdType {
    const fn new(module: &'static str, name: &'static str) -> Self {
        Self {
            cell: Found::new(),
            module,
            name,
        }
    }

    fn holds(&self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        object.is_instance(self.cell.import(object.py(), self.module, self.name)?)
    }
}

static DECIMAL: StdType = StdType::new("decimal", "Decimal");
static FRACTION: StdType = StdType::new("fractions", "Fraction");
static INTEGRAL: StdType = StdType::new("numbers", "Integral");
static REAL: StdType = StdType::new("numbers", "Real");
static ENUM: StdType = StdType::new("enum", "Enum");
static ITERABLE: StdType = StdType::new("collections.abc", "Iterable");
static BYTE_ARRAY: StdType = StdType::new("builtins", "bytearray");

/// What `object` is, as a configuration value.
///
/// # Errors
///
/// Whatever the object itself raises while it is read.
pub(crate) fn value_of(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    read(object, MAX_DEPTH)
}

fn read(object: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(flag) = object.cast::<PyBool>() {
        return Ok(Value::Bool(flag.is_true()));
    }
    if object.is_instance_of::<PyInt>() {
        return Ok(Value::Int(integer(object)?));
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Value::Text(text_bytes(text)?.into_owned()));
    }
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Value::Bytes(bytes.as_bytes().to_vec()));
    }
    if let Ok(number) = object.cast::<PyFloat>() {
        return Ok(Value::real(number.value()));
    }
    if depth > 0
        && let Some(container) = container(object, depth)?
    {
        return Ok(container);
    }
    // An object that refuses to say what number it is, is none.
    match number_or_flag(object) {
        Ok(Some(value)) => Ok(value),
        Err(error) if !error.is_instance_of::<PyException>(object.py()) => Err(error),
        Ok(None) | Err(_) => Ok(Value::Other(
            object.get_type().name()?.to_string_lossy().into_owned(),
        )),
    }
}

fn number_or_flag(object: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
    if object.hasattr("__index__")? {
        let offered = integer(&object.call_method0("__index__")?)?;
        return Ok(Some(if INTEGRAL.holds(object)? {
            Value::Int(offered)
        } else {
            Value::Index(offered)
        }));
    }
    if DECIMAL.holds(object)? || REAL.holds(object)? {
        return ratio(object).map(Some);
    }
    if let Ok(flag) = object.extract::<bool>() {
        return Ok(Some(Value::ForeignBool(flag)));
    }
    if ENUM.holds(object)? {
        let inner = read(&object.getattr("value")?, 0)?;
        return Ok(Some(Value::Member(Box::new(inner))));
    }
    Ok(None)
}

fn container(object: &Bound<'_, PyAny>, depth: usize) -> PyResult<Option<Value>> {
    let below = depth.saturating_sub(1);
    if let Ok(mapping) = object.cast::<PyMapping>() {
        let mut entries = Vec::new();
        for entry in mapping.items()?.iter() {
            let (key, value) = entry
                .cast_into::<PyTuple>()?
                .extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            entries.push((read(&key, 0)?, read(&value, below)?));
        }
        return Ok(Some(Value::Map(entries)));
    }
    if BYTE_ARRAY.holds(object)? || !ITERABLE.holds(object)? {
        return Ok(None);
    }
    // As the hybrid's native module sees it: an array of another library counts as well.
    let indexable = object.get_type().hasattr("__getitem__")?;
    let items = match object.try_iter() {
        Ok(items) => items,
        // An array without a dimension has the method all the same.
        Err(error) if error.is_instance_of::<PyTypeError>(object.py()) => return Ok(None),
        Err(error) => return Err(error),
    };
    let items = items
        .map(|item| read(&item?, below))
        .collect::<PyResult<Vec<Value>>>()?;
    Ok(Some(Value::List { items, indexable }))
}

fn integer(object: &Bound<'_, PyAny>) -> PyResult<Integer> {
    Ok(match object.extract::<i128>() {
        Ok(number) => Integer::Small(number),
        Err(_) => Integer::Huge {
            negative: object.lt(0)?,
            // Decimal digits of a huge integer may be refused; hexadecimal ones never are.
            shown: object.call_method1("__format__", ("#x",))?.extract()?,
        },
    })
}

/// A decimal, a fraction, a float of another library.
fn ratio(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    let approx = object.extract::<f64>().unwrap_or(f64::NAN);
    // Pydantic takes the first two whatever their size, the last only where a double would do. What
    // is no double at all has more digits than anybody wants to see.
    if !DECIMAL.holds(object)? && !FRACTION.holds(object)? {
        return Ok(Value::real(approx));
    }
    let mut whole = None;
    if approx.is_finite() {
        let truncated = object.call_method0("__trunc__")?;
        if truncated.eq(object)? {
            let outermost = if approx < 0.0 { i128::MIN } else { i128::MAX };
            whole = Some(truncated.extract().unwrap_or(outermost));
        }
    }
    Ok(Value::Real { approx, whole })
}

/// The entries of a Python mapping, or the object itself, as a configuration.
pub(crate) fn config_of(object: Option<&Bound<'_, PyAny>>) -> PyResult<Value> {
    let Some(object) = object else {
        return Ok(Value::Null);
    };
    if let Ok(settings) = object.cast::<PyDict>() {
        return value_of(settings);
    }
    // An empty configuration of whatever type is the default one, as it is for the hybrid.
    if object.is_truthy()? {
        value_of(object)
    } else {
        Ok(Value::Null)
    }
}
