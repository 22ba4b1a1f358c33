//! JSON to protobuf bytes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::names::{clipped, nearest};
use crate::{
    Error, Timestamp,
    encoded::MESSAGES_MAX,
    schema::{Field, Form, Message, Scalar, Schema, Shape},
    wire::{close, open, put_bytes, put_number},
};

/// How deep values may be nested: far deeper than any object of ours, shallow enough for any stack.
const DEPTH_MAX: usize = 64;

/// How many unknown fields are named; the others are counted. More would help nobody and cost the server time.
const UNKNOWN_MAX: usize = 32;

/// The second at which Go's `time.Time` begins; as a time it means "none".
const GO_ZERO_SECOND: i64 = -62_135_596_800;

const A_STRING: &str = "a string";

/// Reads values, remembering where it is and what it did not know.
#[derive(Default)]
pub(super) struct Decoder {
    path: String,
    depth: usize,
    unknown: Vec<String>,
    /// Unknown fields beyond [`UNKNOWN_MAX`].
    unnamed: usize,
    /// Messages and entries of maps so far.
    messages: usize,
    quotes: Quotes,
}

/// Whether errors may show the value that is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Quotes {
    /// They may: whoever reads them has sent it.
    #[default]
    Sent,
    /// They may not: it comes from what is stored.
    Never,
}

/// The part of a message that an inline field holds, while its fields come one by one.
struct Part<'a> {
    holder: &'a Field,
    bytes: Vec<u8>,
    /// Those of its own inline fields.
    parts: Vec<Part<'a>>,
}

impl Part<'_> {
    fn close(mut self, into: &mut Vec<u8>) {
        self.parts.into_iter().for_each(|part| part.close(&mut self.bytes));
        if !self.bytes.is_empty() {
            put_bytes(self.holder.number, &self.bytes, into);
        }
    }
}

impl Decoder {
    pub(super) fn new(quotes: Quotes) -> Self {
        Self { quotes, ..Self::default() }
    }

    /// The bytes of a message.
    pub(super) fn bytes(&mut self, message: &Message, value: &Value) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.message(message, value, &mut bytes)?;
        Ok(bytes)
    }

    /// The fields that no message has: `unknown field "spec.replicsa"`, with the nearest name that there is.
    pub(super) fn unknown(mut self) -> Vec<String> {
        if self.unnamed > 0 {
            self.unknown.push(format!("and {} more unknown fields", self.unnamed));
        }
        self.unknown
    }

    /// One more message or entry of a map. Each takes far more memory when it is decoded than it does in a text.
    fn count(&mut self) -> Result<(), Error> {
        self.messages += 1;
        if self.messages > MESSAGES_MAX {
            return Err(self.wrong(format!("the object has more than {MESSAGES_MAX} parts")));
        }
        Ok(())
    }

    fn message(&mut self, message: &Message, value: &Value, into: &mut Vec<u8>) -> Result<(), Error> {
        self.count()?;
        match (message.form, value) {
            (Form::Object, Value::Object(object)) => {
                self.deeper()?;
                self.object(message, object, into)?;
                self.depth -= 1;
                Ok(())
            }
            (Form::Object, other) => Err(self.expected("an object", other)),
            (form, value) => self.special(form, value, into),
        }
    }

    fn object(&mut self, message: &Message, object: &Map<String, Value>, into: &mut Vec<u8>) -> Result<(), Error> {
        let mut parts: Vec<Part<'_>> = Vec::new();
        // `null` is absence, everywhere.
        for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            let Some(found) = message.find(name) else {
                self.not_known(message, name);
                continue;
            };
            let into = match (found.holder, found.inner) {
                (None, _) => &mut *into,
                (Some(holder), None) => &mut part(&mut parts, holder).bytes,
                (Some(holder), Some(inner)) => &mut part(&mut part(&mut parts, holder).parts, inner).bytes,
            };
            self.within(name, |this| this.field(found.field, value, into))?;
        }
        parts.into_iter().for_each(|part| part.close(into));
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, value: &Value, into: &mut Vec<u8>) -> Result<(), Error> {
        match (field.shape, value) {
            (Shape::One, value) => self.value(field, value, field.number, field.presence, into),
            (Shape::List, Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.at(index, |this| this.element(field, item, into))?;
                }
                Ok(())
            }
            (Shape::List, other) => Err(self.expected("a list", other)),
            (Shape::Map, Value::Object(map)) => {
                for (key, item) in map {
                    self.key(key, |this| this.entry(field, key, item, into))?;
                }
                Ok(())
            }
            (Shape::Map, other) => Err(self.expected("an object", other)),
        }
    }

    fn element(&mut self, field: &Field, item: &Value, into: &mut Vec<u8>) -> Result<(), Error> {
        if item.is_null() {
            return Err(self.wrong("an element of a list cannot be null; remove it".to_owned()));
        }
        self.value(field, item, field.number, true, into)
    }

    /// One entry of a map. In Go, `key: null` is the key with an empty text, and manifests with `key:` rely on it;
    /// of a quantity and its like nothing remains.
    fn entry(&mut self, field: &Field, key: &str, item: &Value, into: &mut Vec<u8>) -> Result<(), Error> {
        if item.is_null() && matches!(field.scalar, Scalar::Message(_)) {
            return Ok(());
        }
        self.count()?;
        let start = open(field.number, into);
        put_bytes(1, key.as_bytes(), into);
        if !item.is_null() {
            self.value(field, item, 2, true, into)?;
        }
        close(start, into);
        Ok(())
    }

    /// One value under a field number. A zero without presence is the same as nothing, and so is a zero time.
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
                let before = into.len();
                let start = open(number, into);
                let message = Schema::get().at(index);
                self.message(message, value, into)?;
                if message.form.is_time() && into.len() == start {
                    into.truncate(before);
                } else {
                    close(start, into);
                }
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
                let bytes = self.base64(text)?;
                if !bytes.is_empty() || present {
                    put_bytes(number, &bytes, into);
                }
            }
            (Scalar::Bool, other) => return Err(self.expected("true or false", other)),
            (Scalar::String | Scalar::Bytes, other) => return Err(self.expected(A_STRING, other)),
        }
        Ok(())
    }

    /// Line feeds may stand in it, as in a block of a manifest.
    fn base64(&self, text: &str) -> Result<Vec<u8>, Error> {
        let line_ends: &[char] = &['\n', '\r'];
        let decoded =
            if text.contains(line_ends) { STANDARD.decode(text.replace(line_ends, "")) } else { STANDARD.decode(text) };
        decoded.map_err(|error| match self.quotes {
            Quotes::Sent => self.wrong(format!("is not base64: {error}")),
            Quotes::Never => self.wrong("is not base64".to_owned()),
        })
    }

    fn integer(&self, scalar: Scalar, value: &Value) -> Result<i64, Error> {
        let number = value
            .as_i64()
            .or_else(|| value.as_f64().and_then(whole))
            .ok_or_else(|| self.expected("an integer", value))?;
        if scalar == Scalar::Int32 && i32::try_from(number).is_err() {
            let number = self.quoted(number);
            return Err(self.wrong(format!("{number} does not fit into 32 bits")));
        }
        Ok(number)
    }

    fn special(&self, form: Form, value: &Value, into: &mut Vec<u8>) -> Result<(), Error> {
        match (form, value) {
            (_, Value::Null) | (Form::Object, _) => {}
            (Form::Time | Form::MicroTime, Value::String(text)) => self.time(form, text, into)?,
            (Form::Time | Form::MicroTime, other) => return Err(self.expected("an RFC 3339 time", other)),
            (Form::Quantity, Value::String(text)) => put_bytes(1, text.as_bytes(), into),
            (Form::Quantity, Value::Number(number)) => put_bytes(1, number.to_string().as_bytes(), into),
            (Form::Quantity, other) => return Err(self.expected("a quantity such as 100m or 64Mi", other)),
            (Form::IntOrString, Value::String(text)) => {
                put_number(1, 1, into);
                put_bytes(3, text.as_bytes(), into);
            }
            (Form::IntOrString, Value::Number(_)) => {
                let number = self.integer(Scalar::Int32, value)?;
                if number != 0 {
                    put_number(2, number as u64, into);
                }
            }
            (Form::IntOrString, other) => return Err(self.expected("an integer or a string", other)),
            (Form::Raw, value) => put_bytes(1, value.to_string().as_bytes(), into),
            (Form::Texts, Value::Array(texts)) => {
                for text in texts {
                    let text = text.as_str().ok_or_else(|| self.expected(A_STRING, text))?;
                    put_bytes(1, text.as_bytes(), into);
                }
            }
            (Form::Texts, other) => return Err(self.expected("a list of strings", other)),
        }
        Ok(())
    }

    fn time(&self, form: Form, text: &str, into: &mut Vec<u8>) -> Result<(), Error> {
        let time: jiff::Timestamp = text.parse().map_err(|_| {
            let text = self.quoted(format_args!("{:?}", clipped(text)));
            self.wrong(format!("{text} is not an RFC 3339 time such as {}", Timestamp(0)))
        })?;
        let micro_nanos = time.subsec_nanosecond() / 1000 * 1000;
        if time.as_second() != 0 && time.as_second() != GO_ZERO_SECOND {
            put_number(1, time.as_second() as u64, into);
        }
        if form == Form::MicroTime && micro_nanos != 0 {
            put_number(2, micro_nanos as u64, into);
        }
        Ok(())
    }

    fn within<T>(&mut self, name: &str, then: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(clipped(name));
        let result = then(self);
        self.path.truncate(length);
        result
    }

    fn at<T>(&mut self, index: usize, then: impl FnOnce(&mut Self) -> T) -> T {
        self.key(&index.to_string(), then)
    }

    fn key<T>(&mut self, key: &str, then: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push('[');
        self.path.push_str(clipped(key));
        self.path.push(']');
        let result = then(self);
        self.path.truncate(length);
        result
    }

    fn not_known(&mut self, message: &Message, name: &str) {
        // Every object says what it is; its message does not.
        if self.depth == 1 && matches!(name, "kind" | "apiVersion") {
            return;
        }
        if self.unknown.len() >= UNKNOWN_MAX {
            self.unnamed += 1;
            return;
        }
        let hint = nearest(message.names(), name).map(|near| format!(" (did you mean {near:?}?)"));
        let place = self.within(name, |this| this.path.clone());
        self.unknown.push(format!("unknown field {place:?}{}", hint.unwrap_or_default()));
    }

    fn wrong(&self, what: String) -> Error {
        let place = if self.path.is_empty() { "the object" } else { &self.path };
        Error::bad_request(format!("{place}: {what}"))
    }

    /// A value for an error.
    fn quoted(&self, value: impl std::fmt::Display) -> String {
        match self.quotes {
            Quotes::Sent => value.to_string(),
            Quotes::Never => "what stands there".to_owned(),
        }
    }

    fn expected(&self, what: &str, found: &Value) -> Error {
        if self.quotes == Quotes::Never {
            return self.wrong(format!("expected {what}, found {}", kind_of(found)));
        }
        // `value: 80` and `value: yes` are what people write in YAML.
        let (found, remedy) = match found {
            Value::Null => ("null".to_owned(), String::new()),
            Value::Bool(flag) => (flag.to_string(), "; put the text in quotes".to_owned()),
            Value::Number(number) => (format!("number {number}"), format!("; write it in quotes: \"{number}\"")),
            Value::String(text) => (format!("string {:?}", clipped(text)), String::new()),
            Value::Array(_) | Value::Object(_) => (kind_of(found).to_owned(), String::new()),
        };
        let remedy = if what == A_STRING { remedy } else { String::new() };
        self.wrong(format!("expected {what}, found {found}{remedy}"))
    }
}

/// Whole floats below this are exact: 2⁵³.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// The integer that a float is, if it is one: YAML and some clients write 3.0 where 3 is meant.
pub(crate) fn whole(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "whole, and below the limit exact")]
    let integer = number as i64;
    (number.fract() == 0.0 && number.abs() < WHOLE_MAX).then_some(integer)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => A_STRING,
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The part that an inline field holds, begun at its first field.
fn part<'parts, 'field>(parts: &'parts mut Vec<Part<'field>>, holder: &'field Field) -> &'parts mut Part<'field> {
    let known = parts.iter().position(|part| part.holder.number == holder.number);
    let index = known.unwrap_or_else(|| {
        parts.push(Part { holder, bytes: Vec::new(), parts: Vec::new() });
        parts.len() - 1
    });
    &mut parts[index]
}
