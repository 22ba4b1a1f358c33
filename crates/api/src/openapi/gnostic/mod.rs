//! Documents as protobuf: the messages of gnostic, which Kubernetes' clients ask for. The numbers of their fields stand here,
//! since nothing else of us speaks of them. They are read off the document itself, whoever made it.

#[cfg(test)]
mod tests;
pub(super) mod v2;
pub(super) mod v3;

use serde_json::{Map, Value};

use crate::wire::{put_bytes, put_double, put_number, within};

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

/// What Kubernetes adds to OpenAPI.
fn extensions(number: u32, of: &Value, into: &mut Vec<u8>) {
    let all = of.as_object().into_iter().flatten();
    let ours: Map<String, Value> =
        all.filter(|(name, _)| name.starts_with("x-")).map(|(name, value)| (name.clone(), value.clone())).collect();
    named(number, &ours.into(), into, yaml);
}

/// A number that need not be whole.
fn number(number: u32, value: &Value, into: &mut Vec<u8>) {
    if let Some(value) = value.as_f64() {
        put_double(number, value, into);
    }
}

/// A number of things.
fn count(number: u32, value: &Value, into: &mut Vec<u8>) {
    if let Some(value) = value.as_i64() {
        put_number(number, value.cast_unsigned(), into);
    }
}

/// Any value, which gnostic carries as YAML.
fn any(number: u32, value: &Value, into: &mut Vec<u8>) {
    within(number, into, |into| yaml(value, into));
}

fn yaml(value: &Value, into: &mut Vec<u8>) {
    put_bytes(2, crate::yaml::to_string(value).as_bytes(), into);
}
