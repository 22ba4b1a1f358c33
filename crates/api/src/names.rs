//! The syntax of names, labels and keys. Every check answers with what is wrong; nothing means valid.

/// A check of this file.
pub type Syntax = fn(&str) -> Vec<String>;

/// The longest DNS label, in bytes.
pub const LABEL_BYTES_MAX: usize = 63;
/// The longest DNS name, in bytes.
pub const SUBDOMAIN_BYTES_MAX: usize = 253;
/// The longest part of a label's key after the slash, and the longest label value, in bytes.
pub const LABEL_NAME_BYTES_MAX: usize = 63;

fn too_long(text: &str, bytes_max: usize) -> Option<String> {
    (text.len() > bytes_max).then(|| format!("must be no more than {bytes_max} bytes"))
}

fn lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Whether `text` is not empty, begins and ends with `edge` and has only `edge` and `inner` between.
fn framed(text: &str, edge: fn(u8) -> bool, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    edge(*first) && edge(*last) && bytes.iter().all(|byte| edge(*byte) || inner.contains(byte))
}

fn is_dns_label(text: &str) -> bool {
    framed(text, lower_alphanumeric, b"-")
}

/// An RFC 1123 label: names of namespaces, containers, volumes.
#[must_use]
pub fn dns_label(text: &str) -> Vec<String> {
    let syntax = (!is_dns_label(text)).then(|| {
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
         with an alphanumeric character (e.g. 'my-name' or '123-abc')"
            .to_owned()
    });
    too_long(text, LABEL_BYTES_MAX).into_iter().chain(syntax).collect()
}

/// An RFC 1123 subdomain: names of most objects.
#[must_use]
pub fn dns_subdomain(text: &str) -> Vec<String> {
    let syntax = (!text.split('.').all(is_dns_label)).then(|| {
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
         and end with an alphanumeric character (e.g. 'example.com')"
            .to_owned()
    });
    too_long(text, SUBDOMAIN_BYTES_MAX).into_iter().chain(syntax).collect()
}

/// An RFC 1035 label: names of Services.
#[must_use]
pub fn dns_1035_label(text: &str) -> Vec<String> {
    let valid = is_dns_label(text) && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    let syntax = (!valid).then(|| {
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
         character, and end with an alphanumeric character (e.g. 'my-name' or 'abc-123')"
            .to_owned()
    });
    too_long(text, LABEL_BYTES_MAX).into_iter().chain(syntax).collect()
}

/// What may stand between two slashes of a URL: names of roles and bindings, such as `system:node`.
#[must_use]
pub fn path_segment(text: &str) -> Vec<String> {
    let dots = matches!(text, "." | "..").then(|| format!("may not be '{text}'"));
    let inside =
        ['/', '%'].into_iter().filter(|char| text.contains(*char)).map(|char| format!("may not contain '{char}'"));
    let control = text.contains(char::is_control).then(|| "may not contain control characters".to_owned());
    too_long(text, SUBDOMAIN_BYTES_MAX).into_iter().chain(dots).chain(inside).chain(control).collect()
}

/// A label's or annotation's key: `name`, or `dns.prefix/name`.
#[must_use]
pub fn qualified(text: &str) -> Vec<String> {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let mut wrong = Vec::new();
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            wrong.push("prefix part must be non-empty".to_owned());
        } else {
            wrong.extend(dns_subdomain(prefix).into_iter().map(|why| format!("prefix part {why}")));
        }
    }
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    }
    wrong.extend(too_long(name, LABEL_NAME_BYTES_MAX).map(|why| format!("name part {why}")));
    if !framed(name, |byte| byte.is_ascii_alphanumeric(), b"-_.") {
        wrong.push(
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
             alphanumeric character (e.g. 'MyName' or 'my.name' or '123-abc')"
                .to_owned(),
        );
    }
    wrong
}

/// A label's value; may be empty.
#[must_use]
pub fn label_value(text: &str) -> Vec<String> {
    let valid = text.is_empty() || framed(text, |byte| byte.is_ascii_alphanumeric(), b"-_.");
    let syntax = (!valid).then(|| {
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start \
         and end with an alphanumeric character (e.g. 'MyValue' or 'my_value' or '12345')"
            .to_owned()
    });
    too_long(text, LABEL_NAME_BYTES_MAX).into_iter().chain(syntax).collect()
}

/// A key of a ConfigMap or Secret: also a file name.
#[must_use]
pub fn config_key(text: &str) -> Vec<String> {
    let valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let syntax = (!valid).then(|| {
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name' or 'KEY_NAME')"
            .to_owned()
    });
    let dots = (text == "." || text.starts_with("..")).then(|| "must not be '.' or start with '..'".to_owned());
    too_long(text, SUBDOMAIN_BYTES_MAX).into_iter().chain(syntax).chain(dots).collect()
}

/// The name of an environment variable: printable ASCII without `=`.
#[must_use]
pub fn env_name(text: &str) -> Vec<String> {
    let valid = !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=');
    let syntax = (!valid).then(|| {
        "a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned()
    });
    syntax.into_iter().collect()
}

/// The name of a port: an RFC 6335 service name.
#[must_use]
pub fn port_name(text: &str) -> Vec<String> {
    let mut wrong: Vec<String> = Vec::new();
    if text.len() > 15 {
        wrong.push("must be no more than 15 characters".to_owned());
    }
    if !framed(text, lower_alphanumeric, b"-") {
        wrong.push("must contain only lower case alphanumeric characters and '-', and start and end with an alphanumeric character".to_owned());
    } else if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        wrong.push("must not contain consecutive hyphens".to_owned());
    }
    wrong
}
