//! An object that is answered.

use std::{borrow::Cow, sync::Arc};

use api::{
    Key, Object, Revision, Served,
    apply::shown::{Note, Subject},
    custom::Definition,
    encoded,
    object::CustomObject,
};
use rpc::Carried;
use store::Record;

/// An object that is answered: as the state has it, or as it would be.
#[derive(Clone, Debug)]
pub enum Found {
    /// As the state has it. Whoever sends it on can do so without decoding it.
    Stored(Arc<Record>),
    /// As the state has it, of a kind that a user has defined, with what is defined of it.
    Custom(Arc<Record>, Arc<Definition>),
    /// Made for this answer.
    Made(Arc<Object>),
}

/// An object as protobuf.
#[derive(Clone, Debug)]
pub struct Encoded<'a> {
    /// What it is, and in which version the bytes are.
    pub served: Served,
    /// Its bytes, with the fields in order.
    pub bytes: Cow<'a, [u8]>,
    /// Its revision, if the bytes do not have it in `metadata.resourceVersion`.
    pub revision: Option<Revision>,
    note: Option<&'a Note>,
}

impl Encoded<'_> {
    /// The object, to be shown.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject { served: self.served, bytes: &self.bytes, revision: self.revision, note: self.note }
    }
}

impl Found {
    /// The object as protobuf, in a version of its kind: the very bytes of the state, where it is there in this version. Its owners
    /// are as they are kept; `api::apply::shown` answers with all that they own.
    #[must_use]
    pub fn encoded(&self, served: Served) -> Encoded<'_> {
        match (self, served) {
            (Self::Stored(record), Served::Stored(_) | Served::Custom(_)) => as_kept(record, served),
            (Self::Custom(record, definition), Served::Custom(_)) if is_formed(record, definition, served) => {
                as_kept(record, served)
            }
            (Self::Custom(record, _), Served::Stored(_)) => as_kept(record, served),
            (Self::Stored(_) | Self::Custom(..), Served::Converted(_))
            | (Self::Custom(..), Served::Custom(_))
            | (Self::Made(_), Served::Stored(_) | Served::Converted(_) | Served::Custom(_)) => {
                let bytes = Cow::Owned(served.encode_bytes(&self.object_as(served)).into());
                Encoded { served, bytes, revision: None, note: None }
            }
        }
    }

    /// With what is defined of its kind, if a user has defined it.
    pub(crate) fn defined(self, definition: Option<&Arc<Definition>>) -> Self {
        match (self, definition) {
            (Self::Stored(record), Some(definition)) => Self::Custom(record, definition.clone()),
            (found, _) => found,
        }
    }

    /// The object as a value, as a version of its kind shows it.
    #[must_use]
    pub fn object_as(&self, served: Served) -> Arc<Object> {
        let object = self.object();
        let Served::Custom(wanted) = served else { return object };
        let Some(custom) = object.custom() else { return object };
        let version = match self {
            Self::Custom(_, definition) => definition.named(wanted.info().version),
            Self::Stored(_) | Self::Made(_) => None,
        };
        let unread = || {
            let mut shown = custom.clone();
            shown.set_version(wanted);
            shown
        };
        Arc::new(version.map_or_else(unread, |version| version.shown(custom)).into())
    }

    /// The object as a value.
    #[must_use]
    pub fn object(&self) -> Arc<Object> {
        match self {
            Self::Stored(record) | Self::Custom(record, _) => record.object(),
            Self::Made(object) => object.clone(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Stored(record) | Self::Custom(record, _) => record.key.clone(),
            Self::Made(object) => object.key(),
        }
    }

    /// The revision under which it is answered; `None` if it was never stored.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        match self {
            Self::Stored(record) | Self::Custom(record, _) => Some(record.revision),
            Self::Made(object) => object.revision(),
        }
    }

    /// The generation of the definition by which it is shown; 0 if its kind needs none.
    #[must_use]
    pub fn generation(&self) -> i64 {
        match self {
            Self::Custom(_, definition) => definition.generation,
            Self::Stored(_) | Self::Made(_) => 0,
        }
    }

    /// The object for a message.
    #[must_use]
    pub fn carried(&self) -> Carried {
        match self {
            Self::Stored(record) => Carried::stored(record.key.kind, record.bytes.clone(), record.revision),
            Self::Custom(_, definition) => {
                let version = definition.storage().or_else(|| definition.served().next());
                let served = version.map_or_else(|| self.key().kind.into(), api::custom::Version::as_served);
                said(Object::clone(&self.object_as(served)), served).into()
            }
            Self::Made(object) => said(Object::clone(object), object.served()).into(),
        }
    }
}

fn as_kept(record: &Record, served: Served) -> Encoded<'_> {
    let (bytes, revision, note) = (Cow::Borrowed(&*record.bytes), Some(record.revision), Some(&record.shown));
    Encoded { served, bytes, revision, note }
}

/// Whether an object is kept as a version of its kind shows it.
fn is_formed(record: &Record, definition: &Definition, served: Served) -> bool {
    let digest = encoded::number(&record.bytes, CustomObject::SCHEMA_FIELD).cast_signed();
    definition.named(served.info().version).is_none_or(|version| version.digest == digest)
}

/// An object that says itself what it is, where nothing around it does.
fn said(mut object: Object, served: Served) -> Object {
    if let Some(custom) = object.custom_mut() {
        custom.say(served.info());
    }
    object
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
