//! Values as YAML, in the style of `kubectl`, and such that every reader of YAML 1.1 or 1.2 reads the same.

use serde_json::{Map, Value};

use super::scalar;

/// Spaces that a mapping in a mapping is moved to the right.
const INDENT: usize = 2;

/// Writes a value as one document.
#[must_use]
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => mapping(fields, 0, false, &mut out),
        Value::Array(items) if !items.is_empty() => sequence(items, 0, false, &mut out),
        leaf => {
            scalar(leaf, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

/// The fields, one a line. `begun`: the first stands behind a dash, where its indentation is already.
fn mapping(fields: &Map<String, Value>, indent: usize, begun: bool, out: &mut String) {
    for (index, (key, value)) in fields.iter().enumerate() {
        if index > 0 || !begun {
            pad(indent, out);
        }
        text(key, out);
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                mapping(inner, indent + INDENT, false, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                sequence(items, indent, false, out);
            }
            leaf => {
                out.push(' ');
                scalar(leaf, indent + INDENT, out);
                out.push('\n');
            }
        }
    }
}

fn sequence(items: &[Value], indent: usize, begun: bool, out: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 || !begun {
            pad(indent, out);
        }
        out.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => mapping(inner, indent + INDENT, true, out),
            Value::Array(inner) if !inner.is_empty() => sequence(inner, indent + INDENT, true, out),
            leaf => {
                scalar(leaf, indent + INDENT, out);
                out.push('\n');
            }
        }
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::String(lines) if is_block(lines) => block(lines, indent, out),
        Value::String(words) => text(words, out),
        // Numbers, truth values, `null`, `[]` and `{}` are written as in JSON.
        other => out.push_str(&other.to_string()),
    }
}

/// Whether a text is shown line by line. Lines that begin or end with spaces would need more care than they are worth.
fn is_block(text: &str) -> bool {
    let line_is_fine = |line: &str| line.trim_end() == line && line.chars().all(is_printable);
    text.contains('\n') && !text.starts_with([' ', '\t', '\n']) && text.split('\n').all(line_is_fine)
}

fn block(text: &str, indent: usize, out: &mut String) {
    let body = text.strip_suffix('\n');
    out.push_str(match body {
        None => "|-",
        Some(body) if body.ends_with('\n') => "|+",
        Some(_) => "|",
    });
    for line in body.unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(indent, out);
            out.push_str(line);
        }
    }
}

fn text(text: &str, out: &mut String) {
    if is_plain(text) {
        out.push_str(text);
        return;
    }
    for letter in Value::from(text).to_string().chars() {
        if is_printable(letter) {
            out.push(letter);
        } else {
            out.push_str(&format!("\\u{:04x}", u32::from(letter)));
        }
    }
}

/// Whether a text needs no quotes. Those that some reader takes for something else get them.
fn is_plain(text: &str) -> bool {
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric() || matches!(first, '/' | '_'));
    let letters_are_fine =
        text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./:@+=,;()%^~$ ".contains(letter));
    let ends_well = !text.ends_with([' ', ':']);
    begins_well && letters_are_fine && ends_well && !text.contains(": ") && !looks_special(text)
}

/// Words and numbers of YAML 1.1, times included, also those that are texts here.
fn looks_special(text: &str) -> bool {
    let numeric = text.starts_with(|first: char| first.is_ascii_digit())
        && text.chars().all(|letter| letter.is_ascii_digit() || "_:.-TZ+ ".contains(letter));
    let is_text = matches!(scalar::resolve(text), Ok(Value::String(_)));
    !is_text || numeric
}

/// Whether YAML takes a letter as it is, and as no line end.
fn is_printable(letter: char) -> bool {
    !letter.is_control() && !matches!(letter, '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}')
}
