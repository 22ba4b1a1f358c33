//! Namespaces that are being deleted: everything in them is deleted, and when nothing is left, they are.

use std::sync::Arc;

use api::{Key, Kind, Object, Propagation, Subresource, Timestamp, Write, core_v1::Namespace, kinds::Resource};

use crate::{
    plan::{BURST_MAX, Plan},
    world::{Shift, World},
};

/// What keeps a Namespace until it is empty.
const FINALIZER: &str = "kubernetes";

const TERMINATING: &str = "Terminating";

pub(crate) fn reconcile(world: &World, key: &Key, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(namespace) = world.get::<Namespace>(key) else { return plan };
    if namespace.metadata.as_ref().is_none_or(|meta| meta.deletion_timestamp.is_none()) {
        return plan;
    }
    if contents(world, namespace.name()).next().is_none() {
        finalize(namespace, &mut plan);
        return plan;
    }
    let alive = |object: &&Arc<Object>| object.metadata().is_some_and(|meta| meta.deletion_timestamp.is_none());
    for object in contents(world, namespace.name()).filter(alive).take(BURST_MAX) {
        plan.delete_object(object, Propagation::Background);
    }
    announce(namespace, &mut plan);
    plan
}

pub(crate) fn concerns(world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if let Some(key) = shift.key_of::<Namespace>() {
        look(key.clone());
    }
    let within = &shift.key.namespace;
    if shift.after.is_none() && world.is_closing(within) {
        look(Key::cluster(Kind::Namespace, within.clone()));
    }
}

fn contents<'a>(world: &'a World, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Object>> {
    let kinds = world.kinds().filter(|kind| kind.info().namespaced);
    kinds.flat_map(move |kind| world.objects_in(kind, namespace))
}

fn announce(namespace: &Namespace, plan: &mut Plan) {
    if namespace.status.as_ref().is_none_or(|status| status.phase != TERMINATING) {
        let mut leaving = namespace.clone();
        leaving.status.get_or_insert_default().phase = TERMINATING.to_owned();
        plan.update_status(leaving);
    }
}

fn finalize(namespace: &Namespace, plan: &mut Plan) {
    let mut done = namespace.clone();
    let finalizers = &mut done.spec.get_or_insert_default().finalizers;
    let before = finalizers.len();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    if finalizers.len() < before {
        plan.step(Write::Update(done.into(), Subresource::Finalize));
    }
}

#[cfg(test)]
mod tests;
