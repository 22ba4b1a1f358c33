//! Objects within objects: their types and metadata are Kubernetes' own, whatever the schema says.

use serde_json::Value;

use super::{schema::Schema, shown::Shown};
use crate::{
    json::{self, Strictness},
    meta_v1::ObjectMeta,
    validate::{Causes, Path, meta, names},
};
use prost::Message as _;

const METADATA: &str = "kapelle.meta.v1.ObjectMeta";

/// Brings the metadata of embedded objects into their form, without the fields that metadata do not have, which are named. What
/// is no metadata at all stays as it is, for the validation to find.
pub fn coerce(object: &mut Value, schema: &Schema) -> Vec<String> {
    let mut unknown = Vec::new();
    each_field(object, schema, &Path::Root, &mut |value, schema, at| {
        if schema.is_resource
            && let Some(metadata) = value.get_mut("metadata")
            && let Ok((bytes, dropped)) = json::decode_message(METADATA, metadata, Strictness::Warn)
            && let Ok(formed) = json::encode_message(METADATA, &bytes)
        {
            *metadata = formed;
            let here = format!("unknown field \"{at}.metadata.");
            unknown.extend(dropped.iter().map(|field| field.replacen("unknown field \"", &here, 1)));
        }
    });
    unknown
}

/// Goes through all objects that the schema knows within one, but not the one itself, whose metadata are read with it.
fn each_field(
    value: &mut Value,
    schema: &Schema,
    at: &Path<'_>,
    then: &mut impl FnMut(&mut Value, &Schema, &Path<'_>),
) {
    let mut within = |value: &mut Value, schema: &Schema, at: &Path<'_>| {
        then(value, schema, at);
        each_field(value, schema, at, then);
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(schema) = schema.field(name) {
                    within(value, schema, &at.field(name));
                }
            }
        }
        Value::Array(items) => {
            if let Some(of) = schema.items() {
                items.iter_mut().enumerate().for_each(|(index, item)| within(item, of, &at.index(index)));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Judges embedded objects.
pub(super) fn check(causes: &mut Causes, value: &Value, schema: &Schema, at: &Path<'_>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let named = schema.properties.contains_key(name.as_str());
                let Some(schema) = schema.field(name) else { continue };
                let at = if named { at.field(name) } else { at.key(name) };
                resource(causes, value, schema, &at);
                check(causes, value, schema, &at);
            }
        }
        Value::Array(items) => {
            let Some(of) = schema.items() else { return };
            for (index, item) in items.iter().enumerate() {
                resource(causes, item, of, &at.index(index));
                check(causes, item, of, &at.index(index));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Judges a value that may be an object with metadata.
pub(super) fn resource(causes: &mut Causes, value: &Value, schema: &Schema, at: &Path<'_>) {
    if !schema.is_resource || !value.is_object() {
        return;
    }
    for name in ["apiVersion", "kind"] {
        let at = at.field(name);
        match value.get(name) {
            None => causes.required(&at, ""),
            Some(Value::String(text)) if text.is_empty() => causes.invalid(&at, text, "must not be empty"),
            Some(Value::String(text)) => word(causes, name, text, &at),
            Some(other) => causes.invalid(&at, Shown(other), "must be a string"),
        }
    }
    if let Some(metadata) = value.get("metadata") {
        judge_metadata(causes, metadata, &at.field("metadata"));
    }
}

fn word(causes: &mut Causes, name: &str, text: &str, at: &Path<'_>) {
    if name == "kind" {
        for why in names::dns_1035_label(&text.to_ascii_lowercase()) {
            causes.invalid(at, text, format_args!("may have mixed case, but should otherwise match: {why}"));
        }
    } else if text.matches('/').count() > 1 {
        causes.invalid(at, text, format_args!("unexpected GroupVersion string: {text}"));
    }
}

fn judge_metadata(causes: &mut Causes, metadata: &Value, at: &Path<'_>) {
    let decoded = json::decode_message(METADATA, metadata, Strictness::Ignore);
    let decoded = decoded.and_then(|(bytes, _)| ObjectMeta::decode(bytes).map_err(crate::Error::internal));
    match decoded {
        Err(error) => causes.invalid(at, Shown(metadata), error),
        Ok(metadata) => {
            meta::labels(causes, &metadata.labels, &at.field("labels"));
            meta::annotations(causes, &metadata.annotations, &at.field("annotations"));
            if !metadata.name.is_empty() {
                causes.syntax(&at.field("name"), &metadata.name, names::path_segment);
            }
            if !metadata.namespace.is_empty() {
                causes.syntax(&at.field("namespace"), &metadata.namespace, names::dns_label);
            }
        }
    }
}
