//! CustomResourceDefinitions: whether the names of a kind are free, so that it can be served, and how its objects end with it.

use std::{collections::BTreeSet, sync::Arc};

use api::{
    Key, Kind, Object, Propagation, Served, Subresource, Timestamp, Write,
    apiextensions_v1::{CustomResourceDefinition, CustomResourceDefinitionNames, CustomResourceDefinitionStatus},
    conditions::{self, ConditionStatus},
    custom,
    kinds::{Resource, apiextensions::custom_resource_definition::CLEANUP_FINALIZER},
    meta_v1::ObjectMeta,
};

use crate::{
    plan::{BURST_MAX, Plan},
    world::{Shift, World},
};

const NAMES_ACCEPTED: &str = "NamesAccepted";
const ESTABLISHED: &str = "Established";
const TERMINATING: &str = "Terminating";

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(definition) = world.get::<CustomResourceDefinition>(key) else { return plan };
    let mut status = definition.status.clone().unwrap_or_default();
    if is_going(definition.metadata.as_ref()) {
        finish(world, definition, &mut status, now, &mut plan);
    } else {
        let taken = Taken::by_others(world, definition);
        establish(definition, &taken, &mut status, now);
    }
    if definition.status.clone().unwrap_or_default() != status {
        let mut definition = definition.clone();
        definition.status = Some(status);
        plan.update_status(definition);
    }
    plan
}

pub(crate) fn concerns(world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if let Kind::Custom(kind) = shift.key.kind {
        let info = kind.info();
        let key = Key::cluster(Kind::CustomResourceDefinition, format!("{}.{}", info.plural, info.group));
        let waits = || world.object(&key).is_some_and(|definition| is_going(definition.metadata()));
        if shift.after.is_none() && waits() {
            look(key);
        }
        return;
    }
    let Some(key) = shift.key_of::<CustomResourceDefinition>() else { return };
    look(key.clone());
    let names = |definition: Option<&CustomResourceDefinition>| {
        definition.and_then(|definition| definition.status.as_ref()?.accepted_names.clone())
    };
    let (was, became) = (shift.was(), shift.became());
    // Who waits for a name may have it now.
    if names(was).is_some() && names(was) != names(became) {
        let group = was.and_then(|definition: &CustomResourceDefinition| definition.spec.as_ref());
        let group = group.map(|spec| spec.group.clone()).unwrap_or_default();
        world.definitions_in(&group).filter(|other| *other != key).for_each(|other| look(other.clone()));
    }
}

fn is_going(metadata: Option<&ObjectMeta>) -> bool {
    metadata.is_some_and(|metadata| metadata.deletion_timestamp.is_some())
}

/// The names that others have in a group.
#[derive(Debug, Default)]
struct Taken {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Taken {
    fn by_others(world: &World, definition: &CustomResourceDefinition) -> Self {
        let group = definition.spec.as_ref().map_or("", |spec| &spec.group);
        let mut taken = Self::default();
        for info in Served::all().map(Served::info).filter(|info| info.group == group) {
            let words = [info.plural, info.singular].into_iter().chain(info.short_names.iter().copied());
            taken.resources.extend(words.map(str::to_owned));
            taken.kinds.extend([info.kind.to_owned(), info.list_kind.to_owned()]);
        }
        let own = definition.key();
        for other in world.definitions_in(group).filter(|other| **other != own) {
            let Some(other) = world.get::<CustomResourceDefinition>(other) else { continue };
            let Some(names) = other.status.as_ref().and_then(|status| status.accepted_names.as_ref()) else { continue };
            let words = [&names.plural, &names.singular].into_iter().chain(&names.short_names);
            taken.resources.extend(words.filter(|word| !word.is_empty()).cloned());
            taken.kinds.extend([&names.kind, &names.list_kind].into_iter().filter(|kind| !kind.is_empty()).cloned());
        }
        taken
    }
}

/// A name that somebody else has.
struct Conflict {
    reason: &'static str,
    message: String,
}

/// Accepts the names that are free. Those that were accepted before and are not free now stay as they were.
fn accept(
    wanted: &CustomResourceDefinitionNames,
    taken: &Taken,
    accepted: &mut CustomResourceDefinitionNames,
) -> Option<Conflict> {
    let mut conflict = None;
    let mut is_free = |reason, taken: &BTreeSet<String>, name: &String, before: &String| {
        let free = name == before || !taken.contains(name);
        if !free {
            conflict = Some(Conflict { reason, message: format!("{name:?} is already in use") });
        }
        free
    };
    if is_free("PluralConflict", &taken.resources, &wanted.plural, &accepted.plural) {
        accepted.plural.clone_from(&wanted.plural);
    }
    if is_free("SingularConflict", &taken.resources, &wanted.singular, &accepted.singular) {
        accepted.singular.clone_from(&wanted.singular);
    }
    let none = String::new();
    let is_short = |name: &&String| !accepted.short_names.contains(name);
    if wanted
        .short_names
        .iter()
        .filter(is_short)
        .all(|name| is_free("ShortNamesConflict", &taken.resources, name, &none))
    {
        accepted.short_names.clone_from(&wanted.short_names);
    }
    if is_free("KindConflict", &taken.kinds, &wanted.kind, &accepted.kind) {
        accepted.kind.clone_from(&wanted.kind);
    }
    if is_free("ListKindConflict", &taken.kinds, &wanted.list_kind, &accepted.list_kind) {
        accepted.list_kind.clone_from(&wanted.list_kind);
    }
    accepted.categories.clone_from(&wanted.categories);
    conflict
}

/// A kind is served once all of its names were accepted, and then for good.
fn establish(
    definition: &CustomResourceDefinition,
    taken: &Taken,
    status: &mut CustomResourceDefinitionStatus,
    now: Timestamp,
) {
    let wanted = definition.spec.as_ref().and_then(|spec| spec.names.clone()).unwrap_or_default();
    let conflict = accept(&wanted, taken, status.accepted_names.get_or_insert_default());
    let names = match &conflict {
        None => conditions::new(NAMES_ACCEPTED, ConditionStatus::True, "NoConflicts", "no conflicts found", now),
        Some(Conflict { reason, message }) => {
            conditions::new(NAMES_ACCEPTED, ConditionStatus::False, reason, message, now)
        }
    };
    conditions::set(&mut status.conditions, names);
    let (holds, reason, message) = match conflict {
        _ if custom::is(definition, ESTABLISHED) => return,
        None => (ConditionStatus::True, "InitialNamesAccepted", "the initial names have been accepted"),
        Some(_) => (ConditionStatus::False, "NotAccepted", "not all names are accepted"),
    };
    conditions::set(&mut status.conditions, conditions::new(ESTABLISHED, holds, reason, message, now));
}

/// Deletes the objects of a kind that is to go, and lets the definition go when there are none left.
fn finish(
    world: &World,
    definition: &CustomResourceDefinition,
    status: &mut CustomResourceDefinitionStatus,
    now: Timestamp,
    plan: &mut Plan,
) {
    let finalizers = definition.metadata.as_ref().map(|metadata| metadata.finalizers.as_slice()).unwrap_or_default();
    if !finalizers.iter().any(|finalizer| finalizer == CLEANUP_FINALIZER) {
        return;
    }
    let kind = custom::kind_of(definition).map(Kind::Custom);
    let mut objects = kind.into_iter().flat_map(|kind| world.objects_of(kind)).peekable();
    if objects.peek().is_none() {
        let mut done = definition.clone();
        done.metadata_mut().finalizers.retain(|finalizer| finalizer != CLEANUP_FINALIZER);
        plan.step(Write::Update(done.into(), Subresource::Owners));
        return;
    }
    let alive = |object: &&Arc<Object>| !is_going(object.metadata());
    for object in objects.filter(alive).take(BURST_MAX) {
        plan.delete_object(object, Propagation::Background);
    }
    let (reason, message) = ("InstanceDeletionInProgress", "CustomResource deletion is in progress");
    let going = conditions::new(TERMINATING, ConditionStatus::True, reason, message, now);
    conditions::set(&mut status.conditions, going);
}

#[cfg(test)]
mod tests;
