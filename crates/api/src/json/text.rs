//! Protobuf bytes to JSON text, without a value in between: what lists and watches are answered from.
//!
//! The text is written in one pass, so every field must come once and in the order of the numbers, as everything that we
//! encode does. Bytes that are in another order are valid protobuf too; [`Disorder`] says so, and the caller takes the way
//! over a [`serde_json::Value`], which says the same in another order of members.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, de::IgnoredAny};

use super::{
    encode::{special, zero_of},
    time,
};
use crate::{
    Revision,
    encoded::{METADATA_FIELD, RESOURCE_VERSION_FIELD},
    schema::{Field, Form, Message, Scalar, Schema, Shape},
    wire::{Payload, Reader, split},
};

/// The number of the bytes in a message that is any JSON.
const RAW_FIELD: u32 = 1;

/// The bytes do not hold their fields in order, each once. What was written so far is to be thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Disorder;

type Written = Result<(), Disorder>;

/// What the metadata of an object are to say otherwise than its bytes do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Otherwise<'a> {
    /// `resourceVersion`.
    pub(crate) revision: Option<Revision>,
    /// `managedFields`.
    pub(crate) owners: Option<Owners<'a>>,
}

/// What stands for `managedFields`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owners<'a> {
    /// How many bytes of the metadata stand before them. They come last.
    pub(crate) at: usize,
    /// JSON text; nothing is shown of them if it is empty.
    pub(crate) text: &'a [u8],
}

impl Otherwise<'_> {
    pub(super) fn is_nothing(&self) -> bool {
        self.revision.is_none() && self.owners.is_none()
    }
}

impl From<Option<Revision>> for Otherwise<'_> {
    fn from(revision: Option<Revision>) -> Self {
        Self { revision, owners: None }
    }
}

/// What stands at the beginning of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'a> {
    /// `apps/v1`.
    pub(super) api_version: &'a str,
    /// `Deployment`.
    pub(super) kind: &'a str,
}

/// Writes an object of the cluster, with what its metadata say otherwise.
pub(super) fn object(
    message: &Message,
    header: Option<Header<'_>>,
    bytes: &[u8],
    otherwise: Otherwise<'_>,
    into: &mut Vec<u8>,
) -> Written {
    let mut members = Members::open(into);
    if let Some(Header { api_version, kind }) = header {
        members.text("\"kind\":", kind);
        members.text("\"apiVersion\":", api_version);
    }
    members.otherwise = otherwise;
    members.fields(message, message, bytes)?;
    if let Some(revision) = members.otherwise.revision.take() {
        // There is no metadata to write it into.
        members.key("\"metadata\":");
        let mut metadata = Members::open(members.into);
        metadata.put_revision(revision);
        metadata.close();
    }
    members.always(message);
    members.close();
    Ok(())
}

/// Writes the metadata of an object, with what they say otherwise.
pub(super) fn metadata(message: &Message, bytes: &[u8], otherwise: Otherwise<'_>, into: &mut Vec<u8>) -> Written {
    let mut members = Members::open(into);
    members.metadata(message, bytes, otherwise)?;
    members.always(message);
    members.close();
    Ok(())
}

/// The members of one JSON object that is being written.
struct Members<'a> {
    into: &'a mut Vec<u8>,
    empty: bool,
    /// Which of [`Message::always`] were written, by their index.
    seen: u64,
    /// What the next metadata are to say, at the top of an object of the cluster.
    otherwise: Otherwise<'a>,
}

impl<'a> Members<'a> {
    fn open(into: &'a mut Vec<u8>) -> Self {
        into.push(b'{');
        Self { into, empty: true, seen: 0, otherwise: Otherwise::default() }
    }

    fn close(self) {
        self.into.push(b'}');
    }

    /// Begins a member. `quoted` is its name in quotes, with the colon.
    fn key(&mut self, quoted: &str) {
        if !std::mem::take(&mut self.empty) {
            self.into.push(b',');
        }
        self.into.extend_from_slice(quoted.as_bytes());
    }

    fn text(&mut self, quoted: &str, text: &str) {
        self.key(quoted);
        self::text(text.as_bytes(), self.into);
    }

    fn put_revision(&mut self, revision: Revision) {
        self.key("\"resourceVersion\":\"");
        json(&revision.0, self.into);
        self.into.push(b'"');
    }

    /// Writes the fields of a message. `outer` is the message whose JSON object this is: another one for inline messages.
    fn fields(&mut self, outer: &Message, message: &Message, bytes: &[u8]) -> Written {
        let mut reader = Reader::new(bytes);
        let mut next = reader.next();
        let mut last = 0;
        while let Some((number, payload)) = next {
            if number <= last {
                return Err(Disorder);
            }
            last = number;
            next = match message.by_number(number) {
                None => reader.next(),
                Some(field) => match field.shape {
                    Shape::One => {
                        self.one(outer, field, payload)?;
                        reader.next()
                    }
                    Shape::List => self.list(outer, field, payload, &mut reader)?,
                    Shape::Map => self.map(outer, field, payload, &mut reader)?,
                },
            };
        }
        Ok(())
    }

    fn one(&mut self, outer: &Message, field: &Field, payload: Payload<'_>) -> Written {
        let Scalar::Message(index) = field.scalar else {
            self.member(outer, field);
            return value(field.scalar, payload, self.into);
        };
        let inner = Schema::get().at(index);
        if field.inline {
            return self.fields(outer, inner, payload.bytes());
        }
        if inner.form == Form::Raw && self.verbatim(outer, field, payload.bytes()) {
            return Ok(());
        }
        if inner.form.is_time() {
            self.time(outer, field, inner.form, payload.bytes());
            return Ok(());
        }
        if inner.form != Form::Object {
            let value = special(inner.form, payload.bytes());
            if !value.is_null() {
                self.member(outer, field);
                json(&value, self.into);
            }
            return Ok(());
        }
        self.member(outer, field);
        if field.number == METADATA_FIELD && !self.otherwise.is_nothing() {
            return metadata(inner, payload.bytes(), std::mem::take(&mut self.otherwise), self.into);
        }
        whole(inner, payload.bytes(), self.into)
    }

    /// Writes a time, unless there is none.
    fn time(&mut self, outer: &Message, field: &Field, form: Form, bytes: &[u8]) {
        if let Some((seconds, nanos, decimals)) = moment(form, bytes) {
            self.member(outer, field);
            time::write(seconds, nanos, decimals, self.into);
        }
    }

    /// Writes JSON as it stands in its bytes, if it is JSON on one line; answers whether.
    fn verbatim(&mut self, outer: &Message, field: &Field, bytes: &[u8]) -> bool {
        let Some((_, text)) = Reader::new(bytes).find(|(number, _)| *number == RAW_FIELD) else { return false };
        let text = text.bytes();
        let is_line = text.iter().all(|byte| *byte >= b' ');
        let is_json = is_line && serde_json::from_slice::<IgnoredAny>(text).is_ok();
        if is_json && text != b"null" {
            self.member(outer, field);
            self.into.extend_from_slice(text);
        }
        is_json && text != b"null"
    }

    /// The metadata of an object: whatever stands in its bytes for what is said otherwise counts for nothing.
    fn metadata(&mut self, message: &Message, bytes: &[u8], otherwise: Otherwise<'_>) -> Written {
        let mut bytes = otherwise.owners.and_then(|owners| bytes.get(..owners.at)).unwrap_or(bytes);
        if let Some(revision) = otherwise.revision {
            let (before, rest) = split(bytes, RESOURCE_VERSION_FIELD);
            self.fields(message, message, before)?;
            self.put_revision(revision);
            bytes = rest;
        }
        self.fields(message, message, bytes)?;
        if let Some(owners) = otherwise.owners.filter(|owners| !owners.text.is_empty()) {
            self.key("\"managedFields\":");
            self.into.extend_from_slice(owners.text);
        }
        Ok(())
    }

    /// Writes all elements of a list; answers the field behind them.
    fn list<'b>(
        &mut self,
        outer: &Message,
        field: &Field,
        first: Payload<'b>,
        reader: &mut Reader<'b>,
    ) -> Result<Option<(u32, Payload<'b>)>, Disorder> {
        self.member(outer, field);
        self.into.push(b'[');
        let start = self.into.len();
        let mut next = Some((field.number, first));
        while let Some((number, payload)) = next
            && number == field.number
        {
            elements(field, payload, start, self.into)?;
            next = reader.next();
        }
        self.into.push(b']');
        Ok(next)
    }

    /// Writes all entries of a map; answers the field behind them.
    fn map<'b>(
        &mut self,
        outer: &Message,
        field: &Field,
        first: Payload<'b>,
        reader: &mut Reader<'b>,
    ) -> Result<Option<(u32, Payload<'b>)>, Disorder> {
        self.member(outer, field);
        self.into.push(b'{');
        let mut before: Option<&[u8]> = None;
        let mut next = Some((field.number, first));
        while let Some((number, payload)) = next
            && number == field.number
        {
            let (key, content) = entry(payload.bytes());
            if before.is_some_and(|before| before >= key) {
                return Err(Disorder);
            }
            if before.replace(key).is_some() {
                self.into.push(b',');
            }
            text(key, self.into);
            self.into.push(b':');
            match content {
                Some(content) => value(field.scalar, content, self.into)?,
                None => json(&zero_of(field.scalar), self.into),
            }
            next = reader.next();
        }
        self.into.push(b'}');
        Ok(next)
    }

    /// Begins the member of a field, and notes it if it may not be left out.
    fn member(&mut self, outer: &Message, field: &Field) {
        self.key(&field.quoted);
        if field.always
            && let Some(index) = outer.always().position(|other| std::ptr::eq(other, field))
        {
            self.seen |= 1 << index;
        }
    }

    /// Writes what may not be left out and was not written.
    fn always(&mut self, message: &Message) {
        for (index, field) in message.always().enumerate() {
            if self.seen & 1 << index == 0 {
                self.key(&field.quoted);
                match field.shape {
                    Shape::List => self.into.extend_from_slice(b"[]"),
                    Shape::Map => self.into.extend_from_slice(b"{}"),
                    Shape::One => json(&zero_of(field.scalar), self.into),
                }
            }
        }
    }
}

/// A message where a value is expected.
pub(super) fn whole(message: &Message, bytes: &[u8], into: &mut Vec<u8>) -> Written {
    if message.form.is_time() {
        match moment(message.form, bytes) {
            Some((seconds, nanos, decimals)) => time::write(seconds, nanos, decimals, into),
            None => into.extend_from_slice(b"null"),
        }
        return Ok(());
    }
    if message.form != Form::Object {
        json(&special(message.form, bytes), into);
        return Ok(());
    }
    let mut members = Members::open(into);
    members.fields(message, message, bytes)?;
    members.always(message);
    members.close();
    Ok(())
}

fn value(scalar: Scalar, payload: Payload<'_>, into: &mut Vec<u8>) -> Written {
    match scalar {
        Scalar::Bool => json(&(payload.varint() != 0), into),
        Scalar::Int32 => json(&payload.int32(), into),
        Scalar::Int64 => json(&payload.int64(), into),
        Scalar::String => text(payload.bytes(), into),
        Scalar::Bytes => json(&STANDARD.encode(payload.bytes()), into),
        Scalar::Message(index) => whole(Schema::get().at(index), payload.bytes(), into)?,
    }
    Ok(())
}

/// One element, or several packed numbers. `start` is where the first one stands.
fn elements(field: &Field, payload: Payload<'_>, start: usize, into: &mut Vec<u8>) -> Written {
    let comma = |into: &mut Vec<u8>| {
        if into.len() > start {
            into.push(b',');
        }
    };
    match (field.scalar, payload) {
        (Scalar::Bool | Scalar::Int32 | Scalar::Int64, Payload::Bytes(packed)) => {
            Reader::varints(packed).try_for_each(|number| {
                comma(into);
                value(field.scalar, Payload::Varint(number), into)
            })
        }
        (_, payload) => {
            comma(into);
            value(field.scalar, payload, into)
        }
    }
}

fn entry(bytes: &[u8]) -> (&[u8], Option<Payload<'_>>) {
    let (mut key, mut found) = (&[][..], None);
    for (number, payload) in Reader::new(bytes) {
        match number {
            1 => key = payload.bytes(),
            2 => found = Some(payload),
            _ => {}
        }
    }
    (key, found)
}

/// Writes a text in quotes.
fn text(bytes: &[u8], into: &mut Vec<u8>) {
    prefixed("", bytes, into);
}

/// Writes a text in quotes behind a prefix that needs no escapes. Most texts need none either, which is seen many bytes at a time.
pub(super) fn prefixed(prefix: &str, bytes: &[u8], into: &mut Vec<u8>) {
    if is_plain(bytes) && str::from_utf8(bytes).is_ok() {
        into.push(b'"');
        into.extend_from_slice(prefix.as_bytes());
        into.extend_from_slice(bytes);
        into.push(b'"');
    } else {
        json(&[prefix, &String::from_utf8_lossy(bytes)].concat(), into);
    }
}

/// Whether nothing in a text needs an escape. Each piece is looked at as a whole, so that the compiler can do it at once.
fn is_plain(bytes: &[u8]) -> bool {
    const PIECE: usize = 64;
    let odd = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    bytes.chunks(PIECE).all(|piece| !piece.iter().fold(false, |found, byte| found | odd(byte)))
}

/// Seconds, nanoseconds and how many decimals are shown of a time; `None` if there is none.
pub(super) fn moment(form: Form, bytes: &[u8]) -> Option<(i64, i64, u8)> {
    let (mut seconds, mut nanos) = (0, 0);
    for (number, payload) in Reader::new(bytes) {
        match number {
            1 => seconds = payload.int64(),
            2 => nanos = payload.int64(),
            _ => {}
        }
    }
    let (nanos, decimals) = if form == Form::MicroTime { (nanos, 6) } else { (0, 0) };
    (seconds != 0 || nanos != 0).then_some((seconds, nanos, decimals))
}

/// Writes any value.
pub(super) fn json<T: Serialize + ?Sized>(value: &T, into: &mut Vec<u8>) {
    serde_json::to_writer(into, value).expect("memory takes every value, and none of ours has keys that are no texts");
}
