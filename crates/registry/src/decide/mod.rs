//! What a write does: a pure function of the state, the write, and the time and randomness that come with it.
//!
//! Everything that Kubernetes lets happen between a request and the store is here: names and uids, defaults, validation,
//! generations, the separation of spec and status, graceful deletion, finalizers, namespaces that end, addresses of
//! Services. The [`Registry`](crate::Registry) proposes what was decided.

mod allocate;
mod create;
mod delete;
mod join;
mod limit_range;
mod owners;
mod pod_security;
mod priority;
mod quota;
mod service_account;
#[cfg(test)]
mod tests;
mod update;

use std::sync::Arc;

use api::{Cidr, Error, Key, Kind, Object, Reason, Timestamp, Write, apply::Operation, custom::Version, error::Cause};
use store::{Expect, Op, Record, Txn, View};

use crate::defined::Form;
pub use join::join;
pub use pod_security::{AUDIT_VIOLATIONS, secure};
pub use quota::{Bill, recounted};
pub(crate) use quota::{is_recount, still};

/// The largest object, in bytes of protobuf: Kubernetes' limit of an entry in its store, and well below that of our log.
pub const OBJECT_BYTES_MAX: usize = 1_536 << 10;

/// Time and randomness. They are handed in, so that the decision is a pure function.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// When.
    pub now: Timestamp,
    /// The uid of an object that is created.
    pub uid: String,
    /// Randomness, from which generated names and addresses follow.
    pub random: u64,
    /// How often this write was decided before and met a state that had changed.
    pub attempt: u32,
}

/// How an object is sent, and under which name its fields are owned.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// In which version of its kind, and what is defined of the kind.
    pub form: Form<'a>,
    /// Who writes; may be empty.
    pub manager: &'a str,
    /// Whether it was made by applying: then it tells its owners itself.
    pub operation: Operation,
}

impl From<Kind> for Sent<'static> {
    /// As it is stored, by nobody in particular.
    fn from(kind: Kind) -> Self {
        Self { form: kind.into(), manager: "", operation: Operation::Update }
    }
}

/// What the decisions know of their cluster.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The range from which Services get their addresses.
    pub service_cidr: Cidr,
}

/// What becomes of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It comes into being.
    Created,
    /// It changes.
    Changed,
    /// It is as wanted already: nothing to store.
    Unchanged,
    /// It ceases to be.
    Gone,
}

/// What is to be stored, and what to answer.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What to store; empty if the object is [`Fate::Unchanged`].
    pub txn: Txn,
    /// The object as it will be; its last state if it will be gone. `metadata.resourceVersion` is that of the state before.
    pub object: Arc<Object>,
    /// What becomes of it.
    pub fate: Fate,
    /// What the writer should know.
    pub warnings: Vec<String>,
}

/// Decides what a write does to the state in `view`. What is sent is judged by the rules of the version in which it is sent,
/// and, if a user has defined its kind, by that definition.
///
/// # Errors
/// If it may not be done. Whatever could be different in a newer state is an error only for this one: see
/// [`Registry::submit`](crate::Registry::submit).
pub fn decide(view: &View, write: &Write, sent: Sent<'_>, stamp: &Stamp, rules: &Rules) -> Result<Decision, Error> {
    let decider = Decider { view, sent, stamp, rules };
    match write {
        Write::Create(object) => decider.create(object),
        Write::Update(object, subresource) => decider.update(object, *subresource),
        Write::Delete(key, options) => decider.delete(key, options),
    }
}

/// The object that a write is about, as those see it who may change it before it is decided; `None` if it is deleted.
///
/// # Errors
/// If it may not be written whatever they make of it.
pub fn draft(
    view: &View,
    write: &Write,
    sent: Sent<'_>,
    stamp: &Stamp,
    rules: &Rules,
) -> Result<Option<Object>, Error> {
    let decider = Decider { view, sent, stamp, rules };
    match write {
        Write::Create(object) => decider.draft_new(object).map(Some),
        Write::Update(object, subresource) => decider.draft_changed(object, *subresource).map(Some),
        Write::Delete(..) => Ok(None),
    }
}

/// The key of the object that a write is about, with the name that is generated for it if it has none.
#[must_use]
pub fn key_of(write: &Write, stamp: &Stamp) -> Key {
    let key = write.key();
    match write {
        Write::Create(object) if key.name.is_empty() => {
            let name = object.metadata().map(|meta| create::generated(&meta.generate_name, stamp));
            Key::namespaced(key.kind, key.namespace, name.unwrap_or_default())
        }
        Write::Create(_) | Write::Update(..) | Write::Delete(..) => key,
    }
}

/// What one decision looks at.
struct Decider<'a> {
    view: &'a View,
    sent: Sent<'a>,
    stamp: &'a Stamp,
    rules: &'a Rules,
}

impl Decider<'_> {
    fn existing(&self, key: &Key) -> Result<&Arc<Record>, Error> {
        self.view.get(key).ok_or_else(|| Error::not_found(key))
    }

    /// What there is of an object, in the version in which the write looks at it.
    fn looked_at(&self, record: &Record) -> Arc<Object> {
        let object = record.object();
        match (self.sent.form.version(), object.custom()) {
            (Ok(Some(version)), Some(custom)) => Arc::new(version.shown(custom).into()),
            (Ok(_) | Err(_), _) => object,
        }
    }

    /// Gives an object the defaults of its definition, if it has one. Without it nobody can say what the object should be.
    fn fill(&self, object: &mut Object) -> Result<(), Error> {
        let Some(custom) = object.custom_mut() else { return Ok(()) };
        self.sent.form.version()?.map_or(Ok(()), |version| version.fill(custom))
    }

    /// What its definition finds wrong with an object, which may replace another.
    fn judged(&self, old: Option<&Object>, new: &Object) -> Result<Vec<Cause>, Error> {
        let Some(custom) = new.custom() else { return Ok(Vec::new()) };
        let judge = |version: &Version| version.judge(old.and_then(Object::custom), custom);
        Ok(self.sent.form.version()?.map(judge).unwrap_or_default())
    }
}

/// Stores an object instead of what was looked at.
fn put(key: &Key, object: &mut Object, expect: Expect) -> Result<Op, Error> {
    let bytes = encode(object);
    if bytes.len() > OBJECT_BYTES_MAX {
        let message = format!(
            "{} \"{}\" has {} bytes, more than the limit of {OBJECT_BYTES_MAX}; split it, or keep large data in an image",
            key.kind.resource_name(),
            key.name,
            bytes.len()
        );
        return Err(Error::new(Reason::RequestEntityTooLarge, message).about(key));
    }
    Ok(Op::Put { key: key.clone(), bytes, expect })
}

/// The bytes to store. The revision is the store's to say, so it is taken out for as long as that takes.
fn encode(object: &mut Object) -> bytes::Bytes {
    let said = std::mem::take(&mut object.metadata_mut().resource_version);
    let bytes = if object.custom().is_some() {
        let mut object = object.clone();
        if let Some(object) = object.custom_mut() {
            object.unsay();
        }
        object.encode_bytes()
    } else {
        object.encode_bytes()
    };
    object.metadata_mut().resource_version = said;
    bytes
}

fn valid(key: &Key, causes: Vec<Cause>) -> Result<(), Error> {
    if causes.is_empty() { Ok(()) } else { Err(Error::invalid(key, causes)) }
}

/// Kubernetes' words for a write that is understood but not allowed.
fn forbidden(key: &Key, why: impl std::fmt::Display) -> Error {
    let message = format!("{} \"{}\" is forbidden: {why}", key.kind.resource_name(), key.name);
    Error::new(Reason::Forbidden, message).about(key)
}
