//! Reads the two signals out of a text that may be JSON.
//!
//! The judge of what is JSON is Python's `json.loads`, which the hybrid calls: it takes NaN and
//! Infinity, lone surrogate escapes and integers of any size, and of duplicate keys the last one
//! wins. This reader takes and refuses the same texts, but builds nothing: it walks the text once,
//! without recursion, and remembers the two keys of the outermost object.
//!
//! Where `json.loads` can raise something other than "not JSON" (nesting too deep, integers of
//! too many digits, both by limits that a process may move), the reader answers
//! [`Reading::BeyondLimits`] well before, and leaves the verdict to the caller, who learns from
//! [`demand`] what the text takes.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::failure::{Signals, StatusCode};

/// Nesting from which the reader gives up. Python's own limit is hundreds of levels further.
pub const MAX_DEPTH: usize = 256;
/// Digits of an integer from which the reader gives up: the least that Python's own limit
/// (`sys.set_int_max_str_digits`) can be set to.
pub const MAX_INTEGER_DIGITS: usize = 640;
/// Nesting from which no reader is asked, whatever its limit: twice Python's own one. Its reader
/// takes some 130 bytes of the stack a level, so that a process that has moved the limit far up
/// would end at the nesting of a text that a stranger sent (ledger: text-limits).
pub const MOST_DEPTH: usize = 2_000;
/// Digits of an integer from which no reader is asked: Python's own limit. What reading more of
/// them takes grows with their square (ledger: text-limits).
pub const MOST_INTEGER_DIGITS: usize = 4_300;

/// What a text turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A JSON object, and its signals.
    Object(Signals),
    /// No JSON, JSON but no object, or an object that gives no signal.
    Nothing,
    /// Nested deeper than [`MAX_DEPTH`] or with an integer longer than [`MAX_INTEGER_DIGITS`].
    BeyondLimits,
}

/// Reads `text` as `json.loads` would.
///
/// # Examples
///
/// ```
/// use retry_core::text::{Reading, read};
///
/// let Reading::Object(signals) = read(r#"{"status_code": 503, "latency": NaN}"#) else {
///     panic!("an object");
/// };
/// assert!(signals.status.is_some());
/// assert_eq!(read("HTTP 503"), Reading::Nothing);
/// ```
#[must_use]
pub fn read(text: &str) -> Reading {
    if !may_hold_a_signal(text.as_bytes()) {
        return Reading::Nothing;
    }
    let mut reader = Reader::new(text, MAX_DEPTH, MAX_INTEGER_DIGITS);
    match reader.outermost_object() {
        Ok(signals) => Reading::Object(signals),
        Err(Stop::NotJson) => Reading::Nothing,
        Err(Stop::BeyondLimits) => Reading::BeyondLimits,
    }
}

/// What a text beyond the limits takes, and what it says to whoever can take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Levels of nesting, the outermost object included.
    pub depth: usize,
    /// Digits of its longest integer.
    pub digits: usize,
    /// Its signals.
    pub signals: Signals,
}

/// Reads a text for which [`read`] answered [`Reading::BeyondLimits`] to its end.
///
/// `None` where it is no JSON after all, or beyond [`MOST_DEPTH`] or [`MOST_INTEGER_DIGITS`].
///
/// # Examples
///
/// ```
/// use retry_core::text::{demand, read, Reading};
///
/// let text = format!(r#"{{"isError": true, "a": {}0{}}}"#, "[".repeat(300), "]".repeat(300));
/// assert_eq!(read(&text), Reading::BeyondLimits);
/// assert_eq!(demand(&text).map(|demand| demand.depth), Some(301));
/// ```
#[must_use]
pub fn demand(text: &str) -> Option<Demand> {
    let mut reader = Reader::new(text, MOST_DEPTH, MOST_INTEGER_DIGITS);
    let signals = reader.outermost_object().ok()?;
    Some(Demand {
        depth: reader.deepest,
        digits: reader.longest,
        signals,
    })
}

const ERROR_KEY: &[u8] = b"isError";
const STATUS_KEY: &[u8] = b"status_code";
/// How an escape of an ASCII character begins.
const ESCAPE: &[u8] = br"\u00";
/// The longer key with each of its letters escaped. What is longer spells neither.
const LONGEST_SPELLING: usize = STATUS_KEY.len() * br"\u0000".len();

static ERROR_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(ERROR_KEY));
static STATUS_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(STATUS_KEY));
static ESCAPE_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(ESCAPE));

/// Whether the text could hold one of the keys at all; most tool output does not.
///
/// INVARIANT: both keys are ASCII letters and underscores. The only JSON escapes that spell one of
/// those are `\u004x` to `\u007x`. A text with neither key nor such an escape gives no signal, JSON
/// or not.
fn may_hold_a_signal(bytes: &[u8]) -> bool {
    ERROR_FINDER.find(bytes).is_some()
        || STATUS_FINDER.find(bytes).is_some()
        || ESCAPE_FINDER.find_iter(bytes).any(|at| {
            let digit = bytes.get(at.saturating_add(ESCAPE.len()));
            matches!(digit, Some(b'4'..=b'7'))
        })
}

/// Why reading ended early.
enum Stop {
    NotJson,
    BeyondLimits,
}

type Step<T> = Result<T, Stop>;

/// What a value was, as far as a signal needs it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scalar {
    True,
    False,
    Integer(StatusCode),
    /// Any other value: it counts neither as a flag nor as a status.
    Other,
}

impl Scalar {
    /// Python's `isinstance(value, int)`: booleans are integers there.
    fn as_status(self) -> Option<StatusCode> {
        match self {
            Self::True => Some(StatusCode::new(1)),
            Self::False => Some(StatusCode::new(0)),
            Self::Integer(code) => Some(code),
            Self::Other => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Error,
    Status,
    Other,
}

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
    max_depth: usize,
    max_digits: usize,
    /// Levels met so far, and digits of the longest integer.
    deepest: usize,
    longest: usize,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, max_depth: usize, max_digits: usize) -> Self {
        Self {
            bytes: text.as_bytes(),
            at: 0,
            max_depth,
            max_digits,
            deepest: 1,
            longest: 0,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn advance(&mut self, by: usize) {
        // INVARIANT: `at` never exceeds the length by more than a literal; lengths fit usize.
        self.at = self.at.saturating_add(by);
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.advance(1);
        }
        found
    }

    fn expect(&mut self, wanted: u8) -> Step<()> {
        if self.take(wanted) {
            Ok(())
        } else {
            Err(Stop::NotJson)
        }
    }

    fn take_literal(&mut self, literal: &[u8]) -> bool {
        let found = self
            .bytes
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(literal));
        if found {
            self.advance(literal.len());
        }
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.advance(1);
        }
    }

    /// The whole text: one object and nothing but white space around it.
    fn outermost_object(&mut self) -> Step<Signals> {
        let mut signals = Signals::default();
        self.skip_space();
        self.expect(b'{')?;
        self.skip_space();
        if !self.take(b'}') {
            loop {
                let key = self.key()?;
                let value = self.value()?;
                // The last of duplicate keys wins, also when it takes a signal back.
                match key {
                    Key::Error => signals.error = value == Scalar::True,
                    Key::Status => signals.status = value.as_status(),
                    Key::Other => {}
                }
                self.skip_space();
                if self.take(b'}') {
                    break;
                }
                self.expect(b',')?;
                self.skip_space();
            }
        }
        self.skip_space();
        if self.peek().is_some() {
            return Err(Stop::NotJson);
        }
        Ok(signals)
    }

    /// A key and the colon behind it, up to the start of the value.
    fn key(&mut self) -> Step<Key> {
        self.expect(b'"')?;
        let start = self.at;
        let escaped = self.string_rest()?;
        // INVARIANT: string_rest ends just behind the closing quote.
        let raw = self
            .bytes
            .get(start..self.at.saturating_sub(1))
            .unwrap_or_default();
        let key = if escaped && raw.len() <= LONGEST_SPELLING {
            Key::of(&unescaped_ascii(raw))
        } else {
            Key::of(raw)
        };
        self.skip_space();
        self.expect(b':')?;
        Ok(key)
    }

    /// One value of any depth; containers are walked with a stack of their own.
    fn value(&mut self) -> Step<Scalar> {
        let mut open: Vec<Container> = Vec::new();
        loop {
            self.skip_space();
            let scalar = match self.peek() {
                Some(b'{') => {
                    self.go_deeper(&open)?;
                    self.advance(1);
                    self.skip_space();
                    if !self.take(b'}') {
                        open.push(Container::Object);
                        self.key()?;
                        continue;
                    }
                    Scalar::Other
                }
                Some(b'[') => {
                    self.go_deeper(&open)?;
                    self.advance(1);
                    self.skip_space();
                    if !self.take(b']') {
                        open.push(Container::Array);
                        continue;
                    }
                    Scalar::Other
                }
                _ => self.scalar()?,
            };
            if open.is_empty() {
                return Ok(scalar);
            }
            self.close(&mut open)?;
            if open.is_empty() {
                return Ok(Scalar::Other);
            }
        }
    }

    /// Refuses one more level inside `open` where that would be too deep.
    fn go_deeper(&mut self, open: &[Container]) -> Step<()> {
        // The outermost object and the container that is being entered count as well.
        let depth = open.len().saturating_add(2);
        if depth > self.max_depth {
            return Err(Stop::BeyondLimits);
        }
        self.deepest = self.deepest.max(depth);
        Ok(())
    }

    /// Behind a value: closes the containers that end here, up to the next value.
    fn close(&mut self, open: &mut Vec<Container>) -> Step<()> {
        while let Some(container) = open.last().copied() {
            self.skip_space();
            let end = match container {
                Container::Object => b'}',
                Container::Array => b']',
            };
            if self.take(end) {
                open.pop();
                continue;
            }
            self.expect(b',')?;
            if container == Container::Object {
                self.skip_space();
                self.key()?;
            }
            return Ok(());
        }
        Ok(())
    }

    fn scalar(&mut self) -> Step<Scalar> {
        if self.take(b'"') {
            self.string_rest()?;
            return Ok(Scalar::Other);
        }
        for (literal, scalar) in [
            (b"true".as_slice(), Scalar::True),
            (b"false", Scalar::False),
            (b"null", Scalar::Other),
            (b"NaN", Scalar::Other),
            (b"Infinity", Scalar::Other),
            (b"-Infinity", Scalar::Other),
        ] {
            if self.take_literal(literal) {
                return Ok(scalar);
            }
        }
        self.number()
    }

    fn number(&mut self) -> Step<Scalar> {
        let start = self.at;
        self.take(b'-');
        let digits = if self.take(b'0') {
            1
        } else {
            self.skip_digits()?
        };
        let mut whole = true;
        if self.take(b'.') {
            self.skip_digits()?;
            whole = false;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.advance(1);
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.advance(1);
            }
            self.skip_digits()?;
            whole = false;
        }
        if !whole {
            return Ok(Scalar::Other);
        }
        if digits > self.max_digits {
            return Err(Stop::BeyondLimits);
        }
        self.longest = self.longest.max(digits);
        let text = self.bytes.get(start..self.at).unwrap_or_default();
        let code = std::str::from_utf8(text)
            .ok()
            .and_then(|number| number.parse().ok())
            .map_or(StatusCode::OUT_OF_RANGE, StatusCode::new);
        Ok(Scalar::Integer(code))
    }

    /// One digit or more; how many.
    fn skip_digits(&mut self) -> Step<usize> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.advance(1);
        }
        match self.at.saturating_sub(start) {
            0 => Err(Stop::NotJson),
            digits => Ok(digits),
        }
    }

    /// A string behind its opening quote, closing quote included; whether it holds an escape.
    fn string_rest(&mut self) -> Step<bool> {
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let plain = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
                .ok_or(Stop::NotJson)?;
            self.advance(plain);
            match self.peek() {
                Some(b'"') => {
                    self.advance(1);
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    self.advance(1);
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(Stop::NotJson),
            }
        }
    }

    /// An escape behind its backslash. Surrogates need not be paired.
    fn escape(&mut self) -> Step<()> {
        let Some(byte) = self.peek() else {
            return Err(Stop::NotJson);
        };
        self.advance(1);
        match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                for _ in 0..4 {
                    if !self.peek().is_some_and(|digit| digit.is_ascii_hexdigit()) {
                        return Err(Stop::NotJson);
                    }
                    self.advance(1);
                }
                Ok(())
            }
            _ => Err(Stop::NotJson),
        }
    }
}

impl Key {
    fn of(name: &[u8]) -> Self {
        match name {
            ERROR_KEY => Self::Error,
            STATUS_KEY => Self::Status,
            _ => Self::Other,
        }
    }
}

/// `raw` with its `\u00xx` escapes of ASCII resolved; any other escape becomes a byte that no
/// signal's key holds, which is all that comparing with those keys needs.
fn unescaped_ascii(raw: &[u8]) -> Vec<u8> {
    const NO_KEY_HAS_THIS: u8 = b'"';
    let mut name = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'\\' {
            name.push(byte);
            rest = tail;
            continue;
        }
        let (resolved, behind) = match tail {
            [b'u', digits @ ..] => {
                let (code, behind) = digits.split_at_checked(4).unwrap_or((digits, &[]));
                let resolved = std::str::from_utf8(code)
                    .ok()
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok())
                    .filter(u8::is_ascii);
                (resolved, behind)
            }
            [_, behind @ ..] => (None, behind),
            [] => (None, tail),
        };
        name.push(resolved.unwrap_or(NO_KEY_HAS_THIS));
        rest = behind;
    }
    name
}
