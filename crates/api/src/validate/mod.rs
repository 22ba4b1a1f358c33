//! What may be stored. Every rule names the field, what is wrong with it and what would be right.
//!
//! Objects come here after [`crate::defaults::apply`]. Refused is also what Kubernetes would run but Kapelle cannot, where
//! going on without it would be unsafe or would silently give less than was asked; what is merely without meaning for a
//! Wasm Pod is accepted with a warning, see [`crate::warnings`].

mod causes;
mod container;
mod data;
mod env;
pub mod limits;
mod meta;
pub mod names;
mod pod;
mod probe;
mod resources;
mod service;
mod slice;
mod small;
mod volume;
mod workload;

pub use causes::CAUSES_MAX;
use causes::{Causes, Path};
pub use data::DATA_BYTES_MAX;
pub use limits::ENDPOINTS_MAX;
pub use meta::ANNOTATIONS_BYTES_MAX;

use crate::{Object, Subresource, error::Cause};

/// What is wrong with a new object, after defaulting. Empty if it may be stored.
#[must_use]
pub fn create(object: &Object) -> Vec<Cause> {
    let mut causes = Causes::of(object.kind());
    whole(&mut causes, object);
    causes.told()
}

fn whole(causes: &mut Causes, object: &Object) {
    meta::object(causes, object.kind(), object.metadata());
    match object {
        Object::Namespace(namespace) => small::namespace(causes, namespace),
        Object::Node(node) => small::node(causes, node),
        Object::Pod(pod) => pod::pod(causes, pod),
        Object::Service(service) => service::service(causes, service),
        Object::EndpointSlice(slice) => slice::slice(causes, slice),
        Object::ConfigMap(map) => data::config_map(causes, map),
        Object::Secret(secret) => data::secret(causes, secret),
        Object::Event(event) => small::event(causes, event),
        Object::Lease(lease) => small::lease(causes, lease),
        Object::Deployment(deployment) => workload::deployment(causes, deployment),
        Object::ReplicaSet(set) => workload::replica_set(causes, set),
    }
}

/// What is wrong with replacing `old` by `new`: all that [`create`] finds, and changes of what may not change.
///
/// For writes to the object itself; writes to a part of it are for [`update_part`].
#[must_use]
pub fn update(old: &Object, new: &Object) -> Vec<Cause> {
    let mut causes = Causes::of(new.kind());
    whole(&mut causes, new);
    meta::update(&mut causes, old.metadata(), new.metadata());
    match (old, new) {
        (Object::Pod(old), Object::Pod(new)) => pod::update(&mut causes, old, new),
        (Object::Service(old), Object::Service(new)) => service::update(&mut causes, old, new),
        (Object::EndpointSlice(old), Object::EndpointSlice(new)) => slice::update(&mut causes, old, new),
        (Object::ConfigMap(old), Object::ConfigMap(new)) => data::update_config_map(&mut causes, old, new),
        (Object::Secret(old), Object::Secret(new)) => data::update_secret(&mut causes, old, new),
        (Object::Node(old), Object::Node(new)) => small::update_node(&mut causes, old, new),
        (Object::Deployment(old), Object::Deployment(new)) => workload::update_deployment(&mut causes, old, new),
        (Object::ReplicaSet(old), Object::ReplicaSet(new)) => workload::update_replica_set(&mut causes, old, new),
        (old, new) if old.kind() != new.kind() => {
            causes.invalid(&Path::Root.field("kind"), new.kind().info().kind, "field is immutable");
        }
        _ => {}
    }
    causes.told()
}

/// What is wrong with a write to a part of an object. `new` is the whole object with that part replaced, so that only the
/// part is judged: an object that was stored under older rules must not become unwritable for its controllers.
#[must_use]
pub fn update_part(old: &Object, new: &Object, part: Subresource) -> Vec<Cause> {
    let mut causes = Causes::of(new.kind());
    match part {
        Subresource::None => return update(old, new),
        Subresource::Status => status(&mut causes, new),
        Subresource::Scale => workload::replicas(&mut causes, new),
        Subresource::Binding => pod::binding(&mut causes, old, new),
        Subresource::Finalize => small::finalizers(&mut causes, new),
        // Judged with all metadata.
        Subresource::Owners => {}
    }
    meta::lists(&mut causes, new.metadata());
    meta::update(&mut causes, old.metadata(), new.metadata());
    causes.told()
}

fn status(causes: &mut Causes, object: &Object) {
    match object {
        Object::Pod(pod) => pod::status(causes, pod),
        Object::Node(node) => small::node_status(causes, node),
        Object::Deployment(_) | Object::ReplicaSet(_) => workload::status(causes, object),
        Object::Namespace(namespace) => small::namespace_status(causes, namespace),
        Object::Service(service) => service::status(causes, service),
        Object::EndpointSlice(_) | Object::ConfigMap(_) | Object::Secret(_) | Object::Event(_) | Object::Lease(_) => {}
    }
}

#[cfg(test)]
mod tests;
