//! An object that is answered.

use std::sync::Arc;

use api::{Key, Object, Revision, Served};
use bytes::Bytes;
use rpc::Carried;
use store::Record;

/// An object that is answered: as the state has it, or as it would be.
#[derive(Clone, Debug)]
pub enum Found {
    /// As the state has it. Whoever sends it on can do so without decoding it.
    Stored(Arc<Record>),
    /// Made for this answer.
    Made(Arc<Object>),
}

/// An object as protobuf.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// What it is, and in which version the bytes are.
    pub served: Served,
    /// Its bytes, with the fields in order.
    pub bytes: Bytes,
    /// Its revision, if the bytes do not have it in `metadata.resourceVersion`.
    pub revision: Option<Revision>,
}

impl Found {
    /// The object as protobuf, in a version of its kind: the very bytes of the state, where it is there in this version. Its owners
    /// are as they are kept; `api::apply::shown` answers with all that they own.
    #[must_use]
    pub fn encoded(&self, served: Served) -> Encoded {
        match (self, served) {
            (Self::Stored(record), Served::Stored(_)) => {
                Encoded { served, bytes: record.bytes.clone(), revision: Some(record.revision) }
            }
            (Self::Stored(_), Served::Converted(_)) | (Self::Made(_), Served::Stored(_) | Served::Converted(_)) => {
                Encoded { served, bytes: served.encode_bytes(&self.object()), revision: None }
            }
        }
    }

    /// The object as a value.
    #[must_use]
    pub fn object(&self) -> Arc<Object> {
        match self {
            Self::Stored(record) => record.object(),
            Self::Made(object) => object.clone(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Stored(record) => record.key.clone(),
            Self::Made(object) => object.key(),
        }
    }

    /// The revision under which it is answered; `None` if it was never stored.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        match self {
            Self::Stored(record) => Some(record.revision),
            Self::Made(object) => object.revision(),
        }
    }

    /// The object for a message.
    #[must_use]
    pub fn carried(&self) -> Carried {
        match self {
            Self::Stored(record) => Carried::stored(record.key.kind, record.bytes.clone(), record.revision),
            Self::Made(object) => Object::clone(object).into(),
        }
    }
}

impl From<&Arc<Record>> for Found {
    fn from(record: &Arc<Record>) -> Self {
        Self::Stored(record.clone())
    }
}

impl From<Object> for Found {
    fn from(object: Object) -> Self {
        Self::Made(Arc::new(object))
    }
}

impl From<Arc<Object>> for Found {
    fn from(object: Arc<Object>) -> Self {
        Self::Made(object)
    }
}
