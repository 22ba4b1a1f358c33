//! Schemas as OpenAPI publishes them: what users wrote, with what every object has. Version 2 knows less, and clients trip over
//! what it does not know, so that a schema says less there.

use serde_json::{Map, Value, json};

use super::definition::Version;

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";

/// The name under which a version's schema is published, as Kubernetes forms it: `com.example.v1.Widget`.
#[must_use]
pub fn definition_name(version: &Version) -> String {
    let info = version.version.info();
    let domain: Vec<&str> = info.group.rsplit('.').collect();
    format!("{}.{}.{}", domain.join("."), info.version, info.kind)
}

/// The schema of a version for OpenAPI 3. `metadata` is the schema of the metadata that every object has.
#[must_use]
pub fn published(version: &Version, metadata: &Value) -> Value {
    let mut schema = version.schema();
    each(&mut schema, &mut |schema| embed(schema, metadata));
    add_meta(&mut schema, metadata);
    identified(version, schema)
}

/// As [`published`], for OpenAPI 2.
#[must_use]
pub fn published_v2(version: &Version, metadata: &Value) -> Value {
    let mut schema = version.schema();
    if is_true(&schema, PRESERVE) {
        // If it had any properties, clients would refuse all others.
        return identified(version, json!({"type": "object"}));
    }
    each(&mut schema, &mut simplify);
    each(&mut schema, &mut |schema| embed(schema, metadata));
    add_meta(&mut schema, metadata);
    identified(version, schema)
}

fn identified(version: &Version, mut schema: Value) -> Value {
    let info = version.version.info();
    let identity = json!({"group": info.group, "version": info.version, "kind": info.kind});
    schema["x-kubernetes-group-version-kind"] = json!([identity]);
    schema
}

/// Does something to a schema and to those of everything within its values, from the outside to the inside.
fn each(schema: &mut Value, then: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(fields) = schema else { return };
    then(fields);
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(|schema| each(schema, then));
    }
    for word in ["items", "additionalProperties"] {
        if let Some(schema) = fields.get_mut(word) {
            each(schema, then);
        }
    }
}

fn is_true(schema: &Value, word: &str) -> bool {
    schema.get(word) == Some(&Value::Bool(true))
}

/// An object within another says what it is by the fields that all objects have.
fn embed(fields: &mut Map<String, Value>, metadata: &Value) {
    if fields.get(EMBEDDED) == Some(&Value::Bool(true)) && fields.contains_key("properties") {
        put_meta(fields, metadata);
    }
}

fn add_meta(schema: &mut Value, metadata: &Value) {
    if let Value::Object(fields) = schema {
        put_meta(fields, metadata);
    }
}

fn put_meta(fields: &mut Map<String, Value>, metadata: &Value) {
    let properties = fields.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(properties) = properties {
        properties.extend(type_meta());
        properties.insert("metadata".to_owned(), metadata.clone());
    }
}

/// What every object says of itself. That an `APIVersion defines` something, clients' tests look for.
pub(crate) fn type_meta() -> [(String, Value); 2] {
    let text = |what: &str| json!({"type": "string", "description": what});
    [
        ("apiVersion".to_owned(), text("APIVersion defines the group and version, such as `apps/v1`.")),
        ("kind".to_owned(), text("What it is, such as `Deployment`.")),
    ]
}

/// Takes away what version 2 does not know, and what clients do not understand beside that.
fn simplify(fields: &mut Map<String, Value>) {
    for word in ["allOf", "anyOf", "oneOf", "not"] {
        fields.remove(word);
    }
    let flag = |fields: &Map<String, Value>, word: &str| fields.get(word) == Some(&Value::Bool(true));
    let (is_nullable, keeps_unknown) = (flag(fields, "nullable"), flag(fields, PRESERVE));
    fields.remove("nullable");
    if is_nullable || keeps_unknown {
        fields.remove("items");
        fields.remove("properties");
    }
    let of = fields.get("type").and_then(Value::as_str).unwrap_or_default();
    let is_vague = is_nullable || (keeps_unknown && of == "object") || (of == "array" && !fields.contains_key("items"));
    if is_vague {
        fields.remove("type");
    }
    // What may be null may be missing, as far as version 2 can say it.
    let nullable: Vec<String> = fields
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(_, schema)| is_true(schema, "nullable"))
        .map(|(name, _)| name.clone())
        .collect();
    let entries_may_be_null = fields.get("additionalProperties").is_some_and(|schema| is_true(schema, "nullable"));
    if let Some(Value::Array(required)) = fields.get_mut("required") {
        required.retain(|name| {
            !entries_may_be_null && name.as_str().is_none_or(|name| !nullable.iter().any(|n| n == name))
        });
        if required.is_empty() {
            fields.remove("required");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simplified(mut schema: Value) -> Value {
        each(&mut schema, &mut simplify);
        schema
    }

    #[test]
    fn version_2_is_told_only_what_it_knows() {
        let cases = [
            (json!({"type": "integer", "anyOf": [{"minimum": 1}], "not": {}}), json!({"type": "integer"})),
            (json!({"type": "array", "nullable": true, "items": {"type": "string"}}), json!({})),
            (json!({"type": "object", PRESERVE: true, "properties": {"a": {}}}), json!({PRESERVE: true})),
            (json!({"type": "string", PRESERVE: true}), json!({"type": "string", PRESERVE: true})),
            (
                json!({"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "string", "nullable": true}, "b": {"type": "string"}}}),
                json!({"type": "object", "required": ["b"], "properties": {"a": {}, "b": {"type": "string"}}}),
            ),
            (
                json!({"type": "object", "required": ["a"], "additionalProperties": {"type": "string", "nullable": true}}),
                json!({"type": "object", "additionalProperties": {}}),
            ),
        ];
        for (schema, expected) in cases {
            assert_eq!(simplified(schema.clone()), expected, "{schema}");
        }
    }

    #[test]
    fn objects_within_say_what_they_are() {
        let mut schema = json!({"type": "object", "properties": {
            "template": {"type": "object", EMBEDDED: true, "properties": {"spec": {"type": "object"}}},
        }});
        let metadata = json!({"$ref": "#/metadata"});
        each(&mut schema, &mut |schema| embed(schema, &metadata));
        let within = &schema["properties"]["template"]["properties"];
        assert_eq!((&within["metadata"], &within["kind"]["type"]), (&metadata, &json!("string")));
        assert_eq!(schema["properties"].get("metadata"), None, "whoever publishes it adds that of the object itself");
    }
}
