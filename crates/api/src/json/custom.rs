//! Objects of kinds that users define: their metadata as everywhere, and the rest as the text that is kept.

use serde_json::{Map, Value};

use super::{Decoded, Otherwise, Quotes, Strictness, encode_metadata, message, text, write_metadata};
use crate::{
    Error, Served, encoded,
    object::{CustomObject, KindInfo},
};

/// Members that are not part of the text.
const OUTSIDE: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// An object as a value.
pub(super) fn encode(info: &KindInfo, object: &CustomObject) -> Value {
    let mut members = object.members();
    // Whoever got it from a master knows no version but the one that it says itself.
    let says_itself = info.version.is_empty() && !object.api_version.is_empty();
    let api_version = if says_itself { object.api_version.clone() } else { info.api_version() };
    members.insert("apiVersion".to_owned(), api_version.into());
    members.insert("kind".to_owned(), info.kind.into());
    members.insert("metadata".to_owned(), encode_metadata(object.metadata.as_ref()));
    Value::Object(members)
}

/// Writes an object from its bytes: the text is copied. Such objects say what they are in lists, too.
pub(super) fn write(info: &KindInfo, bytes: &[u8], otherwise: Otherwise<'_>, into: &mut Vec<u8>) {
    into.extend_from_slice(b"{\"apiVersion\":");
    text::json(&info.api_version(), into);
    into.extend_from_slice(b",\"kind\":");
    text::json(info.kind, into);
    into.extend_from_slice(b",\"metadata\":");
    write_metadata(bytes, otherwise, into);
    let content = encoded::text(bytes, &[CustomObject::CONTENT_FIELD]);
    let members = content.strip_prefix('{').and_then(|content| content.strip_suffix('}')).unwrap_or_default();
    if !members.is_empty() {
        into.push(b',');
        into.extend_from_slice(members.as_bytes());
    }
    into.push(b'}');
}

/// What an object says beside its metadata, from its bytes behind them.
pub(super) fn rest(bytes: &[u8]) -> Value {
    let content = encoded::text(bytes, &[CustomObject::CONTENT_FIELD]);
    let members: Map<String, Value> = serde_json::from_str(content).unwrap_or_default();
    Value::Object(members)
}

/// Reads an object of which `fields` are the members.
pub(super) fn decode(
    served: Served,
    fields: &Map<String, Value>,
    strictness: Strictness,
    quotes: Quotes,
) -> Result<Decoded, Error> {
    let named = fields.get("metadata").map(|metadata| ("metadata".to_owned(), metadata.clone()));
    let named = Value::Object(named.into_iter().collect());
    let (bytes, unknown) = message(CustomObject::MESSAGE, &named, strictness, quotes)?;
    let mut object = served.decode_bytes(bytes).map_err(|error| Error::internal(format!("metadata: {error}")))?;
    if let Some(object) = object.custom_mut() {
        let members = fields.iter().filter(|(name, _)| !OUTSIDE.contains(&name.as_str()));
        object.set_members(&members.map(|(name, value)| (name.clone(), value.clone())).collect());
    }
    Ok(Decoded { object, unknown })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        Revision, Served,
        json::{self, Strictness},
        object::{CustomKind, CustomVersion, KindName, Outline},
    };

    fn served() -> Served {
        let name =
            KindName { group: "json.test".into(), plural: "widgets".into(), kind: "Widget".into(), namespaced: true };
        Served::Custom(CustomVersion::of(CustomKind::of(&name), Outline { version: "v1".into(), ..Outline::default() }))
    }

    #[test]
    fn an_object_says_the_same_as_text_and_as_value() {
        for rest in [json!({}), json!({"spec": {"größe": 1.5, "list": [1, null]}, "data": "x"})] {
            let mut sent = json!({"apiVersion": "json.test/v1", "kind": "Widget", "metadata": {"name": "a", "labels": {"a": "b"}}});
            sent.as_object_mut().expect("an object").extend(rest.as_object().cloned().unwrap_or_default());
            let decoded = json::decode(served(), &sent, Strictness::Strict).expect("a widget");
            assert_eq!(decoded.object.served(), served());
            let mut value = json::encode(&decoded.object);
            let created = value["metadata"].as_object_mut().and_then(|metadata| metadata.remove("creationTimestamp"));
            assert!(created.is_none_or(|created| created.is_null()));
            assert_eq!(value, sent);
            let mut text = Vec::new();
            json::write(served(), &decoded.object.encode_bytes(), Some(Revision(7)).into(), &mut text);
            let mut written: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
            assert_eq!(written["metadata"]["resourceVersion"], "7");
            let metadata = written["metadata"].as_object_mut().expect("metadata");
            metadata.retain(|name, value| name != "resourceVersion" && !value.is_null());
            assert_eq!(written, sent);
        }
    }

    #[test]
    fn metadata_are_read_as_everywhere() {
        let sent = json!({"metadata": {"name": "a", "lables": {}}, "spec": 1});
        let decoded = json::decode(served(), &sent, Strictness::Warn).expect("a widget");
        assert!(decoded.unknown[0].starts_with("unknown field \"metadata.lables\""), "{:?}", decoded.unknown);
        let error = json::decode(served(), &json!({"metadata": {"name": 1}}), Strictness::Warn).expect_err("a number");
        assert!(error.message.contains("metadata.name"), "{error}");
        let other = json!({"apiVersion": "json.test/v2", "kind": "Widget"});
        assert!(json::decode(served(), &other, Strictness::Warn).is_err());
    }
}
