//! Lines of watch streams, or what stands for them in protobuf and CBOR. Ten thousand watchers of one change share one encoding of it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use api::{
    ChangeType, Error, Object, Revision, Served,
    meta_v1::{ObjectMeta, TypeMeta},
};
use bytes::Bytes;
use registry::Found;
use serde_json::{Value, json};

use super::{
    accept::{Encoding, Format},
    answer, protobuf,
    render::{self, Header, View},
};

/// The most encoded lines that are kept: the bursts of a busy cluster, not its history.
const LINES_MAX: usize = 4096;

/// The most memory for kept lines, in bytes.
const LINES_BYTES_MAX: usize = 16 << 20;

/// What a line says; equal identities are equal lines. A revision is that of one change of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Identity {
    served: Served,
    /// What was defined of the kind when the object was shown so.
    definition: i64,
    revision: Revision,
    change: ChangeType,
    encoding: Encoding,
    format: Format,
}

/// The lines that were encoded lately.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    lines: HashMap<Identity, Bytes>,
    order: VecDeque<Identity>,
    bytes: usize,
}

impl Lines {
    /// The line for a change. Tables are not shared: they hold ages, and the first of a stream its columns.
    pub(crate) fn change(&self, change: ChangeType, found: &Found, view: View, header: Header) -> Bytes {
        let encode = || line(word(change), view, |into| render::object(found, view, header, into));
        if let Format::Table(_) = view.format {
            return encode();
        }
        let Some(revision) = found.revision() else { return encode() };
        let (View { served, encoding, format, .. }, definition) = (view, found.generation());
        let identity = Identity { served, definition, revision, change, encoding, format };
        if let Some(kept) = self.get(&identity) {
            return kept;
        }
        let encoded = encode();
        self.keep(identity, encoded.clone());
        encoded
    }

    fn get(&self, identity: &Identity) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lines.get(identity).cloned()
    }

    fn keep(&self, identity: Identity, line: Bytes) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += line.len();
        if let Some(same) = kept.lines.insert(identity, line) {
            kept.bytes -= same.len();
            return;
        }
        kept.order.push_back(identity);
        while kept.order.len() > LINES_MAX || kept.bytes > LINES_BYTES_MAX {
            let Some(oldest) = kept.order.pop_front() else { break };
            kept.bytes -= kept.lines.remove(&oldest).map_or(0, |line| line.len());
        }
    }
}

/// A line without what separates it from the next one, for streams that have messages. Items of CBOR stand side by side.
pub(crate) fn unframed(line: &Bytes, view: View) -> Bytes {
    match view.encoding {
        Encoding::Protobuf => line.slice(protobuf::PREFIX_BYTES..),
        Encoding::Cbor => line.clone(),
        Encoding::Json | Encoding::Yaml => line.slice(..line.len() - b"\n".len()),
    }
}

fn word(change: ChangeType) -> &'static str {
    match change {
        ChangeType::Added => "ADDED",
        ChangeType::Modified => "MODIFIED",
        ChangeType::Deleted => "DELETED",
    }
}

/// The bookmark's annotation by which a client knows that it was told everything that existed.
const INITIAL_END: &str = "k8s.io/initial-events-end";

fn line(word: &str, view: View, object: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    match view.format {
        Format::Object | Format::Table(_) | Format::Partial(_) => {
            let mut line = format!("{{\"type\":\"{word}\",\"object\":").into_bytes();
            object(&mut line);
            line.push(b'}');
            match view.encoding {
                Encoding::Json | Encoding::Yaml | Encoding::Protobuf => line.push(b'\n'),
                Encoding::Cbor => line = render::cbor(&line),
            }
            line.into()
        }
        Format::Protobuf(_) => {
            let mut bytes = Vec::new();
            object(&mut bytes);
            protobuf::event(word, &bytes)
        }
    }
}

fn put(value: &Value, into: &mut Vec<u8>) {
    into.extend_from_slice(value.to_string().as_bytes());
}

/// The line that says: everything up to a revision was sent.
pub(crate) fn bookmark(revision: Revision, initial_end: bool, view: View, header: Header) -> Bytes {
    let mut metadata = json!({ "resourceVersion": revision.to_string(), "creationTimestamp": null });
    if initial_end {
        metadata["annotations"] = json!({ INITIAL_END: "true" });
    }
    let info = view.served.info();
    line("BOOKMARK", view, |into| match view.format {
        Format::Object => {
            put(&json!({ "kind": info.kind, "apiVersion": info.api_version(), "metadata": metadata }), into);
        }
        Format::Partial(version) => {
            let api_version = version.api_version();
            put(&json!({ "kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": metadata }), into);
        }
        Format::Table(version) => render::bookmark_row(metadata, version, view, header, into),
        Format::Protobuf(_) => render::object(&mark(view.served, revision, initial_end).into(), view, header, into),
    })
}

/// The object of a bookmark, which has no content.
fn mark(served: Served, revision: Revision, initial_end: bool) -> Object {
    let mut object = Object::empty(served.kind());
    let annotations = initial_end.then(|| (INITIAL_END.to_owned(), "true".to_owned()));
    *object.metadata_mut() = ObjectMeta {
        resource_version: revision.to_string(),
        annotations: annotations.into_iter().collect(),
        ..ObjectMeta::default()
    };
    object
}

/// The line that ends a stream which cannot go on.
pub(crate) fn error(error: &Error, view: View) -> Bytes {
    line("ERROR", view, |into| match view.format {
        Format::Object | Format::Table(_) | Format::Partial(_) => put(&answer::status(error), into),
        Format::Protobuf(_) => {
            let is = TypeMeta { api_version: "v1".to_owned(), kind: "Status".to_owned() };
            protobuf::message(&answer::failure(error), &is, into);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prost::Message as _;

    use super::*;
    use crate::rest::{
        accept::{Encoding, Extent},
        query::Include,
    };

    #[test]
    fn the_end_of_a_watch_in_protobuf_is_a_status_in_an_event() {
        let (served, format) = (api::Kind::ConfigMap.into(), Format::Protobuf(Extent::Whole));
        let (encoding, include) = (Encoding::Protobuf, Include::Metadata);
        let view = View { served, encoding, format, include, now: api::Timestamp(0) };
        let event = error(&Error::new(api::Reason::Expired, "too old"), view);
        let envelope = &event[event.windows(4).position(|bytes| bytes == b"k8s\0").expect("an envelope")..];
        let envelope = api::envelope::decode(envelope).expect("an envelope");
        assert_eq!((envelope.api_version.as_str(), envelope.kind.as_str()), ("v1", "Status"));
        let status = api::meta_v1::Status::decode(envelope.raw).expect("a status");
        assert_eq!((status.code, status.message.as_str(), status.details.is_some()), (410, "too old", true));
    }

    #[test]
    fn only_the_latest_lines_are_kept_and_they_are_shared() {
        let lines = Lines::default();
        let served = api::Kind::ConfigMap.into();
        let view = View {
            served,
            encoding: Encoding::Json,
            format: Format::Object,
            include: Include::Metadata,
            now: api::Timestamp(0),
        };
        let mut object = api::Object::empty(api::Kind::ConfigMap);
        let mut last = Bytes::new();
        for revision in 1..=LINES_MAX + 9 {
            object.metadata_mut().resource_version = revision.to_string();
            last = lines.change(ChangeType::Modified, &Arc::new(object.clone()).into(), view, Header::Omitted);
        }
        let again = lines.change(ChangeType::Modified, &Arc::new(object).into(), view, Header::Omitted);
        assert_eq!(again.as_ptr(), last.as_ptr());
        let kept = lines.0.lock().expect("nobody panicked");
        assert_eq!((kept.lines.len(), kept.order.len()), (LINES_MAX, LINES_MAX));
        assert_eq!(kept.bytes, kept.lines.values().map(Bytes::len).sum::<usize>());
    }
}
