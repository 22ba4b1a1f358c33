//! A document of OpenAPI 3.

use serde_json::Value;

use super::{any, count, elements, extensions, flag, named, number, text, texts};
use crate::wire::{put_number, within};

/// Writes a document as [`document`](crate::openapi::document) makes it, in protobuf.
#[must_use]
pub fn encode(document: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    let into = &mut bytes;
    text(1, &document["openapi"], into);
    within(2, into, |into| {
        text(1, &document["info"]["title"], into);
        text(2, &document["info"]["description"], into);
        text(6, &document["info"]["version"], into);
    });
    within(4, into, |into| named(1, &document["paths"], into, path));
    within(5, into, |into| {
        let components = &document["components"];
        within(1, into, |into| named(1, &components["schemas"], into, schema_or_reference));
        if let Some(schemes) = components.get("securitySchemes") {
            within(7, into, |into| {
                named(1, schemes, into, |scheme, into| within(1, into, |into| security(scheme, into)))
            });
        }
    });
    for requirement in elements(&document["security"]) {
        within(6, into, |into| named(1, requirement, into, |names, into| texts(1, names, into)));
    }
    bytes
}

fn security(scheme: &Value, into: &mut Vec<u8>) {
    for (number, name) in [(1, "type"), (2, "description"), (3, "name"), (4, "in"), (5, "scheme"), (6, "bearerFormat")]
    {
        text(number, &scheme[name], into);
    }
}

fn path(item: &Value, into: &mut Vec<u8>) {
    for (number, method) in
        [(4, "get"), (5, "put"), (6, "post"), (7, "delete"), (8, "options"), (9, "head"), (10, "patch")]
    {
        if let Some(operation) = item.get(method) {
            within(number, into, |into| self::operation(operation, into));
        }
    }
    parameters(13, &item["parameters"], into);
}

fn operation(operation: &Value, into: &mut Vec<u8>) {
    texts(1, &operation["tags"], into);
    text(3, &operation["description"], into);
    text(5, &operation["operationId"], into);
    parameters(6, &operation["parameters"], into);
    if let Some(body) = operation.get("requestBody") {
        within(7, into, |into| within(1, into, |into| request_body(body, into)));
    }
    within(8, into, |into| {
        named(2, &operation["responses"], into, |response, into| {
            within(1, into, |into| self::response(response, into))
        });
    });
    extensions(13, operation, into);
}

fn request_body(body: &Value, into: &mut Vec<u8>) {
    text(1, &body["description"], into);
    content(2, body, into);
    flag(3, &body["required"], into);
}

fn response(response: &Value, into: &mut Vec<u8>) {
    text(1, &response["description"], into);
    content(3, response, into);
}

/// In which types something is sent or answered, and what it is in each.
fn content(number: u32, of: &Value, into: &mut Vec<u8>) {
    if let Some(types) = of.get("content") {
        within(number, into, |into| {
            named(1, types, into, |media, into| within(1, into, |into| schema_or_reference(&media["schema"], into)));
        });
    }
}

fn parameters(number: u32, parameters: &Value, into: &mut Vec<u8>) {
    for parameter in elements(parameters) {
        within(number, into, |into| within(1, into, |into| self::parameter(parameter, into)));
    }
}

fn parameter(parameter: &Value, into: &mut Vec<u8>) {
    for (number, name) in [(1, "name"), (2, "in"), (3, "description")] {
        text(number, &parameter[name], into);
    }
    flag(4, &parameter["required"], into);
    within(10, into, |into| schema_or_reference(&parameter["schema"], into));
}

fn schema_or_reference(of: &Value, into: &mut Vec<u8>) {
    if of.get("$ref").is_some() {
        within(2, into, |into| text(1, &of["$ref"], into));
    } else {
        within(1, into, |into| schema(of, into));
    }
}

/// All that Kubernetes' schemas can say, those of kinds that users define included.
fn schema(of: &Value, into: &mut Vec<u8>) {
    flag(1, &of["nullable"], into);
    if let Some(example) = of.get("example") {
        any(7, example, into);
    }
    text(9, &of["title"], into);
    bounds(of, into);
    texts(23, &of["required"], into);
    elements(&of["enum"]).iter().for_each(|value| any(24, value, into));
    text(25, &of["type"], into);
    for (number, name) in [(26, "allOf"), (27, "oneOf"), (28, "anyOf")] {
        elements(&of[name]).iter().for_each(|one| within(number, into, |into| schema_or_reference(one, into)));
    }
    if let Some(not) = of.get("not") {
        within(29, into, |into| schema(not, into));
    }
    if let Some(items) = of.get("items") {
        within(30, into, |into| within(1, into, |into| schema_or_reference(items, into)));
    }
    if let Some(properties) = of.get("properties") {
        within(31, into, |into| named(1, properties, into, schema_or_reference));
    }
    if let Some(values) = of.get("additionalProperties") {
        within(32, into, |into| additional(values, into));
    }
    default(&of["default"], into);
    text(34, &of["description"], into);
    text(35, &of["format"], into);
    extensions(36, of, into);
}

fn bounds(of: &Value, into: &mut Vec<u8>) {
    number(10, &of["multipleOf"], into);
    number(11, &of["maximum"], into);
    flag(12, &of["exclusiveMaximum"], into);
    number(13, &of["minimum"], into);
    flag(14, &of["exclusiveMinimum"], into);
    count(15, &of["maxLength"], into);
    count(16, &of["minLength"], into);
    text(17, &of["pattern"], into);
    count(18, &of["maxItems"], into);
    count(19, &of["minItems"], into);
    flag(20, &of["uniqueItems"], into);
    count(21, &of["maxProperties"], into);
    count(22, &of["minProperties"], into);
}

/// What other members hold, or whether there may be any.
fn additional(values: &Value, into: &mut Vec<u8>) {
    if let Value::Bool(allowed) = values {
        put_number(2, u64::from(*allowed), into);
    } else {
        within(1, into, |into| schema_or_reference(values, into));
    }
}

/// What counts where nothing is said. Lists and objects have no form in gnostic.
fn default(value: &Value, into: &mut Vec<u8>) {
    match value {
        Value::Number(_) => within(33, into, |into| number(1, value, into)),
        Value::Bool(flag) => within(33, into, |into| put_number(2, u64::from(*flag), into)),
        Value::String(_) => within(33, into, |into| text(3, value, into)),
        Value::Null | Value::Array(_) | Value::Object(_) => {}
    }
}
