//! Names of fields as CEL can write them: Kubernetes' names have characters that CEL's have not.

/// Words that are no names.
pub(super) const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// What stands for what.
const ESCAPES: [(&str, &str); 4] = [("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")];

/// A field's name as an expression writes it; `None` if it cannot be written.
#[must_use]
pub fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|char: char| char.is_ascii_digit()) {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut escaped = String::new();
    let mut rest = name;
    while let Some(char) = rest.chars().next() {
        if let Some((plain, as_written)) = ESCAPES.iter().find(|(plain, _)| rest.starts_with(plain)) {
            escaped.push_str(as_written);
            rest = &rest[plain.len()..];
        } else if char.is_ascii_alphanumeric() || char == '_' {
            escaped.push(char);
            rest = &rest[1..];
        } else {
            return None;
        }
    }
    Some(escaped)
}

/// Whether a text can be the name of a variable.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
    begins && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !RESERVED.contains(&text)
}

/// The field's name that an expression means.
pub(super) fn unescape(written: &str) -> String {
    let whole = written.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    if let Some(word) = whole.filter(|word| RESERVED.contains(word)) {
        return word.to_owned();
    }
    let mut name = String::new();
    let mut rest = written;
    while let Some(char) = rest.chars().next() {
        if let Some((plain, as_written)) = ESCAPES.iter().find(|(_, as_written)| rest.starts_with(as_written)) {
            name.push_str(plain);
            rest = &rest[as_written.len()..];
        } else {
            name.push(char);
            rest = &rest[char.len_utf8()..];
        }
    }
    name
}
