//! Values that expressions compute with. What comes from an object is looked at where it lies, and only as far as it is used;
//! copies of a value share what they hold.

use std::{cmp::Ordering, collections::BTreeMap, net::IpAddr, ops::Deref, rc::Rc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::Value as Json;

use super::{
    fuel::{Fault, Fuel},
    types::{ListOf, Type, Unique},
};
use crate::quantity::Quantity;

/// A value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number that is not negative.
    Uint(u64),
    /// A number.
    Double(f64),
    /// A text.
    Text(Text<'a>),
    /// Bytes.
    Bytes(Rc<[u8]>),
    /// A length of time, in nanoseconds.
    Duration(i64),
    /// A point in time.
    Timestamp(Timestamp),
    /// A list.
    List(List<'a>),
    /// A map, or an object.
    Map(Map<'a>),
    /// A value that may be absent.
    Optional(Option<Rc<Value<'a>>>),
    /// A type, by its name.
    Type(&'static str),
    /// A quantity such as `100m`.
    Quantity(Quantity),
    /// An address.
    Ip(IpAddr),
    /// A range of addresses: one in it, and the length of the prefix.
    Cidr(IpAddr, u8),
    /// A URL.
    Url(Rc<super::functions::Url>),
    /// A version such as `1.2.3-rc.1`.
    Semver(Rc<super::functions::Semver>),
    /// A named format of texts.
    Format(&'static str),
}

/// A text, of an object or of the expression, or made while it ran.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    /// It lies elsewhere.
    Kept(&'a str),
    /// It was made.
    Made(Rc<str>),
}

/// A list, likewise.
#[derive(Clone, Debug)]
pub enum List<'a> {
    /// It lies elsewhere.
    Kept(&'a [Json], Option<&'a ListOf>),
    /// It was made.
    Made(Rc<[Value<'a>]>),
}

/// A map, likewise.
#[derive(Clone, Debug)]
pub enum Map<'a> {
    /// It lies elsewhere.
    Kept(&'a serde_json::Map<String, Json>, &'a Type),
    /// It was made.
    Made(Rc<BTreeMap<Key, Value<'a>>>),
}

/// The key of an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Yes or no.
    Bool(bool),
    /// A number, whichever way it is written.
    Number(i128),
    /// A text.
    Text(String),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Kept(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl<'a> From<String> for Value<'a> {
    fn from(text: String) -> Self {
        Self::Text(Text::Made(text.into()))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Text::Kept(text))
    }
}

impl<'a> From<Vec<Value<'a>>> for Value<'a> {
    fn from(items: Vec<Value<'a>>) -> Self {
        Self::List(List::Made(items.into()))
    }
}

impl<'a> Value<'a> {
    /// A value of an object. What does not fit its type is what it is by itself.
    #[must_use]
    pub fn of(json: &'a Json, of: &'a Type) -> Self {
        match (json, of) {
            (Json::Null, _) => Self::Null,
            (Json::Bool(flag), _) => Self::Bool(*flag),
            (Json::Number(number), Type::Double) => Self::Double(number.as_f64().unwrap_or_default()),
            (Json::Number(number), _) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(number), _, _) => Self::Int(number),
                (None, Some(number), _) => Self::Uint(number),
                (None, None, number) => Self::float(number.unwrap_or_default(), of),
            },
            (Json::String(text), Type::Timestamp) => {
                super::functions::timestamp(text).map_or_else(|| Self::from(text.as_str()), Self::Timestamp)
            }
            (Json::String(text), Type::Duration) => {
                super::functions::duration(text).map_or_else(|| Self::from(text.as_str()), Self::Duration)
            }
            (Json::String(text), Type::Bytes(_)) => {
                STANDARD.decode(text).map_or_else(|_| Self::from(text.as_str()), |bytes| Self::Bytes(bytes.into()))
            }
            (Json::String(text), _) => Self::from(text.as_str()),
            (Json::Array(items), Type::List(of)) => Self::List(List::Kept(items, Some(of))),
            (Json::Array(items), _) => Self::List(List::Kept(items, None)),
            (Json::Object(fields), of) => Self::Map(Map::Kept(fields, of)),
        }
    }

    /// A map from names to values.
    #[must_use]
    pub fn map(entries: impl IntoIterator<Item = (String, Value<'a>)>) -> Self {
        let entries = entries.into_iter().map(|(name, value)| (Key::Text(name), value));
        Self::Map(Map::Made(Rc::new(entries.collect())))
    }

    /// A number that JSON writes with a point; 3.0 is whole where whole numbers are meant.
    fn float(number: f64, of: &Type) -> Self {
        match (of, crate::json::whole(number)) {
            (Type::Int, Some(whole)) => Self::Int(whole),
            _ => Self::Double(number),
        }
    }

    /// The name of its type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Ip(_) => "net.IP",
            Self::Cidr(..) => "net.CIDR",
            Self::Url(_) => "kubernetes.URL",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
        }
    }

    /// Whether it is what a type has when nobody has set anything.
    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::Null | Self::Optional(None) => true,
            Self::Bool(flag) => !flag,
            Self::Int(number) => *number == 0,
            Self::Uint(number) => *number == 0,
            Self::Double(number) => *number == 0.0,
            Self::Text(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Duration(nanos) => *nanos == 0,
            Self::List(list) => list.len() == 0,
            Self::Map(map) => map.len() == 0,
            Self::Timestamp(_)
            | Self::Optional(Some(_))
            | Self::Type(_)
            | Self::Quantity(_)
            | Self::Ip(_)
            | Self::Cidr(..)
            | Self::Url(_)
            | Self::Semver(_)
            | Self::Format(_) => false,
        }
    }

    /// Whether two values are the same. Numbers are compared as numbers; values of two types differ.
    pub(super) fn same(&self, other: &Self, fuel: &mut Fuel) -> Result<bool, Fault> {
        fuel.burn(1)?;
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Text(one), Self::Text(other)) => {
                fuel.bytes(one.len().min(other.len()))?;
                **one == **other
            }
            (Self::Bytes(one), Self::Bytes(other)) => {
                fuel.bytes(one.len().min(other.len()))?;
                one == other
            }
            (Self::Duration(one), Self::Duration(other)) => one == other,
            (Self::Timestamp(one), Self::Timestamp(other)) => one == other,
            (Self::List(one), Self::List(other)) => one.same(other, fuel)?,
            (Self::Map(one), Self::Map(other)) => one.same(other, fuel)?,
            (Self::Optional(Some(one)), Self::Optional(Some(other))) => one.same(other, fuel)?,
            (Self::Optional(None), Self::Optional(None)) => true,
            (Self::Type(one), Self::Type(other)) | (Self::Format(one), Self::Format(other)) => one == other,
            (Self::Quantity(one), Self::Quantity(other)) => one == other,
            (Self::Ip(one), Self::Ip(other)) => one == other,
            (Self::Cidr(one, length), Self::Cidr(other, other_length)) => one == other && length == other_length,
            (Self::Url(one), Self::Url(other)) => one == other,
            (Self::Semver(one), Self::Semver(other)) => one == other,
            (one, other) => numbers(one, other) == Some(Ordering::Equal),
        })
    }

    /// Which of two values comes first; `None` if they have no order.
    pub(super) fn order(&self, other: &Self, fuel: &mut Fuel) -> Result<Option<Ordering>, Fault> {
        fuel.burn(1)?;
        Ok(match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => Some(one.cmp(other)),
            (Self::Text(one), Self::Text(other)) => {
                fuel.bytes(one.len().min(other.len()))?;
                Some((**one).cmp(&**other))
            }
            (Self::Bytes(one), Self::Bytes(other)) => {
                fuel.bytes(one.len().min(other.len()))?;
                Some(one.cmp(other))
            }
            (Self::Duration(one), Self::Duration(other)) => Some(one.cmp(other)),
            (Self::Timestamp(one), Self::Timestamp(other)) => Some(one.cmp(other)),
            (one, other) => numbers(one, other),
        })
    }

    /// The key that it is of a map.
    pub(super) fn key(&self) -> Option<Key> {
        match self {
            Self::Bool(flag) => Some(Key::Bool(*flag)),
            Self::Int(number) => Some(Key::Number((*number).into())),
            Self::Uint(number) => Some(Key::Number((*number).into())),
            Self::Double(number) => crate::json::whole(*number).map(|whole| Key::Number(whole.into())),
            Self::Text(text) => Some(Key::Text(text.to_string())),
            Self::Null
            | Self::Bytes(_)
            | Self::Duration(_)
            | Self::Timestamp(_)
            | Self::List(_)
            | Self::Map(_)
            | Self::Optional(_)
            | Self::Type(_)
            | Self::Quantity(_)
            | Self::Ip(_)
            | Self::Cidr(..)
            | Self::Url(_)
            | Self::Semver(_)
            | Self::Format(_) => None,
        }
    }
}

/// The order of two numbers of any type.
#[expect(clippy::cast_precision_loss, reason = "CEL compares doubles with whole numbers so")]
fn numbers(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    use Value::{Double, Int, Uint};
    match (one, other) {
        (Int(one), Int(other)) => Some(one.cmp(other)),
        (Uint(one), Uint(other)) => Some(one.cmp(other)),
        (Int(one), Uint(other)) => Some(i128::from(*one).cmp(&i128::from(*other))),
        (Uint(one), Int(other)) => Some(i128::from(*one).cmp(&i128::from(*other))),
        (Double(one), Double(other)) => one.partial_cmp(other),
        (Double(one), Int(other)) => one.partial_cmp(&(*other as f64)),
        (Int(one), Double(other)) => (*one as f64).partial_cmp(other),
        (Double(one), Uint(other)) => one.partial_cmp(&(*other as f64)),
        (Uint(one), Double(other)) => (*one as f64).partial_cmp(other),
        _ => None,
    }
}

impl<'a> List<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Kept(items, _) => items.len(),
            Self::Made(items) => items.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Kept(items, of) => items.get(index).map(|item| Value::of(item, of.map_or(&Type::Dyn, |of| &of.of))),
            Self::Made(items) => items.get(index).cloned(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    pub(super) fn unique(&self) -> &'a Unique {
        match self {
            Self::Kept(_, Some(of)) => &of.unique,
            Self::Kept(_, None) | Self::Made(_) => &Unique::Place,
        }
    }

    pub(super) fn contains(&self, value: &Value<'a>, fuel: &mut Fuel) -> Result<bool, Fault> {
        for item in self.iter() {
            if item.same(value, fuel)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// In lists whose elements are told apart by what they are, it does not matter where they stand.
    fn same(&self, other: &Self, fuel: &mut Fuel) -> Result<bool, Fault> {
        if self.len() != other.len() {
            return Ok(false);
        }
        if !matches!(self.unique(), Unique::Place) {
            for item in self.iter() {
                if !other.contains(&item, fuel)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        for (one, other) in self.iter().zip(other.iter()) {
            if !one.same(&other, fuel)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<'a> Map<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Kept(fields, _) => fields.len(),
            Self::Made(entries) => entries.len(),
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Value<'a>> {
        match (self, key) {
            (Self::Kept(..), Key::Text(name)) => self.field(name),
            (Self::Kept(..), Key::Bool(_) | Key::Number(_)) => None,
            (Self::Made(entries), key) => entries.get(key).cloned(),
        }
    }

    /// A field by its name. One that is `null` and may not be null is absent.
    pub(super) fn field(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Self::Kept(fields, of) => fields.get(name).map(|value| Value::of(value, field_type(of, name))),
            Self::Made(entries) => entries.get(&Key::Text(name.to_owned())).cloned(),
        }
    }

    pub(super) fn keys(&self) -> Vec<Value<'a>> {
        match self {
            Self::Kept(fields, _) => fields.keys().map(|name| Value::from(name.as_str())).collect(),
            Self::Made(entries) => entries.keys().map(Key::value).collect(),
        }
    }

    fn same(&self, other: &Self, fuel: &mut Fuel) -> Result<bool, Fault> {
        if self.len() != other.len() {
            return Ok(false);
        }
        for key in self.keys() {
            let Some(key) = key.key() else { return Ok(false) };
            match (self.get(&key), other.get(&key)) {
                (Some(one), Some(other)) if one.same(&other, fuel)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// The type of a field of something of a type.
fn field_type<'a>(of: &'a Type, name: &str) -> &'a Type {
    match of {
        Type::Object(object) => object.fields.get(name).unwrap_or(&Type::Dyn),
        Type::Map(map) => &map.value,
        _ => &Type::Dyn,
    }
}

impl Key {
    pub(super) fn value<'a>(&self) -> Value<'a> {
        match self {
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Number(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => Value::Int(number),
                (Err(_), number) => Value::Uint(number.unwrap_or(u64::MAX)),
            },
            Self::Text(text) => Value::from(text.clone()),
        }
    }
}
