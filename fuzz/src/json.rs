//! A model of Python's `json.loads`: slow, plain, and step for step as `CPython`'s decoder works.
//!
//! It knows nothing of retries and shares no code with the reader that it is held against. It
//! recurses, builds every value, and walks code points, where that reader does none of these.

/// Nesting from which the model gives up, so that it never runs out of stack itself. Beyond the
/// depth from which the reader gives up.
pub const DEEPEST: usize = 2_100;

/// What `json.loads` gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// `NaN`, `Infinity`, `-Infinity`.
    Constant(&'static str),
    /// An integer, as it is written.
    Integer(String),
    /// A float, as it is written.
    Float(String),
    /// Text, by code points: Python's texts may hold surrogates.
    Text(Vec<u32>),
    /// An array.
    Array(Vec<Json>),
    /// An object, its keys as often as they are written.
    Object(Vec<(Vec<u32>, Json)>),
}

impl Json {
    /// The value that a dict made of this object has under `key`: the last one counts.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(pairs) = self else {
            return None;
        };
        let key: Vec<u32> = key.chars().map(u32::from).collect();
        pairs
            .iter()
            .rev()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }
}

/// How reading ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// With a value.
    Value(Json),
    /// With an error.
    Refused,
    /// Deeper than [`DEEPEST`], where the model does not follow.
    TooDeep,
}

/// What was read, and how much the text asked of its reader up to where reading ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// How it ended.
    pub verdict: Verdict,
    /// Containers within each other; the outermost is one.
    pub depth: usize,
    /// Digits of the longest integer.
    pub digits: usize,
}

/// Reads `text`.
#[must_use]
pub fn loads(text: &str) -> Reading {
    let mut decoder = Decoder {
        text: text.chars().collect(),
        depth: 0,
        digits: 0,
    };
    let verdict = match decoder.decode() {
        Ok(value) => Verdict::Value(value),
        Err(Stop::Refused) => Verdict::Refused,
        Err(Stop::TooDeep) => Verdict::TooDeep,
    };
    Reading {
        verdict,
        depth: decoder.depth,
        digits: decoder.digits,
    }
}

enum Stop {
    Refused,
    TooDeep,
}

/// A value, and where the text goes on behind it.
type Step<T> = Result<(T, usize), Stop>;

struct Decoder {
    text: Vec<char>,
    depth: usize,
    digits: usize,
}

impl Decoder {
    fn at(&self, index: usize) -> Option<char> {
        self.text.get(index).copied()
    }

    /// `JSONDecoder.decode`: white space, one value, white space, and the end.
    fn decode(&mut self) -> Result<Json, Stop> {
        // `json.loads` refuses a byte order mark before it decodes.
        if self.at(0) == Some('\u{feff}') {
            return Err(Stop::Refused);
        }
        let (value, end) = self.scan_once(self.space(0), 0)?;
        if self.space(end) == self.text.len() {
            Ok(value)
        } else {
            Err(Stop::Refused)
        }
    }

    fn space(&self, mut index: usize) -> usize {
        while matches!(self.at(index), Some(' ' | '\t' | '\n' | '\r')) {
            index += 1;
        }
        index
    }

    fn scan_once(&mut self, index: usize, outside: usize) -> Step<Json> {
        match self.at(index) {
            Some('"') => {
                let (text, end) = self.scan_string(index + 1)?;
                Ok((Json::Text(text), end))
            }
            Some('{') => {
                let depth = self.enter(outside)?;
                self.object(index + 1, depth)
            }
            Some('[') => {
                let depth = self.enter(outside)?;
                self.array(index + 1, depth)
            }
            Some(_) => self.word(index).map_or_else(|| self.number(index), Ok),
            None => Err(Stop::Refused),
        }
    }

    fn enter(&mut self, outside: usize) -> Result<usize, Stop> {
        let depth = outside + 1;
        self.depth = self.depth.max(depth);
        if depth > DEEPEST {
            return Err(Stop::TooDeep);
        }
        Ok(depth)
    }

    fn word(&self, index: usize) -> Option<(Json, usize)> {
        [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("NaN", Json::Constant("NaN")),
            ("Infinity", Json::Constant("Infinity")),
            ("-Infinity", Json::Constant("-Infinity")),
        ]
        .into_iter()
        .find(|(word, _)| {
            word.chars()
                .enumerate()
                .all(|(offset, wanted)| self.at(index + offset) == Some(wanted))
        })
        .map(|(word, value)| (value, index + word.len()))
    }

    /// `JSONObject`, behind the brace.
    fn object(&mut self, start: usize, depth: usize) -> Step<Json> {
        let mut pairs = Vec::new();
        let mut index = self.space(start);
        if self.at(index) == Some('}') {
            return Ok((Json::Object(pairs), index + 1));
        }
        loop {
            if self.at(index) != Some('"') {
                return Err(Stop::Refused);
            }
            let (key, behind_key) = self.scan_string(index + 1)?;
            index = self.space(behind_key);
            if self.at(index) != Some(':') {
                return Err(Stop::Refused);
            }
            let (value, behind_value) = self.scan_once(self.space(index + 1), depth)?;
            pairs.push((key, value));
            index = self.space(behind_value);
            match self.at(index) {
                Some('}') => return Ok((Json::Object(pairs), index + 1)),
                Some(',') => index = self.space(index + 1),
                _ => return Err(Stop::Refused),
            }
        }
    }

    /// `JSONArray`, behind the bracket.
    fn array(&mut self, start: usize, depth: usize) -> Step<Json> {
        let mut items = Vec::new();
        let mut index = self.space(start);
        if self.at(index) == Some(']') {
            return Ok((Json::Array(items), index + 1));
        }
        loop {
            let (item, behind) = self.scan_once(index, depth)?;
            items.push(item);
            index = self.space(behind);
            match self.at(index) {
                Some(']') => return Ok((Json::Array(items), index + 1)),
                Some(',') => index = self.space(index + 1),
                _ => return Err(Stop::Refused),
            }
        }
    }

    /// `scanstring`, strict, behind the quote.
    fn scan_string(&self, mut index: usize) -> Step<Vec<u32>> {
        let mut text = Vec::new();
        loop {
            let found = self.at(index).ok_or(Stop::Refused)?;
            index += 1;
            match found {
                '"' => return Ok((text, index)),
                '\\' => {
                    let (code, end) = self.escape(index)?;
                    text.push(code);
                    index = end;
                }
                '\0'..='\u{1f}' => return Err(Stop::Refused),
                other => text.push(u32::from(other)),
            }
        }
    }

    fn escape(&self, index: usize) -> Step<u32> {
        let plain = match self.at(index) {
            Some(same @ ('"' | '\\' | '/')) => same,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => return self.unicode(index + 1),
            _ => return Err(Stop::Refused),
        };
        Ok((u32::from(plain), index + 1))
    }

    /// Four digits, and four more where the two are a pair of surrogates.
    fn unicode(&self, index: usize) -> Step<u32> {
        let high = self.four_digits(index).ok_or(Stop::Refused)?;
        let end = index + 4;
        if (0xd800..=0xdbff).contains(&high)
            && self.at(end) == Some('\\')
            && self.at(end + 1) == Some('u')
            && let Some(low) = self.four_digits(end + 2)
            && (0xdc00..=0xdfff).contains(&low)
        {
            let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            return Ok((code, end + 6));
        }
        Ok((high, end))
    }

    fn four_digits(&self, index: usize) -> Option<u32> {
        (index..index + 4).try_fold(0, |code, index| {
            Some(code * 16 + self.at(index)?.to_digit(16)?)
        })
    }

    /// `NUMBER_RE`: an integer, and a fraction and an exponent where they are whole.
    fn number(&mut self, start: usize) -> Step<Json> {
        let first = start + usize::from(self.at(start) == Some('-'));
        let whole = match self.at(first) {
            Some('0') => first + 1,
            Some('1'..='9') => self.behind_digits(first),
            _ => return Err(Stop::Refused),
        };
        let mut end = whole;
        if self.at(end) == Some('.') && self.behind_digits(end + 1) > end + 1 {
            end = self.behind_digits(end + 1);
        }
        if matches!(self.at(end), Some('e' | 'E')) {
            let signed = matches!(self.at(end + 1), Some('+' | '-'));
            let digits = end + 1 + usize::from(signed);
            if self.behind_digits(digits) > digits {
                end = self.behind_digits(digits);
            }
        }
        let written: String = self.text.iter().take(end).skip(start).collect();
        if end > whole {
            return Ok((Json::Float(written), end));
        }
        self.digits = self.digits.max(whole - first);
        Ok((Json::Integer(written), end))
    }

    fn behind_digits(&self, mut index: usize) -> usize {
        while matches!(self.at(index), Some('0'..='9')) {
            index += 1;
        }
        index
    }
}
