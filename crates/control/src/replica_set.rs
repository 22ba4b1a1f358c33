//! ReplicaSets: keeps a number of equal Pods.
//!
//! Adopts Pods that match and belong to nobody, releases those that no longer match, creates what is missing, deletes what
//! is too much in Kubernetes' order, and reports. Pods that have ended are left lying and replaced.

mod rank;
pub(crate) mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::{
    Key, Kind, Object, Timestamp,
    apps_v1::{ReplicaSet, ReplicaSetSpec},
    core_v1::{Pod, PodTemplateSpec},
    kinds::Resource,
    meta_v1::{ObjectMeta, OwnerReference},
    pod,
    selector::Labels,
};

use crate::{
    names,
    plan::{Note, Plan},
    world::World,
};

/// The most Pods that one look creates or deletes: a batch that the log takes in one piece. The rest follows when these
/// are settled.
const BURST_MAX: usize = 2000;

/// How many Pods one look creates or deletes with an Event for each. Beyond it one Event speaks for the rest, so that a
/// thousand Pods do not bury what else there is to say.
const NOTES_MAX: usize = 10;

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some((object, set)) = world.find::<ReplicaSet>(key) else { return plan };
    let (Some(meta), Some(spec)) = (&set.metadata, &set.spec) else { return plan };
    let Ok(selector) = Labels::from_optional(spec.selector.as_ref()) else { return plan };
    // Before it has an identity nothing can belong to it; the answer to its creation is on its way.
    if meta.uid.is_empty() {
        return plan;
    }
    let pods = own_pods(world, meta, &selector, &mut plan);
    let active: Vec<&Pod> = pods.iter().copied().filter(|pod| pod::is_active(pod)).collect();
    if meta.deletion_timestamp.is_none() && !world.is_closing(&meta.namespace) {
        let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
        if active.len() < wanted {
            create(world, object, meta, spec, pods.len(), wanted - active.len(), &mut plan);
        } else {
            delete(world, object, meta, &active, active.len() - wanted, now, &mut plan);
        }
    }
    // What changes is reported once it has changed; only what cannot be changed is reported instead.
    if plan.steps.is_empty() || world.trouble(key).is_some() {
        status::report(world, set, &pods, now, &mut plan);
    }
    plan
}

/// The Pods that belong to a ReplicaSet after adoption and release.
fn own_pods<'a>(world: &'a World, meta: &ObjectMeta, selector: &Labels, plan: &mut Plan) -> Vec<&'a Pod> {
    let mut pods = Vec::new();
    for pod in world.controlled::<Pod>(&meta.uid) {
        if matches(selector, pod) || pod::is_terminating(pod) {
            pods.push(pod);
        } else {
            plan.update(released(pod, &meta.uid));
        }
    }
    if meta.deletion_timestamp.is_none() {
        let strays = world.orphans::<Pod>(&meta.namespace);
        for pod in strays.filter(|pod| pod::is_active(pod) && matches(selector, pod) && !pod.uid().is_empty()) {
            plan.update(adopted(pod, meta));
            pods.push(pod);
        }
    }
    pods
}

fn matches(selector: &Labels, pod: &Pod) -> bool {
    pod.metadata.as_ref().is_some_and(|meta| selector.matches(&meta.labels))
}

fn released(pod: &Pod, uid: &str) -> Pod {
    let mut pod = pod.clone();
    pod.metadata_mut().owner_references.retain(|owner| owner.uid != uid);
    pod
}

fn adopted(pod: &Pod, owner: &ObjectMeta) -> Pod {
    let mut pod = pod.clone();
    pod.metadata_mut().owner_references.push(controller_reference(Kind::ReplicaSet, owner));
    pod
}

/// A reference to the one owner that controls an object.
pub(crate) fn controller_reference(kind: Kind, owner: &ObjectMeta) -> OwnerReference {
    OwnerReference {
        api_version: kind.api_version(),
        kind: kind.to_string(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

fn create(
    world: &World,
    object: &Arc<Object>,
    meta: &ObjectMeta,
    spec: &ReplicaSetSpec,
    existing: usize,
    missing: usize,
    plan: &mut Plan,
) {
    let template = spec.template.clone().unwrap_or_default();
    let count = missing.min(BURST_MAX);
    for (index, name) in free_names(world, meta, existing).take(count).enumerate() {
        let note = match index {
            0..NOTES_MAX => Some(format!("Created pod: {name}")),
            NOTES_MAX => Some(format!("(combined from similar events): Created {} more pods", count - NOTES_MAX)),
            _ => None,
        };
        let step = plan.create(new_pod(&template, meta, name));
        step.or(Note::warning(object, "FailedCreate", "Error creating"));
        if let Some(message) = note {
            step.then(Note::normal(object, "SuccessfulCreate", message));
        }
    }
}

/// Names for new Pods. They follow from the owner and from how many Pods it has had, so that deciding twice names the same
/// Pods, and a Pod that is gone does not come back under its old name.
fn free_names<'a>(world: &'a World, meta: &'a ObjectMeta, existing: usize) -> impl Iterator<Item = String> + 'a {
    let first = world.departed(&meta.uid) + existing as u64;
    let names = (first..).map(|slot| names::child(&meta.name, &meta.uid, slot));
    names.filter(|name| world.named::<Pod>(&meta.namespace, name).is_none())
}

fn new_pod(template: &PodTemplateSpec, owner: &ObjectMeta, name: String) -> Pod {
    let from = template.metadata.clone().unwrap_or_default();
    let metadata = ObjectMeta {
        generate_name: format!("{}-", owner.name),
        name,
        namespace: owner.namespace.clone(),
        labels: from.labels,
        annotations: from.annotations,
        finalizers: from.finalizers,
        owner_references: vec![controller_reference(Kind::ReplicaSet, owner)],
        ..ObjectMeta::default()
    };
    Pod { metadata: Some(metadata), spec: template.spec.clone(), status: None }
}

fn delete(
    world: &World,
    object: &Arc<Object>,
    meta: &ObjectMeta,
    active: &[&Pod],
    excess: usize,
    now: Timestamp,
    plan: &mut Plan,
) {
    if excess == 0 {
        return;
    }
    let count = excess.min(BURST_MAX);
    for (index, pod) in rank::first_to_go(world, meta, active, now).into_iter().take(count).enumerate() {
        let name = pod.name();
        let note = match index {
            0..NOTES_MAX => Some(format!("Deleted pod: {name}")),
            NOTES_MAX => Some(format!("(combined from similar events): Deleted {} more pods", count - NOTES_MAX)),
            _ => None,
        };
        let step = plan.delete(pod);
        step.or(Note::warning(object, "FailedDelete", "Error deleting"));
        if let Some(message) = note {
            step.then(Note::normal(object, "SuccessfulDelete", message));
        }
    }
}
