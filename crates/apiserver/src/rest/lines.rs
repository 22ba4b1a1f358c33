//! Lines of watch streams. Ten thousand watchers of one change share one encoding of it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use api::{ChangeType, Error, Key, Revision, Served};
use bytes::Bytes;
use registry::Found;
use serde_json::{Value, json};

use super::{
    accept::Format,
    answer,
    render::{self, Header, View},
};

/// The most encoded lines that are kept: the bursts of a busy cluster, not its history.
const LINES_MAX: usize = 4096;

/// The most memory for kept lines, in bytes.
const LINES_BYTES_MAX: usize = 16 << 20;

/// What a line says; equal identities are equal lines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Identity {
    key: Key,
    revision: Revision,
    change: ChangeType,
    served: Served,
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
        let encode = || line(word(change), |into| render::object(found, view, header, into));
        if let Format::Table(_) = view.format {
            return encode();
        }
        let Some(revision) = found.revision() else { return encode() };
        let identity = Identity { key: found.key(), revision, change, served: view.served, format: view.format };
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
        if let Some(same) = kept.lines.insert(identity.clone(), line) {
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

fn word(change: ChangeType) -> &'static str {
    match change {
        ChangeType::Added => "ADDED",
        ChangeType::Modified => "MODIFIED",
        ChangeType::Deleted => "DELETED",
    }
}

fn line(word: &str, object: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut line = format!("{{\"type\":\"{word}\",\"object\":").into_bytes();
    object(&mut line);
    line.extend_from_slice(b"}\n");
    line.into()
}

fn put(value: &Value, into: &mut Vec<u8>) {
    into.extend_from_slice(value.to_string().as_bytes());
}

/// The line that says: everything up to a revision was sent.
pub(crate) fn bookmark(revision: Revision, initial_end: bool, view: View, header: Header) -> Bytes {
    let mut metadata = json!({ "resourceVersion": revision.to_string(), "creationTimestamp": null });
    if initial_end {
        metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
    }
    let info = view.served.info();
    let object = match view.format {
        Format::Object => json!({ "kind": info.kind, "apiVersion": info.api_version(), "metadata": metadata }),
        Format::Partial(version) => {
            json!({ "kind": "PartialObjectMetadata", "apiVersion": version.api_version(), "metadata": metadata })
        }
        Format::Table(version) => {
            return line("BOOKMARK", |into| render::bookmark_row(metadata, version, view, header, into));
        }
    };
    line("BOOKMARK", |into| put(&object, into))
}

/// The line that ends a stream which cannot go on.
pub(crate) fn error(error: &Error) -> Bytes {
    line("ERROR", |into| put(&answer::status(error), into))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rest::query::Include;

    #[test]
    fn only_the_latest_lines_are_kept_and_they_are_shared() {
        let lines = Lines::default();
        let served = api::Kind::ConfigMap.into();
        let view = View { served, format: Format::Object, include: Include::Metadata, now: api::Timestamp(0) };
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
