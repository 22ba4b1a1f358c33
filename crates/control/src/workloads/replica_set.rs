//! ReplicaSets: keeps a number of equal Pods.
//!
//! Adopts Pods that match and belong to nobody, releases those that no longer match, creates what is missing, deletes what
//! is too much in Kubernetes' order, and reports. Pods that have ended are left lying and replaced.

mod rank;
pub(super) mod status;
#[cfg(test)]
mod tests;

use api::{
    Key, Timestamp, apps_v1::ReplicaSet, core_v1::Pod, kinds::Resource, meta_v1::ObjectMeta, pod, selector::Labels,
};

use super::owned::{self, Child, Owner, Selects};
use crate::{
    nodes,
    plan::Plan,
    world::{Shift, World},
};

impl Selects for ReplicaSet {
    fn selector(&self) -> Option<Labels> {
        Labels::from_optional(self.spec.as_ref()?.selector.as_ref()).ok()
    }
}

impl Child for ReplicaSet {
    fn is_active(&self) -> bool {
        self.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_none())
    }
}

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some((object, set)) = world.find::<ReplicaSet>(key) else { return plan };
    let (Some(meta), Some(spec), Some(owner)) = (&set.metadata, &set.spec, Owner::of(set)) else { return plan };
    let pods: Vec<&Pod> = owner.claim(world.controlled(owner.uid()), world.orphans(owner.namespace()), &mut plan);
    let active: Vec<&Pod> = pods.iter().copied().filter(|pod| pod::is_active(pod)).collect();
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    let in_charge = owner.is_in_charge(world);
    if in_charge && active.len() < wanted {
        let template = spec.template.clone().unwrap_or_default();
        let had = world.departed(owner.uid()) + pods.len() as u64;
        let names = owner.free_names(had, |name| world.named::<Pod>(owner.namespace(), name).is_some());
        owned::create(object, wanted - active.len(), names, |name| owner.pod(&template, name), &mut plan);
    } else if in_charge && active.len() > wanted {
        let crowds = rank::crowds(family(world, meta));
        owned::delete(object, active.len() - wanted, rank::first_to_go(&active, &crowds, now), &mut plan);
    }
    // What changes is reported once it has changed; only what cannot be changed is reported instead.
    let trouble = world.trouble(key);
    if plan.steps.is_empty() || trouble.is_some() {
        status::report(set, &pods, |pod| nodes::vouches(world.node_of(pod)), trouble, now, &mut plan);
    }
    plan
}

pub(crate) fn concerns(world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if let Some(key) = shift.key_of::<ReplicaSet>() {
        look(key.clone());
    }
    for pod in shift.states::<Pod>().chain(nodes::pods_in_question(world, shift)) {
        pod.metadata.iter().for_each(|meta| owned::owners_of::<ReplicaSet>(world, meta, look));
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
