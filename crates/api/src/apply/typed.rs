//! What a merge must know of the types of values. Messages of `proto/` answer it from their options; kinds that users define
//! from their schemas.

use serde_json::{Map, Value};

use crate::{
    fieldset::{Element, Set},
    schema::{Field, Form, Granularity, Message, Schema, Shape},
};

/// How values of a type are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merging {
    /// Whole: scalars, and lists and maps that are atomic.
    Leaf,
    /// Member by member: objects and maps.
    Members,
    /// A list, scalar by scalar.
    Set,
    /// A list, element by element, told apart by keys.
    Keyed,
    /// As its form tells, because no schema does: objects member by member, everything else whole.
    Deduced,
}

/// The type of a value.
pub trait Typed: Copy {
    /// How values of the type are merged.
    fn merging(self) -> Merging;

    /// The type of a member of an object, or of a value of a map.
    #[must_use]
    fn member(self, name: &str) -> Self;

    /// Whether the type itself names a member. Who sets one that it does not name, as in a map, brings it into being.
    fn names(self, name: &str) -> bool;

    /// The type of the elements of a list.
    #[must_use]
    fn element(self) -> Self;

    /// The fields that tell the elements of a list apart.
    fn keys(self) -> Vec<String>;

    /// What counts as said of a key that an element does not say.
    fn key_default(self, key: &str) -> Option<Value>;

    /// Whether there can be no such value: objects of the type around it do not have it.
    fn is_undeclared(self) -> bool;
}

/// The type of a value that `proto/` declares.
#[derive(Clone, Copy, Debug)]
pub enum BuiltIn {
    /// An object of a message.
    Message(&'static Message),
    /// All values of a field that is a list or a map.
    Values(&'static Field),
    /// What is merged whole.
    Leaf,
    /// A quantity, merged whole, which manifests may write as a number.
    Quantity,
    /// Whatever it is: `proto/` does not have it.
    Unknown,
}

impl BuiltIn {
    /// The type of a message, by its full name.
    #[must_use]
    pub fn message(name: &str) -> Option<Self> {
        Schema::get().message(name).map(Self::Message)
    }

    /// The metadata that every object has.
    #[must_use]
    pub fn metadata() -> Self {
        Schema::get().message("kapelle.meta.v1.ObjectMeta").map_or(Self::Unknown, Self::Message)
    }

    fn of(field: &'static Field) -> Self {
        match (field.shape, &field.granularity) {
            (Shape::One, _) => Self::one(field),
            (Shape::List | Shape::Map, Granularity::Atomic) => Self::Leaf,
            (Shape::List | Shape::Map, Granularity::Set | Granularity::Keyed(_) | Granularity::Entries) => {
                Self::Values(field)
            }
        }
    }

    /// One of the field's values.
    fn one(field: &'static Field) -> Self {
        match field.scalar.message() {
            Some(message) if message.form == Form::Object && !message.atomic => Self::Message(message),
            Some(message) if message.form == Form::Quantity => Self::Quantity,
            Some(_) | None => Self::Leaf,
        }
    }
}

/// What every object of the cluster says of itself, though its message does not have it.
fn is_type(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind")
}

impl Typed for BuiltIn {
    fn merging(self) -> Merging {
        match self {
            Self::Message(_) => Merging::Members,
            Self::Values(field) => match &field.granularity {
                Granularity::Atomic => Merging::Leaf,
                Granularity::Entries => Merging::Members,
                Granularity::Set => Merging::Set,
                Granularity::Keyed(_) => Merging::Keyed,
            },
            Self::Leaf | Self::Quantity => Merging::Leaf,
            Self::Unknown => Merging::Deduced,
        }
    }

    fn member(self, name: &str) -> Self {
        match self {
            Self::Message(message) => match message.find(name) {
                Some(found) => Self::of(found.field),
                None if is_type(name) => Self::Leaf,
                None => Self::Unknown,
            },
            Self::Values(field) => Self::one(field),
            Self::Leaf | Self::Quantity | Self::Unknown => Self::Unknown,
        }
    }

    fn names(self, name: &str) -> bool {
        match self {
            Self::Message(message) => message.find(name).is_some() || is_type(name),
            Self::Values(_) | Self::Leaf | Self::Quantity | Self::Unknown => false,
        }
    }

    fn element(self) -> Self {
        match self {
            Self::Values(field) => Self::one(field),
            Self::Message(_) | Self::Leaf | Self::Quantity | Self::Unknown => Self::Unknown,
        }
    }

    fn keys(self) -> Vec<String> {
        match self {
            Self::Values(Field { granularity: Granularity::Keyed(keys), .. }) => keys.clone(),
            Self::Values(_) | Self::Message(_) | Self::Leaf | Self::Quantity | Self::Unknown => Vec::new(),
        }
    }

    /// The default stands at the key's field, in the message of the elements.
    fn key_default(self, key: &str) -> Option<Value> {
        let Self::Values(field) = self else { return None };
        let found = field.scalar.message()?.find(key)?;
        Some(found.field.key_default.as_str()).filter(|text| !text.is_empty()).map(Value::from)
    }

    fn is_undeclared(self) -> bool {
        matches!(self, Self::Unknown)
    }
}

/// How a value is to be merged, by its type and, where no type says it, by its form. `None` is like any other value.
pub(super) fn merging(typed: impl Typed, value: Option<&Value>) -> Merging {
    match (typed.merging(), value) {
        (Merging::Deduced, Some(Value::Object(_))) => Merging::Members,
        (Merging::Deduced, _) => Merging::Leaf,
        (known, _) => known,
    }
}

/// The path element of an element of a list; `Err` says why it has none.
pub(super) fn element_of(typed: impl Typed, item: &Value) -> Result<Element, String> {
    match typed.merging() {
        Merging::Set if item.is_object() || item.is_array() || item.is_null() => {
            Err("an element of a set must be a scalar".to_owned())
        }
        Merging::Set => Ok(Element::value(item)),
        Merging::Keyed | Merging::Leaf | Merging::Members | Merging::Deduced => {
            let keys = typed.keys();
            let Value::Object(fields) = item else {
                return Err(format!("an element must be an object with {}", keys.join(", ")));
            };
            let value = |key: &String| fields.get(key).filter(|value| !value.is_null()).cloned();
            let said = |key: String| value(&key).or_else(|| typed.key_default(&key)).map(|value| (key, value));
            let said: Map<String, Value> = keys.iter().cloned().filter_map(said).collect();
            if said.is_empty() {
                Err(format!("an element has none of the keys {}", keys.join(", ")))
            } else {
                Ok(Element::key(said))
            }
        }
    }
}

/// A set in which every field that a type names is a member if something below it is.
pub(super) fn with_named<T: Typed>(set: &Set, root: T) -> Set {
    set.with_named(root, &|typed: T, element: &Element| match element.name() {
        Some(name) => (typed.merging() == Merging::Members && typed.names(name), typed.member(name)),
        None => (false, typed.element()),
    })
}
