//! JSON text as a value, and the fields that stand in it twice.
//!
//! JSON's readers commonly let the last one win and say nothing, which hides a mistake in a manifest.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{Strictness, names::clipped};
use crate::Error;

/// How many fields are named that stand twice.
pub(crate) const DUPLICATES_MAX: usize = 32;

/// A value that was read, and what stands in it twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The value; of fields that stand twice the last.
    pub value: Value,
    /// `duplicate field "metadata.name"`; empty unless asked to warn.
    pub duplicates: Vec<String>,
}

impl From<Value> for Parsed {
    fn from(value: Value) -> Self {
        Self { value, duplicates: Vec::new() }
    }
}

/// Reads one JSON value.
///
/// # Errors
/// [`Reason::BadRequest`](crate::Reason::BadRequest) if the text is not JSON or, if strict, naming the fields that stand twice.
pub fn parse(text: &[u8], strictness: Strictness) -> Result<Parsed, Error> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let mut finder = Finder::default();
    let value = finder.seed().deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    let value = value.map_err(|error| Error::bad_request(format!("the body is not JSON: {error}")))?;
    Ok(Parsed { value, duplicates: strictness.judge(finder.found)? })
}

/// Knows where the reader is, and what it found there.
#[derive(Default)]
struct Finder {
    path: String,
    found: Vec<String>,
}

/// Reads one value at the finder's place.
struct Seed<'a>(&'a mut Finder);

impl Finder {
    fn seed(&mut self) -> Seed<'_> {
        Seed(self)
    }

    /// Puts `part` behind the path until `length` is what is left of it.
    fn go(&mut self, part: fmt::Arguments<'_>) -> usize {
        let length = self.path.len();
        // Writing into a text cannot fail.
        let _ = fmt::Write::write_fmt(&mut self.path, part);
        length
    }

    fn note(&mut self) {
        if self.found.len() < DUPLICATES_MAX {
            self.found.push(format!("duplicate field {:?}", self.path));
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(number).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let length = self.0.go(format_args!("[{}]", list.len()));
            let item = items.next_element_seed(self.0.seed())?;
            self.0.path.truncate(length);
            match item {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let dot = if self.0.path.is_empty() { "" } else { "." };
            let length = self.0.go(format_args!("{dot}{}", clipped(&name)));
            if object.contains_key(&name) {
                self.0.note();
            }
            let value = fields.next_value_seed(self.0.seed()).map_err(A::Error::custom)?;
            self.0.path.truncate(length);
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::Value;

    use super::{Strictness, parse};

    #[test]
    fn fields_that_stand_twice_are_named_by_their_paths() {
        let cases: [(&str, &[&str]); 4] = [
            (r#"{"a": {"b": 1}, "c": [1, 2.5, -3, "x", null, true]}"#, &[]),
            (r#"{"a": 1, "a": 2}"#, &["duplicate field \"a\""]),
            (r#"{"s": {"c": [{"n": 1}, {"n": 1, "m": 2, "n": 3}]}}"#, &["duplicate field \"s.c[1].n\""]),
            (r#"{"a": {"x": 1}, "a": {"x": 1, "x": 1}}"#, &["duplicate field \"a\"", "duplicate field \"a.x\""]),
        ];
        for (text, named) in cases {
            let parsed = parse(text.as_bytes(), Strictness::Warn).unwrap();
            assert_eq!(parsed.duplicates, named, "{text}");
            assert_eq!(parsed.value, serde_json::from_str::<Value>(text).unwrap(), "the last one wins: {text}");
            assert!(parse(text.as_bytes(), Strictness::Ignore).unwrap().duplicates.is_empty());
            assert_eq!(parse(text.as_bytes(), Strictness::Strict).is_err(), !named.is_empty(), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "{} {}", "nul", &"[".repeat(1000)] {
            let error = parse(text.as_bytes(), Strictness::Ignore).unwrap_err();
            assert!(error.to_string().contains("not JSON"), "{error}");
        }
    }
}
