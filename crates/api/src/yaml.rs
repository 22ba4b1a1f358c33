//! YAML manifests as JSON values, and back: several documents, lists taken apart, bombs and giants refused.
//!
//! Plain scalars mean what they mean to `kubectl`, which reads YAML 1.1: `0644` is 420, and `yes` and `on` are true.

#![expect(clippy::wildcard_enum_match_arm, reason = "of foreign events and of JSON only some have a form of their own")]

mod compose;
mod print;
mod scalar;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::{
    Error,
    json::{self, Parsed, Strictness},
};

pub use print::to_string;

/// The largest document, in bytes: as large as a request may be. What aliases stand for counts each time.
pub const DOCUMENT_BYTES_MAX: usize = 3 << 20;

/// The largest text, in bytes: more than any folder of manifests, less than a mistake can be.
pub const TEXT_BYTES_MAX: usize = 64 << 20;

/// The most documents of one text.
pub const DOCUMENTS_MAX: usize = 10_000;

/// How deep lists and mappings may be nested: as deep as JSON that is read.
pub const DEPTH_MAX: usize = 127;

/// Reads every document. Empty ones are skipped, and the items of a `List` stand in its place.
///
/// # Errors
/// [`Reason::BadRequest`](crate::Reason::BadRequest) with document and line, if a document is not YAML, has keys that are no
/// texts or stand twice, or is too large, too deep or larger with its aliases expanded; or if there are too many.
pub fn documents(text: &str) -> Result<Vec<Value>, Error> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::bad_request(format!("the manifests have {} bytes, more than {TEXT_BYTES_MAX}", text.len())));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let documents = match json_documents(text)? {
        Some(documents) => documents,
        None => compose::documents(text)?,
    };
    let mut values = Vec::with_capacity(documents.len());
    documents.into_iter().for_each(|document| push(document, &mut values));
    Ok(values)
}

/// Reads the one document of a text, as a request carries it. Of keys that stand twice the last counts.
///
/// # Errors
/// As [`documents`], or if there is not exactly one; if strict, naming the keys that stand twice.
pub fn parse(text: &str, strictness: Strictness) -> Result<Parsed, Error> {
    if text.trim_start().starts_with('{')
        && let Ok(parsed) = json::parse(text.as_bytes(), Strictness::Strict)
    {
        return Ok(parsed);
    }
    let (documents, duplicates) = compose::noting(text)?;
    let mut documents = documents.into_iter().filter(|document| !document.is_null());
    match (documents.next(), documents.next()) {
        (Some(value), None) => Ok(Parsed { value, duplicates: strictness.judge(duplicates)? }),
        _ => Err(Error::bad_request("the body must hold one YAML document; send each in a request of its own")),
    }
}

/// The documents, if all is JSON, which is read faster so.
fn json_documents(text: &str) -> Result<Option<Vec<Value>>, Error> {
    if !text.trim_start().starts_with('{') {
        return Ok(None);
    }
    let (mut documents, mut start) = (Vec::new(), 0);
    let mut reader = serde_json::Deserializer::from_str(text).into_iter();
    while let Some(document) = reader.next() {
        let Ok(document) = document else { return Ok(None) };
        if reader.byte_offset() - start > DOCUMENT_BYTES_MAX {
            return Err(too_large(documents.len() + 1));
        }
        if documents.len() >= DOCUMENTS_MAX {
            return Err(too_many());
        }
        // What stands twice is found by the reader of YAML, which knows the line.
        if json::parse(&text.as_bytes()[start..reader.byte_offset()], Strictness::Strict).is_err() {
            return Ok(None);
        }
        start = reader.byte_offset();
        documents.push(document);
    }
    Ok(Some(documents))
}

fn too_large(number: usize) -> Error {
    Error::bad_request(format!("document {number}: larger than {DOCUMENT_BYTES_MAX} bytes; split it"))
}

fn too_many() -> Error {
    Error::bad_request(format!("more than {DOCUMENTS_MAX} documents; apply them in parts"))
}

fn push(value: Value, into: &mut Vec<Value>) {
    match value {
        Value::Null => {}
        Value::Object(mut fields) if is_list(&fields) => match fields.remove("items") {
            Some(Value::Array(items)) => items.into_iter().for_each(|item| push(item, into)),
            _ => into.push(Value::Object(fields)),
        },
        value => into.push(value),
    }
}

/// `kind: List`, and `PodList` and its like.
fn is_list(fields: &serde_json::Map<String, Value>) -> bool {
    let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default();
    kind.ends_with("List") && fields.get("items").is_some_and(Value::is_array)
}
