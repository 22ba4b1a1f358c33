//! Whom a change concerns. Naming too many costs a look; naming too few leaves something undone forever.

use std::collections::BTreeMap;

use api::{
    Key, Kind, Object,
    apps_v1::{Deployment, ReplicaSet},
    core_v1::{Node, Pod, Service},
    kinds::Resource,
    meta_v1::{LabelSelector, ObjectMeta},
    pod,
    selector::Labels,
    well_known::SERVICE_NAME_LABEL,
};

use crate::{
    controller::Controller,
    garbage, node,
    queue::Task,
    world::{Shift, World},
};

/// Calls `push` for every task that a change concerns.
pub(crate) fn concerned(world: &World, shift: &Shift, push: &mut dyn FnMut(Task)) {
    let Some(object) = shift.after.as_ref().or(shift.before.as_ref()) else { return };
    let (before, after) = (shift.before.as_deref(), shift.after.as_deref());
    let key = object.key();
    owners_and_dependents(world, &key, before, after, push);
    match object.kind() {
        Kind::Deployment => push(Task { controller: Controller::Deployment, key }),
        Kind::ReplicaSet => replica_set(world, key, before, after, push),
        Kind::Pod => each(before, after, |pod| pod_state(world, &key, pod, push)),
        Kind::Service => push(Task { controller: Controller::EndpointSlice, key }),
        Kind::EndpointSlice => slice(object, push),
        Kind::Node => node_state(world, key, before, after, push),
        Kind::Namespace => push(Task { controller: Controller::Namespace, key }),
        Kind::Event => push(Task { controller: Controller::EventLog, key }),
        Kind::ConfigMap | Kind::Secret | Kind::Lease => {}
    }
    if object.kind() == Kind::Pod {
        pod_moves(world, before.and_then(Object::get), after.and_then(Object::get), push);
    }
}

/// Calls `look` for the object before and after the change, as far as it existed.
fn each<T: Resource>(before: Option<&Object>, after: Option<&Object>, mut look: impl FnMut(&T)) {
    for object in [before, after].into_iter().flatten() {
        object.get().into_iter().for_each(&mut look);
    }
}

/// Garbage collection follows owner references, and Namespaces wait for everything in them.
fn owners_and_dependents(
    world: &World,
    key: &Key,
    before: Option<&Object>,
    after: Option<&Object>,
    push: &mut dyn FnMut(Task),
) {
    let garbage = |key: &Key| Task { controller: Controller::Garbage, key: key.clone() };
    let (old, new) = (before.and_then(Object::metadata), after.and_then(Object::metadata));
    let owners = |meta: Option<&ObjectMeta>| meta.map(|meta| meta.owner_references.clone()).unwrap_or_default();
    if new.is_some_and(garbage::is_waiting) || owners(old) != owners(new) {
        push(garbage(key));
    }
    if new.is_some() {
        return;
    }
    let Some(meta) = old else { return };
    for dependent in world.dependents(&meta.uid) {
        push(garbage(&dependent.key()));
    }
    for owner in meta.owner_references.iter().filter_map(|owner| world.by_uid(&owner.uid)) {
        push(garbage(owner));
    }
    if world.is_closing(&key.namespace) {
        push(Task { controller: Controller::Namespace, key: Key::cluster(Kind::Namespace, key.namespace.clone()) });
    }
}

fn replica_set(world: &World, key: Key, before: Option<&Object>, after: Option<&Object>, push: &mut dyn FnMut(Task)) {
    each::<ReplicaSet>(before, after, |set| {
        let Some(meta) = &set.metadata else { return };
        match pod::controller_of(meta) {
            Some(owner) => push(Task {
                controller: Controller::Deployment,
                key: Key::namespaced(Kind::Deployment, key.namespace.clone(), owner.name.as_str()),
            }),
            None => {
                for deployment in world.deployments(&key.namespace).filter(|deployment| selects(*deployment, meta)) {
                    push(Task { controller: Controller::Deployment, key: deployment.key() });
                }
            }
        }
    });
    push(Task { controller: Controller::ReplicaSet, key });
}

fn pod_state(world: &World, key: &Key, pod: &Pod, push: &mut dyn FnMut(Task)) {
    let Some(meta) = &pod.metadata else { return };
    match pod::controller_of(meta) {
        Some(owner) => push(Task {
            controller: Controller::ReplicaSet,
            key: Key::namespaced(Kind::ReplicaSet, key.namespace.clone(), owner.name.as_str()),
        }),
        None => {
            for set in world.replica_sets(&key.namespace).filter(|set| selects(*set, meta)) {
                push(Task { controller: Controller::ReplicaSet, key: set.key() });
            }
        }
    }
    for service in world.services(&key.namespace).filter(|service| serves(service, &meta.labels)) {
        push(Task { controller: Controller::EndpointSlice, key: service.key() });
    }
    if pod::node_name(pod).is_none() {
        push(Task { controller: Controller::Scheduler, key: key.clone() });
    }
    push(Task { controller: Controller::PodLife, key: key.clone() });
}

/// A Pod that left its node makes room; one that vanished is what a `Recreate` waits for.
fn pod_moves(world: &World, before: Option<&Pod>, after: Option<&Pod>, push: &mut dyn FnMut(Task)) {
    let occupies = |pod: &&Pod| pod::node_name(pod).is_some() && !pod::is_terminal(pod);
    if before.filter(occupies).is_some() && after.filter(occupies).is_none() {
        world.unbound().for_each(|key| push(Task { controller: Controller::Scheduler, key: key.clone() }));
    }
    let Some(meta) = before.filter(|_| after.is_none_or(pod::is_terminal)).and_then(|pod| pod.metadata.as_ref()) else {
        return;
    };
    let set = pod::controller_of(meta).and_then(|owner| world.named::<ReplicaSet>(&meta.namespace, &owner.name));
    let deployment = set.and_then(|set| pod::controller_of(set.metadata.as_ref()?));
    if let Some(owner) = deployment {
        let key = Key::namespaced(Kind::Deployment, meta.namespace.as_str(), owner.name.as_str());
        push(Task { controller: Controller::Deployment, key });
    }
}

fn slice(object: &Object, push: &mut dyn FnMut(Task)) {
    let service = object.metadata().and_then(|meta| meta.labels.get(SERVICE_NAME_LABEL));
    if let (Some(service), Some(meta)) = (service, object.metadata()) {
        let key = Key::namespaced(Kind::Service, meta.namespace.as_str(), service.as_str());
        push(Task { controller: Controller::EndpointSlice, key });
    }
}

fn node_state(world: &World, key: Key, before: Option<&Object>, after: Option<&Object>, push: &mut dyn FnMut(Task)) {
    let (old, new) = (before.and_then(Object::get::<Node>), after.and_then(Object::get::<Node>));
    let spec = |node: Option<&Node>| node.and_then(|node| node.spec.clone());
    let answers = |node: Option<&Node>| node.is_some_and(node::answers);
    if spec(old) != spec(new) || answers(old) != answers(new) {
        for pod in world.pods_on(&key.name) {
            pod_state(world, &pod.key(), pod, push);
        }
    }
    if new.is_some() {
        world.unbound().for_each(|key| push(Task { controller: Controller::Scheduler, key: key.clone() }));
    }
    push(Task { controller: Controller::Node, key });
}

/// Whether a Service's Pods are those with these labels among others. A Service without selector has none.
fn serves(service: &Service, labels: &BTreeMap<String, String>) -> bool {
    let selector = service.spec.as_ref().map(|spec| &spec.selector);
    selector.is_some_and(|selector| {
        !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    })
}

/// Something that chooses others by label.
trait Selects {
    fn selector(&self) -> Option<&LabelSelector>;
}

impl Selects for Deployment {
    fn selector(&self) -> Option<&LabelSelector> {
        self.spec.as_ref()?.selector.as_ref()
    }
}

impl Selects for ReplicaSet {
    fn selector(&self) -> Option<&LabelSelector> {
        self.spec.as_ref()?.selector.as_ref()
    }
}

fn selects(by: &impl Selects, meta: &ObjectMeta) -> bool {
    Labels::from_optional(by.selector()).is_ok_and(|labels| labels.matches(&meta.labels))
}
