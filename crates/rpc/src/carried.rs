//! An object inside a message: as a value, or as the bytes that the state keeps.
//!
//! Masters answer from bytes: decoding an object only to encode it again costs more than all else that a read does. What
//! the bytes lack is the revision; [`Revised`] adds it.

use api::{
    Kind, Object, Revision, api_v1,
    encoded::{self, Revised, begin, field_len},
    object::{CustomKind, CustomObject},
};
use bytes::{Buf, BufMut, Bytes};
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, WireType},
};

/// A `kapelle.api.v1.Object`. What was received is always a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried(Form);

#[derive(Clone, Debug, PartialEq)]
enum Form {
    Value(api_v1::Object),
    Stored(Stored),
    /// Received, and of too many messages to be decoded, or in several pieces.
    Refused,
}

#[derive(Clone, Debug, PartialEq)]
struct Stored {
    kind: Kind,
    /// Without a meaningful `metadata.resourceVersion`.
    bytes: Bytes,
    revision: Revision,
}

impl Carried {
    /// An object as a state keeps it: the bytes of [`Object::encode_bytes`], at a revision. A `metadata.resourceVersion` in
    /// them counts for nothing.
    #[must_use]
    pub fn stored(kind: Kind, bytes: Bytes, revision: Revision) -> Self {
        Self(Form::Stored(Stored { kind, bytes, revision }))
    }

    /// The value; `None` if the message names no object, or one that its bytes are not.
    #[must_use]
    pub fn into_object(self) -> Option<Object> {
        match self.0 {
            Form::Value(value) => value.object,
            Form::Refused => None,
            Form::Stored(stored) => {
                let mut object = Object::decode_bytes(stored.kind, stored.bytes).ok()?;
                object.metadata_mut().resource_version = stored.revision.to_string();
                Some(object)
            }
        }
    }
}

impl Carried {
    /// Whether it was not decoded, since it has more than [`MESSAGES_MAX`](encoded::MESSAGES_MAX) messages.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.0 == Form::Refused
    }
}

impl Default for Carried {
    fn default() -> Self {
        Self(Form::Value(api_v1::Object::default()))
    }
}

impl From<Object> for Carried {
    fn from(object: Object) -> Self {
        Self(Form::Value(object.into()))
    }
}

impl Message for Carried {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        match &self.0 {
            Form::Refused => {}
            Form::Value(value) => value.encode_raw(buf),
            Form::Stored(stored) => stored.encode(buf),
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        let known = if let Form::Stored(_) = &self.0 {
            let object = std::mem::take(self).into_object();
            self.0 = Form::Value(api_v1::Object { object });
            true
        } else {
            false
        };
        // What a user has defined is known by what it says itself.
        let custom = || (tag == CustomObject::CODE).then(|| Kind::Custom(CustomKind::unknown()));
        match (&mut self.0, Kind::from_code(tag).or_else(custom)) {
            (Form::Value(value), Some(kind)) if value.object.is_none() => {
                let mut bytes = Bytes::new();
                prost::encoding::bytes::merge(wire_type, &mut bytes, buf, context)?;
                if encoded::is_of_few_messages(kind, &bytes) {
                    value.object = Some(Object::decode_bytes(kind, bytes)?);
                } else {
                    self.0 = Form::Refused;
                }
                Ok(())
            }
            (Form::Value(value), _) if known || value.object.is_none() => {
                value.merge_field(tag, wire_type, buf, context)
            }
            (Form::Value(_) | Form::Stored(_) | Form::Refused, _) => {
                self.0 = Form::Refused;
                prost::encoding::skip_field(wire_type, tag, buf, context)
            }
        }
    }

    fn encoded_len(&self) -> usize {
        match &self.0 {
            Form::Refused => 0,
            Form::Value(value) => value.encoded_len(),
            Form::Stored(stored) => field_len(stored.kind.info().code, stored.revised().encoded_len()),
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Stored {
    fn revised(&self) -> Revised<'_> {
        Revised::new(&self.bytes, Some(self.revision))
    }

    fn encode(&self, buf: &mut impl BufMut) {
        let revised = self.revised();
        begin(self.kind.info().code, revised.encoded_len(), buf);
        revised.write(buf);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{
        core_v1::{ConfigMap, Pod, PodSpec},
        meta_v1::ObjectMeta,
    };

    use super::*;

    fn objects() -> Vec<Object> {
        let labels = [("app".to_owned(), "x".repeat(300))].into();
        let metadata = |version: &str| {
            Some(ObjectMeta { name: "a".into(), labels, resource_version: version.into(), ..ObjectMeta::default() })
        };
        let long = ConfigMap { data: [("k".to_owned(), "v".repeat(70_000))].into(), ..ConfigMap::default() };
        let spec = PodSpec { node_name: "n".to_owned(), ..PodSpec::default() };
        let named = |metadata: Option<ObjectMeta>| {
            [
                Object::from(ConfigMap { metadata: metadata.clone(), ..long.clone() }),
                Object::from(Pod { metadata, spec: Some(spec.clone()), status: None }),
            ]
        };
        let mut all = named(metadata.clone()("7")).to_vec();
        all.extend(named(metadata("")));
        all.push(long.into());
        all
    }

    #[test]
    fn what_is_carried_as_bytes_arrives_as_the_object_at_its_revision() {
        for object in objects() {
            let carried = Carried::stored(object.kind(), object.encode_bytes(), Revision(1_234_567));
            let mut expected = object;
            expected.metadata_mut().resource_version = "1234567".to_owned();

            let bytes = carried.encode_to_vec();

            assert_eq!(bytes.len(), carried.encoded_len());
            let received = api_v1::Object::decode(bytes.as_slice()).unwrap();
            assert_eq!(received.object.as_ref(), Some(&expected));
            assert_eq!(Carried::decode(bytes.as_slice()).unwrap(), Carried::from(expected.clone()));
            assert_eq!(carried.into_object(), Some(expected));
        }
    }

    #[test]
    fn what_would_take_all_memory_is_not_decoded() {
        let containers = (0..encoded::MESSAGES_MAX).map(|_| api::core_v1::Container::default()).collect();
        let pod = Pod { spec: Some(PodSpec { containers, ..PodSpec::default() }), ..Pod::default() };
        let bytes = Carried::stored(Kind::Pod, pod.encode_to_vec().into(), Revision(1)).encode_to_vec();
        let received = Carried::decode(bytes.as_slice()).unwrap();
        assert!(received.is_refused());
        let error = crate::convert::object_from_wire(Some(received)).unwrap_err();
        assert!(error.message.contains("more than 100000 parts"), "{error}");
    }

    #[test]
    fn values_are_written_as_ever_and_damage_is_noticed() {
        for object in objects() {
            let plain = api_v1::Object::from(object.clone()).encode_to_vec();
            assert_eq!(Carried::from(object).encode_to_vec(), plain);
            assert!(Carried::decode(&plain[..plain.len() - 1]).is_err());
        }
        assert_eq!(Carried::default().into_object(), None);
        assert_eq!(Carried::stored(Kind::Pod, Bytes::from_static(b"\x0a\xff"), Revision(1)).into_object(), None);
    }

    #[test]
    fn what_follows_bytes_is_merged_into_them() {
        let object = objects().remove(1);
        let mut carried = Carried::stored(object.kind(), object.encode_bytes(), Revision(9));
        let more =
            Object::from(Pod { spec: Some(PodSpec { node_name: "m".into(), ..PodSpec::default() }), ..Pod::default() });

        carried.merge(Carried::from(more).encode_to_vec().as_slice()).unwrap();

        let Some(Object::Pod(pod)) = carried.into_object() else { panic!("not a Pod any more") };
        assert_eq!(
            (pod.metadata.unwrap().resource_version, pod.spec.unwrap().node_name),
            ("9".to_owned(), "m".to_owned())
        );
    }
}
