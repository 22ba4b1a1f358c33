//! Objects as bytes: what can be done with them without decoding.
//!
//! All kinds have their metadata in field 1, and everything of ours writes fields in the order of their numbers.

use crate::json::wire::{Payload, Reader};

/// The number of `metadata` in every kind.
pub const METADATA_FIELD: u32 = 1;

/// The number of `resourceVersion` in the metadata.
pub const RESOURCE_VERSION_FIELD: u32 = 6;

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

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::{Parts, parts};
    use crate::{
        Kind, Object,
        core_v1::{ConfigMap, Pod, PodSpec},
        meta_v1::ObjectMeta,
        schema::Schema,
    };

    #[test]
    fn the_numbers_are_those_of_every_kind() {
        let name = |message: &str, number: u32| {
            let message = Schema::get().message(message).expect("a message of ours");
            message.by_number(number).map(|field| field.json.as_str())
        };
        for kind in Kind::ALL {
            assert_eq!(name(kind.info().message, super::METADATA_FIELD), Some("metadata"), "{kind}");
        }
        assert_eq!(name("kapelle.meta.v1.ObjectMeta", super::RESOURCE_VERSION_FIELD), Some("resourceVersion"));
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
