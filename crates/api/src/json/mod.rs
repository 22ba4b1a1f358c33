//! Kubernetes' JSON, both ways: what manifests and REST bodies look like.
//!
//! It is not proto3's canonical JSON: numbers are numbers, times and quantities are texts, some messages stand in their
//! parents, and some zeros are written. What a field needs is in its options in `proto/`; see [`crate::schema`].

mod custom;
mod decode;
mod encode;
mod names;
mod parse;
#[cfg(test)]
pub(crate) mod random;
#[cfg(test)]
mod tests;
mod text;
mod time;

use bytes::Bytes;
use prost::Message as _;
use serde_json::{Map, Value};

use crate::{
    Error, Kind, Object, Revision, Served, encoded,
    meta_v1::ObjectMeta,
    schema::{Field, Form, Schema},
    wire::Payload,
};
use decode::Quotes;

pub(crate) use decode::whole;
pub(crate) use names::clipped;
pub(crate) use parse::DUPLICATES_MAX;
pub use parse::{Parsed, parse};
pub(crate) use text::{Otherwise, Owners};

/// What becomes of fields that a message does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// They are an error.
    #[default]
    Strict,
    /// They are told and dropped.
    Warn,
    /// They are dropped.
    Ignore,
}

impl Strictness {
    /// How to read what is judged afterwards: whoever wants no fault wants to hear of all of them at once.
    #[must_use]
    pub fn noting(self) -> Self {
        match self {
            Self::Strict | Self::Warn => Self::Warn,
            Self::Ignore => Self::Ignore,
        }
    }

    /// What is to be told of faults.
    ///
    /// # Errors
    /// [`Reason::BadRequest`](crate::Reason::BadRequest) naming all of them, if there may be none.
    pub fn judge(self, faults: Vec<String>) -> Result<Vec<String>, Error> {
        match self {
            Self::Strict if !faults.is_empty() => {
                Err(Error::bad_request(format!("strict decoding error: {}", faults.join(", "))))
            }
            Self::Strict | Self::Warn => Ok(faults),
            Self::Ignore => Ok(Vec::new()),
        }
    }
}

/// An object that was read, and the fields that were dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The object.
    pub object: Object,
    /// `unknown field "spec.replicsa"`; empty unless asked to warn.
    pub unknown: Vec<String>,
}

/// An object as JSON, with `apiVersion` and `kind`.
#[must_use]
pub fn encode(object: &Object) -> Value {
    encode_as(object.served(), object)
}

/// As [`encode`], in some version of the object's kind.
#[must_use]
pub fn encode_as(served: Served, object: &Object) -> Value {
    let info = served.info();
    if let Some(object) = object.custom() {
        return custom::encode(info, object);
    }
    let mut value = encode::message(of_ours(info.message), &served.encode_bytes(object));
    if let Value::Object(fields) = &mut value {
        fields.insert("apiVersion".to_owned(), Value::from(info.api_version()));
        fields.insert("kind".to_owned(), Value::from(info.kind));
    }
    value
}

/// Metadata as JSON.
pub(crate) fn encode_metadata(metadata: Option<&ObjectMeta>) -> Value {
    let bytes = metadata.map(ObjectMeta::encode_to_vec).unwrap_or_default();
    encode::message(of_ours(OBJECT_META), &bytes)
}

/// An object as JSON as it stands in lists: without `apiVersion` and `kind`, unless a user has defined what it is.
#[must_use]
pub fn encode_item(object: &Object) -> Value {
    if object.custom().is_some() {
        return encode(object);
    }
    encode_message(object.kind().info().message, &object.encode_bytes()).unwrap_or_default()
}

/// Writes an object as JSON text, with `apiVersion` and `kind`, from the bytes that
/// [`Served::encode_bytes`] made. What its metadata are to say otherwise is said whatever the bytes say.
///
/// Costs a fraction of [`encode`]; says the same.
pub(crate) fn write(served: Served, bytes: &[u8], otherwise: Otherwise<'_>, into: &mut Vec<u8>) {
    let info = served.info();
    if is_custom(served) {
        return custom::write(info, bytes, otherwise, into);
    }
    let api_version = info.api_version();
    let header = text::Header { api_version: &api_version, kind: info.kind };
    written(info.message, bytes, otherwise, into, Some(header));
}

/// As [`write`], as it stands in lists: without `apiVersion` and `kind`, unless a user has defined what it is.
pub(crate) fn write_item(served: Served, bytes: &[u8], otherwise: Otherwise<'_>, into: &mut Vec<u8>) {
    if is_custom(served) {
        return custom::write(served.info(), bytes, otherwise, into);
    }
    written(served.info().message, bytes, otherwise, into, None);
}

/// Whether users define what the objects are made of.
fn is_custom(served: Served) -> bool {
    matches!(served.kind(), Kind::Custom(_))
}

fn written(
    message: &str,
    bytes: &[u8],
    otherwise: Otherwise<'_>,
    into: &mut Vec<u8>,
    header: Option<text::Header<'_>>,
) {
    let before = into.len();
    let message = of_ours(message);
    if text::object(message, header, bytes, otherwise, into).is_ok() {
        return;
    }
    into.truncate(before);
    let mut value = encode::message(message, bytes);
    if !otherwise.is_nothing() {
        say(&mut value["metadata"], otherwise);
    }
    if let Some(text::Header { api_version, kind }) = header {
        value["apiVersion"] = api_version.into();
        value["kind"] = kind.into();
    }
    text::json(&value, into);
}

/// Writes the metadata of an object alone, from the bytes of the whole object, as [`write`] does.
pub(crate) fn write_metadata(bytes: &[u8], otherwise: Otherwise<'_>, into: &mut Vec<u8>) {
    let before = into.len();
    let (message, bytes) = (of_ours(OBJECT_META), encoded::parts(bytes).metadata);
    if text::metadata(message, bytes, otherwise, into).is_ok() {
        return;
    }
    into.truncate(before);
    let mut value = encode::message(message, bytes);
    say(&mut value, otherwise);
    text::json(&value, into);
}

fn say(metadata: &mut Value, otherwise: Otherwise<'_>) {
    if let Some(revision) = otherwise.revision {
        metadata["resourceVersion"] = revision.to_string().into();
    }
    if let (Some(owners), Value::Object(metadata)) = (otherwise.owners, metadata) {
        match serde_json::from_slice(owners.text) {
            Ok(owners) => metadata.insert("managedFields".to_owned(), owners),
            Err(_) => metadata.remove("managedFields"),
        };
    }
}

/// Writes a message that is part of an object.
pub(crate) fn write_part(message: &crate::schema::Message, bytes: &[u8], into: &mut Vec<u8>) {
    let before = into.len();
    if text::whole(message, bytes, into).is_err() {
        into.truncate(before);
        text::json(&encode::message(message, bytes), into);
    }
}

/// The bytes of an object as JSON, with `apiVersion` and `kind` and without its owners: what somebody patches who does not ask
/// for them. With a revision, `metadata.resourceVersion` is that one.
#[must_use]
pub fn encode_without_owners(served: Served, bytes: &[u8], revision: Option<Revision>) -> Value {
    let (info, parts) = (served.info(), encoded::parts(bytes));
    let (metadata, _) = encoded::split_owners(parts.metadata);
    let mut value =
        if is_custom(served) { custom::rest(parts.rest) } else { encode::message(of_ours(info.message), parts.rest) };
    value["metadata"] = encode::message(of_ours(OBJECT_META), metadata);
    say(&mut value["metadata"], revision.into());
    value["apiVersion"] = info.api_version().into();
    value["kind"] = info.kind.into();
    value
}

/// The message of metadata.
const OBJECT_META: &str = "kapelle.meta.v1.ObjectMeta";

fn of_ours(message: &str) -> &'static crate::schema::Message {
    Schema::get().message(message).expect("proto/ has the messages of the table of kinds")
}

/// One value of a field as JSON, from what stands on the wire.
pub(crate) fn field_value(field: &Field, payload: Payload<'_>) -> Value {
    encode::value(field, payload)
}

/// What JSON says of a field that is always shown and is not there.
pub(crate) fn zero_value(field: &Field) -> Value {
    encode::zero(field)
}

/// Whether the bytes of a time mean that there is none, so that JSON does not show it.
pub(crate) fn is_no_time(bytes: &[u8]) -> bool {
    text::moment(Form::MicroTime, bytes).is_none()
}

/// Writes any value as text.
pub(crate) fn write_value(value: &Value, into: &mut Vec<u8>) {
    text::json(value, into);
}

/// Writes a text in quotes behind a prefix that needs no escapes.
pub(crate) fn write_text(prefix: &str, text: &[u8], into: &mut Vec<u8>) {
    text::prefixed(prefix, text, into);
}

/// The bytes of any message of `proto/` as JSON.
///
/// # Errors
/// If there is no such message.
pub fn encode_message(message: &str, bytes: &[u8]) -> Result<Value, Error> {
    Ok(encode::message(find(message)?, bytes))
}

/// Reads an object in a version of its kind. `apiVersion` and `kind` may be absent, but must not be others.
///
/// # Errors
/// [`Reason::BadRequest`](crate::Reason::BadRequest) naming the field that has the wrong type, or, if strict, that does not exist.
pub fn decode(served: impl Into<Served>, value: &Value, strictness: Strictness) -> Result<Decoded, Error> {
    object(served.into(), value, strictness, Quotes::Sent)
}

/// As [`decode`], of a value that was made from a stored object: errors name the field and show nothing of what stands there.
///
/// # Errors
/// As [`decode`].
pub fn decode_made(served: impl Into<Served>, value: &Value, strictness: Strictness) -> Result<Decoded, Error> {
    object(served.into(), value, strictness, Quotes::Never)
}

fn object(served: Served, value: &Value, strictness: Strictness, quotes: Quotes) -> Result<Decoded, Error> {
    let info = served.info();
    let kind = info.kind;
    let Value::Object(fields) = value else {
        return Err(Error::bad_request(format!("a {kind} must be a JSON object")));
    };
    check(fields, "kind", kind, quotes)?;
    check(fields, "apiVersion", &info.api_version(), quotes)?;
    if is_custom(served) {
        return custom::decode(served, fields, strictness, quotes);
    }
    let (bytes, unknown) = message(info.message, value, strictness, quotes)?;
    let object = served.decode_bytes(bytes).map_err(|error| Error::internal(format!("{kind}: {error}")))?;
    Ok(Decoded { object, unknown })
}

/// Reads any message of `proto/`; answers its bytes and the fields that were dropped. `apiVersion` and `kind` at the top are
/// passed over where the message has no such fields.
///
/// # Errors
/// As [`decode`], or if there is no such message.
pub fn decode_message(name: &str, value: &Value, strictness: Strictness) -> Result<(Bytes, Vec<String>), Error> {
    message(name, value, strictness, Quotes::Sent)
}

/// As [`decode_message`], of a value that was made from a stored object: see [`decode_made`].
///
/// # Errors
/// As [`decode_message`].
pub fn decode_made_message(name: &str, value: &Value, strictness: Strictness) -> Result<(Bytes, Vec<String>), Error> {
    message(name, value, strictness, Quotes::Never)
}

fn message(name: &str, value: &Value, strictness: Strictness, quotes: Quotes) -> Result<(Bytes, Vec<String>), Error> {
    let mut decoder = decode::Decoder::new(quotes);
    let bytes = decoder.bytes(find(name)?, value)?;
    Ok((bytes.into(), strictness.judge(decoder.unknown())?))
}

fn find(message: &str) -> Result<&'static crate::schema::Message, Error> {
    Schema::get().message(message).ok_or_else(|| Error::internal(format!("proto/ has no message {message}")))
}

fn check(fields: &Map<String, Value>, name: &str, wanted: &str, quotes: Quotes) -> Result<(), Error> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(found)) if found == wanted || found.is_empty() => Ok(()),
        Some(_) if quotes == Quotes::Never => {
            Err(Error::bad_request(format!("{name} is not {wanted:?}, which is expected here")))
        }
        Some(found) => {
            let found = found.to_string();
            let found = names::clipped(&found);
            Err(Error::bad_request(format!("{name} is {found}, but {wanted:?} is expected here")))
        }
    }
}
