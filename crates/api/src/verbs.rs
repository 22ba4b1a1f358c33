//! What can be asked of the cluster's state, and what it says: the vocabulary that the door, the controllers, the agents
//! and the command line share.

use std::{fmt, sync::Arc};

use crate::{Error, Key, Object, Revision, Subresource, meta_v1};

/// One wish to change the state.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Stores a new object; the name must be free.
    Create(Object),
    /// Replaces an object, or the part of it that the subresource names. A `metadata.resourceVersion` is a precondition;
    /// so is a `metadata.uid`.
    Update(Object, Subresource),
    /// Deletes an object, gracefully where its kind knows grace.
    Delete(Key, DeleteOptions),
}

impl Write {
    /// The object that is meant.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Create(object) | Self::Update(object, _) => object.key(),
            Self::Delete(key, _) => key.clone(),
        }
    }
}

/// Which state a reader wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReadAt {
    /// The latest that the masters agreed on: as new as every write that was acknowledged before the request.
    #[default]
    Latest,
    /// Whatever the asked master knows.
    Any,
    /// Not older than this.
    NotOlderThan(Revision),
}

/// How to read a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PatchKind {
    /// A list of operations, RFC 6902.
    Json,
    /// A document in which `null` deletes, RFC 7386.
    Merge,
    /// As merge, but lists with keys are merged too: Kubernetes' strategic merge patch.
    Strategic,
}

/// What applying a manifest did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApplyOutcome {
    /// The object did not exist.
    Created,
    /// It was changed.
    Configured,
    /// It already was as the manifest says.
    Unchanged,
}

/// How to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds that a Pod may take to stop; `None` is what the Pod says, 0 is at once.
    pub grace_period_s: Option<i64>,
    /// What happens to what the object owns.
    pub propagation: Propagation,
    /// Only this incarnation of the name.
    pub uid: Option<String>,
    /// Only this state of the object.
    pub resource_version: Option<Revision>,
    /// Do everything but delete.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// What options say in the form in which they are sent.
    ///
    /// # Errors
    /// [`crate::Reason::BadRequest`] if there is nothing that a field means.
    pub fn read(sent: &meta_v1::DeleteOptions) -> Result<Self, Error> {
        let wrong = |field: &str, value: &dyn std::fmt::Display, right: &str| {
            Error::bad_request(format!("{field}: \"{value}\" is not supported; use {right}"))
        };
        if let Some(seconds) = sent.grace_period_seconds.filter(|seconds| *seconds < 0) {
            return Err(wrong("gracePeriodSeconds", &seconds, "0 or more"));
        }
        let propagation = match sent.propagation_policy.as_deref().unwrap_or_default() {
            _ if sent.orphan_dependents == Some(true) => Propagation::Orphan,
            "" | "Background" => Propagation::Background,
            "Foreground" => Propagation::Foreground,
            "Orphan" => Propagation::Orphan,
            other => return Err(wrong("propagationPolicy", &other, "Background, Foreground or Orphan")),
        };
        let preconditions = sent.preconditions.clone().unwrap_or_default();
        let version = preconditions.resource_version.filter(|version| !version.is_empty());
        let version = version.map(|version| {
            version.parse().map_err(|_| wrong("preconditions.resourceVersion", &version, "one of an earlier answer"))
        });
        if let Some(other) = sent.dry_run.iter().find(|value| *value != "All") {
            return Err(wrong("dryRun", other, "All"));
        }
        Ok(Self {
            grace_period_s: sent.grace_period_seconds,
            propagation,
            uid: preconditions.uid.filter(|uid| !uid.is_empty()),
            resource_version: version.transpose()?,
            dry_run: !sent.dry_run.is_empty(),
        })
    }
}

/// What happens to the objects that a deleted object owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Propagation {
    /// They are deleted afterwards.
    #[default]
    Background,
    /// They are deleted first.
    Foreground,
    /// They stay, without owner.
    Orphan,
}

/// What became of a write: the object as stored (for a deletion: its last state), or why not.
pub type WriteOutcome = Result<Arc<Object>, Error>;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeType {
    /// It appeared.
    Added,
    /// It changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// One change of the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What happened.
    pub change: ChangeType,
    /// The object after the change; for a deletion its last state. `metadata.resourceVersion` is the change's revision.
    pub object: Arc<Object>,
    /// When, in the order of all changes.
    pub revision: Revision,
}

/// Whoever keeps an object, and decodes it for those who look at it.
pub trait Kept: fmt::Debug + Send + Sync {
    /// The object's name.
    fn key(&self) -> Key;

    /// The object, as far as controllers look into it, with `metadata.resourceVersion`. All who hold it at the same time
    /// share one value.
    fn decoded(self: Arc<Self>) -> Arc<Object>;
}

/// An object is kept by itself.
impl Kept for Object {
    fn key(&self) -> Key {
        Self::key(self)
    }

    fn decoded(self: Arc<Self>) -> Arc<Object> {
        self
    }
}

/// One change of the state, as controllers are told of it.
#[derive(Clone, Debug)]
pub struct Observation {
    /// What happened.
    pub change: ChangeType,
    /// The object after the change; for a deletion its last state.
    pub object: Arc<dyn Kept>,
    /// When, in the order of all changes.
    pub revision: Revision,
}
