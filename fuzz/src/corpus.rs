//! Stored inputs, as `run/corpora.py` writes them: one a line, printable ASCII as it is, a backslash
//! doubled, any other byte escaped as in a byte string; `#` begins a comment line.

use std::fs;
use std::path::Path;

/// The inputs of the corpus at `path`.
///
/// # Errors
///
/// The file cannot be read, or a line is no escaped byte string; the message says which.
pub fn read(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let stored =
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    stored
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with('#'))
        .map(|(index, line)| {
            unescaped(line)
                .ok_or_else(|| format!("{}:{}: no byte string: {line}", path.display(), index + 1))
        })
        .collect()
}

fn unescaped(line: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = line.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        let (&kind, behind) = rest.split_first()?;
        rest = behind;
        bytes.push(match kind {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'\\' => kind,
            b'x' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                rest = behind;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            _ => return None,
        });
    }
    Some(bytes)
}
