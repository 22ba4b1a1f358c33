//! Kubernetes' protobuf bodies: four magic bytes, then a `runtime.Unknown` around the object.
//!
//! `kubectl` and every client-go program send built-in kinds so. Go writes every field that is not a pointer, also empty
//! ones; [`decode`] drops those, so that an object is the same whichever way it came.

use bytes::Bytes;
use prost::Message as _;

use crate::{
    Error, Served,
    encoded::begin,
    meta_v1,
    schema::{Field, Form, Message, Schema, Shape},
    wire::{Payload, Reader, put_bytes, put_number},
};

/// What every such body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// How deep messages may be nested: far deeper than any of ours.
const DEPTH_MAX: usize = 64;

/// Message fields that are no pointers in Go, so that it writes them even if nobody set them: empty, they mean nothing.
/// `spec` is one too, but stays: whoever sends an object means to say something of it.
const PLAIN: [&str; 14] = [
    "conditions",
    "daemonEndpoints",
    "deprecatedSource",
    "kubeletEndpoint",
    "lastState",
    "loadBalancer",
    "metadata",
    "nodeInfo",
    "resources",
    "source",
    "state",
    "status",
    "strategy",
    "template",
];

/// Numbers or texts that are no pointers in Go either. No port is 0.
const PLAIN_PORTS: [&str; 2] = ["port", "targetPort"];

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
    if !unknown.content_encoding.is_empty() {
        let encoding = &unknown.content_encoding;
        return Err(Error::bad_request(format!(
            "the body is encoded as {encoding:?}, which is not read here; send it plain"
        )));
    }
    let meta_v1::TypeMeta { api_version, kind } = unknown.type_meta.unwrap_or_default();
    let served = Served::from_api_version(&api_version, &kind);
    let known = served.and_then(|served| Schema::get().message(served.info().message));
    let raw = match known {
        Some(message) => normal(message, &unknown.raw, DEPTH_MAX)
            .ok_or_else(|| Error::bad_request(format!("the body is not a {kind}: its protobuf is damaged")))?
            .into(),
        None => unknown.raw,
    };
    Ok(Envelope { api_version, kind, raw })
}

/// Closes a body.
#[must_use]
pub fn encode(envelope: &Envelope) -> Bytes {
    let mut body = Vec::new();
    open(&envelope.api_version, &envelope.kind, envelope.raw.len(), &mut body);
    body.extend_from_slice(&envelope.raw);
    body.into()
}

/// Writes all of a body that stands before its message, which has a length: whoever knows it can write a long message piece by
/// piece.
pub fn open(api_version: &str, kind: &str, length: usize, into: &mut Vec<u8>) {
    let mut type_meta = Vec::new();
    put_bytes(1, api_version.as_bytes(), &mut type_meta);
    put_bytes(2, kind.as_bytes(), &mut type_meta);
    into.extend_from_slice(MAGIC);
    put_bytes(1, &type_meta, into);
    begin(2, length, into);
}

/// The message without what Go writes although nobody said it; `None` if the bytes are no message, or nested too deep.
fn normal(message: &Message, bytes: &[u8], depth: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut reader = Reader::new(bytes);
    for (number, payload) in reader.by_ref() {
        let field = message.by_number(number);
        let droppable = field.is_none_or(|field| field.shape == Shape::One && !field.presence);
        match (field, payload) {
            (_, Payload::Fixed(_)) => {}
            (_, Payload::Varint(0)) if droppable => {}
            (_, Payload::Varint(value)) => put_number(number, value, &mut out),
            (Some(field), Payload::Bytes(inner)) if field.shape != Shape::Map => match field.scalar.message() {
                // What is in it is of a type that is not told here.
                Some(of) if of.form == Form::Raw => put_bytes(number, inner, &mut out),
                Some(of) => {
                    let inner = normal(of, inner, depth.checked_sub(1)?)?;
                    if !(inner.is_empty() && is_plain(field, of)) {
                        put_bytes(number, &inner, &mut out);
                    }
                }
                None if inner.is_empty() && droppable => {}
                None => put_bytes(number, inner, &mut out),
            },
            (_, Payload::Bytes(inner)) => put_bytes(number, inner, &mut out),
        }
    }
    reader.finished().then_some(out)
}

/// Whether an empty message in the field is one that nobody set. One that has no fields says something by being there.
fn is_plain(field: &Field, of: &Message) -> bool {
    let name = field.json.as_str();
    let of_its_form = match of.form {
        Form::Time | Form::MicroTime => true,
        Form::IntOrString => PLAIN_PORTS.contains(&name),
        Form::Object => field.inline || !of.fields.is_empty() && PLAIN.contains(&name),
        Form::Quantity | Form::Raw | Form::Texts => false,
    };
    field.shape == Shape::One && of_its_form
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::{
        collection,
        prelude::{any, prop_assert_eq, proptest},
    };
    use serde_json::json;

    use super::{Envelope, decode, encode, normal};
    use crate::{Kind, Object, Served, apps_v1, core_v1, json, json::Strictness, meta_v1, schema::Schema};

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
                        empty_dir: Some(Box::default()),
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

    /// The object as Go sends it: what it does not say of itself comes as zeros.
    fn sent(served: impl Into<Served>, object: &Object) -> Object {
        let served = served.into();
        let body = encode(&Envelope {
            api_version: served.info().api_version(),
            kind: served.info().kind.to_owned(),
            raw: served.encode_bytes(object),
        });
        served.decode_bytes(decode(&body).unwrap().raw).unwrap()
    }

    /// The body that kubectl 1.32 sent for `create deployment web --image=hello:v1 --port=80 --replicas=0`, in hex.
    const SENT_BY_KUBECTL: &str = "\
        6b3873000a150a07617070732f7631120a4465706c6f796d656e7412bb010a1f0a0377656212001a0022002a003200380042\
        005a0a0a0361707012037765621289010800120c0a0a0a0361707012037765621a6f0a1c0a0012001a0022002a0032003800\
        42005a0a0a036170701203776562124f12310a0568656c6c6f120868656c6c6f3a76312a00320a0a001000185022002a0042\
        006a007200800100880100900100a201001a00320042004a0052005800600068008201008a01009a0100c2010022020a0028\
        0038001a0c0800100018002000280038001a002200";

    #[test]
    fn what_kubectl_sends_is_what_its_user_said() {
        let digits = SENT_BY_KUBECTL.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        let body: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        let envelope = decode(&body).unwrap();
        let got = Object::decode_bytes(Kind::Deployment, envelope.raw).unwrap();
        let wanted = json!({
            "metadata": {"name": "web", "labels": {"app": "web"}},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "hello", "image": "hello:v1", "ports": [{"containerPort": 80}]}]},
            }},
        });
        assert_eq!(got, json::decode(Kind::Deployment, &wanted, Strictness::Strict).unwrap().object);
    }

    #[test]
    fn zeros_that_are_no_pointers_vanish_and_others_stay() {
        let port =
            core_v1::ServicePort { port: 80, target_port: Some(meta_v1::IntOrString::default()), ..Default::default() };
        let spec = core_v1::ServiceSpec { ports: vec![port], ..Default::default() };
        let service = core_v1::Service {
            spec: Some(spec),
            status: Some(core_v1::ServiceStatus::default()),
            ..Default::default()
        };
        let wanted = json!({"spec": {"ports": [{"port": 80}]}});
        assert_eq!(
            sent(Kind::Service, &service.into()),
            json::decode(Kind::Service, &wanted, Strictness::Strict).unwrap().object
        );

        let wanted = json!({"spec": {"replicas": 0, "strategy": {"rollingUpdate": {"maxSurge": 0}}, "template": {"spec": {
            "automountServiceAccountToken": false, "securityContext": {}, "volumes": [{"name": "v", "emptyDir": {}}],
        }}}});
        let wanted = json::decode(Kind::Deployment, &wanted, Strictness::Strict).unwrap().object;
        assert_eq!(sent(Kind::Deployment, &wanted), wanted);
    }

    #[test]
    fn a_message_without_fields_says_something_by_being_there() {
        let message = Schema::get().message("kapelle.apiextensions.v1.CustomResourceSubresources").unwrap();
        assert_eq!(normal(message, &[0x0a, 0], 8).unwrap(), [0x0a, 0], "the part `status`");
    }

    #[test]
    fn an_inline_message_of_empty_texts_is_none() {
        // Go writes the empty name of a `configMapRef`, and the handler of a probe that has none.
        let message = Schema::get().message("kapelle.core.v1.ConfigMapEnvSource").unwrap();
        assert_eq!(normal(message, &[0x0a, 2, 0x0a, 0], 8).unwrap(), [0_u8; 0]);
        let message = Schema::get().message("kapelle.core.v1.Probe").unwrap();
        assert_eq!(normal(message, &[0x0a, 0, 0x10, 0, 0x18, 1], 8).unwrap(), [0x18, 1]);
    }

    proptest! {
        #[test]
        fn what_json_says_survives_the_envelope(seed in any::<u64>()) {
            let mut dice = json::random::Dice(seed);
            for served in Served::all() {
                let value = json::random::message(Schema::get().message(served.info().message).unwrap(), &mut dice, 0);
                let once = sent(served, &json::decode(served, &value, Strictness::Strict).unwrap().object);
                prop_assert_eq!(sent(served, &once), once, "what was normalised stays as it is");
            }
        }

        #[test]
        fn damaged_bodies_are_refused_or_read_whole(bytes in collection::vec(any::<u8>(), 0..64)) {
            for served in Served::all() {
                let (api_version, kind) = (served.info().api_version(), served.info().kind.to_owned());
                let body = encode(&Envelope { api_version, kind, raw: bytes.clone().into() });
                if let Ok(envelope) = decode(&body) {
                    let _ = served.decode_bytes(envelope.raw);
                }
            }
            let _ = decode(&[b"k8s\0", bytes.as_slice()].concat());
        }
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        let body = encode(&Envelope {
            api_version: "v1".into(),
            kind: "Pod".into(),
            raw: b"\x0a\x02\x0a\x00\x0b".to_vec().into(),
        });
        assert!(decode(&body).unwrap_err().message.contains("damaged"), "a truncated object is not half an object");
        assert!(decode(b"{}").unwrap_err().message.contains("does not begin with"));
        assert!(decode(b"k8s\0\xff\xff").is_err());
    }
}
