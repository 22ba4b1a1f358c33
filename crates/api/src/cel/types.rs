//! The types of values, as far as they are known before an expression runs.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// What is known of a value.
#[derive(Clone, Debug)]
pub enum Type {
    /// Nothing: only running the expression will show.
    Dyn,
    /// `null`.
    Null,
    /// Yes or no.
    Bool,
    /// A whole number.
    Int,
    /// A whole number that is not negative.
    Uint,
    /// A number.
    Double,
    /// A text, of at most so many bytes.
    String(u64),
    /// Bytes, at most so many.
    Bytes(u64),
    /// A point in time.
    Timestamp,
    /// A length of time.
    Duration,
    /// A list.
    List(Arc<ListOf>),
    /// A map from keys of one type to values of another.
    Map(Arc<MapOf>),
    /// An object with named fields.
    Object(Arc<Object>),
    /// A value that may be absent.
    Optional(Arc<Type>),
    /// A type.
    Type,
    /// One of Kubernetes' own: `kubernetes.Quantity` and its like.
    Opaque(&'static str),
}

/// A type of lists.
#[derive(Clone, Debug)]
pub struct ListOf {
    /// The type of the elements.
    pub of: Type,
    /// What tells them apart.
    pub unique: Unique,
    /// The most elements.
    pub most: u64,
}

/// What tells elements of a list apart.
#[derive(Clone, Debug, Default)]
pub enum Unique {
    /// Where they stand.
    #[default]
    Place,
    /// What they are.
    Value,
    /// These fields of theirs.
    Keys(Vec<String>),
}

/// A type of maps.
#[derive(Clone, Debug)]
pub struct MapOf {
    /// The type of the keys.
    pub key: Type,
    /// The type of the values.
    pub value: Type,
    /// The most entries.
    pub most: u64,
}

/// A type of objects.
#[derive(Debug, Default)]
pub struct Object {
    /// The fields by their names.
    pub fields: BTreeMap<String, Type>,
}

impl Type {
    /// A text of any length.
    pub(super) const TEXT: Self = Self::String(u64::MAX);

    /// A list of any length.
    #[must_use]
    pub fn list(of: Self) -> Self {
        Self::List(Arc::new(ListOf { of, unique: Unique::Place, most: u64::MAX }))
    }

    /// A list of no more elements than so many.
    #[must_use]
    pub fn list_of_at_most(of: Self, most: u64) -> Self {
        Self::List(Arc::new(ListOf { of, unique: Unique::Place, most }))
    }

    /// The most bytes, elements or entries that a value of the type has.
    pub(super) fn most(&self) -> u64 {
        match self {
            Self::String(most) | Self::Bytes(most) => *most,
            Self::List(list) => list.most,
            Self::Map(map) => map.most,
            Self::Optional(of) => of.most(),
            Self::Dyn => u64::MAX,
            Self::Null
            | Self::Bool
            | Self::Int
            | Self::Uint
            | Self::Double
            | Self::Timestamp
            | Self::Duration
            | Self::Object(_)
            | Self::Type
            | Self::Opaque(_) => 1,
        }
    }

    /// A map of any size.
    #[must_use]
    pub fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new(MapOf { key, value, most: u64::MAX }))
    }

    /// A value of the type that may be absent.
    #[must_use]
    pub fn optional(of: Self) -> Self {
        Self::Optional(Arc::new(of))
    }

    pub(super) fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn)
    }

    /// Whether a value may be of both types.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dyn, _)
            | (_, Self::Dyn)
            | (Self::Null, Self::Null)
            | (Self::Bool, Self::Bool)
            | (Self::Int, Self::Int)
            | (Self::Uint, Self::Uint)
            | (Self::Double, Self::Double)
            | (Self::String(_), Self::String(_))
            | (Self::Bytes(_), Self::Bytes(_))
            | (Self::Timestamp, Self::Timestamp)
            | (Self::Duration, Self::Duration)
            | (Self::Type, Self::Type) => true,
            (Self::Null, other) | (other, Self::Null) => other.may_be_null(),
            (Self::List(one), Self::List(other)) => one.of.agrees(&other.of),
            (Self::Map(one), Self::Map(other)) => one.key.agrees(&other.key) && one.value.agrees(&other.value),
            (Self::Object(one), Self::Object(other)) => Arc::ptr_eq(one, other),
            (Self::Optional(one), Self::Optional(other)) => one.agrees(other),
            (Self::Opaque(one), Self::Opaque(other)) => one == other,
            (
                Self::Bool
                | Self::Int
                | Self::Uint
                | Self::Double
                | Self::String(_)
                | Self::Bytes(_)
                | Self::Timestamp
                | Self::Duration
                | Self::List(_)
                | Self::Map(_)
                | Self::Object(_)
                | Self::Optional(_)
                | Self::Type
                | Self::Opaque(_),
                _,
            ) => false,
        }
    }

    fn may_be_null(&self) -> bool {
        matches!(self, Self::Object(_) | Self::Timestamp | Self::Duration | Self::Optional(_) | Self::Opaque(_))
    }

    /// The type that values of both types have.
    pub(super) fn joined(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Null, other) | (other, Self::Null) if other.may_be_null() => other.clone(),
            (Self::String(one), Self::String(other)) => Self::String(*one.max(other)),
            (one, other) if one.agrees(other) && !other.is_dyn() => one.clone(),
            _ => Self::Dyn,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String(_) => f.write_str("string"),
            Self::Bytes(_) => f.write_str("bytes"),
            Self::Timestamp => f.write_str("google.protobuf.Timestamp"),
            Self::Duration => f.write_str("google.protobuf.Duration"),
            Self::List(list) => write!(f, "list({})", list.of),
            Self::Map(map) => write!(f, "map({}, {})", map.key, map.value),
            Self::Object(_) => f.write_str("object"),
            Self::Optional(of) => write!(f, "optional_type({of})"),
            Self::Type => f.write_str("type"),
            Self::Opaque(name) => f.write_str(name),
        }
    }
}
