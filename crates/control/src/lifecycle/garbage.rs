//! Garbage collection: what its owners left behind is deleted.
//!
//! An object whose owners are all gone is deleted after them. An owner that is being deleted in the foreground waits, by a
//! finalizer, until the dependents that block it are gone; one that is to leave orphans waits until they have forgotten it. Who
//! owns its own owner blocks nobody, or a circle would wait for itself.

use std::{collections::BTreeSet, sync::Arc};

use api::{
    Key, Object, Propagation, Subresource, Timestamp, Write,
    meta_v1::{ObjectMeta, OwnerReference},
    well_known::{FOREGROUND_FINALIZER, ORPHAN_FINALIZER},
};

use crate::{
    plan::Plan,
    world::{Shift, World},
};

/// The most owners of owners that are asked whether they belong to a circle; a chain that is longer counts as none.
const ANCESTORS_MAX: usize = 1_000;

pub(crate) fn reconcile(world: &World, key: &Key, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(object) = world.object(key) else { return plan };
    let Some(meta) = object.metadata().filter(|meta| !meta.uid.is_empty()) else { return plan };
    if has(meta, ORPHAN_FINALIZER) {
        set_free(world, object, meta, &mut plan);
    } else if has(meta, FOREGROUND_FINALIZER) {
        delete_dependents(world, object, meta, &mut plan);
    } else if meta.deletion_timestamp.is_none() {
        follow_owners(world, object, meta, &mut plan);
    }
    plan
}

pub(crate) fn concerns(world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    let (was, became) = (shift.before.as_deref(), shift.after.as_deref());
    let (was, became) = (was.and_then(Object::metadata), became.and_then(Object::metadata));
    if became.is_some_and(is_waiting) || owners(was) != owners(became) {
        look(shift.key.clone());
    }
    let Some(gone) = was.filter(|_| became.is_none()) else { return };
    world.dependents(&gone.uid).for_each(|dependent| look(dependent.key()));
    let living = owners(was).iter().filter_map(|owner| world.by_uid(&owner.uid));
    living.for_each(|owner| look(owner.clone()));
}

fn owners(meta: Option<&ObjectMeta>) -> &[OwnerReference] {
    meta.map_or(&[], |meta| &meta.owner_references)
}

/// Whether an object is being deleted and its dependents have to be dealt with first.
fn is_waiting(meta: &ObjectMeta) -> bool {
    has(meta, ORPHAN_FINALIZER) || has(meta, FOREGROUND_FINALIZER)
}

fn has(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.deletion_timestamp.is_some() && meta.finalizers.iter().any(|own| own == finalizer)
}

fn set_free(world: &World, object: &Arc<Object>, meta: &ObjectMeta, plan: &mut Plan) {
    let mut bound = world.dependents(&meta.uid).peekable();
    if bound.peek().is_none() {
        return finish(object, ORPHAN_FINALIZER, plan);
    }
    for dependent in bound {
        plan.step(without_owners(dependent, |owner| owner.uid == meta.uid));
    }
}

fn delete_dependents(world: &World, object: &Arc<Object>, meta: &ObjectMeta, plan: &mut Plan) {
    let above = ancestors(world, meta);
    let blocks = |dependent: &Arc<Object>| {
        let own = dependent.metadata();
        let mut owners = owners(own).iter().filter(|owner| owner.uid == meta.uid);
        let is_above = own.is_some_and(|own| above.contains(own.uid.as_str()));
        !is_above && owners.any(|owner| owner.block_owner_deletion == Some(true))
    };
    if !world.dependents(&meta.uid).any(blocks) {
        return finish(object, FOREGROUND_FINALIZER, plan);
    }
    for dependent in world.dependents(&meta.uid) {
        if let Some(own) = dependent.metadata().filter(|own| own.deletion_timestamp.is_none()) {
            follow_owners(world, dependent, own, plan);
        }
    }
}

/// Owners, and theirs, by uid.
fn ancestors<'a>(world: &'a World, meta: &'a ObjectMeta) -> BTreeSet<&'a str> {
    let mut above = BTreeSet::new();
    let mut open = vec![meta];
    while let Some(next) = open.pop() {
        for owner in &next.owner_references {
            if above.len() < ANCESTORS_MAX && above.insert(owner.uid.as_str()) {
                let owner = world.by_uid(&owner.uid).and_then(|key| world.object(key));
                open.extend(owner.and_then(|owner| owner.metadata()));
            }
        }
    }
    above
}

/// Deletes an object whose owners are gone or going, and forgets those owners if others stay.
fn follow_owners(world: &World, object: &Arc<Object>, meta: &ObjectMeta, plan: &mut Plan) {
    let owners = &meta.owner_references;
    let leaving = |owner: &OwnerReference| is_gone(world, owner) || is_going(world, owner);
    if !owners.iter().any(leaving) {
        return;
    }
    if !owners.iter().all(leaving) {
        plan.step(without_owners(object, leaving));
        return;
    }
    // What has dependents of its own goes the way its owner goes; with a living owner waiting, in the foreground.
    let has_dependents = world.dependents(&meta.uid).next().is_some();
    let awaited = owners.iter().any(|owner| is_going(world, owner));
    let propagation = if awaited && has_dependents { Propagation::Foreground } else { Propagation::Background };
    plan.delete_object(object, propagation);
}

/// Whether an owner does not exist. An owner of a kind that is not kept here is never known to be gone.
fn is_gone(world: &World, owner: &OwnerReference) -> bool {
    world.by_uid(&owner.uid).is_none() && world.keeps(owner)
}

/// Whether an owner waits for its dependents to be deleted.
fn is_going(world: &World, owner: &OwnerReference) -> bool {
    let owner = world.by_uid(&owner.uid).and_then(|key| world.object(key));
    owner.and_then(|owner| owner.metadata()).is_some_and(|meta| has(meta, FOREGROUND_FINALIZER))
}

fn finish(object: &Arc<Object>, finalizer: &str, plan: &mut Plan) {
    let mut object = Object::clone(object);
    object.metadata_mut().finalizers.retain(|own| own != finalizer);
    plan.step(Write::Update(object, Subresource::Owners));
}

fn without_owners(object: &Arc<Object>, leaving: impl Fn(&OwnerReference) -> bool) -> Write {
    let mut object = Object::clone(object);
    object.metadata_mut().owner_references.retain(|owner| !leaving(owner));
    Write::Update(object, Subresource::Owners)
}

#[cfg(test)]
mod tests;
