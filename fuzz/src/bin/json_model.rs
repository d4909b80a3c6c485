//! The model of `json.loads` as a program, for the test that holds it against the real one.
//!
//! A text a line, UTF-8 in hexadecimal digits; for each, a line with what the model gives, in the
//! notation that the test makes of Python's values.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, Write as _};

use retry_fuzz::json::{Json, Verdict, loads};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let text = decoded(&line?).ok_or(io::ErrorKind::InvalidData)?;
        let mut told = String::new();
        match loads(&text).verdict {
            Verdict::Value(value) => tell(&value, &mut told),
            Verdict::Refused => told.push_str("refused"),
            Verdict::TooDeep => told.push_str("too deep"),
        }
        writeln!(out, "{told}")?;
        out.flush()?;
    }
    Ok(())
}

fn decoded(line: &str) -> Option<String> {
    let digits = line.trim_end();
    let bytes: Option<Vec<u8>> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect();
    String::from_utf8(bytes?).ok()
}

fn tell(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Json::Constant(word) => out.push_str(word),
        Json::Integer(written) => tell_all("int ", written, out),
        Json::Float(written) => tell_all("float ", written, out),
        Json::Text(codes) => tell_text(codes, out),
        Json::Array(items) => {
            out.push('[');
            for item in items {
                tell(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Json::Object(pairs) => {
            out.push('{');
            for (key, value) in pairs {
                tell_text(key, out);
                out.push(':');
                tell(value, out);
                out.push(',');
            }
            out.push('}');
        }
    }
}

fn tell_all(kind: &str, written: &str, out: &mut String) {
    out.push_str(kind);
    out.push_str(written);
}

fn tell_text(codes: &[u32], out: &mut String) {
    out.push('"');
    for code in codes {
        // Writing to a string cannot fail.
        let _ = write!(out, "{code:x} ");
    }
    out.push('"');
}
