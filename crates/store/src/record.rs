//! One object at one revision, and one change of one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use api::{
    ChangeType, Kept, Key, Kind, Object, Observation, Revision,
    apply::shown::Note,
    encoded,
    meta_v1::ObjectMeta,
    selector::{Fields, Labels},
    well_known::{EXTENSION_AUTHENTICATION_CONFIG_MAP, ROOT_CA_CONFIG_MAP, SYSTEM_NAMESPACE},
};
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
    /// What is remembered of how it is shown.
    pub shown: Note,
    memo: Mutex<Memo>,
}

/// Within one history there is one record of an object at a revision.
impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.revision == other.revision && self.key == other.key
    }
}

/// The decoded value, which takes several times the memory of its bytes.
#[derive(Debug)]
enum Memo {
    /// Nobody has asked yet; whoever does leaves a value for the others.
    Empty,
    /// There for everybody.
    Kept(Arc<Object>),
    /// There as long as somebody holds it.
    Shared(Weak<Object>),
}

impl Memo {
    fn get(&self) -> Option<Arc<Object>> {
        match self {
            Self::Empty => None,
            Self::Kept(object) => Some(object.clone()),
            Self::Shared(object) => object.upgrade(),
        }
    }

    /// Keeps a value from now on only for those who hold it.
    fn let_go(&mut self) {
        *self = match self {
            Self::Empty | Self::Shared(_) => Self::Shared(Weak::new()),
            Self::Kept(object) => Self::Shared(Arc::downgrade(object)),
        };
    }
}

/// Whether nobody but their readers looks into objects of a kind.
fn is_bulk(kind: Kind) -> bool {
    matches!(kind, Kind::ConfigMap | Kind::Secret)
}

/// Whether it is a ConfigMap that a controller publishes, and so compares what is in it.
fn is_published(key: &Key) -> bool {
    let is_in_system = || *key.namespace == *SYSTEM_NAMESPACE && *key.name == *EXTENSION_AUTHENTICATION_CONFIG_MAP;
    key.kind == Kind::ConfigMap && (*key.name == *ROOT_CA_CONFIG_MAP || is_in_system())
}

/// Whether there may be very many objects of a kind, or very large ones, at few of which anybody looks at a time: such stay
/// decoded as long as they are news or somebody holds them. The few others are looked at with nearly every request.
fn is_numerous(kind: Kind) -> bool {
    let may_be_many = matches!(kind, Kind::Pod | Kind::Event | Kind::EndpointSlice | Kind::Endpoints);
    // Definitions are few, and their schemas are large.
    is_bulk(kind) || may_be_many || matches!(kind, Kind::CustomResourceDefinition | Kind::Custom(_))
}

impl Record {
    pub(crate) fn new(key: Key, bytes: Bytes, revision: Revision, created: Revision) -> Self {
        Self { key, bytes, revision, created, shown: Note::default(), memo: Mutex::new(Memo::Empty) }
    }

    /// A record that is no news to anybody.
    pub(crate) fn known(key: Key, bytes: Bytes, revision: Revision, created: Revision) -> Self {
        let record = Self::new(key, bytes, revision, created);
        record.age();
        record
    }

    /// The object, with `metadata.resourceVersion` filled in. Decoded at the first call and shared by later ones, as long as
    /// it is news, or of a kind that is looked at all the time, or somebody holds it.
    #[must_use]
    pub fn object(&self) -> Arc<Object> {
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(object) = memo.get() {
            return object;
        }
        let object = Arc::new(self.decode());
        *memo = match *memo {
            Memo::Empty => Memo::Kept(object.clone()),
            Memo::Kept(_) | Memo::Shared(_) => Memo::Shared(Arc::downgrade(&object)),
        };
        object
    }

    /// Whether selectors mean the object, which is decoded only if its bytes do not tell.
    #[must_use]
    pub fn is_selected(&self, labels: &Labels, fields: &Fields) -> bool {
        labels.matches_stored(&self.bytes) && fields.matches_stored(&self.bytes, || self.object())
    }

    /// Keeps no decoded value from now on, but for those who hold it.
    pub(crate) fn forget(&self) {
        self.memo.lock().unwrap_or_else(PoisonError::into_inner).let_go();
    }

    /// As [`Record::forget`], of what has become old, unless its kind is looked at all the time.
    pub(crate) fn age(&self) {
        if is_numerous(self.key.kind) {
            self.forget();
        }
    }

    /// The object as far as the cluster itself looks into it: of bulk only what says whose it is and whether it goes, of
    /// others all of it.
    #[must_use]
    pub fn outline(&self) -> Arc<Object> {
        if !is_bulk(self.key.kind) || is_published(&self.key) {
            return self.object();
        }
        let end = self.bytes.len() - encoded::parts(&self.bytes).rest.len();
        let mut object = self.decoded(self.bytes.slice(..end));
        let metadata = object.metadata_mut();
        *metadata = ObjectMeta {
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            creation_timestamp: None,
            managed_fields: Vec::new(),
            ..std::mem::take(metadata)
        };
        Arc::new(object)
    }

    fn decode(&self) -> Object {
        self.decoded(self.bytes.clone())
    }

    /// Only objects that the API server encoded enter the log, and [`crate::Txn`] is checksummed there: bytes that do not
    /// decode mean a defect, and going on would hand out a false object.
    fn decoded(&self, bytes: Bytes) -> Object {
        let mut object = Object::decode_bytes(self.key.kind, bytes).unwrap_or_else(|error| {
            panic!("{} at revision {} is not a {}: {error}", self.key, self.revision, self.key.kind)
        });
        object.metadata_mut().resource_version = self.revision.to_string();
        object
    }

    /// What the record costs in memory, about: the bytes and the names. In bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        /// The record, its place in the map, and the shared pointers around them.
        const OVERHEAD: usize = 200;
        self.bytes.len() + self.key.namespace.len() + self.key.name.len() + OVERHEAD
    }
}

/// Controllers keep records rather than objects, and look at the outline.
impl Kept for Record {
    fn key(&self) -> Key {
        self.key.clone()
    }

    fn decoded(self: Arc<Self>) -> Arc<Object> {
        self.outline()
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

    /// The change as controllers are told of it.
    #[must_use]
    pub fn observation(&self) -> Observation {
        Observation { change: self.change, object: self.record.clone(), revision: self.revision() }
    }
}
