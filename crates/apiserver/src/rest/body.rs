//! Bodies of requests: JSON, YAML, CBOR or Kubernetes' protobuf envelope, up to a limit.

use api::{
    Error, Kind, Object, Reason, Served, cbor, custom, encoded, envelope,
    json::{self, Parsed, Strictness},
    meta_v1, yaml,
};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use registry::{Registry, budget::BODY_BYTES_MAX};
use rpc::status::body_error;
use serde_json::Value;

use super::path::Target;

/// How much of a body that is too large is read and thrown away before the connection is cut, in bytes.
const DISCARDED_BYTES_MAX: usize = 32 << 20;

/// The type of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// JSON, and what does not say what it is.
    Json,
    /// YAML, one document.
    Yaml,
    /// CBOR, one data item.
    Cbor,
    /// Kubernetes' protobuf envelope.
    Protobuf,
    /// RFC 6902.
    JsonPatch,
    /// RFC 7386.
    MergePatch,
    /// Kubernetes' strategic merge patch.
    StrategicPatch,
    /// Server-side apply, in YAML.
    ApplyYaml,
    /// Server-side apply, in CBOR.
    ApplyCbor,
}

impl Media {
    /// Whether it is what somebody applies.
    pub(crate) fn applies(self) -> bool {
        matches!(self, Self::ApplyYaml | Self::ApplyCbor)
    }
}

/// A body and its type.
pub(crate) struct Content {
    /// The type.
    pub(crate) media: Media,
    /// The bytes.
    pub(crate) bytes: Bytes,
}

/// An object as a request carries it, and what the user should know about it.
pub(crate) struct Sent {
    /// The object, with the namespace of the URL.
    pub(crate) object: Object,
    /// About fields that nobody knows, or that stand twice.
    pub(crate) warnings: Vec<String>,
}

/// Reads a body to its end.
pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Content, Error> {
    Ok(Content { media: media(headers)?, bytes: bytes(body).await? })
}

/// The bytes of a body. One that is too large is read on for a while: a client that is still sending sees the answer
/// only if the connection stays open.
async fn bytes(mut body: Body) -> Result<Bytes, Error> {
    let (mut bytes, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| body_error(error.into_inner()))?;
        let data = frame.into_data().unwrap_or_default();
        length += data.len();
        if length <= BODY_BYTES_MAX {
            bytes.extend_from_slice(&data);
        } else if length > DISCARDED_BYTES_MAX {
            break;
        }
    }
    if length > BODY_BYTES_MAX {
        let message = format!("the body is larger than the limit of {BODY_BYTES_MAX} bytes");
        return Err(Error::new(Reason::RequestEntityTooLarge, message));
    }
    Ok(bytes.freeze())
}

fn media(headers: &HeaderMap) -> Result<Media, Error> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Media::Json) };
    let text = value.to_str().unwrap_or("?");
    Ok(match text.split(';').next().unwrap_or_default().trim() {
        "" | "application/json" | "*/*" => Media::Json,
        "application/yaml" | "application/x-yaml" | "text/yaml" => Media::Yaml,
        "application/cbor" => Media::Cbor,
        "application/vnd.kubernetes.protobuf" => Media::Protobuf,
        "application/json-patch+json" => Media::JsonPatch,
        "application/merge-patch+json" => Media::MergePatch,
        "application/strategic-merge-patch+json" => Media::StrategicPatch,
        "application/apply-patch+yaml" => Media::ApplyYaml,
        "application/apply-patch+cbor" => Media::ApplyCbor,
        other => {
            let message = format!(
                "the body of the request was in an unknown format: \"{other}\"; \
                 send application/json, application/yaml, application/cbor or application/vnd.kubernetes.protobuf"
            );
            return Err(Error::new(Reason::UnsupportedMediaType, message));
        }
    })
}

impl Content {
    /// The body as a JSON value, and the fields that stand in it twice. CBOR with such fields is refused in any case.
    pub(crate) fn parsed(&self, strictness: Strictness) -> Result<Parsed, Error> {
        match self.media {
            Media::Yaml | Media::ApplyYaml => {
                let text = str::from_utf8(&self.bytes).map_err(|_| Error::bad_request("the body is not UTF-8"))?;
                yaml::parse(text, strictness)
            }
            Media::Cbor | Media::ApplyCbor => Ok(cbor::parse(&self.bytes)?.into()),
            Media::Json | Media::JsonPatch | Media::MergePatch | Media::StrategicPatch => {
                json::parse(&self.bytes, strictness)
            }
            Media::Protobuf => {
                Err(Error::new(Reason::UnsupportedMediaType, "protobuf is not read here; send application/json"))
            }
        }
    }

    /// The body as an object of the kind, namespace and name in the URL.
    pub(crate) fn object(&self, target: &Target, strictness: Strictness, registry: &Registry) -> Result<Sent, Error> {
        let (mut object, unknown) = match self.media {
            Media::Protobuf => (self.protobuf_object(target.served)?, Vec::new()),
            _ => self.json_object(target.served, strictness, registry)?,
        };
        fit(&mut object, target)?;
        Ok(Sent { object, warnings: unknown })
    }

    fn json_object(
        &self,
        served: Served,
        strictness: Strictness,
        registry: &Registry,
    ) -> Result<(Object, Vec<String>), Error> {
        let noting = strictness.noting();
        let Parsed { value, duplicates } = self.parsed(noting)?;
        of_type(served, text(&value, "apiVersion"), text(&value, "kind"))?;
        let decoded = registry.decode(served, &value, noting)?;
        Ok((decoded.object, strictness.judge([decoded.unknown, duplicates].concat())?))
    }

    fn protobuf_object(&self, served: Served) -> Result<Object, Error> {
        if let Kind::Custom(_) = served.kind() {
            let message = "objects of kinds that users define have no protobuf; send application/json";
            return Err(Error::new(Reason::UnsupportedMediaType, message));
        }
        let envelope = envelope::decode(&self.bytes)?;
        of_type(served, &envelope.api_version, &envelope.kind)?;
        if !encoded::is_of_few_messages(served, &envelope.raw) {
            return Err(Error::bad_request(format!("the object has more than {} parts", encoded::MESSAGES_MAX)));
        }
        let kind = served.kind();
        // Its schemas are messages there, and JSON here.
        let is_definition = kind == Kind::CustomResourceDefinition;
        let raw = if is_definition { custom::definition_from_protobuf(&envelope.raw)? } else { envelope.raw };
        served.decode_bytes(raw).map_err(|error| Error::bad_request(format!("the body is not a {kind}: {error}")))
    }

    /// The body as a manifest that is applied to the object of the URL: it must say what it is. What stands twice in it is noted,
    /// to be judged with its other mistakes.
    pub(crate) fn manifest(&self, target: &Target, strictness: Strictness) -> Result<Parsed, Error> {
        let info = target.served.info();
        self.manifest_of((&info.api_version(), info.kind), target, strictness)
    }

    /// As [`Content::manifest`], of a part of the object that is a type of its own.
    pub(crate) fn manifest_of(
        &self,
        expected: (&str, &str),
        target: &Target,
        strictness: Strictness,
    ) -> Result<Parsed, Error> {
        let Parsed { value: mut manifest, duplicates } = self.parsed(strictness.noting())?;
        if !manifest.is_object() {
            return Err(Error::bad_request("what is applied must be an object"));
        }
        let (api_version, kind) = (text(&manifest, "apiVersion"), text(&manifest, "kind"));
        if api_version.is_empty() || kind.is_empty() {
            return Err(Error::bad_request("what is applied must say its apiVersion and kind"));
        }
        same_type(expected, (api_version, kind))?;
        let metadata = &mut manifest["metadata"];
        if metadata.is_null() {
            *metadata = Value::Object(serde_json::Map::new());
        }
        let Value::Object(metadata) = metadata else {
            return Err(Error::bad_request("metadata: expected an object"));
        };
        for (name, url) in [("name", &target.name), ("namespace", &target.namespace)] {
            let sent = metadata.get(name).and_then(Value::as_str).unwrap_or_default();
            if !sent.is_empty() && sent != url {
                let message = format!("the {name} of the object ({sent}) does not match the {name} on the URL ({url})");
                return Err(Error::bad_request(message));
            }
            if !url.is_empty() {
                metadata.insert(name.to_owned(), url.as_str().into());
            }
        }
        Ok(Parsed { value: manifest, duplicates })
    }

    /// The body as a message that is no object of ours, by its full name in `proto/`, and what the user should know about it.
    pub(crate) fn message<M: prost::Message + Default>(
        &self,
        name: &str,
        strictness: Strictness,
    ) -> Result<(M, Vec<String>), Error> {
        if self.media == Media::Protobuf {
            return Ok((M::decode(envelope::decode(&self.bytes)?.raw).map_err(unreadable)?, Vec::new()));
        }
        let noting = strictness.noting();
        let Parsed { value, duplicates } = self.parsed(noting)?;
        let (bytes, unknown) = json::decode_message(name, &value, noting)?;
        let warnings = strictness.judge([unknown, duplicates].concat())?;
        Ok((M::decode(bytes).map_err(unreadable)?, warnings))
    }

    /// The body of a deletion, which may be empty.
    pub(crate) fn delete_options(&self) -> Result<meta_v1::DeleteOptions, Error> {
        if self.bytes.is_empty() {
            return Ok(Default::default());
        }
        Ok(self.message("kapelle.meta.v1.DeleteOptions", Strictness::Ignore)?.0)
    }
}

fn unreadable(error: prost::DecodeError) -> Error {
    Error::bad_request(format!("the body cannot be read: {error}"))
}

/// A string of a JSON object; empty if it has none of that name.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn of_type(served: Served, api_version: &str, kind: &str) -> Result<(), Error> {
    let info = served.info();
    same_type((&info.api_version(), info.kind), (api_version, kind))
}

/// A body may leave out what the URL says, but not contradict it. Both are apiVersion and kind.
fn same_type((expected, kind): (&str, &str), (api_version, name): (&str, &str)) -> Result<(), Error> {
    let right_version = api_version.is_empty() || api_version == expected;
    if right_version && (name.is_empty() || name == kind) {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "the object in the request is a {api_version} {name}, but the URL is that of {expected} {kind}"
    )))
}

/// Gives an object the name and namespace of the URL, or says that it has others.
fn fit(object: &mut Object, target: &Target) -> Result<(), Error> {
    let metadata = object.metadata_mut();
    for (what, sent, url) in
        [("name", &mut metadata.name, &target.name), ("namespace", &mut metadata.namespace, &target.namespace)]
    {
        if sent.is_empty() {
            sent.clone_from(url);
        }
        let free = what == "name" && url.is_empty();
        if !free && sent != url {
            let message = format!("the {what} of the object ({sent}) does not match the {what} on the URL ({url})");
            return Err(Error::bad_request(message));
        }
    }
    Ok(())
}
