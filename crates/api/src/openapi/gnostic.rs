//! A document of OpenAPI 2 as protobuf: the messages of gnostic, which Kubernetes' clients ask for. The numbers of their fields
//! stand here, since nothing else of us speaks of them.

use serde_json::{Map, Value};

use crate::wire::{close, open, put_bytes, put_double, put_number};

/// Writes a document as [`super::document_v2`] makes it.
#[must_use]
pub fn encode(document: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    let into = &mut bytes;
    text(1, &document["swagger"], into);
    within(2, into, |into| {
        text(1, &document["info"]["title"], into);
        text(2, &document["info"]["version"], into);
    });
    added(&document["paths"], &document["definitions"], into);
    for requirement in elements(&document["security"]) {
        within(12, into, |into| named(1, requirement, into, |names, into| texts(1, names, into)));
    }
    within(13, into, |into| named(1, &document["securityDefinitions"], into, security));
    bytes
}

/// Writes what is added to a document.
pub(super) fn encode_added(paths: &Value, definitions: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    added(paths, definitions, &mut bytes);
    bytes
}

fn added(paths: &Value, definitions: &Value, into: &mut Vec<u8>) {
    within(8, into, |into| named(2, paths, into, path));
    within(9, into, |into| named(1, definitions, into, schema));
}

/// A field whose content `write` writes.
fn within(number: u32, into: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = open(number, into);
    write(into);
    close(start, into);
}

/// A list of pairs: the members of an object, by their names.
fn named(number: u32, members: &Value, into: &mut Vec<u8>, write: impl Fn(&Value, &mut Vec<u8>)) {
    for (name, value) in members.as_object().into_iter().flatten() {
        within(number, into, |into| {
            put_bytes(1, name.as_bytes(), into);
            within(2, into, |into| write(value, into));
        });
    }
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A text, if there is one.
fn text(number: u32, value: &Value, into: &mut Vec<u8>) {
    if let Some(text) = value.as_str() {
        put_bytes(number, text.as_bytes(), into);
    }
}

fn texts(number: u32, values: &Value, into: &mut Vec<u8>) {
    elements(values).iter().for_each(|value| text(number, value, into));
}

fn flag(number: u32, value: &Value, into: &mut Vec<u8>) {
    if value.as_bool() == Some(true) {
        put_number(number, 1, into);
    }
}

/// What Kubernetes adds to OpenAPI; gnostic carries it as YAML.
fn extensions(number: u32, of: &Value, into: &mut Vec<u8>) {
    let all = of.as_object().into_iter().flatten();
    let ours: Map<String, Value> =
        all.filter(|(name, _)| name.starts_with("x-")).map(|(name, value)| (name.clone(), value.clone())).collect();
    named(number, &ours.into(), into, any);
}

fn security(scheme: &Value, into: &mut Vec<u8>) {
    within(2, into, |into| {
        for (number, name) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
            text(number, &scheme[name], into);
        }
    });
}

fn path(item: &Value, into: &mut Vec<u8>) {
    for (number, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(operation) = item.get(method) {
            within(number, into, |into| self::operation(operation, into));
        }
    }
    parameters(9, &item["parameters"], into);
}

fn operation(operation: &Value, into: &mut Vec<u8>) {
    texts(1, &operation["tags"], into);
    text(3, &operation["description"], into);
    text(5, &operation["operationId"], into);
    texts(6, &operation["produces"], into);
    texts(7, &operation["consumes"], into);
    parameters(8, &operation["parameters"], into);
    within(9, into, |into| {
        named(1, &operation["responses"], into, |response, into| {
            within(1, into, |into| self::response(response, into))
        });
    });
    texts(10, &operation["schemes"], into);
    extensions(13, operation, into);
}

fn response(response: &Value, into: &mut Vec<u8>) {
    text(1, &response["description"], into);
    if let Some(content) = response.get("schema") {
        within(2, into, |into| within(1, into, |into| schema(content, into)));
    }
}

fn parameters(number: u32, parameters: &Value, into: &mut Vec<u8>) {
    for parameter in elements(parameters) {
        within(number, into, |into| within(1, into, |into| self::parameter(parameter, into)));
    }
}

fn parameter(parameter: &Value, into: &mut Vec<u8>) {
    match parameter["in"].as_str() {
        Some("body") => within(1, into, |into| {
            text(1, &parameter["description"], into);
            text(2, &parameter["name"], into);
            text(3, &parameter["in"], into);
            flag(4, &parameter["required"], into);
            within(5, into, |into| schema(&parameter["schema"], into));
        }),
        // The messages of both differ in the numbers behind the first four.
        Some("path") => within(2, into, |into| within(4, into, |into| simple(parameter, [5, 6, 19], into))),
        Some(_) | None => within(2, into, |into| within(3, into, |into| simple(parameter, [6, 7, 20], into))),
    }
}

fn simple(parameter: &Value, [holds, format, unique]: [u32; 3], into: &mut Vec<u8>) {
    flag(1, &parameter["required"], into);
    text(2, &parameter["in"], into);
    text(3, &parameter["description"], into);
    text(4, &parameter["name"], into);
    text(holds, &parameter["type"], into);
    text(format, &parameter["format"], into);
    flag(unique, &parameter["uniqueItems"], into);
}

/// What users demand of values.
fn limits(of: &Value, into: &mut Vec<u8>) {
    if let Some(default) = of.get("default") {
        within(5, into, |into| any(default, into));
    }
    for (number, name) in [(6, "multipleOf"), (7, "maximum"), (9, "minimum")] {
        if let Some(limit) = of[name].as_f64() {
            put_double(number, limit, into);
        }
    }
    flag(8, &of["exclusiveMaximum"], into);
    flag(10, &of["exclusiveMinimum"], into);
    text(13, &of["pattern"], into);
    let counts = [
        (11, "maxLength"),
        (12, "minLength"),
        (14, "maxItems"),
        (15, "minItems"),
        (17, "maxProperties"),
        (18, "minProperties"),
    ];
    for (number, name) in counts {
        if let Some(count) = of[name].as_u64() {
            put_number(number, count, into);
        }
    }
    flag(16, &of["uniqueItems"], into);
}

/// A value of any form, which gnostic carries as YAML.
fn any(value: &Value, into: &mut Vec<u8>) {
    put_bytes(2, crate::yaml::to_string(value).as_bytes(), into);
}

fn schema(of: &Value, into: &mut Vec<u8>) {
    text(1, &of["$ref"], into);
    text(2, &of["format"], into);
    text(3, &of["title"], into);
    text(4, &of["description"], into);
    limits(of, into);
    texts(19, &of["required"], into);
    for value in elements(&of["enum"]) {
        within(20, into, |into| any(value, into));
    }
    match of.get("additionalProperties") {
        None => {}
        Some(Value::Bool(allowed)) => within(21, into, |into| put_number(2, u64::from(*allowed), into)),
        Some(values) => within(21, into, |into| within(1, into, |into| schema(values, into))),
    }
    if let Some(holds) = of.get("type") {
        within(22, into, |into| text(1, holds, into));
    }
    if let Some(items) = of.get("items") {
        within(23, into, |into| within(1, into, |into| schema(items, into)));
    }
    if let Some(properties) = of.get("properties") {
        within(25, into, |into| named(1, properties, into, schema));
    }
    extensions(31, of, into);
}
