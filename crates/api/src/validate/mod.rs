//! What may be stored. Every rule names the field, what is wrong with it and what would be right.
//!
//! Objects come here after [`crate::defaults::apply`]. Refused is also what Kubernetes would run but Kapelle cannot, where
//! going on without it would be unsafe or would silently give less than was asked; what is merely without meaning for a
//! Wasm Pod is accepted with a warning, see [`crate::warnings`].

mod causes;
mod container;
pub(crate) mod data;
mod env;
pub(crate) mod meta;
pub(crate) mod pod;
mod probe;
pub(crate) mod rbac;
pub(crate) mod resources;
pub(crate) mod signer;
mod volume;
pub(crate) mod workload;

pub use crate::{limits, names};
pub use causes::CAUSES_MAX;
pub(crate) use causes::{Causes, Path};
pub use data::DATA_BYTES_MAX;
pub use limits::ENDPOINTS_MAX;
pub use meta::ANNOTATIONS_BYTES_MAX;

use crate::{Object, Served, Subresource, error::Cause};

/// What a port may speak.
pub(crate) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// What a taint does to Pods that do not tolerate it.
pub(crate) const TAINT_EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// What is wrong with a new object, after defaulting. Empty if it may be stored.
#[must_use]
pub fn create(object: &Object) -> Vec<Cause> {
    create_as(object.served(), object)
}

/// As [`create`], of an object that was sent in some version of its kind: that one's rules count too, and fields are called by
/// its names.
#[must_use]
pub fn create_as(served: Served, object: &Object) -> Vec<Cause> {
    let mut causes = Causes::of(object.kind());
    whole(&mut causes, object);
    served.validate_create(&mut causes, object);
    told_as(served, causes)
}

/// All that was found, in the names of the version in which the object was sent.
fn told_as(served: Served, causes: Causes) -> Vec<Cause> {
    let mut told = causes.told();
    told.iter_mut().for_each(|cause| cause.field = served.path_here(&cause.field));
    told
}

fn whole(causes: &mut Causes, object: &Object) {
    meta::object(causes, object.kind(), object.metadata());
    object.validate(causes);
}

/// What is wrong with replacing `old` by `new`: all that [`create`] finds, and changes of what may not change.
///
/// For writes to the object itself; writes to a part of it are for [`update_part`].
#[must_use]
pub fn update(old: &Object, new: &Object) -> Vec<Cause> {
    update_as(new.served(), old, new)
}

/// As [`update`], of an object that was sent in some version of its kind: see [`create_as`].
#[must_use]
pub fn update_as(served: Served, old: &Object, new: &Object) -> Vec<Cause> {
    let mut causes = Causes::of(new.kind());
    whole(&mut causes, new);
    meta::update(&mut causes, old.metadata(), new.metadata());
    if new.validate_update(&mut causes, old).is_none() {
        causes.invalid(&Path::Root.field("kind"), new.kind().info().kind, "field is immutable");
    }
    served.validate_update(&mut causes, old, new);
    told_as(served, causes)
}

/// What is wrong with a write to a part of an object. `new` is the whole object with that part replaced, so that only the
/// part is judged: an object that was stored under older rules must not become unwritable for its controllers.
#[must_use]
pub fn update_part(old: &Object, new: &Object, part: Subresource) -> Vec<Cause> {
    let mut causes = Causes::of(new.kind());
    match part {
        Subresource::None => return update(old, new),
        Subresource::Status | Subresource::Approval if new.validate_decision(&mut causes, old, part) => {}
        Subresource::Status => new.validate_status(&mut causes),
        Subresource::Scale => scale(&mut causes, new),
        Subresource::Binding => new.validate_binding(&mut causes, old),
        Subresource::Finalize => new.validate_finalizers(&mut causes),
        // Owners are judged with all metadata; an eviction, a log, streams and tokens change nothing of the object.
        Subresource::Owners
        | Subresource::Eviction
        | Subresource::Log
        | Subresource::Portforward
        | Subresource::Exec
        | Subresource::Attach
        | Subresource::Proxy
        | Subresource::Token
        | Subresource::Approval => {}
    }
    meta::lists(&mut causes, new.kind(), new.metadata());
    meta::update(&mut causes, old.metadata(), new.metadata());
    causes.told()
}

fn scale(causes: &mut Causes, object: &Object) {
    let at = Path::Root.field("spec");
    match object.scale() {
        Some(scale) => workload::numbers(causes, &at, [("replicas", scale.wanted)]),
        None => causes.forbidden(&at, format_args!("objects of kind {} have no scale", object.kind())),
    }
}

#[cfg(test)]
mod tests;
