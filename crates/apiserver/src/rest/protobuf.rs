//! Objects, lists and events as Kubernetes' protobuf, put together from the bytes that are kept: nothing is decoded. What is made
//! for an answer, such as errors, is encoded anew.

use api::{
    Served,
    apply::shown::Speller,
    discovery,
    encoded::{METADATA_FIELD, Revised, begin, field_len},
    envelope,
    json::{self, Strictness},
    meta_v1::{ListMeta, TypeMeta},
};
use bytes::{BufMut as _, Bytes};
use prost::Message;
use registry::{Encoded, Found};
use serde_json::Value;

use super::{accept::Extent, body::text};

/// The number of `items` in every list.
const ITEMS_FIELD: u32 = 2;

/// The numbers of `type` and `object` in an event of a watch, and of `raw` in what holds the object.
const TYPE_FIELD: u32 = 1;
const OBJECT_FIELD: u32 = 2;
const RAW_FIELD: u32 = 1;

/// Metadata are the same in every version of a kind.
fn encoded(found: &Found, served: Served, extent: Extent) -> Encoded<'_> {
    match extent {
        Extent::Whole => found.encoded(served),
        Extent::Metadata(_) => found.encoded(served.kind().into()),
    }
}

fn revised<'a>(encoded: &'a Encoded<'_>, extent: Extent, speller: &'a mut Speller) -> Revised<'a> {
    match extent {
        Extent::Whole => speller.revised(encoded.subject()),
        Extent::Metadata(_) => speller.revised_metadata(encoded.subject()),
    }
}

fn revised_len(encoded: &Encoded<'_>, extent: Extent, speller: &mut Speller) -> usize {
    match extent {
        Extent::Whole => speller.revised_len(encoded.subject()),
        Extent::Metadata(_) => speller.revised_metadata_len(encoded.subject()),
    }
}

/// Writes one object, of which is said what it is.
pub(crate) fn object(found: &Found, served: Served, extent: Extent, is: &TypeMeta, into: &mut Vec<u8>) {
    let (encoded, mut speller) = (encoded(found, served, extent), Speller::once());
    let object = revised(&encoded, extent, &mut speller);
    envelope::open(&is.api_version, &is.kind, object.encoded_len(), into);
    object.write(into);
}

/// Writes a message that is no object of the cluster.
pub(crate) fn message(message: &impl Message, is: &TypeMeta, into: &mut Vec<u8>) {
    let bytes = message.encode_to_vec();
    envelope::open(&is.api_version, &is.kind, bytes.len(), into);
    into.extend_from_slice(&bytes);
}

/// What is answered as a value and has a message: by `apiVersion` and `kind`, with its full name in `proto/`.
const MESSAGES: [(&str, &str, &str); 2] =
    [("v1", "Status", "kapelle.meta.v1.Status"), ("autoscaling/v1", "Scale", "kapelle.autoscaling.v1.Scale")];

/// A value that says what it is; `None` if there is no message for it.
pub(crate) fn value(value: &Value) -> Option<Vec<u8>> {
    let (api_version, kind) = (text(value, "apiVersion"), text(value, "kind"));
    let message = || {
        let (_, _, name) = MESSAGES.into_iter().find(|(version, of, _)| (*version, *of) == (api_version, kind))?;
        Some(json::decode_made_message(name, value, Strictness::Ignore).ok()?.0.into())
    };
    let bytes: Vec<u8> = discovery::encode(value).or_else(message)?;
    let mut body = Vec::new();
    envelope::open(api_version, kind, bytes.len(), &mut body);
    body.extend_from_slice(&bytes);
    Some(body)
}

/// Writes all of a list that stands before its items. It says how long they are, which the lengths of the kept bytes tell.
pub(crate) fn opening(
    (items, served, extent): (&[Found], Served, Extent),
    (is, meta): (&TypeMeta, &ListMeta),
    speller: &mut Speller,
    into: &mut Vec<u8>,
) {
    let mut length = |found| revised_len(&encoded(found, served, extent), extent, speller);
    let lengths = items.iter().map(|found| field_len(ITEMS_FIELD, length(found)));
    let meta = meta.encode_to_vec();
    let length = field_len(METADATA_FIELD, meta.len()) + lengths.sum::<usize>();
    envelope::open(&is.api_version, &is.kind, length, into);
    begin(METADATA_FIELD, meta.len(), into);
    into.extend_from_slice(&meta);
}

/// Writes one item of a list.
pub(crate) fn item(found: &Found, served: Served, extent: Extent, speller: &mut Speller, into: &mut Vec<u8>) {
    let encoded = encoded(found, served, extent);
    let object = revised(&encoded, extent, speller);
    begin(ITEMS_FIELD, object.encoded_len(), into);
    object.write(into);
}

/// The bytes of the length that stands before an event.
pub(crate) const PREFIX_BYTES: usize = size_of::<u32>();

/// An event of a watch around an object, behind its length.
pub(crate) fn event(word: &str, object: &[u8]) -> Bytes {
    let holder = field_len(RAW_FIELD, object.len());
    let length = field_len(TYPE_FIELD, word.len()) + field_len(OBJECT_FIELD, holder);
    let prefix = u32::try_from(length).unwrap_or(u32::MAX);
    let mut event = Vec::with_capacity(PREFIX_BYTES + length);
    event.put_u32(prefix);
    begin(TYPE_FIELD, word.len(), &mut event);
    event.extend_from_slice(word.as_bytes());
    begin(OBJECT_FIELD, holder, &mut event);
    begin(RAW_FIELD, object.len(), &mut event);
    event.extend_from_slice(object);
    event.into()
}
