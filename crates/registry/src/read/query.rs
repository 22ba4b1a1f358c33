//! Which objects a reader wants, and what it is answered.

use std::collections::BTreeMap;

use api::{
    ChangeType, Error, Key, Kind, Object, ReadAt, Revision,
    selector::{Fields, Labels},
};

use super::Found;

/// Which objects to list.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// The kind.
    pub kind: Kind,
    /// The namespace; `None` for all.
    pub namespace: Option<String>,
    /// Conditions on labels.
    pub labels: Labels,
    /// Conditions on fields.
    pub fields: Fields,
    /// The most objects to answer; `None` for all.
    pub limit: Option<usize>,
    /// The token of the previous page; `None` for the first.
    pub continue_: Option<String>,
    /// Which state; of no effect on pages after the first, which show the state of the first.
    pub at: ListAt,
}

/// Which state to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListAt {
    /// One that single objects are read from as well.
    Fresh(ReadAt),
    /// The state at exactly this revision, if it is not forgotten.
    Exactly(Revision),
}

impl From<ReadAt> for ListAt {
    fn from(at: ReadAt) -> Self {
        Self::Fresh(at)
    }
}

/// Some objects of one state, ordered by namespace and name.
#[derive(Clone, Debug)]
pub struct ListPage {
    /// The objects.
    pub items: Vec<Found>,
    /// The state that was read; start a watch here.
    pub revision: Revision,
    /// Ask again with this token for the rest; `None` at the end.
    pub continue_: Option<String>,
    /// How many objects are left behind this page, if nothing was selected by labels or fields.
    pub remaining: Option<u64>,
}

/// Which changes to watch.
#[derive(Clone, Debug)]
pub struct WatchQuery {
    /// The kind.
    pub kind: Kind,
    /// The namespace; `None` for all.
    pub namespace: Option<String>,
    /// Conditions on labels.
    pub labels: Labels,
    /// Conditions on fields.
    pub fields: Fields,
    /// Where to begin.
    pub from: WatchFrom,
    /// Whether to send bookmarks now and then.
    pub bookmarks: bool,
    /// Whether to send a bookmark with `initial_end` once everything that existed was sent.
    pub send_initial_events: bool,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFrom {
    /// With everything that exists, as additions.
    Existing(ReadAt),
    /// With what changes from now on.
    Now,
    /// With what changed after a revision.
    After(Revision),
}

/// What a watch says.
#[derive(Clone, Debug)]
pub enum Item {
    /// Something changed. An object that begins to match is reported as added, one that ceases to as deleted.
    Change {
        /// What happened.
        change: ChangeType,
        /// The object after the change; for a deletion its last state.
        object: Found,
        /// The revision of the change.
        revision: Revision,
    },
    /// Everything up to `revision` was sent.
    Bookmark {
        /// Where the watch is.
        revision: Revision,
        /// Everything that existed at the start was sent, and this was not said before.
        initial_end: bool,
    },
    /// Why the watch ends. Nothing follows.
    Error(Error),
}

/// The only object that a query can select, if it selects by name: it is found without looking at the others.
pub(crate) fn single(kind: Kind, namespace: Option<&str>, fields: &Fields) -> Option<Key> {
    let namespace = if kind.info().namespaced { namespace? } else { "" };
    fields.required("metadata.name").map(|name| Key::namespaced(kind, namespace, name))
}

/// Whether a query selects an object, which is of its kind and namespace.
pub(crate) fn selected(query: &ListQuery, object: &Object) -> bool {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    query.labels.matches(object.metadata().map_or(&NONE, |meta| &meta.labels)) && query.fields.matches(object)
}
