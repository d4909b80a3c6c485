//! A configuration value as an operator wrote it, before any rule is applied.

use std::borrow::Cow;
use std::fmt;

/// One value of a configuration that is yet to be checked.
///
/// The edge (the Python bindings) maps what it finds to these shapes; every rule about what is
/// accepted lives in [`crate::config`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value (`None`, `null`).
    Null,
    /// A boolean.
    Bool(bool),
    /// A boolean of another library (numpy's): taken wherever a boolean is, as an integer only
    /// where floats are taken as well.
    ForeignBool(bool),
    /// An integer of Python's or another library's.
    Int(Integer),
    /// An object that is no number but offers itself as an integer (`__index__`): taken wherever
    /// an integer is, but for the retries of an override, which have to compare with a ceiling.
    Index(Integer),
    /// A number that need not be whole: float, decimal, fraction.
    Real {
        /// The nearest double.
        approx: f64,
        /// The exact value where it is whole; the outermost of its sign where it is too large.
        whole: Option<i128>,
    },
    /// Text, as UTF-8; lone surrogates are kept in their three-byte form.
    Text(Vec<u8>),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A member of an enumeration that is neither an integer nor a string itself.
    Member(Box<Value>),
    /// Items one after the other.
    List {
        /// The items in their order.
        items: Vec<Value>,
        /// Whether the container can be indexed (a list or tuple is, a set or generator is not).
        indexable: bool,
    },
    /// Keys and values in their order.
    Map(Vec<(Value, Value)>),
    /// Anything else, by the name of its type.
    Other(String),
}

/// An integer of any size: only those of up to 128 bits keep their value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integer {
    /// The value itself.
    Small(i128),
    /// Too large for any setting; the digits are kept for the message.
    Huge {
        /// Whether it is below zero.
        negative: bool,
        /// How it is shown in a message.
        shown: String,
    },
}

impl Integer {
    /// The value, or the outermost one of its sign where it is too large: no setting takes either.
    #[must_use]
    pub(crate) fn saturated(&self) -> i128 {
        match self {
            Self::Small(value) => *value,
            Self::Huge { negative: true, .. } => i128::MIN,
            Self::Huge { .. } => i128::MAX,
        }
    }
}

impl Value {
    /// Text from a string.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }

    /// An integer that fits.
    #[must_use]
    pub fn int(value: i128) -> Self {
        Self::Int(Integer::Small(value))
    }

    /// A float, as configuration files hold them.
    #[must_use]
    pub fn real(value: f64) -> Self {
        Self::Real {
            approx: value,
            whole: whole_of(value),
        }
    }

    /// A list that can be indexed.
    #[must_use]
    pub fn list(items: Vec<Value>) -> Self {
        Self::List {
            items,
            indexable: true,
        }
    }

    /// The name this value gives as a key: text, or bytes that are UTF-8.
    #[must_use]
    pub fn as_name(&self) -> Option<&[u8]> {
        match self {
            Self::Text(bytes) => Some(bytes),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(str::as_bytes),
            Self::Member(inner) => match inner.as_ref() {
                Self::Text(bytes) => Some(bytes),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The whole number a double stands for, if it is nearer to 0 than 2^63: the hybrid takes no other.
#[must_use]
pub fn whole_of(value: f64) -> Option<i128> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if value.fract() != 0.0 || value.abs() >= LIMIT {
        return None;
    }
    // Formatting is exact for doubles, and there is no checked cast from f64 to an integer.
    format!("{value:.0}").parse().ok()
}

/// How much of a value a message shows.
const SHOWN_CHARS: usize = 60;

impl fmt::Display for Value {
    /// The value as a message shows it: on one line, shortened, with its type where that helps.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Bool(flag) | Self::ForeignBool(flag) => write!(out, "{flag}"),
            Self::Int(Integer::Small(value)) | Self::Index(Integer::Small(value)) => {
                write!(out, "{value}")
            }
            Self::Int(Integer::Huge { shown, .. }) | Self::Index(Integer::Huge { shown, .. }) => {
                write!(out, "{}", shortened(shown).escape_debug())
            }
            Self::Real { approx, .. } => write!(out, "{approx:?}"),
            Self::Text(bytes) => write!(out, "{:?}", shortened(&String::from_utf8_lossy(bytes))),
            Self::Bytes(bytes) => {
                write!(
                    out,
                    "bytes {:?}",
                    shortened(&String::from_utf8_lossy(bytes))
                )
            }
            Self::Member(inner) => write!(out, "an enum member of value {inner}"),
            Self::List {
                items,
                indexable: true,
            } => write!(out, "a list of length {}", items.len()),
            Self::List { items, .. } => {
                write!(out, "an unordered container of size {}", items.len())
            }
            Self::Map(entries) => write!(out, "a mapping of size {}", entries.len()),
            // A class may be named as it likes: escaped, its name cannot forge a log line.
            Self::Other(type_name) => {
                write!(
                    out,
                    "an object of type {}",
                    shortened(type_name).escape_debug()
                )
            }
        }
    }
}

/// `text`, cut to what a message may show, with a mark where it was cut.
pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARS) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}...", text.get(..end).unwrap_or_default())),
    }
}
