//! What keeps a number of equal Pods: ReplicaSets, and the ReplicationControllers that came before them.
//!
//! Adopts Pods that match and belong to nobody, releases those that no longer match, creates what is missing, deletes what
//! is too much in Kubernetes' order, and reports. Pods that have ended are left lying and replaced.

mod rank;
pub(super) mod status;

use api::{
    Key, Timestamp,
    apps_v1::{ReplicaSet, ReplicaSetStatus},
    core_v1::{Pod, PodTemplateSpec},
    kinds::Resource,
    meta_v1::ObjectMeta,
    pod,
};

use super::owned::{self, Owner, Selects};
use crate::{
    nodes,
    plan::Plan,
    world::{Shift, World},
};

/// An object that keeps a number of equal Pods.
pub(super) trait Replicated: Selects + Clone + PartialEq + Into<api::Object> {
    /// What is wanted; `None` of an object without a spec.
    fn wanted(&self) -> Option<Wanted<'_>>;

    /// What was reported last, in the words of ReplicaSets.
    fn status(&self) -> ReplicaSetStatus;

    /// The object with another report.
    fn with_status(&self, status: ReplicaSetStatus) -> Self;
}

/// What is wanted of Pods.
pub(super) struct Wanted<'a> {
    /// How many there should be.
    pub(super) replicas: i32,
    /// Seconds that one must be ready to count as available.
    pub(super) min_ready_s: i32,
    /// What new ones look like.
    pub(super) template: Option<&'a PodTemplateSpec>,
}

pub(super) fn reconcile<T: Replicated>(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some((object, set)) = world.find::<T>(key) else { return plan };
    let (Some(meta), Some(wanted), Some(owner)) = (set.metadata(), set.wanted(), Owner::of(set)) else { return plan };
    let pods: Vec<&Pod> = owner.claim(world.controlled(owner.uid()), world.orphans(owner.namespace()), &mut plan);
    let active: Vec<&Pod> = pods.iter().copied().filter(|pod| pod::is_active(pod)).collect();
    let count = usize::try_from(wanted.replicas).unwrap_or(0);
    let in_charge = owner.is_in_charge(world);
    if in_charge && active.len() < count {
        let template = wanted.template.cloned().unwrap_or_default();
        let had = world.departed(owner.uid()) + pods.len() as u64;
        let names = owner.free_names(had, |name| world.named::<Pod>(owner.namespace(), name).is_some());
        owned::create(object, count - active.len(), names, |name| owner.pod(&template, name), &mut plan);
    } else if in_charge && active.len() > count {
        let crowds = rank::crowds(family(world, meta));
        owned::delete(object, active.len() - count, rank::first_to_go(&active, &crowds, now), &mut plan);
    }
    // What changes is reported once it has changed; only what cannot be changed is reported instead.
    let trouble = world.trouble(key);
    if plan.steps.is_empty() || trouble.is_some() {
        status::report(set, &pods, |pod| nodes::vouches(world.node_of(pod)), trouble, now, &mut plan);
    }
    plan
}

pub(super) fn concerns<T: Replicated>(world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if let Some(key) = shift.key_of::<T>() {
        look(key.clone());
    }
    for pod in shift.states::<Pod>().chain(nodes::pods_in_question(world, shift)) {
        pod.metadata.iter().for_each(|meta| owned::owners_of::<T>(world, meta, look));
    }
}

/// The Pods of all sets of the same Deployment; those of the set alone, if it has none.
fn family<'a>(world: &'a World, set: &'a ObjectMeta) -> impl Iterator<Item = &'a Pod> {
    let sets: Vec<&str> = match pod::controller_of(set) {
        Some(deployment) => world.controlled::<ReplicaSet>(&deployment.uid).map(Resource::uid).collect(),
        None => vec![&set.uid],
    };
    sets.into_iter().flat_map(|uid| world.controlled::<Pod>(uid))
}
