//! One step on the way to a field, as `fieldsV1` writes it: `f:NAME`, `k:{"KEY":VALUE}`, `v:VALUE` or `i:INDEX`.

use std::fmt;

use serde_json::{Map, Value};

/// One step. Kept as the text that `fieldsV1` has for it, with JSON in it in one form only, so that equal elements are equal
/// texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element(Box<str>);

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Field,
    Key,
    Value,
    Index,
}

impl Element {
    /// A member of an object, or an entry of a map.
    #[must_use]
    pub fn field(name: &str) -> Self {
        Self(format!("f:{name}").into())
    }

    /// The element of a list that has these fields.
    #[must_use]
    pub fn key(fields: Map<String, Value>) -> Self {
        let sorted: std::collections::BTreeMap<String, Value> =
            fields.into_iter().map(|(name, value)| (name, whole(value))).collect();
        let parts: Vec<String> =
            sorted.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))).collect();
        Self(format!("k:{{{}}}", parts.join(",")).into())
    }

    /// The element of a list that is this scalar.
    #[must_use]
    pub fn value(value: &Value) -> Self {
        Self(format!("v:{}", whole(value.clone())).into())
    }

    /// Reads one from a name in `fieldsV1`; `None` if it is none. Of a sort that a later version may know.
    ///
    /// # Errors
    /// If it is of a known sort and its content is not what that sort has.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, String> {
        let wrong = |error: serde_json::Error| format!("{text:?}: {error}");
        Ok(match text.as_bytes() {
            [b'f', b':', ..] => Some(Self(text.into())),
            [b'k', b':', ..] => Some(Self::key(serde_json::from_str(&text[2..]).map_err(wrong)?)),
            [b'v', b':', ..] => Some(Self::value(&serde_json::from_str(&text[2..]).map_err(wrong)?)),
            [b'i', b':', rest @ ..] => {
                let index = str::from_utf8(rest).ok().and_then(|index| index.parse::<i64>().ok());
                let index = index.ok_or_else(|| format!("{text:?}: the index is not a number"))?;
                Some(Self(format!("i:{index}").into()))
            }
            [_, b':', ..] => None,
            _ => return Err(format!("{text:?} is not a path element such as \"f:spec\"")),
        })
    }

    /// As `fieldsV1` writes it.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The name, if it is a field.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.strip_prefix("f:")
    }

    fn sort(&self) -> Sort {
        match self.0.as_bytes().first() {
            Some(b'k') => Sort::Key,
            Some(b'v') => Sort::Value,
            Some(b'i') => Sort::Index,
            _ => Sort::Field,
        }
    }
}

/// Whole numbers are told without decimals, however they were written.
fn whole(value: Value) -> Value {
    let integer = value.as_f64().filter(|_| value.is_f64()).and_then(crate::json::whole);
    integer.map_or(value, Value::from)
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = &self.0[2..];
        match self.sort() {
            Sort::Field => write!(f, ".{content}"),
            Sort::Value => write!(f, "[={content}]"),
            Sort::Index => write!(f, "[{content}]"),
            Sort::Key => {
                let fields: Map<String, Value> = serde_json::from_str(content).unwrap_or_default();
                let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(f, "[{}]", fields.join(","))
            }
        }
    }
}
