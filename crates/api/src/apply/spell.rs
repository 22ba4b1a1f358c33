//! The fields of an object read straight from its bytes: what whoever owns the rest is shown to own.
//!
//! Says the same as comparing the object's JSON with that of an empty one, at a fraction of the cost: lists of thousands of
//! objects are answered with it.

use super::{
    owners::{Part, TOPMOST},
    skeleton::{self, Skeleton},
};
use crate::{
    encoded::METADATA_FIELD,
    json,
    schema::{Field, Form, Granularity, Message, Scalar, Shape},
    wire::{Payload, Reader},
};

/// Writes `fieldsV1` of a part of an object, and notes what of the object it depends on.
/// `given` are fields that are left out, by the names on the way to them.
pub(super) fn fields(
    message: &'static Message,
    (bytes, part): (&[u8], Part),
    given: &[&[&str]],
    into: &mut Vec<u8>,
    skeleton: Option<&mut Skeleton>,
) {
    let mut members = Members::open(into, skeleton, true);
    members.given = given.to_vec();
    members.wanted = Wanted::Top(part);
    members.object(message, bytes);
    members.close();
}

/// The numbers of what nobody owns in the metadata, as bits. They are below 32.
pub(super) const UNOWNED_NUMBERS: u32 = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 17;

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
            Self::All | Self::Top(Part::Whole) => true,
            Self::Top(Part::Main) => field.json != "status",
            Self::Top(Part::Status) => field.json == "status",
            Self::Metadata => UNOWNED_NUMBERS & 1 << field.number == 0,
        }
    }
}

/// The fields below one path element, while they are written.
struct Members<'w, 'g> {
    into: &'w mut Vec<u8>,
    empty: bool,
    wanted: Wanted,
    /// Whether an empty object has this one too: then what is as there is not said.
    before: bool,
    /// Which of [`Message::always`] were met, by their index.
    seen: u64,
    /// What is left out below, by the names on the way to it.
    given: Vec<&'g [&'g str]>,
    /// By which members elements of the list are told apart, of which this is one.
    keys: &'static [String],
    skeleton: Option<&'w mut Skeleton>,
}

impl<'w, 'g> Members<'w, 'g> {
    fn open(into: &'w mut Vec<u8>, skeleton: Option<&'w mut Skeleton>, before: bool) -> Self {
        into.push(b'{');
        Self { into, empty: true, wanted: Wanted::All, before, seen: 0, given: Vec::new(), keys: &[], skeleton }
    }

    fn note(&mut self, note: impl FnOnce(&mut Skeleton)) {
        if let Some(skeleton) = self.skeleton.as_deref_mut() {
            note(skeleton);
        }
    }

    /// Reads what is in a message with a number.
    fn inside(&mut self, number: u32, read: impl FnOnce(&mut Self)) {
        self.note(|skeleton| skeleton.open(number));
        read(self);
        self.note(Skeleton::close);
    }

    fn close(self) {
        self.into.push(b'}');
    }

    fn key(&mut self, step: Step<'_>) {
        if !std::mem::take(&mut self.empty) {
            self.into.push(b',');
        }
        step.write(self.into);
    }

    fn leaf(&mut self, step: Step<'_>) {
        self.key(step);
        self.into.extend_from_slice(b"{}");
    }

    /// An element with fields below it, which `fill` writes. Nothing if it is neither a member nor has any.
    fn nested(&mut self, step: Step<'_>, before: bool, fill: impl FnOnce(&mut Members<'_, 'g>)) {
        let (start, was_empty) = (self.into.len(), self.empty);
        self.key(step);
        let mut inner = Members::open(&mut *self.into, self.skeleton.as_deref_mut(), before);
        let tail = |path: &&'g [&'g str]| path.split_first().filter(|(head, _)| step.is(head)).map(|(_, tail)| tail);
        inner.given = self.given.iter().filter_map(tail).collect();
        if !before {
            inner.empty = false;
            inner.into.extend_from_slice(ITSELF);
        }
        let alone = inner.into.len();
        fill(&mut inner);
        let said = inner.into.len() > alone;
        if !before && !said {
            // A member without anything below is written as nothing.
            inner.into.truncate(alone - ITSELF.len());
        }
        inner.close();
        if before && !said {
            self.into.truncate(start);
            self.empty = was_empty;
        }
    }

    fn object(&mut self, message: &'static Message, bytes: &[u8]) {
        self.fields(message, message, bytes);
        if self.before {
            return;
        }
        for (index, field) in message.always().enumerate() {
            if self.seen & 1 << index == 0 && self.wanted.has(field) {
                self.absent(field);
            }
        }
    }

    /// Whether the next step is the last one to something that is left out.
    fn is_given(&self, step: Step<'_>) -> bool {
        self.given.iter().any(|path| matches!(path, [last] if step.is(last)))
    }

    /// What JSON shows although it is absent, in an object that an empty one does not have.
    fn absent(&mut self, field: &'static Field) {
        match object_of(field).filter(|_| field.shape == Shape::One) {
            Some(inner) => self.nested(Step::Field(field), false, |members| members.object(inner, &[])),
            None => self.leaf(Step::Field(field)),
        }
    }

    /// The fields of a message. `outer` is the message whose members they are: another one for inline messages.
    fn fields(&mut self, outer: &'static Message, message: &'static Message, bytes: &[u8]) {
        let mut reader = Reader::new(bytes);
        let mut unread = bytes;
        while let Some((number, payload)) = reader.next() {
            let first = before(unread, reader.unread());
            while reader.next_of(number).is_some() {}
            let all = before(unread, reader.unread());
            unread = reader.unread();
            let Some(field) = message.by_number(number) else {
                self.note(|skeleton| skeleton.many(number));
                continue;
            };
            if let (true, Some(inner)) = (field.inline, field.scalar.message()) {
                self.inside(number, |members| members.fields(outer, inner, payload.bytes()));
            } else if !self.wanted.has(field) || self.is_given(Step::Field(field)) {
                let is_one = field.shape == Shape::One && first.len() == all.len();
                self.note(|skeleton| if is_one { skeleton.any(number) } else { skeleton.many(number) });
                continue;
            } else {
                let is_before = self.is_before(outer, field);
                match field.shape {
                    Shape::One => self.one(field, payload, first, is_before),
                    Shape::List | Shape::Map => {
                        self.many(field, all, is_before);
                        continue;
                    }
                }
            }
            if first.len() < all.len() {
                // Of what may stand once, the first one counts.
                self.note(|skeleton| skeleton.many(number));
            }
        }
    }

    /// Whether an empty object has a field too. Notes that the field was met.
    fn is_before(&mut self, outer: &'static Message, field: &'static Field) -> bool {
        if field.always
            && let Some(index) = outer.always().position(|other| std::ptr::eq(other, field))
        {
            self.seen |= 1 << index;
        }
        let is_top = matches!(self.wanted, Wanted::Top(_));
        is_top && TOPMOST.contains(&field.json.as_str()) || self.before && field.always
    }

    fn one(&mut self, field: &'static Field, payload: Payload<'_>, whole: &[u8], before: bool) {
        let is_metadata = matches!(self.wanted, Wanted::Top(_)) && field.number == METADATA_FIELD;
        if let Some(inner) = object_of(field) {
            return self.nested(Step::Field(field), before, |members| {
                if is_metadata {
                    members.wanted = Wanted::Metadata;
                }
                members.inside(field.number, |members| members.object(inner, payload.bytes()));
            });
        }
        let form = field.scalar.message().map(|inner| inner.form);
        let is_key = self.keys.contains(&field.json);
        self.note(|skeleton| match form {
            _ if is_key => skeleton.exactly(whole),
            Some(form) => skeleton.value(field.number, form, payload.bytes()),
            None => skeleton.any(field.number),
        });
        let is_absent = |form: Form| (form.is_time() || before) && skeleton::says_nothing(form, payload.bytes());
        if !form.is_some_and(is_absent) {
            self.leaf(Step::Field(field));
        }
    }

    /// A list or map, all of which is given.
    fn many(&mut self, field: &'static Field, all: &[u8], before: bool) {
        let step = Step::Field(field);
        match &field.granularity {
            Granularity::Atomic => {
                self.note(|skeleton| skeleton.many(field.number));
                self.leaf(step);
            }
            Granularity::Entries => self.nested(step, before, |members| {
                Reader::new(all).for_each(|(number, entry)| {
                    members.inside(number, |members| members.entry(field, entry.bytes()));
                });
            }),
            Granularity::Set => self.nested(step, before, |members| {
                members.note(|skeleton| skeleton.exactly(all));
                Reader::new(all).for_each(|(_, value)| members.scalars(field, value));
            }),
            Granularity::Keyed(keys) => self.nested(step, before, |members| {
                Reader::new(all).for_each(|(number, item)| members.item(field, number, keys, item.bytes()));
            }),
        }
    }

    fn entry(&mut self, field: &'static Field, entry: &[u8]) {
        let mut reader = Reader::new(entry);
        let name = reader.next_of(ENTRY_KEY).map(Payload::bytes).unwrap_or_default();
        self.note(|skeleton| skeleton.exactly(before(entry, reader.unread())));
        let content = reader.next_of(ENTRY_VALUE);
        let step = Step::Name(name);
        let value = object_of(field).filter(|_| !self.is_given(step));
        match (value, content) {
            (Some(inner), Some(content)) => self.nested(step, false, |members| {
                members.inside(ENTRY_VALUE, |members| members.object(inner, content.bytes()));
            }),
            (Some(inner), None) => self.nested(step, false, |members| members.object(inner, &[])),
            (None, content) => {
                if content.is_some() {
                    self.note(|skeleton| skeleton.any(ENTRY_VALUE));
                }
                if !self.is_given(step) {
                    self.leaf(step);
                }
            }
        }
    }

    /// One scalar, or several packed numbers.
    fn scalars(&mut self, field: &Field, payload: Payload<'_>) {
        match (field.scalar, payload) {
            (Scalar::Bool | Scalar::Int32 | Scalar::Int64, Payload::Bytes(packed)) => {
                Reader::varints(packed).for_each(|number| self.scalars(field, Payload::Varint(number)));
            }
            (_, payload) => {
                let mut text = Vec::new();
                scalar(field, payload, &mut text);
                self.leaf(Step::Json(b'v', &text));
            }
        }
    }

    /// An element of a list, told apart by its keys. Such as has none of them is nobody's.
    fn item(&mut self, field: &'static Field, number: u32, keys: &'static [String], item: &[u8]) {
        let Some(message) = field.scalar.message() else { return };
        let mut text = Vec::with_capacity(ELEMENT_BYTES);
        for key in keys {
            let before = text.len();
            text.push(if before == 0 { b'{' } else { b',' });
            json::write_text("", key.as_bytes(), &mut text);
            text.push(b':');
            if !key_value(message, key, item, &mut text) {
                text.truncate(before);
            }
        }
        let is_somebodys = !text.is_empty();
        text.push(b'}');
        let step = Step::Json(b'k', &text);
        match object_of(field).filter(|_| is_somebodys) {
            Some(inner) => self.nested(step, false, |members| {
                members.keys = keys;
                members.inside(number, |members| members.object(inner, item));
            }),
            None => {
                self.inside(number, |members| members.note(|skeleton| skeleton.exactly(item)));
                if is_somebodys {
                    self.leaf(step);
                }
            }
        }
    }
}

/// What stands in bytes before the rest of them.
fn before<'a>(bytes: &'a [u8], rest: &[u8]) -> &'a [u8] {
    &bytes[..bytes.len() - rest.len()]
}

/// The numbers of an entry's key and value.
const ENTRY_KEY: u32 = 1;
const ENTRY_VALUE: u32 = 2;

/// The message of a field's values, if they are merged member by member.
fn object_of(field: &Field) -> Option<&'static Message> {
    field.scalar.message().filter(|message| message.form == Form::Object && !message.atomic)
}

/// About how long the keys of an element of a list are, in bytes.
const ELEMENT_BYTES: usize = 64;

/// What stands before the fields below a member.
const ITSELF: &[u8] = b"\".\":{}";

/// One step on the way to a field: a path element of `fieldsV1` that is not worth a value of its own.
#[derive(Clone, Copy)]
enum Step<'a> {
    /// A member of an object.
    Field(&'static Field),
    /// An entry of a map.
    Name(&'a [u8]),
    /// An element of a list: `k` or `v`, and the JSON that tells it apart.
    Json(u8, &'a [u8]),
}

impl Step<'_> {
    fn is(self, name: &str) -> bool {
        match self {
            Self::Field(field) => field.json == name,
            Self::Name(text) => text == name.as_bytes(),
            Self::Json(..) => false,
        }
    }

    /// Writes it as it begins a member of a JSON object.
    fn write(self, into: &mut Vec<u8>) {
        match self {
            Self::Field(field) => {
                into.extend_from_slice(field.path_element.as_bytes());
                return;
            }
            Self::Name(name) => json::write_text("f:", name, into),
            Self::Json(sort, text) => {
                into.extend_from_slice(&[b'"', sort, b':']);
                // JSON within JSON: what needs an escape in it are the quotes, and what escapes in it.
                for byte in text {
                    if matches!(byte, b'"' | b'\\') {
                        into.push(b'\\');
                    }
                    into.push(*byte);
                }
                into.push(b'"');
            }
        }
        into.push(b':');
    }
}

/// Writes a field by which elements are told apart, as it stands there, or what counts where it does not; answers whether there
/// is one.
fn key_value(message: &Message, key: &str, item: &[u8], into: &mut Vec<u8>) -> bool {
    let Some(found) = message.find(key) else { return false };
    let within = |item, holder: &Field| content(item, holder.number).map(Payload::bytes);
    let bytes = [found.holder, found.inner].into_iter().flatten().try_fold(item, within);
    let Some(bytes) = bytes else { return false };
    match content(bytes, found.field.number) {
        Some(payload) => scalar(found.field, payload, into),
        None if found.field.always => json::write_value(&json::zero_value(found.field), into),
        None if found.field.key_default.is_empty() => return false,
        None => json::write_text("", found.field.key_default.as_bytes(), into),
    }
    true
}

fn content(message: &[u8], number: u32) -> Option<Payload<'_>> {
    Reader::new(message).find(|(other, _)| *other == number).map(|(_, payload)| payload)
}

/// Writes one value as JSON.
fn scalar(field: &Field, payload: Payload<'_>, into: &mut Vec<u8>) {
    match field.scalar {
        Scalar::String => json::write_text("", payload.bytes(), into),
        Scalar::Bool | Scalar::Int32 | Scalar::Int64 | Scalar::Bytes | Scalar::Message(_) => {
            json::write_value(&json::field_value(field, payload), into);
        }
    }
}
