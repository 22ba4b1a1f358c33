//! A document of OpenAPI 2.

use serde_json::Value;

use super::{any, count, elements, extensions, flag, named, number, text, texts};
use crate::wire::{put_number, within};

/// Writes a document as [`document_v2`](crate::openapi::document_v2) makes it, in protobuf.
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
pub(crate) fn encode_added(paths: &Value, definitions: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    added(paths, definitions, &mut bytes);
    bytes
}

fn added(paths: &Value, definitions: &Value, into: &mut Vec<u8>) {
    within(8, into, |into| named(2, paths, into, path));
    within(9, into, |into| named(1, definitions, into, schema));
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
        any(5, default, into);
    }
    number(6, &of["multipleOf"], into);
    number(7, &of["maximum"], into);
    flag(8, &of["exclusiveMaximum"], into);
    number(9, &of["minimum"], into);
    flag(10, &of["exclusiveMinimum"], into);
    count(11, &of["maxLength"], into);
    count(12, &of["minLength"], into);
    text(13, &of["pattern"], into);
    count(14, &of["maxItems"], into);
    count(15, &of["minItems"], into);
    flag(16, &of["uniqueItems"], into);
    count(17, &of["maxProperties"], into);
    count(18, &of["minProperties"], into);
}

fn schema(of: &Value, into: &mut Vec<u8>) {
    text(1, &of["$ref"], into);
    text(2, &of["format"], into);
    text(3, &of["title"], into);
    text(4, &of["description"], into);
    limits(of, into);
    texts(19, &of["required"], into);
    elements(&of["enum"]).iter().for_each(|value| any(20, value, into));
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
