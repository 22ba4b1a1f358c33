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

use api::{Key, Timestamp, apps_v1::ReplicaSet, core_v1::Pod, kinds::Resource, pod};

use self::family::{Edits, Family};
use crate::{plan::Plan, world::World};

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(family) = Family::gather(world, key, &mut plan) else { return plan };
    let lives = family.meta.deletion_timestamp.is_none() && !world.is_closing(&family.meta.namespace);
    let number = lives.then(|| advance(world, &family, &mut plan)).flatten();
    status::report(world, &family, number, now, &mut plan);
    plan
}

/// Answers the number of the newest ReplicaSet, if there is one.
fn advance(world: &World, family: &Family<'_>, plan: &mut Plan) -> Option<String> {
    let mut edits = Edits::default();
    let number = history::number(family, &mut edits);
    if family.spec.paused {
        scale::all(family, &mut edits);
    } else if family.recreates() {
        recreate(world, family, &mut edits, plan);
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

/// Every old Pod is gone before the first new one starts.
fn recreate(world: &World, family: &Family<'_>, edits: &mut Edits, plan: &mut Plan) {
    for set in &family.old {
        edits.resize(family, set, 0);
    }
    let runs = |set: &&ReplicaSet| {
        let reported = set.status.as_ref().is_some_and(|status| status.replicas > 0);
        reported || wanted(set) > 0 || world.controlled::<Pod>(set.uid()).any(|pod| !pod::is_terminal(pod))
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
