//! What the compiled descriptors declare, as far as the table of the schema needs it.
//!
//! They are read with types that have nothing else in them: a library for descriptors would resolve and check all that the
//! compiler of `proto/` has resolved and checked, which took every process that starts 15 ms.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};

use crate::pb::kapelle::options::v1 as options;

/// The numbers of a file's messages, of a message's fields and of the messages declared in it, as paths to comments have them.
const MESSAGES: i32 = 4;
const FIELDS: i32 = 2;
const NESTED: i32 = 3;

#[derive(Clone, PartialEq, prost::Message)]
struct Files {
    #[prost(message, repeated, tag = "1")]
    files: Vec<File>,
}

/// One file of `proto/`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct File {
    #[prost(string, tag = "2")]
    package: String,
    #[prost(message, repeated, tag = "4")]
    messages: Vec<Message>,
    #[prost(message, optional, tag = "9")]
    source: Option<Source>,
}

/// The places of a file that have comments.
#[derive(Clone, PartialEq, prost::Message)]
struct Source {
    #[prost(message, repeated, tag = "1")]
    places: Vec<Place>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Place {
    #[prost(int32, repeated, tag = "1")]
    path: Vec<i32>,
    #[prost(string, tag = "3")]
    comment: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    fields: Vec<Field>,
    #[prost(message, repeated, tag = "3")]
    nested: Vec<Self>,
    #[prost(message, optional, tag = "7")]
    options: Option<MessageOptions>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
struct MessageOptions {
    #[prost(bool, tag = "7")]
    map_entry: bool,
    #[prost(message, optional, tag = "50101")]
    ours: Option<options::Message>,
}

/// A field of a message.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Field {
    #[prost(int32, tag = "3")]
    number: i32,
    #[prost(enumeration = "Label", tag = "4")]
    label: i32,
    #[prost(enumeration = "Type", tag = "5")]
    r#type: i32,
    #[prost(string, tag = "6")]
    type_name: String,
    #[prost(message, optional, tag = "8")]
    options: Option<FieldOptions>,
    #[prost(int32, optional, tag = "9")]
    oneof: Option<i32>,
    #[prost(string, tag = "10")]
    json: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FieldOptions {
    #[prost(message, optional, tag = "50100")]
    ours: Option<options::Field>,
}

/// All files.
pub(super) fn files() -> Vec<File> {
    Files::decode(crate::DESCRIPTORS).expect("the build wrote the descriptors").files
}

/// A message where it is declared.
pub(super) struct Declared<'a> {
    /// The full name.
    pub(super) name: String,
    message: &'a Message,
    path: Vec<i32>,
    comments: &'a Comments<'a>,
}

/// The comments that stand before declarations, by the path to them.
pub(super) struct Comments<'a>(HashMap<&'a [i32], &'a str>);

impl Comments<'_> {
    fn at(&self, path: &[i32]) -> String {
        self.0.get(path).map(|comment| comment.trim().replace('\n', " ")).unwrap_or_default()
    }
}

impl File {
    pub(super) fn comments(&self) -> Comments<'_> {
        let places = self.source.iter().flat_map(|source| &source.places);
        Comments(places.map(|place| (&*place.path, &*place.comment)).collect())
    }

    /// All messages of the file.
    pub(super) fn messages<'a>(&'a self, comments: &'a Comments<'a>) -> Vec<Declared<'a>> {
        let mut all = Vec::new();
        for (message, index) in self.messages.iter().zip(0..) {
            Declared::collect(message, &self.package, vec![MESSAGES, index], comments, &mut all);
        }
        all
    }
}

impl<'a> Declared<'a> {
    /// A message and those that are declared in it. Entries of maps are none.
    fn collect(message: &'a Message, within: &str, path: Vec<i32>, comments: &'a Comments<'a>, into: &mut Vec<Self>) {
        if message.is_entry() {
            return;
        }
        let name = format!("{within}.{}", message.name);
        for (nested, index) in message.nested.iter().zip(0..) {
            Self::collect(nested, &name, [&path[..], &[NESTED, index]].concat(), comments, into);
        }
        into.push(Self { name, message, path, comments });
    }

    pub(super) fn comment(&self) -> String {
        self.comments.at(&self.path)
    }

    /// Its fields, each with its comment, in the order of declaration.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'a Field, String)> {
        let comment = |index| self.comments.at(&[&self.path[..], &[FIELDS, index]].concat());
        self.message.fields.iter().zip(0..).map(move |(field, index)| (field, comment(index)))
    }

    pub(super) fn is_atomic(&self) -> bool {
        self.message.options.and_then(|options| options.ours).is_some_and(|ours| ours.atomic)
    }

    /// The values of a field, if it is a map.
    pub(super) fn map_values(&self, field: &Field) -> Option<&'a Field> {
        /// The number of the value in an entry.
        const VALUE: i32 = 2;
        let mut entries = self.message.nested.iter().filter(|nested| nested.is_entry());
        let entry = entries.find(|entry| {
            let outer = field.type_name.strip_suffix(&*entry.name).and_then(|outer| outer.strip_suffix('.'));
            outer.is_some_and(|outer| outer.strip_prefix('.') == Some(&*self.name))
        })?;
        entry.fields.iter().find(|field| field.number == VALUE)
    }
}

impl Message {
    fn is_entry(&self) -> bool {
        self.options.is_some_and(|options| options.map_entry)
    }
}

impl Field {
    pub(super) fn number(&self) -> u32 {
        self.number.unsigned_abs()
    }

    pub(super) fn json_name(&self) -> &str {
        &self.json
    }

    pub(super) fn is_list(&self) -> bool {
        self.label() == Label::Repeated
    }

    /// Whether absence differs from zero. What is optional is alone in a `oneof` for the compiler.
    pub(super) fn has_presence(&self) -> bool {
        self.oneof.is_some() || !self.is_list() && self.r#type() == Type::Message
    }

    /// The full name of the message that it holds.
    pub(super) fn message(&self) -> &str {
        self.type_name.strip_prefix('.').unwrap_or(&self.type_name)
    }

    pub(super) fn options(&self) -> options::Field {
        self.options.clone().and_then(|options| options.ours).unwrap_or_default()
    }
}
