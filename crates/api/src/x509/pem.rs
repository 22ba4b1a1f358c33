//! PEM: bytes as text between lines that say what they are. Read as Go's library does, which skips what it cannot read.

use base64::{Engine as _, prelude::BASE64_STANDARD};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// How many letters of base64 stand on a line.
const LINE: usize = 64;

/// What stood between two such lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What it says that it is.
    pub label: String,
    /// Whether lines `Name: value` stood before the bytes.
    pub has_headers: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The blocks of a text, one after the other.
pub fn blocks(text: &[u8]) -> impl Iterator<Item = Block> + '_ {
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end()).peekable();
    std::iter::from_fn(move || {
        loop {
            let Some(label) = label(lines.next()?, BEGIN) else { continue };
            let (mut body, mut has_headers) = (Vec::new(), false);
            while let Some(line) = lines.next_if(|line| !line.starts_with(DASHES.as_bytes())) {
                if body.is_empty() && line.contains(&b':') {
                    has_headers = true;
                } else {
                    body.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
                }
            }
            let ends = lines.peek().is_some_and(|line| self::label(line, END) == Some(label));
            if let (true, Ok(bytes)) = (ends, BASE64_STANDARD.decode(body)) {
                lines.next();
                return Some(Block { label: label.to_owned(), has_headers, bytes });
            }
        }
    })
}

/// The text of a block.
#[must_use]
pub fn encode(label: &str, bytes: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(bytes);
    let mut text = format!("{BEGIN}{label}{DASHES}\n");
    for line in base64.as_bytes().chunks(LINE) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + &format!("{END}{label}{DASHES}\n")
}

/// What a line says that begins or ends a block.
fn label<'a>(line: &'a [u8], before: &str) -> Option<&'a str> {
    std::str::from_utf8(line).ok()?.strip_prefix(before)?.strip_suffix(DASHES)
}
