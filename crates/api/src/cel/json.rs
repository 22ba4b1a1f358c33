//! Values as JSON: what expressions say that make objects and patches.
//!
//! A value may hold another one many times and be small; as JSON it would be as large as all of them. So what is written is counted
//! before it is made.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map as Fields, Number, Value as Json};

use super::{
    fuel::Fault,
    value::{Key, List, Map, Value},
};

/// What a value counts beside its texts, in bytes.
const VALUE_BYTES: usize = 8;

impl Value<'_> {
    /// The value as JSON, of which `left` bytes may still be made.
    ///
    /// # Errors
    /// If it is of a type that JSON does not have, or too large.
    pub fn json(&self, left: &mut usize) -> Result<Json, Fault> {
        pay(left, VALUE_BYTES)?;
        Ok(match self {
            Self::Null => Json::Null,
            Self::Bool(flag) => Json::Bool(*flag),
            Self::Int(number) => (*number).into(),
            Self::Uint(number) => (*number).into(),
            Self::Double(number) => Number::from_f64(*number).map(Json::Number).ok_or_else(|| unfit(self))?,
            Self::Text(text) => paid(left, text.len(), || text.to_string())?,
            Self::Bytes(bytes) => paid(left, bytes.len().saturating_mul(2), || STANDARD.encode(bytes))?,
            Self::Timestamp(time) => Json::String(time.to_string()),
            Self::Duration(nanos) => {
                let (seconds, rest) = (nanos / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
                let sign = if *nanos < 0 && seconds == 0 { "-" } else { "" };
                let fraction = if rest == 0 { String::new() } else { format!(".{rest:09}") };
                Json::String(format!("{sign}{seconds}{}s", fraction.trim_end_matches('0')))
            }
            Self::List(List::Kept(items, _)) => {
                items.iter().try_for_each(|item| weigh(item, left))?;
                Json::Array(items.to_vec())
            }
            Self::List(List::Made(items)) => {
                Json::Array(items.iter().map(|item| item.json(left)).collect::<Result<_, _>>()?)
            }
            Self::Map(Map::Kept(fields, _)) => {
                fields.iter().try_for_each(|(name, value)| pay(left, name.len()).and_then(|()| weigh(value, left)))?;
                Json::Object((*fields).clone())
            }
            Self::Map(Map::Made(entries)) => {
                let mut fields = Fields::new();
                for (key, value) in entries.iter() {
                    let name = match key {
                        Key::Text(text) => text.clone(),
                        Key::Bool(flag) => flag.to_string(),
                        Key::Number(number) => number.to_string(),
                    };
                    pay(left, name.len())?;
                    fields.insert(name, value.json(left)?);
                }
                Json::Object(fields)
            }
            Self::Optional(Some(value)) => value.json(left)?,
            Self::Optional(None)
            | Self::Type(_)
            | Self::Quantity(_)
            | Self::Ip(_)
            | Self::Cidr(..)
            | Self::Url(_)
            | Self::Semver(_)
            | Self::Format(_) => return Err(unfit(self)),
        })
    }
}

fn unfit(value: &Value<'_>) -> Fault {
    Fault::value(format!("unsupported conversion from '{}' to JSON", value.type_name()))
}

fn pay(left: &mut usize, bytes: usize) -> Result<(), Fault> {
    *left = left.checked_sub(bytes).ok_or_else(|| Fault::value("what the expression makes is too large"))?;
    Ok(())
}

fn paid(left: &mut usize, bytes: usize, make: impl FnOnce() -> String) -> Result<Json, Fault> {
    pay(left, bytes)?;
    Ok(Json::String(make()))
}

/// Pays for a copy.
fn weigh(json: &Json, left: &mut usize) -> Result<(), Fault> {
    pay(left, VALUE_BYTES)?;
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => Ok(()),
        Json::String(text) => pay(left, text.len()),
        Json::Array(items) => items.iter().try_for_each(|item| weigh(item, left)),
        Json::Object(fields) => {
            fields.iter().try_for_each(|(name, value)| pay(left, name.len()).and_then(|()| weigh(value, left)))
        }
    }
}
