//! Protobuf bytes to JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use crate::{
    schema::{Field, Form, Message, Scalar, Schema, Shape},
    wire::{Payload, Reader},
};

/// What JSON says of the bytes of a message; `Null` for what is absent (a zero time).
/// Bytes that are not such a message give what could be read of them.
pub(super) fn message(message: &Message, bytes: &[u8]) -> Value {
    if message.form != Form::Object {
        return special(message.form, bytes);
    }
    let mut object = Map::new();
    fields(message, bytes, &mut object);
    for field in message.always() {
        if !object.contains_key(&field.json) {
            object.insert(field.json.clone(), zero(field));
        }
    }
    Value::Object(object)
}

fn fields(message: &Message, bytes: &[u8], into: &mut Map<String, Value>) {
    for (number, payload) in Reader::new(bytes) {
        if let Some(field) = message.by_number(number) {
            put(field, payload, into);
        }
    }
}

pub(super) fn zero(field: &Field) -> Value {
    match (field.shape, field.scalar) {
        (Shape::List, _) => Value::Array(Vec::new()),
        (Shape::Map, _) => Value::Object(Map::new()),
        (Shape::One, scalar) => zero_of(scalar),
    }
}

pub(super) fn zero_of(scalar: Scalar) -> Value {
    match scalar {
        Scalar::Message(index) => message(Schema::get().at(index), &[]),
        Scalar::Bool => Value::Bool(false),
        Scalar::Int32 | Scalar::Int64 => Value::from(0),
        Scalar::String | Scalar::Bytes => Value::from(""),
    }
}

fn put(field: &Field, payload: Payload<'_>, into: &mut Map<String, Value>) {
    match (field.shape, field.scalar) {
        (Shape::One, Scalar::Message(index)) if field.inline => fields(Schema::get().at(index), payload.bytes(), into),
        (Shape::One, Scalar::Message(_)) => {
            let value = value(field, payload);
            if !value.is_null() {
                merge(into, &field.json, value);
            }
        }
        (Shape::One, _) => {
            into.insert(field.json.clone(), value(field, payload));
        }
        (Shape::List, _) => {
            if let Value::Array(items) = slot(field, into) {
                push(field, payload, items);
            }
        }
        (Shape::Map, _) => {
            if let Value::Object(map) = slot(field, into) {
                let (key, value) = entry(field, payload.bytes());
                map.insert(key, value);
            }
        }
    }
}

/// The list or map of a field, made at its first element.
fn slot<'a>(field: &Field, into: &'a mut Map<String, Value>) -> &'a mut Value {
    if !into.contains_key(&field.json) {
        into.insert(field.json.clone(), zero(field));
    }
    &mut into[field.json.as_str()]
}

/// A message field that comes twice is merged, as protobuf demands.
fn merge(into: &mut Map<String, Value>, name: &str, value: Value) {
    match (into.get_mut(name), value) {
        (Some(Value::Object(old)), Value::Object(new)) => {
            new.into_iter().for_each(|(key, value)| merge(old, &key, value))
        }
        (_, value) => {
            into.insert(name.to_owned(), value);
        }
    }
}

/// One element, or several packed numbers.
fn push(field: &Field, payload: Payload<'_>, items: &mut Vec<Value>) {
    match (field.scalar, payload) {
        (Scalar::Bool | Scalar::Int32 | Scalar::Int64, Payload::Bytes(packed)) => {
            items.extend(Reader::varints(packed).map(|number| value(field, Payload::Varint(number))));
        }
        (_, payload) => items.push(value(field, payload)),
    }
}

fn entry(field: &Field, bytes: &[u8]) -> (String, Value) {
    let (mut key, mut found) = (String::new(), None);
    for (number, payload) in Reader::new(bytes) {
        match number {
            1 => key = text(payload.bytes()),
            2 => found = Some(value(field, payload)),
            _ => {}
        }
    }
    (key, found.unwrap_or_else(|| zero_of(field.scalar)))
}

pub(super) fn value(field: &Field, payload: Payload<'_>) -> Value {
    match field.scalar {
        Scalar::Bool => Value::Bool(payload.varint() != 0),
        Scalar::Int32 => Value::from(payload.int32()),
        Scalar::Int64 => Value::from(payload.int64()),
        Scalar::String => Value::String(text(payload.bytes())),
        Scalar::Bytes => Value::String(STANDARD.encode(payload.bytes())),
        Scalar::Message(index) => message(Schema::get().at(index), payload.bytes()),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Messages that JSON writes as something else. None of them has a field above 3.
pub(super) fn special(form: Form, bytes: &[u8]) -> Value {
    if form == Form::Texts {
        return Reader::new(bytes).filter(|(number, _)| *number == 1).map(|(_, item)| text(item.bytes())).collect();
    }
    let mut fields = [Payload::Fixed(0); 4];
    for (number, payload) in Reader::new(bytes) {
        if let Some(field) = fields.get_mut(number as usize) {
            *field = payload;
        }
    }
    let [_, first, second, third] = fields;
    match form {
        Form::Time => time(first.int64(), 0, 0),
        Form::MicroTime => time(first.int64(), second.int64(), 6),
        Form::Quantity => Value::String(text(first.bytes())),
        Form::IntOrString if first.varint() == 0 => Value::from(second.int32()),
        Form::IntOrString => Value::String(text(third.bytes())),
        Form::Raw => serde_json::from_slice(first.bytes()).unwrap_or(Value::Null),
        Form::Object | Form::Texts => Value::Null,
    }
}

fn time(seconds: i64, nanos: i64, decimals: u8) -> Value {
    if seconds == 0 && nanos == 0 {
        return Value::Null;
    }
    let nanos = i32::try_from(nanos).unwrap_or(0);
    let time = jiff::Timestamp::new(seconds, nanos).unwrap_or_default();
    let printer = jiff::fmt::temporal::DateTimePrinter::new().precision(Some(decimals));
    Value::String(printer.timestamp_to_string(&time))
}
