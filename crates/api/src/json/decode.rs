//! JSON to protobuf bytes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::wire::{put_bytes, put_number};
use crate::{
    Error, Timestamp,
    schema::{Field, Form, Message, Scalar, Schema, Shape},
};

/// How deep values may be nested: far deeper than any object of ours, shallow enough for any stack.
const DEPTH_MAX: usize = 64;

/// Reads values, remembering where it is and what it did not know.
#[derive(Default)]
pub(super) struct Decoder {
    path: String,
    depth: usize,
    /// The fields that no message has: `unknown field "spec.replicsa"`, with the nearest name that there is.
    pub(super) unknown: Vec<String>,
}

impl Decoder {
    /// The bytes of a message.
    pub(super) fn message(&mut self, message: &Message, value: &Value) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        match (message.form, value) {
            (Form::Object, Value::Object(object)) => self.object(message, object, &mut bytes)?,
            (Form::Object, other) => return Err(self.expected("an object", other)),
            (form, value) => self.special(form, value, &mut bytes)?,
        }
        Ok(bytes)
    }

    fn object(&mut self, message: &Message, object: &Map<String, Value>, into: &mut Vec<u8>) -> Result<(), Error> {
        self.deeper()?;
        let mut inline: Vec<(&Field, Map<String, Value>)> = Vec::new();
        for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            match message.by_json(name).filter(|field| !field.inline) {
                Some(field) => self.within(name, |this| this.field(field, value, into))?,
                None => match holder(message, name) {
                    Some(field) => collect(&mut inline, field, name, value),
                    None => self.unknown(message, name),
                },
            }
        }
        for (field, part) in inline {
            let Scalar::Message(index) = field.scalar else { continue };
            let mut bytes = Vec::new();
            self.object(Schema::get().at(index), &part, &mut bytes)?;
            put_bytes(field.number, &bytes, into);
        }
        self.depth -= 1;
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::bad_request(format!("{}: nested deeper than {DEPTH_MAX} levels", self.place())));
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, value: &Value, into: &mut Vec<u8>) -> Result<(), Error> {
        match (field.shape, value) {
            (Shape::One, value) => self.value(field, value, field.number, field.presence, into),
            (Shape::List, Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.at(index, |this| this.value(field, item, field.number, true, into))?;
                }
                Ok(())
            }
            (Shape::List, other) => Err(self.expected("a list", other)),
            (Shape::Map, Value::Object(map)) => {
                for (key, item) in map {
                    let mut entry = Vec::new();
                    put_bytes(1, key.as_bytes(), &mut entry);
                    self.within(key, |this| this.value(field, item, 2, true, &mut entry))?;
                    put_bytes(field.number, &entry, into);
                }
                Ok(())
            }
            (Shape::Map, other) => Err(self.expected("an object", other)),
        }
    }

    /// One value under a field number. A zero without presence is the same as nothing.
    fn value(
        &mut self,
        field: &Field,
        value: &Value,
        number: u32,
        present: bool,
        into: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match (field.scalar, value) {
            (Scalar::Message(index), value) => {
                let bytes = self.message(Schema::get().at(index), value)?;
                put_bytes(number, &bytes, into);
            }
            (Scalar::Bool, Value::Bool(flag)) => {
                if *flag || present {
                    put_number(number, u64::from(*flag), into);
                }
            }
            (Scalar::Int32 | Scalar::Int64, value) => {
                let integer = self.integer(field.scalar, value)?;
                if integer != 0 || present {
                    put_number(number, integer as u64, into);
                }
            }
            (Scalar::String, Value::String(text)) => {
                if !text.is_empty() || present {
                    put_bytes(number, text.as_bytes(), into);
                }
            }
            (Scalar::Bytes, Value::String(text)) => {
                let bytes = STANDARD.decode(text).map_err(|error| self.wrong(format!("is not base64: {error}")))?;
                put_bytes(number, &bytes, into);
            }
            // `env: [{name: A, value: null}]` and the like: null is absence everywhere.
            (_, Value::Null) if !present => {}
            (Scalar::Bool, other) => return Err(self.expected("true or false", other)),
            (Scalar::String | Scalar::Bytes, other) => return Err(self.expected("a string", other)),
        }
        Ok(())
    }

    fn integer(&self, scalar: Scalar, value: &Value) -> Result<i64, Error> {
        // YAML and some clients write 3.0 where 3 is meant.
        let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
        let number = value
            .as_i64()
            .or_else(|| value.as_f64().and_then(whole))
            .ok_or_else(|| self.expected("an integer", value))?;
        if scalar == Scalar::Int32 && i32::try_from(number).is_err() {
            return Err(self.wrong(format!("{number} does not fit into 32 bits")));
        }
        Ok(number)
    }

    fn special(&self, form: Form, value: &Value, into: &mut Vec<u8>) -> Result<(), Error> {
        match (form, value) {
            (_, Value::Null) | (Form::Object, _) => {}
            (Form::Time | Form::MicroTime, Value::String(text)) => {
                let time: jiff::Timestamp = text
                    .parse()
                    .map_err(|_| self.wrong(format!("{text:?} is not an RFC 3339 time such as {}", Timestamp(0))))?;
                put_number(1, time.as_second() as u64, into);
                if form == Form::MicroTime && time.subsec_nanosecond() != 0 {
                    put_number(2, time.subsec_nanosecond() as u64, into);
                }
            }
            (Form::Time | Form::MicroTime, other) => return Err(self.expected("an RFC 3339 time", other)),
            (Form::Quantity, Value::String(text)) => put_bytes(1, text.as_bytes(), into),
            (Form::Quantity, Value::Number(number)) => put_bytes(1, number.to_string().as_bytes(), into),
            (Form::Quantity, other) => return Err(self.expected("a quantity such as 100m or 64Mi", other)),
            (Form::IntOrString, Value::String(text)) => {
                put_number(1, 1, into);
                put_bytes(3, text.as_bytes(), into);
            }
            (Form::IntOrString, value) => {
                let number =
                    self.integer(Scalar::Int32, value).map_err(|_| self.expected("an integer or a string", value))?;
                put_number(2, number as u64, into);
            }
            (Form::Raw, value) => put_bytes(1, value.to_string().as_bytes(), into),
        }
        Ok(())
    }

    fn within<T>(&mut self, name: &str, then: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        let result = then(self);
        self.path.truncate(length);
        result
    }

    fn at<T>(&mut self, index: usize, then: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(&format!("[{index}]"));
        let result = then(self);
        self.path.truncate(length);
        result
    }

    fn unknown(&mut self, message: &Message, name: &str) {
        let nearest = nearest(message, name).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
        let place = self.within(name, |this| this.path.clone());
        self.unknown.push(format!("unknown field {place:?}{nearest}"));
    }

    fn place(&self) -> &str {
        if self.path.is_empty() { "the object" } else { &self.path }
    }

    fn wrong(&self, what: String) -> Error {
        Error::bad_request(format!("{}: {what}", self.place()))
    }

    fn expected(&self, what: &str, found: &Value) -> Error {
        let found = match found {
            Value::Null => "null".to_owned(),
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => format!("number {number}"),
            Value::String(text) => format!("string {text:?}"),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        };
        self.wrong(format!("expected {what}, found {found}"))
    }
}

/// The inline field whose message, or whose inline messages, have the name.
fn holder<'a>(message: &'a Message, name: &str) -> Option<&'a Field> {
    message.fields.iter().filter(|field| field.inline).find(|field| {
        let Scalar::Message(index) = field.scalar else { return false };
        let inner = Schema::get().at(index);
        inner.by_json(name).is_some() || holder(inner, name).is_some()
    })
}

fn collect<'a>(parts: &mut Vec<(&'a Field, Map<String, Value>)>, field: &'a Field, name: &str, value: &Value) {
    match parts.iter_mut().find(|(known, _)| known.number == field.number) {
        Some((_, part)) => {
            part.insert(name.to_owned(), value.clone());
        }
        None => parts.push((field, Map::from_iter([(name.to_owned(), value.clone())]))),
    }
}

/// The name of the message, inline ones included, that is most like a misspelt one; `None` if none is close.
fn nearest(message: &Message, name: &str) -> Option<String> {
    let mut names: Vec<&str> =
        message.fields.iter().filter(|field| !field.inline).map(|field| field.json.as_str()).collect();
    for field in message.fields.iter().filter(|field| field.inline) {
        if let Scalar::Message(index) = field.scalar {
            names.extend(Schema::get().at(index).fields.iter().map(|field| field.json.as_str()));
        }
    }
    let close = names.into_iter().map(|known| (distance(known, name), known)).min()?;
    (close.0 <= name.len().div_ceil(3)).then(|| close.1.to_owned())
}

/// How many letters must be inserted, removed or replaced; a swap counts as two.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.to_lowercase().chars().take(NAME_MAX).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.to_lowercase().chars().take(NAME_MAX).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// Names are compared up to so many letters: no field of ours is longer.
const NAME_MAX: usize = 64;
