//! Kubernetes' protobuf bodies: four magic bytes, then a `runtime.Unknown` around the object.
//!
//! `kubectl` and every client-go program send built-in kinds so. Go writes every field that is not a pointer, also empty
//! ones; [`decode`] drops those, so that an object is the same whichever way it came.

use bytes::Bytes;
use prost::Message as _;

use crate::{
    Error, Kind,
    json::wire::{Payload, Reader, put_bytes, put_number},
    meta_v1,
    schema::{Form, Message, Scalar, Schema, Shape},
};

/// What every such body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// How deep messages may be nested: far deeper than any of ours.
const DEPTH_MAX: usize = 64;

/// Message fields that are not pointers in Go: empty, they mean nothing.
const PLAIN: [&str; 6] = ["metadata", "status", "strategy", "resources", "loadBalancer", "template"];

/// What was in a body.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// `apps/v1`; may be empty.
    pub api_version: String,
    /// `Deployment`; may be empty.
    pub kind: String,
    /// The message.
    pub raw: Bytes,
}

/// Opens a body.
///
/// # Errors
/// [`Reason::BadRequest`](crate::Reason::BadRequest) if it is not such an envelope.
pub fn decode(body: &[u8]) -> Result<Envelope, Error> {
    let inside = body.strip_prefix(MAGIC).ok_or_else(|| {
        Error::bad_request(
            "the body is not Kubernetes protobuf: it does not begin with \"k8s\\0\"; send JSON, or the envelope",
        )
    })?;
    let unknown = meta_v1::Unknown::decode(inside)
        .map_err(|error| Error::bad_request(format!("the envelope of the body cannot be read: {error}")))?;
    let meta_v1::TypeMeta { api_version, kind } = unknown.type_meta.unwrap_or_default();
    let known = Kind::from_api_version(&api_version, &kind).and_then(|kind| Schema::get().message(kind.info().message));
    let raw = known.map_or(unknown.raw.clone(), |message| normal(message, &unknown.raw, DEPTH_MAX).into());
    Ok(Envelope { api_version, kind, raw })
}

/// Closes a body.
#[must_use]
pub fn encode(envelope: &Envelope) -> Bytes {
    let Envelope { api_version, kind, raw } = envelope.clone();
    let type_meta = Some(meta_v1::TypeMeta { api_version, kind });
    let mut body = MAGIC.to_vec();
    body.extend(meta_v1::Unknown { type_meta, raw, ..Default::default() }.encode_to_vec());
    body.into()
}

/// The message without what Go writes although nobody said it.
fn normal(message: &Message, bytes: &[u8], depth: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for (number, payload) in Reader::new(bytes) {
        match (message.by_number(number), payload) {
            (_, Payload::Varint(value)) => put_number(number, value, &mut out),
            (Some(field), Payload::Bytes(inner)) if field.shape == Shape::One || field.shape == Shape::List => {
                let Scalar::Message(index) = field.scalar else {
                    put_bytes(number, inner, &mut out);
                    continue;
                };
                let of = Schema::get().at(index);
                let inner = if depth > 0 { normal(of, inner, depth - 1) } else { inner.to_vec() };
                let plain = of.form == Form::Time || of.form == Form::MicroTime || PLAIN.contains(&field.json.as_str());
                if !(inner.is_empty() && plain && field.shape == Shape::One) {
                    put_bytes(number, &inner, &mut out);
                }
            }
            (_, Payload::Bytes(inner)) => put_bytes(number, inner, &mut out),
            (_, Payload::Fixed) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::{Envelope, decode, encode};
    use crate::{Kind, Object, apps_v1, core_v1, json, json::Strictness, meta_v1};

    #[test]
    fn what_go_writes_without_being_told_is_dropped() {
        let template = core_v1::PodTemplateSpec {
            metadata: Some(meta_v1::ObjectMeta {
                creation_timestamp: Some(meta_v1::Time::default()),
                ..Default::default()
            }),
            spec: Some(core_v1::PodSpec {
                volumes: vec![core_v1::Volume {
                    name: "v".into(),
                    volume_source: Some(core_v1::VolumeSource {
                        empty_dir: Some(core_v1::EmptyDirVolumeSource::default()),
                        ..Default::default()
                    }),
                }],
                ..Default::default()
            }),
        };
        let spec = apps_v1::DeploymentSpec {
            template: Some(template),
            strategy: Some(apps_v1::DeploymentStrategy::default()),
            ..Default::default()
        };
        let sent = Object::from(apps_v1::Deployment {
            spec: Some(spec),
            status: Some(apps_v1::DeploymentStatus::default()),
            ..Default::default()
        });
        let body =
            encode(&Envelope { api_version: "apps/v1".into(), kind: "Deployment".into(), raw: sent.encode_bytes() });

        let got = Object::decode_bytes(Kind::Deployment, decode(&body).unwrap().raw).unwrap();

        let wanted = json!({"spec": {"template": {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}}});
        assert_eq!(got, json::decode(Kind::Deployment, &wanted, Strictness::Strict).unwrap().object);
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        assert!(decode(b"{}").unwrap_err().message.contains("does not begin with"));
        assert!(decode(b"k8s\0\xff\xff").is_err());
    }
}
