//! JSON answers as YAML, for people who ask for it.

use serde_json::Value;

/// The media type.
pub(crate) const TYPE: &str = "application/yaml";

/// A document. What is nested deeper than JSON is read stays as it is, which is YAML as well.
pub(crate) fn document(json: &[u8]) -> Vec<u8> {
    match serde_json::from_slice(json) {
        Ok(value) => print(&value),
        Err(_) => [json, b"\n"].concat(),
    }
}

/// One element of the list at the end of a document; as deep as [`document`].
pub(crate) fn element(json: &[u8]) -> Vec<u8> {
    match serde_json::from_slice(json) {
        Ok(value) => print(&Value::Array(vec![value])),
        Err(_) => [b"- ", json, b"\n"].concat(),
    }
}

/// All of a document that stands before the elements of one of its lists. `json` is the document without them.
pub(crate) fn before(list: &str, json: &[u8]) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(json).unwrap_or_default();
    if let Value::Object(members) = &mut value {
        members.remove(list);
    }
    let mut text = print(&value);
    text.extend_from_slice(format!("{list}:\n").as_bytes());
    text
}

fn print(value: &Value) -> Vec<u8> {
    api::yaml::to_string(value).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_deep_is_json_which_is_yaml() {
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert_eq!(document(deep.as_bytes()), format!("{deep}\n").into_bytes());
        assert_eq!(element(deep.as_bytes()), format!("- {deep}\n").into_bytes());
        assert_eq!(document(br#"{"a":{"b":"yes"}}"#), b"a:\n  b: \"yes\"\n");
        assert_eq!(element(br#"{"a":{"b":1}}"#), b"- a:\n    b: 1\n");
    }
}
