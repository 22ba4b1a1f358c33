//! YAML manifests as JSON values: several documents, lists taken apart, bombs and giants refused.

use serde::Deserialize as _;
use serde_json::Value;

use crate::Error;

/// The largest text, in bytes: twice what a request may have, since folders of manifests are read whole.
pub const TEXT_BYTES_MAX: usize = 64 << 20;

/// The most documents of one text.
pub const DOCUMENTS_MAX: usize = 10_000;

/// Reads every document. Empty ones are skipped, and the items of a `List` stand in its place.
///
/// # Errors
/// [`Reason::BadRequest`](crate::Reason::BadRequest) with the line, if a document is not YAML, has keys that are no texts or
/// stand twice, or expands to more than it says; or if there are too many.
pub fn documents(text: &str) -> Result<Vec<Value>, Error> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::bad_request(format!("the manifests have {} bytes, more than {TEXT_BYTES_MAX}", text.len())));
    }
    let mut values = Vec::new();
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        if index >= DOCUMENTS_MAX {
            return Err(Error::bad_request(format!("more than {DOCUMENTS_MAX} documents; apply them in parts")));
        }
        let value = Value::deserialize(document)
            .map_err(|error| Error::bad_request(format!("document {}: {error}", index + 1)))?;
        push(value, &mut values);
    }
    Ok(values)
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::documents;

    #[test]
    fn documents_and_lists_come_one_by_one() {
        let text = "---\n# nothing\n---\na: 1\n---\nkind: List\nitems:\n- b: 2\n- c: {d: [x, 3.5, true, null]}\n";
        assert_eq!(
            documents(text).unwrap(),
            [json!({"a": 1}), json!({"b": 2}), json!({"c": {"d": ["x", 3.5, true, null]}})]
        );
        assert_eq!(documents("{\"a\": \"json\"}").unwrap(), [json!({"a": "json"})]);
        assert!(documents("").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let error = |text: &str| documents(text).unwrap_err().message;
        assert!(error("a: 1\n---\nb: [1\n").starts_with("document 2: "), "{}", error("a: 1\n---\nb: [1\n"));
        assert!(error("a:\n\tb: 1\n").contains("line 2"), "{}", error("a:\n\tb: 1\n"));
    }

    #[test]
    fn a_document_that_expands_without_end_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", ")));
        }
        assert!(documents(&bomb).unwrap_err().message.contains("repetition limit"));
    }
}
