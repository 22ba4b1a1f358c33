//! Deployments: replaces the Pods of one template by those of the next, through ReplicaSets.
//!
//! A Deployment owns one ReplicaSet a template, told apart by a hash of the template. The newest grows and the others
//! shrink, within `maxSurge` and `maxUnavailable`. Going back is nothing special: the template of an old ReplicaSet matches
//! again, so that set becomes the newest.

mod family;
mod history;
mod rolling;
mod scale;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use api::{
    Key, Kind, Timestamp,
    apps_v1::{Deployment, ReplicaSet},
    core_v1::Pod,
    kinds::Resource,
    pod,
    selector::Labels,
};

use self::family::{Edits, Family};
use super::owned::{self, Selects};
use crate::{
    owners,
    plan::Plan,
    world::{Shift, World},
};

impl Selects for Deployment {
    fn selector(&self) -> Option<Labels> {
        Labels::from_optional(self.spec.as_ref()?.selector.as_ref()).ok()
    }
}

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(family) = Family::gather(world, key, &mut plan) else { return plan };
    let number = if family.in_charge { advance(world, &family, &mut plan) } else { None };
    status::report(&family, number, now, &mut plan);
    plan
}

pub(crate) fn concerns(world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if let Some(key) = shift.key_of::<Deployment>() {
        look(key.clone());
    }
    for set in shift.states::<ReplicaSet>() {
        set.metadata.iter().for_each(|meta| owned::owners_of::<Deployment>(world, meta, look));
    }
    // A Pod that ended or vanished is what a `Recreate` waits for.
    let over = shift.was::<Pod>().filter(|_| shift.became().is_none_or(pod::is_terminal));
    over.and_then(|pod| deployment_of(world, pod)).into_iter().for_each(look);
}

/// The Deployment of a Pod's ReplicaSet.
fn deployment_of(world: &World, pod: &Pod) -> Option<Key> {
    let set = owners::controller_of_kind(pod.metadata.as_ref()?, Kind::ReplicaSet)?;
    let set = world.named::<ReplicaSet>(pod.namespace(), &set.name)?;
    let deployment = owners::controller_of_kind(set.metadata.as_ref()?, Kind::Deployment)?;
    Some(Key::namespaced(Kind::Deployment, pod.namespace(), deployment.name.as_str()))
}

/// Moves the rollout one step on. Returns the number of the newest ReplicaSet, if there is one.
fn advance(world: &World, family: &Family<'_>, plan: &mut Plan) -> Option<String> {
    let mut edits = Edits::default();
    let number = history::number(family, &mut edits);
    if family.spec.paused {
        scale::all(family, &mut edits);
    } else if family.recreates() {
        let has_pods = |set: &ReplicaSet| world.controlled::<Pod>(set.uid()).any(|pod| !pod::is_terminal(pod));
        recreate(family, has_pods, &mut edits, plan);
    } else if scale::was_asked_for(family) {
        scale::all(family, &mut edits);
    } else {
        roll(family, &mut edits, plan);
    }
    edits.write(family, plan);
    history::clean_up(family, plan);
    number
}

/// The newest grows as far as the surge allows, the others shrink as far as availability allows.
fn roll(family: &Family<'_>, edits: &mut Edits, plan: &mut Plan) {
    let limits = family.limits();
    let old: Vec<rolling::Size> = family.old.iter().map(|set| rolling::Size::of(set)).collect();
    let new = family.new.map(rolling::Size::of);
    let size = rolling::new_size(limits, &old, new.unwrap_or_default());
    match family.new {
        Some(set) => edits.resize(family, set, size),
        None => history::create(family, size, plan),
    }
    // Until the newest exists nothing is known of it, and an old Pod that still serves is worth more than haste.
    let Some(new) = new else { return };
    for (set, size) in family.old.iter().zip(rolling::old_sizes(limits, &old, new)) {
        edits.resize(family, set, size);
    }
}

/// Every old Pod is gone before the first new one starts. `has_pods` tells of a set whether any of its Pods has not ended.
fn recreate(family: &Family<'_>, has_pods: impl Fn(&ReplicaSet) -> bool, edits: &mut Edits, plan: &mut Plan) {
    for set in &family.old {
        edits.resize(family, set, 0);
    }
    let runs = |set: &&ReplicaSet| {
        let reported = set.status.as_ref().is_some_and(|status| status.replicas > 0);
        reported || wanted(set) > 0 || has_pods(set)
    };
    if family.old.iter().any(runs) {
        return;
    }
    let size = family.limits().replicas;
    match family.new {
        Some(set) => edits.resize(family, set, size),
        None => history::create(family, size, plan),
    }
}

/// How many Pods a ReplicaSet is to have.
fn wanted(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// The annotations of an object; empty if it has no metadata.
fn annotations(set: &ReplicaSet) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    set.metadata.as_ref().map_or(&NONE, |meta| &meta.annotations)
}
