//! Objects as bytes: what can be done with them without decoding.
//!
//! All kinds have their metadata in field 1, and everything of ours writes fields in the order of their numbers.

use bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use crate::{
    Revision, Served,
    schema::{Message, Schema, Shape},
    wire::{Payload, Reader, split},
};

/// The number of `metadata` in every kind.
pub const METADATA_FIELD: u32 = 1;

/// The number of `resourceVersion` in the metadata.
pub const RESOURCE_VERSION_FIELD: u32 = 6;

/// The number of `managedFields` in the metadata, of which they are the last.
pub(crate) const MANAGED_FIELDS_FIELD: u32 = 17;

/// The number of `labels` in the metadata.
const LABELS_FIELD: u32 = 11;

/// The most messages and entries of maps in one object. An empty one takes two bytes on the wire and hundreds in memory, so
/// that without this limit a short request would take all of it; what people write has some hundred.
pub const MESSAGES_MAX: usize = 100_000;

/// The bytes of an empty message in another one: its number and its length.
const MESSAGE_BYTES_MIN: usize = 2;

/// How deep messages are looked into: as deep as any object of ours is nested. What is below is not decoded either.
const DEPTH_MAX: usize = 64;

/// Whether the bytes of an object, in a version of its kind, hold no more than [`MESSAGES_MAX`] messages: looked at before
/// they are decoded.
#[must_use]
pub fn is_of_few_messages(served: impl Into<Served>, bytes: &[u8]) -> bool {
    // What is short has no room for more, and need not be looked at: nearly everything.
    if bytes.len() <= MESSAGE_BYTES_MIN * MESSAGES_MAX {
        return true;
    }
    let mut left = MESSAGES_MAX;
    Schema::get().message(served.into().info().message).is_none_or(|message| few(message, bytes, &mut left, DEPTH_MAX))
}

fn few(message: &Message, bytes: &[u8], left: &mut usize, deeper: usize) -> bool {
    Reader::new(bytes).all(|(number, payload)| {
        let (Some(field), Payload::Bytes(content)) = (message.by_number(number), payload) else { return true };
        let message = field.scalar.message();
        if message.is_none() && field.shape != Shape::Map {
            return true;
        }
        if *left == 0 || deeper == 0 {
            return false;
        }
        *left -= 1;
        // What a map has in its entries is looked at by nobody: the entries themselves are counted.
        message.filter(|_| field.shape != Shape::Map).is_none_or(|inner| few(inner, content, left, deeper - 1))
    })
}

/// An object's bytes in two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The metadata: the content of the field. Empty if the bytes do not begin with it.
    pub metadata: &'a [u8],
    /// All other fields.
    pub rest: &'a [u8],
}

/// Parts the bytes that [`Object::encode_bytes`](crate::Object::encode_bytes) made behind the metadata.
#[must_use]
pub fn parts(bytes: &[u8]) -> Parts<'_> {
    let mut reader = Reader::new(bytes);
    match reader.next() {
        Some((METADATA_FIELD, Payload::Bytes(metadata))) => Parts { metadata, rest: reader.unread() },
        _ => Parts { metadata: &[], rest: bytes },
    }
}

/// Parts the bytes of metadata before the owners of fields.
pub(crate) fn split_owners(metadata: &[u8]) -> (&[u8], &[u8]) {
    metadata.split_at(split(metadata, MANAGED_FIELDS_FIELD).0.len())
}

/// The value of a label, read from the bytes of an object.
#[must_use]
pub fn label<'a>(bytes: &'a [u8], key: &str) -> Option<&'a str> {
    let labels = Reader::new(parts(bytes).metadata).filter(|(number, _)| *number == LABELS_FIELD);
    labels.map(|(_, label)| label.bytes()).find(|label| text(label, &[1]) == key).map(|label| text(label, &[2]))
}

/// A text, read from the bytes of a message: `path` has the numbers of the messages around it, and its own. Empty if it is
/// not there.
#[must_use]
pub fn text<'a>(bytes: &'a [u8], path: &[u32]) -> &'a str {
    let content = |message: &'a [u8], number: &u32| {
        let field = Reader::new(message).find(|(found, _)| found == number);
        field.map_or(&[][..], |(_, payload)| payload.bytes())
    };
    str::from_utf8(path.iter().fold(bytes, content)).unwrap_or_default()
}

/// A number, read from the bytes of a message; 0 if it is not there.
#[must_use]
pub fn number(bytes: &[u8], number: u32) -> u64 {
    let field = Reader::new(bytes).find(|(found, _)| *found == number);
    field.map_or(0, |(_, payload)| payload.varint())
}

/// Begins a field of bytes: the content is to follow.
pub fn begin(field: u32, length: usize, into: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, into);
    encode_varint(length as u64, into);
}

/// What a field takes whose content has a length, in bytes.
#[must_use]
pub fn field_len(field: u32, length: usize) -> usize {
    key_len(field) + encoded_len_varint(length as u64) + length
}

/// An object's bytes at a revision. With one, `metadata.resourceVersion` is that one, whatever the bytes say: it is written
/// behind the rest of the metadata, where any reader of protobuf finds it, since of a field that stands twice the last counts.
#[derive(Clone, Debug)]
pub struct Revised<'a> {
    parts: Parts<'a>,
    revision: Option<Decimal>,
    /// What stands for `managedFields`, if it is not what stands in the metadata.
    owners: &'a [u8],
}

impl<'a> Revised<'a> {
    /// All of an object.
    #[must_use]
    pub fn new(bytes: &'a [u8], revision: Option<Revision>) -> Self {
        let revision = revision.map(|revision| Decimal::of(revision.0));
        Self { parts: parts(bytes), revision, owners: &[] }
    }

    /// The object with other owners: `others` is the rest of its metadata, `owners` the bytes of that field.
    pub(crate) fn with_owners(mut self, others: &'a [u8], owners: &'a [u8]) -> Self {
        self.parts.metadata = others;
        Self { owners, ..self }
    }

    /// An object without anything but its metadata.
    #[must_use]
    pub fn metadata(bytes: &'a [u8], revision: Option<Revision>) -> Self {
        let whole = Self::new(bytes, revision);
        Self { parts: Parts { rest: &[], ..whole.parts }, ..whole }
    }

    /// How many bytes it is with other owners: of the metadata `others` bytes stay, `owners` bytes come.
    pub(crate) fn encoded_len_with_owners(&self, others: usize, owners: usize) -> usize {
        field_len(METADATA_FIELD, others + self.revision_len() + owners) + self.parts.rest.len()
    }

    /// How many bytes [`Revised::write`] writes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.encoded_len_with_owners(self.parts.metadata.len(), self.owners.len())
    }

    /// Writes the object.
    pub fn write(&self, into: &mut impl BufMut) {
        begin(METADATA_FIELD, self.metadata_len(), into);
        into.put_slice(self.parts.metadata);
        if let Some(revision) = &self.revision {
            begin(RESOURCE_VERSION_FIELD, revision.text().len(), into);
            into.put_slice(revision.text());
        }
        into.put_slice(self.owners);
        into.put_slice(self.parts.rest);
    }

    fn metadata_len(&self) -> usize {
        self.parts.metadata.len() + self.revision_len() + self.owners.len()
    }

    fn revision_len(&self) -> usize {
        self.revision.as_ref().map_or(0, |text| field_len(RESOURCE_VERSION_FIELD, text.text().len()))
    }
}

/// A number as text that needs no memory of its own: lists write one an object.
#[derive(Clone, Copy, Debug)]
struct Decimal {
    digits: [u8; DIGITS_MAX],
    start: usize,
}

/// As many digits as the largest number of 64 bits has.
const DIGITS_MAX: usize = 20;

impl Decimal {
    fn of(mut number: u64) -> Self {
        let (mut digits, mut start) = ([b'0'; DIGITS_MAX], DIGITS_MAX);
        loop {
            start -= 1;
            digits[start] += (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Self { digits, start };
            }
        }
    }

    fn text(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::{Decimal, MESSAGES_MAX, Parts, Revised, is_of_few_messages, parts};
    use crate::{
        Kind, Object, Revision, Served,
        core_v1::{ConfigMap, Container, Pod, PodSpec},
        meta_v1::ObjectMeta,
        schema::Schema,
    };

    #[test]
    fn an_object_has_so_many_messages() {
        let with = |count: usize| {
            let containers = (0..count).map(|_| Container::default()).collect();
            Object::from(Pod { spec: Some(PodSpec { containers, ..PodSpec::default() }), ..Pod::default() })
                .encode_bytes()
        };
        // The spec is one of them.
        assert!(is_of_few_messages(Kind::Pod, &with(MESSAGES_MAX - 1)));
        assert!(!is_of_few_messages(Kind::Pod, &with(MESSAGES_MAX)));
        let data = |count: usize| (0..count).map(|n| (format!("k{n}"), String::new())).collect();
        let map = |count: usize| Object::from(ConfigMap { data: data(count), ..ConfigMap::default() }).encode_bytes();
        assert!(is_of_few_messages(Kind::ConfigMap, &map(MESSAGES_MAX)));
        assert!(!is_of_few_messages(Kind::ConfigMap, &map(MESSAGES_MAX + 1)));
    }

    #[test]
    fn the_numbers_are_those_of_every_kind() {
        let name = |message: &str, number: u32| {
            let message = Schema::get().message(message).expect("a message of ours");
            message.by_number(number).map(|field| field.json.as_str())
        };
        for served in Served::all() {
            assert_eq!(name(served.info().message, super::METADATA_FIELD), Some("metadata"), "{served:?}");
        }
        let metadata = |number| name("kapelle.meta.v1.ObjectMeta", number);
        assert_eq!(metadata(super::RESOURCE_VERSION_FIELD), Some("resourceVersion"));
        assert_eq!(metadata(super::MANAGED_FIELDS_FIELD), Some("managedFields"));
        let last = Schema::get().message("kapelle.meta.v1.ObjectMeta").and_then(|message| message.fields.last());
        assert_eq!(last.map(|field| field.number), Some(super::MANAGED_FIELDS_FIELD));
    }

    #[test]
    fn numbers_are_written_as_ever() {
        for number in [0, 1, 9, 10, 4711, u64::MAX] {
            assert_eq!(Decimal::of(number).text(), number.to_string().as_bytes());
        }
    }

    #[test]
    fn an_object_at_a_revision_is_read_with_it_by_whoever_reads_protobuf() {
        let meta = ObjectMeta { name: "a".repeat(130), resource_version: "7".to_owned(), ..ObjectMeta::default() };
        let spec = PodSpec { node_name: "n".to_owned(), ..PodSpec::default() };
        let pod = |metadata: Option<ObjectMeta>, spec: Option<PodSpec>| Pod { metadata, spec, status: None };
        let written = |revised: Revised<'_>| {
            let mut bytes = Vec::new();
            revised.write(&mut bytes);
            assert_eq!(bytes.len(), revised.encoded_len());
            Pod::decode(bytes.as_slice()).expect("a Pod")
        };
        for metadata in [Some(meta.clone()), None] {
            let bytes = pod(metadata.clone(), Some(spec.clone())).encode_to_vec();
            let revised = ObjectMeta { resource_version: "4711".to_owned(), ..metadata.clone().unwrap_or_default() };
            let revision = Some(Revision(4711));
            assert_eq!(written(Revised::new(&bytes, revision)), pod(Some(revised.clone()), Some(spec.clone())));
            assert_eq!(written(Revised::metadata(&bytes, revision)), pod(Some(revised), None));
            let as_it_was = pod(Some(metadata.unwrap_or_default()), Some(spec.clone()));
            assert_eq!(written(Revised::new(&bytes, None)), as_it_was);
        }
    }

    #[test]
    fn the_parts_of_every_object_are_its_metadata_and_the_rest() {
        let meta = ObjectMeta { name: "a".repeat(200), ..ObjectMeta::default() };
        let spec = PodSpec { node_name: "n".to_owned(), ..PodSpec::default() };
        let alone = Object::from(ConfigMap { metadata: Some(meta.clone()), ..ConfigMap::default() }).encode_bytes();
        let whole = Object::from(Pod { metadata: Some(meta.clone()), spec: Some(spec.clone()), status: None });
        let without = Object::from(Pod { spec: Some(spec), ..Pod::default() }).encode_bytes();

        let (whole, metadata) = (whole.encode_bytes(), meta.encode_to_vec());

        assert_eq!(parts(&alone), Parts { metadata: &metadata, rest: &[] });
        assert_eq!(parts(&whole), Parts { metadata: &metadata, rest: &without });
        assert_eq!(parts(&without), Parts { metadata: &[], rest: &without });
        assert_eq!(parts(&[]), Parts { metadata: &[], rest: &[] });
        assert_eq!(parts(b"\x0a\xff"), Parts { metadata: &[], rest: b"\x0a\xff" });
    }
}
