//! The fields of an object read straight from its bytes: what whoever owns the rest is shown to own.
//!
//! Says the same as comparing the object's JSON with that of an empty one, at a fraction of the cost: lists of thousands of
//! objects are answered with it.

use serde_json::Value;

use super::owners::{Part, TOPMOST, UNOWNED_METADATA};
use crate::{
    encoded::METADATA_FIELD,
    json,
    schema::{Field, Form, Granularity, Message, Scalar, Shape},
    wire::{Payload, Reader},
};

/// `fieldsV1` of a part of an object.
/// `given` are fields that are left out, by the names on the way to them.
pub(super) fn fields(message: &'static Message, bytes: &[u8], part: Part, given: &[&[&str]]) -> Vec<u8> {
    let mut members = Members::open(Vec::with_capacity(bytes.len()), true);
    members.given = given.to_vec();
    members.wanted = Wanted::Top(part);
    members.object(message, bytes);
    members.close()
}

/// Which members of an object count.
#[derive(Clone, Copy)]
enum Wanted {
    All,
    /// Of an object of the cluster those of a part.
    Top(Part),
    /// Of metadata those that somebody owns.
    Metadata,
}

impl Wanted {
    fn has(self, field: &Field) -> bool {
        match self {
            Self::All => true,
            Self::Top(Part::Whole) => true,
            Self::Top(Part::Main) => field.json != "status",
            Self::Top(Part::Status) => field.json == "status",
            Self::Metadata => !UNOWNED_METADATA.contains(&field.json.as_str()),
        }
    }
}

/// The fields below one path element, while they are written.
struct Members<'a> {
    into: Vec<u8>,
    empty: bool,
    wanted: Wanted,
    /// Whether an empty object has this one too: then what is as there is not said.
    before: bool,
    seen: Vec<*const Field>,
    /// What is left out below, by the names on the way to it.
    given: Vec<&'a [&'a str]>,
}

impl<'a> Members<'a> {
    fn open(mut into: Vec<u8>, before: bool) -> Self {
        into.push(b'{');
        Self { into, empty: true, wanted: Wanted::All, before, seen: Vec::new(), given: Vec::new() }
    }

    fn close(mut self) -> Vec<u8> {
        self.into.push(b'}');
        self.into
    }

    fn key(&mut self, prefix: &str, text: &str) {
        if !std::mem::take(&mut self.empty) {
            self.into.push(b',');
        }
        // A path element is the text of a JSON key, in which there may be JSON.
        json::write_value(&Value::from([prefix, text].concat()), &mut self.into);
        self.into.push(b':');
    }

    fn leaf(&mut self, prefix: &str, text: &str) {
        self.key(prefix, text);
        self.into.extend_from_slice(b"{}");
    }

    /// An element with fields below it, which `fill` writes. Nothing if it is neither a member nor has any.
    fn nested(&mut self, prefix: &str, text: &str, before: bool, fill: impl FnOnce(&mut Self)) {
        let (start, was_empty) = (self.into.len(), self.empty);
        self.key(prefix, text);
        let mut inner = Self::open(std::mem::take(&mut self.into), before);
        let tail = |path: &&'a [&'a str]| path.split_first().filter(|(head, _)| **head == text).map(|(_, tail)| tail);
        inner.given = self.given.iter().filter_map(tail).collect();
        if !before {
            inner.leaf("", ".");
        }
        let alone = inner.into.len();
        fill(&mut inner);
        let said = inner.into.len() > alone;
        if !before && !said {
            // A member without anything below is written as nothing.
            inner.into.truncate(alone - ITSELF.len());
        }
        self.into = inner.close();
        if before && !said {
            self.into.truncate(start);
            self.empty = was_empty;
        }
    }

    fn object(&mut self, message: &'static Message, bytes: &[u8]) {
        self.fields(message, bytes);
        for field in message.always() {
            if self.seen.iter().any(|seen| std::ptr::eq(*seen, field)) || !self.wanted.has(field) {
                continue;
            }
            if !self.before {
                self.absent(field);
            }
        }
    }

    /// Whether the next step is the last one to something that is left out.
    fn is_given(&self, name: &str) -> bool {
        self.given.iter().any(|path| *path == [name])
    }

    /// What JSON shows although it is absent, in an object that an empty one does not have.
    fn absent(&mut self, field: &'static Field) {
        match field.scalar.message().filter(|_| field.shape == Shape::One) {
            Some(inner) if inner.form == Form::Object && !inner.atomic => {
                self.nested("f:", &field.json, false, |members| members.object(inner, &[]));
            }
            Some(_) | None => self.leaf("f:", &field.json),
        }
    }

    fn fields(&mut self, message: &'static Message, bytes: &[u8]) {
        let mut reader = Reader::new(bytes).peekable();
        while let Some((number, payload)) = reader.next() {
            let Some(field) = message.by_number(number) else { continue };
            let mut values = vec![payload];
            if field.shape != Shape::One {
                while let Some((_, more)) = reader.next_if(|(next, _)| *next == number) {
                    values.push(more);
                }
            }
            if field.inline {
                if let Some(inner) = field.scalar.message() {
                    self.fields(inner, payload.bytes());
                }
                continue;
            }
            if self.wanted.has(field) && !self.is_given(&field.json) {
                self.field(field, &values);
            }
        }
    }

    fn field(&mut self, field: &'static Field, values: &[Payload<'_>]) {
        let is_top = matches!(self.wanted, Wanted::Top(_));
        let is_metadata = is_top && field.number == METADATA_FIELD;
        let before = is_top && TOPMOST.contains(&field.json.as_str()) || self.before && field.always;
        if field.always {
            self.seen.push(field);
        }
        let message = field.scalar.message();
        let payload = values.first().copied().unwrap_or(Payload::Fixed);
        match (&field.granularity, field.shape) {
            (_, Shape::One) => match message {
                Some(inner) if inner.form.is_time() && json::is_no_time(payload.bytes()) => {}
                Some(inner) if inner.form == Form::Object && !inner.atomic => {
                    self.nested("f:", &field.json, before, |members| {
                        if is_metadata {
                            members.wanted = Wanted::Metadata;
                        }
                        members.object(inner, payload.bytes());
                    });
                }
                Some(_) if before && payload.bytes().is_empty() => {}
                Some(_) | None => self.leaf("f:", &field.json),
            },
            (Granularity::Atomic, _) => self.leaf("f:", &field.json),
            (Granularity::Entries, _) => self.nested("f:", &field.json, before, |members| {
                values.iter().for_each(|entry| members.entry(field, entry.bytes()));
            }),
            (Granularity::Set, _) => self.nested("f:", &field.json, before, |members| {
                values.iter().for_each(|value| members.scalars(field, *value));
            }),
            (Granularity::Keyed(keys), _) => self.nested("f:", &field.json, before, |members| {
                values.iter().for_each(|item| members.item(field, keys, item.bytes()));
            }),
        }
    }

    fn entry(&mut self, field: &'static Field, entry: &[u8]) {
        let content = |wanted| Reader::new(entry).find(|(number, _)| *number == wanted).map(|(_, payload)| payload);
        let name = content(1).map(Payload::bytes).unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        if self.is_given(&name) {
            return;
        }
        self.one("f:", &name, field, content(2).map(Payload::bytes).unwrap_or_default());
    }

    /// A value of a map or a list, all of which is new.
    fn one(&mut self, prefix: &str, text: &str, field: &'static Field, bytes: &[u8]) {
        match field.scalar.message() {
            Some(inner) if inner.form == Form::Object && !inner.atomic => {
                self.nested(prefix, text, false, |members| members.object(inner, bytes));
            }
            Some(_) | None => self.leaf(prefix, text),
        }
    }

    /// One scalar, or several packed numbers.
    fn scalars(&mut self, field: &Field, payload: Payload<'_>) {
        match (field.scalar, payload) {
            (Scalar::Bool | Scalar::Int32 | Scalar::Int64, Payload::Bytes(packed)) => {
                Reader::varints(packed).for_each(|number| self.scalars(field, Payload::Varint(number)));
            }
            (_, payload) => self.leaf("v:", &json::field_value(field, payload).to_string()),
        }
    }

    /// An element of a list, told apart by its keys. Such as has none of them is nobody's.
    fn item(&mut self, field: &'static Field, keys: &[String], item: &[u8]) {
        let Some(message) = field.scalar.message() else { return };
        let said = keys.iter().filter_map(|key| Some((key.clone(), key_value(message, key, item)?)));
        let said: serde_json::Map<String, Value> = said.collect();
        if !said.is_empty() {
            let element = crate::fieldset::Element::key(said);
            self.one("", element.text(), field, item);
        }
    }
}

/// What stands before the fields below a member.
const ITSELF: &str = "\".\":{}";

/// A field by which elements are told apart: as it stands there, or what counts where it does not.
fn key_value(message: &Message, key: &str, item: &[u8]) -> Option<Value> {
    let found = message.find(key)?;
    let bytes = match found.holder {
        None => item,
        Some(holder) => Reader::new(item).find(|(number, _)| *number == holder.number).map(|(_, part)| part.bytes())?,
    };
    let stands = Reader::new(bytes).find(|(number, _)| *number == found.field.number).map(|(_, payload)| payload);
    match stands {
        Some(payload) => Some(json::field_value(found.field, payload)),
        None if found.field.always => Some(json::zero_value(found.field)),
        None => Some(found.field.key_default.as_str()).filter(|text| !text.is_empty()).map(Value::from),
    }
}
