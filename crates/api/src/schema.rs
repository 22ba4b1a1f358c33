//! What `proto/` says of every message, as a table: fields by number and by JSON name, options and comments.
//!
//! Built once from the compiled descriptors. The codecs, the patches, OpenAPI and `explain` read off it.

mod declared;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::LazyLock};

use prost_types::field_descriptor_proto::Type;

use crate::pb::kapelle::options::v1 as options;

use declared::{Comments, Declared};

/// Every message, by its full name.
pub struct Schema {
    messages: Vec<Message>,
    by_name: HashMap<String, usize>,
}

/// One message.
#[derive(Debug)]
pub struct Message {
    /// The full name: `kapelle.core.v1.Pod`.
    pub name: String,
    /// What it is for.
    pub doc: String,
    /// How JSON writes it.
    pub form: Form,
    /// Server-side apply replaces it whole, and it has one owner.
    pub atomic: bool,
    /// Its fields, by number.
    pub fields: Vec<Field>,
    /// Where each name of its JSON object stands, those of inline messages among them.
    names: HashMap<String, Place>,
    /// The place of each number in `fields`; [`NO_FIELD`] where there is none.
    numbers: Vec<u16>,
    /// What is written even when absent.
    always: Vec<Place>,
}

/// Where a field stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the message itself.
    Own(usize),
    /// In the message that an inline field holds.
    Inline { holder: usize, message: usize, field: usize },
    /// In the message that an inline field of that one holds.
    Nested { holder: usize, within: usize, inner: usize, message: usize, field: usize },
}

/// A field as JSON sees it.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The inline field whose message has it; `None` if the message itself has it.
    pub holder: Option<&'a Field>,
    /// The inline field within that one, if it is not the holder's message that has it but one within.
    pub inner: Option<&'a Field>,
    /// The field.
    pub field: &'a Field,
}

const NO_FIELD: u16 = u16::MAX;

/// The highest field number, since the table of numbers is dense. Kubernetes' own stay below a hundred.
const NUMBER_MAX: u32 = 4096;

/// The most members of one message that are always written: those that were are noted in the bits of a number.
const ALWAYS_MAX: usize = u64::BITS as usize;

/// How JSON writes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As an object with the fields' JSON names.
    Object,
    /// RFC 3339 to the second.
    Time,
    /// RFC 3339 with six decimals.
    MicroTime,
    /// A text such as `100m`; a number is accepted.
    Quantity,
    /// A number or a text.
    IntOrString,
    /// Whatever JSON stands in its bytes.
    Raw,
    /// A list of texts, without the name of its only field.
    Texts,
}

/// One field.
#[derive(Debug)]
pub struct Field {
    /// The number on the wire.
    pub number: u32,
    /// The name in JSON.
    pub json: String,
    /// The name as it begins a member: in quotes, with the colon.
    pub quoted: String,
    /// The name as it begins a path element of `fieldsV1`, likewise.
    pub(crate) path_element: String,
    /// What it is for.
    pub doc: String,
    /// What it holds.
    pub shape: Shape,
    /// What one value is.
    pub scalar: Scalar,
    /// Whether absence differs from zero.
    pub presence: bool,
    /// The message's fields stand in the parent's JSON object.
    pub inline: bool,
    /// Written to JSON even when zero or empty.
    pub always: bool,
    /// A strategic merge patch merges the list.
    pub merge: bool,
    /// By this field of the elements.
    pub merge_key: String,
    /// `$retainKeys` is understood.
    pub retain_keys: bool,
    /// A strategic merge patch replaces the message whole.
    pub replace: bool,
    /// How server-side apply merges the list or map; nothing is said of what is neither.
    pub granularity: Granularity,
    /// What counts as said where the field tells elements of a list apart and one of them does not say it.
    pub key_default: String,
    /// Whoever writes the object must give it.
    pub required: bool,
}

/// How server-side apply merges a list or map, and who owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// It is replaced whole and has one owner.
    Atomic,
    /// Each scalar of the list has its owners.
    Set,
    /// Each element of the list has its owners. These fields tell them apart.
    Keyed(Vec<String>),
    /// Each entry of the map has its owners.
    Entries,
}

/// How many values a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// At most one.
    One,
    /// A list.
    List,
    /// Values by text.
    Map,
}

/// What one value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// `true` or `false`.
    Bool,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
    /// A text.
    String,
    /// Bytes; base64 in JSON.
    Bytes,
    /// A message; its index in the table.
    Message(usize),
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::build);

impl Schema {
    /// The table.
    #[must_use]
    pub fn get() -> &'static Self {
        &SCHEMA
    }

    /// A message by its full name.
    #[must_use]
    pub fn message(&self, name: &str) -> Option<&Message> {
        self.by_name.get(name).map(|index| &self.messages[*index])
    }

    /// A message by its place in the table, as [`Scalar::Message`] has it.
    #[must_use]
    pub fn at(&self, index: usize) -> &Message {
        &self.messages[index]
    }

    /// Every message, ordered by name.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter()
    }

    fn build() -> Self {
        let files = declared::files();
        let comments: Vec<Comments<'_>> = files.iter().map(declared::File::comments).collect();
        let all = files.iter().zip(&comments).flat_map(|(file, comments)| file.messages(comments));
        let mut declared: Vec<Declared<'_>> = all.filter(|message| is_spoken(&message.name)).collect();
        declared.sort_by(|one, other| one.name.cmp(&other.name));
        let by_name: HashMap<String, usize> = declared.iter().map(|message| message.name.clone()).zip(0..).collect();
        let mut messages: Vec<Message> = declared.iter().map(|message| Message::build(message, &by_name)).collect();
        let places: Vec<Vec<(String, Place)>> = messages.iter().map(|message| message.places(&messages)).collect();
        for (message, places) in messages.iter_mut().zip(&places) {
            message.names = places.iter().cloned().collect();
        }
        let always: Vec<Vec<Place>> = messages.iter().map(|message| message.always_written(&messages)).collect();
        for (message, always) in messages.iter_mut().zip(always) {
            assert!(always.len() <= ALWAYS_MAX, "{}: too many members that are always written", message.name);
            message.always = always;
        }
        Self { messages, by_name }
    }
}

/// Options are said about messages, and never sent.
fn is_spoken(name: &str) -> bool {
    name.starts_with("kapelle.") && !name.starts_with("kapelle.options.")
}

impl Message {
    /// A field by the name that it has in the message's JSON object, where those of inline messages stand too.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Found<'_>> {
        self.names.get(name).map(|place| self.found(*place))
    }

    /// A field by its number.
    #[must_use]
    pub fn by_number(&self, number: u32) -> Option<&Field> {
        let index = *self.numbers.get(number as usize)?;
        self.fields.get(usize::from(index))
    }

    /// Every name of the message's JSON object.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// The fields that JSON shows even when they are absent.
    pub fn always(&self) -> impl Iterator<Item = &Field> {
        self.always.iter().map(|place| self.found(*place).field)
    }

    fn found(&self, place: Place) -> Found<'_> {
        let field_of = |message: usize, field: usize| &Schema::get().messages[message].fields[field];
        match place {
            Place::Own(field) => Found { holder: None, inner: None, field: &self.fields[field] },
            Place::Inline { holder, message, field } => {
                Found { holder: Some(&self.fields[holder]), inner: None, field: field_of(message, field) }
            }
            Place::Nested { holder, within, inner, message, field } => Found {
                holder: Some(&self.fields[holder]),
                inner: Some(field_of(within, inner)),
                field: field_of(message, field),
            },
        }
    }

    fn build(message: &Declared<'_>, by_name: &HashMap<String, usize>) -> Self {
        let mut fields: Vec<Field> =
            message.fields().map(|(field, doc)| Field::build(message, field, by_name, doc)).collect();
        fields.sort_by_key(|field| field.number);
        let (name, doc, atomic, numbers) =
            (message.name.clone(), message.comment(), message.is_atomic(), numbers(&fields));
        Self { form: Form::of(&name), name, doc, atomic, fields, names: HashMap::new(), numbers, always: Vec::new() }
    }

    /// The names of its JSON object. A message's own go before those of inline messages.
    fn places(&self, messages: &[Self]) -> Vec<(String, Place)> {
        let own = self.fields.iter().enumerate();
        let mut places = Vec::new();
        for (holder, field) in own.clone().filter(|(_, field)| field.inline) {
            let Scalar::Message(message) = field.scalar else { continue };
            for (index, inner) in messages[message].fields.iter().enumerate() {
                if let (Scalar::Message(nested), true) = (inner.scalar, inner.inline) {
                    places.extend(self.nested((holder, message, index), nested, &messages[nested]));
                } else {
                    places.push((inner.json.clone(), Place::Inline { holder, message, field: index }));
                }
            }
        }
        places.extend(
            own.filter(|(_, field)| !field.inline).map(|(index, field)| (field.json.clone(), Place::Own(index))),
        );
        places
    }

    /// The names of a message that an inline field of an inline message holds.
    fn nested(
        &self,
        (holder, within, inner): (usize, usize, usize),
        message: usize,
        fields: &Self,
    ) -> Vec<(String, Place)> {
        let deeper = fields.fields.iter().any(|field| field.inline);
        assert!(!deeper, "{}: inline messages may be two deep; teach the codecs first", self.name);
        let place = |field: usize| Place::Nested { holder, within, inner, message, field };
        fields.fields.iter().enumerate().map(|(index, field)| (field.json.clone(), place(index))).collect()
    }

    fn always_written(&self, messages: &[Self]) -> Vec<Place> {
        let always = |place: &Place| match *place {
            Place::Own(field) => self.fields[field].always,
            Place::Inline { message, field, .. } | Place::Nested { message, field, .. } => {
                messages[message].fields[field].always
            }
        };
        self.names.values().copied().filter(always).collect()
    }
}

fn numbers(fields: &[Field]) -> Vec<u16> {
    let last = fields.last().map_or(0, |field| field.number);
    assert!(last <= NUMBER_MAX, "field number {last} is above {NUMBER_MAX}; make the table sparse before using it");
    let mut numbers = vec![NO_FIELD; last as usize + 1];
    for (field, index) in fields.iter().zip(0..) {
        numbers[field.number as usize] = index;
    }
    numbers
}

impl Form {
    /// Whether it is a point in time; zero means that there is none.
    #[must_use]
    pub fn is_time(self) -> bool {
        matches!(self, Self::Time | Self::MicroTime)
    }

    fn of(name: &str) -> Self {
        match name {
            "kapelle.meta.v1.Time" => Self::Time,
            "kapelle.meta.v1.MicroTime" => Self::MicroTime,
            "kapelle.meta.v1.Quantity" => Self::Quantity,
            "kapelle.meta.v1.IntOrString" => Self::IntOrString,
            "kapelle.meta.v1.FieldsV1" | "kapelle.meta.v1.RawExtension" => Self::Raw,
            "kapelle.authentication.v1.ExtraValue" => Self::Texts,
            _ => Self::Object,
        }
    }
}

impl Field {
    fn build(message: &Declared<'_>, field: &declared::Field, by_name: &HashMap<String, usize>, doc: String) -> Self {
        let options = field.options();
        let (shape, value) = match message.map_values(field) {
            Some(value) => (Shape::Map, value),
            None if field.is_list() => (Shape::List, field),
            None => (Shape::One, field),
        };
        Self {
            number: field.number(),
            json: field.json_name().to_owned(),
            quoted: format!("\"{}\":", field.json_name()),
            path_element: format!("\"f:{}\":", field.json_name()),
            doc,
            shape,
            scalar: Scalar::of(value, by_name),
            presence: field.has_presence(),
            granularity: Granularity::of(shape, &options),
            required: options.required.unwrap_or(options.always),
            inline: options.inline,
            always: options.always,
            merge: options.merge,
            merge_key: options.merge_key,
            retain_keys: options.retain_keys,
            replace: options.replace,
            key_default: options.key_default,
        }
    }
}

impl Granularity {
    /// A list that a strategic merge patch merges is merged here too, by the same key, unless its options say otherwise.
    fn of(shape: Shape, options: &options::Field) -> Self {
        let mut keys = options.map_keys.clone();
        if keys.is_empty() && !options.merge_key.is_empty() {
            keys.push(options.merge_key.clone());
        }
        match shape {
            Shape::One => Self::Atomic,
            Shape::List | Shape::Map if options.atomic => Self::Atomic,
            Shape::Map => Self::Entries,
            Shape::List if !keys.is_empty() => Self::Keyed(keys),
            Shape::List if options.set || options.merge => Self::Set,
            Shape::List => Self::Atomic,
        }
    }
}

impl Scalar {
    /// The message that such a value is.
    pub(crate) fn message(self) -> Option<&'static Message> {
        match self {
            Self::Message(index) => Some(Schema::get().at(index)),
            Self::Bool | Self::Int32 | Self::Int64 | Self::String | Self::Bytes => None,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the types of protobuf are not ours to name")]
    fn of(field: &declared::Field, by_name: &HashMap<String, usize>) -> Self {
        match field.r#type() {
            Type::Bool => Self::Bool,
            Type::Int32 => Self::Int32,
            Type::Int64 => Self::Int64,
            Type::String => Self::String,
            Type::Bytes => Self::Bytes,
            Type::Message => Self::Message(by_name[field.message()]),
            other => unreachable!("proto/ uses no {other:?}; teach the codecs before it does"),
        }
    }
}
