//! Namespaces that are being deleted: everything in them is deleted, Pods before all else, and when nothing is left, they are.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    Key, Kind, Object, Propagation, Subresource, Timestamp, Write,
    conditions::{self, ConditionStatus},
    core_v1::{Namespace, NamespaceStatus},
    kinds::Resource,
};

use crate::{
    plan::{BURST_MAX, Plan},
    world::{Shift, World},
};

/// What keeps a Namespace until it is empty.
const FINALIZER: &str = "kubernetes";

const TERMINATING: &str = "Terminating";

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
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
    for object in due(world, namespace.name()).filter(alive).take(BURST_MAX) {
        plan.delete_object(object, Propagation::Background);
    }
    announce(world, namespace, now, &mut plan);
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

/// What may be deleted now: Pods as long as there are any, because what they run may need the rest up to its end.
fn due<'a>(world: &'a World, namespace: &'a str) -> Box<dyn Iterator<Item = &'a Arc<Object>> + 'a> {
    let mut pods = world.objects_in(Kind::Pod, namespace).peekable();
    if pods.peek().is_some() { Box::new(pods) } else { Box::new(contents(world, namespace)) }
}

fn announce(world: &World, namespace: &Namespace, now: Timestamp, plan: &mut Plan) {
    let old = namespace.status.clone().unwrap_or_default();
    let mut new = NamespaceStatus { phase: TERMINATING.to_owned(), ..old.clone() };
    let mut say = |kind: &str, status: ConditionStatus, reason: &str, message: &str| {
        conditions::set(&mut new.conditions, conditions::new(kind, status, reason, message, now));
    };
    let no = ConditionStatus::False;
    say("NamespaceDeletionDiscoveryFailure", no, "ResourcesDiscovered", "All resources successfully discovered");
    say(
        "NamespaceDeletionGroupVersionParsingFailure",
        no,
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    );
    let done = "All content successfully deleted, may be waiting on finalization";
    say("NamespaceDeletionContentFailure", no, "ContentDeleted", done);
    match remaining(world, namespace.name()) {
        None => say("NamespaceContentRemaining", no, "ContentRemoved", "All content successfully removed"),
        Some(left) => say("NamespaceContentRemaining", ConditionStatus::True, "SomeResourcesRemain", &left),
    }
    match kept(world, namespace.name()) {
        None => {
            let done = "All content-preserving finalizers finished";
            say("NamespaceFinalizersRemaining", no, "ContentHasNoFinalizers", done);
        }
        Some(kept) => say("NamespaceFinalizersRemaining", ConditionStatus::True, "SomeFinalizersRemain", &kept),
    }
    if new != old {
        let mut leaving = namespace.clone();
        leaving.status = Some(new);
        plan.update_status(leaving);
    }
}

/// What is left because it is on its way, by kind. What is deleted with this very plan is not counted yet.
fn remaining(world: &World, namespace: &str) -> Option<String> {
    let left = count(leaving(world, namespace).map(|object| resource(object)));
    let left = told(left, "has", "resource instances");
    (!left.is_empty()).then(|| format!("Some resources are remaining: {left}"))
}

/// What is left because finalizers keep it, by finalizer.
fn kept(world: &World, namespace: &str) -> Option<String> {
    let finalizers = leaving(world, namespace).filter_map(|object| object.metadata()).flat_map(|meta| &meta.finalizers);
    let kept = told(count(finalizers.cloned()), "in", "resource instances");
    (!kept.is_empty()).then(|| format!("Some content in the namespace has finalizers remaining: {kept}"))
}

fn leaving<'a>(world: &'a World, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Object>> {
    contents(world, namespace).filter(|object| object.metadata().is_some_and(|meta| meta.deletion_timestamp.is_some()))
}

/// `replicasets.apps`, and `pods.` with a point and no group, as Kubernetes writes it.
fn resource(object: &Object) -> String {
    let info = object.kind().info();
    format!("{}.{}", info.plural, info.group)
}

fn count(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    names.fold(BTreeMap::new(), |mut counts, name| {
        *counts.entry(name).or_default() += 1;
        counts
    })
}

fn told(counts: BTreeMap<String, usize>, verb: &str, things: &str) -> String {
    let each = counts.into_iter().map(|(name, count)| format!("{name} {verb} {count} {things}"));
    each.collect::<Vec<_>>().join(", ")
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
