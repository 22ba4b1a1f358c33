//! One object at one revision, and one change of one.

use std::sync::{Arc, OnceLock};

use api::{Change, ChangeType, Key, Object, Revision};
use bytes::Bytes;

/// One object at one revision, as bytes and, once somebody has asked, as a value. Never changes.
#[derive(Debug)]
pub struct Record {
    /// Its name.
    pub key: Key,
    /// Its protobuf bytes. `metadata.resourceVersion` in them is not meaningful: [`Record::revision`] is.
    pub bytes: Bytes,
    /// The change that made this state of it.
    pub revision: Revision,
    /// The change that made the object.
    pub created: Revision,
    object: OnceLock<Arc<Object>>,
}

impl Record {
    pub(crate) fn new(key: Key, bytes: Bytes, revision: Revision, created: Revision) -> Self {
        Self { key, bytes, revision, created, object: OnceLock::new() }
    }

    /// The object, with `metadata.resourceVersion` filled in. Decoded at the first call and shared by all later ones.
    #[must_use]
    pub fn object(&self) -> &Arc<Object> {
        self.object.get_or_init(|| Arc::new(self.decode()))
    }

    /// Only objects that the API server encoded enter the log, and [`crate::Txn`] is checksummed there: bytes that do not
    /// decode mean a defect, and going on would hand out a false object.
    fn decode(&self) -> Object {
        let mut object = Object::decode_bytes(self.key.kind, self.bytes.clone()).unwrap_or_else(|error| {
            panic!("{} at revision {} is not a {}: {error}", self.key, self.revision, self.key.kind)
        });
        object.metadata_mut().resource_version = self.revision.to_string();
        object
    }

    /// The same record without the decoded value, which is made again if somebody asks.
    pub(crate) fn cooled(&self) -> Arc<Self> {
        Arc::new(Self::new(self.key.clone(), self.bytes.clone(), self.revision, self.created))
    }

    /// What the record costs in memory, about: the bytes and the names. In bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        /// The record, its place in the map, and the shared pointers around them.
        const OVERHEAD: usize = 200;
        self.bytes.len() + self.key.namespace.len() + self.key.name.len() + OVERHEAD
    }
}

/// One change of one object. Shared by all watchers.
#[derive(Clone, Debug)]
pub struct Event {
    /// What happened.
    pub change: ChangeType,
    /// The object after the change; for a deletion its last state under the revision of the deletion.
    pub record: Arc<Record>,
    /// The object before the change.
    pub before: Option<Arc<Record>>,
}

impl Event {
    /// The revision of the change.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.record.revision
    }

    /// What the event keeps in memory, about, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.record.size() + self.before.as_ref().map_or(0, |record| record.size())
    }
}

impl From<&Event> for Change {
    fn from(event: &Event) -> Self {
        Self {
            change: event.change,
            object: event.record.object().clone(),
            before: event.before.as_ref().map(|record| record.object().clone()),
            revision: event.revision(),
        }
    }
}
