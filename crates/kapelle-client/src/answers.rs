//! What masters answer, in the types of the kind that was asked for.

use api::{ApplyOutcome, Revision};

/// Objects of one state.
#[derive(Clone, Debug, PartialEq)]
pub struct List<K> {
    /// The objects, ordered by namespace and name.
    pub items: Vec<K>,
    /// The state. A watch after it misses nothing: [`ListParams::after`](crate::ListParams::after).
    pub revision: Revision,
}

/// Some of the objects of one state.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<K> {
    /// The objects, ordered by namespace and name.
    pub items: Vec<K>,
    /// The state, the same for all pages.
    pub revision: Revision,
    /// What the next page is asked for with; nothing on the last one.
    pub next: Option<String>,
    /// How many objects are left behind this page, if that is known.
    pub remaining: Option<u64>,
}

/// What became of an applied object.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied<K> {
    /// The object as stored.
    pub object: K,
    /// What was done to it.
    pub outcome: ApplyOutcome,
    /// What the writer should know, such as fields that mean nothing to a Wasm Pod.
    pub warnings: Vec<String>,
}

/// What became of a deletion.
#[derive(Clone, Debug, PartialEq)]
pub struct Deleted<K> {
    /// The object while it still exists, because of its grace period or finalizers.
    pub object: Option<K>,
    /// The uid of the object.
    pub uid: String,
}
