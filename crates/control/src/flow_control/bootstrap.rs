//! Makes the priority levels and flow schemas that every cluster has, and keeps them: when a master begins to lead, and whenever
//! somebody changes one of them.
//!
//! As in Kubernetes, what is missing is made again; what the mandatory ones say is fixed; what a user says of another stays if the
//! annotation says `false`, or if there is none and the spec was changed. What carries the annotation with `true` and is none of
//! these is of another version, and goes.

use api::{
    Key, Object, Timestamp, flow_control,
    flow_control::{AUTOUPDATE_ANNOTATION, EXEMPT},
    flowcontrol_v1::{FlowSchema, PriorityLevelConfiguration},
    kinds::Resource,
    meta_v1::ObjectMeta,
};

use crate::{
    plan::Plan,
    world::{Shift, World},
};

pub(crate) fn reconcile(world: &World, key: &Key, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if key.kind == FlowSchema::KIND {
        keep(world.get::<FlowSchema>(key), flow_control::schema(&key.name), &mut plan);
    } else if key.kind == PriorityLevelConfiguration::KIND {
        keep(world.get::<PriorityLevelConfiguration>(key), flow_control::level(&key.name), &mut plan);
    }
    plan
}

pub(crate) fn concerns(_world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if shift.is_beginning() {
        keys().for_each(&mut *look);
    }
    let changed = shift.key_of::<FlowSchema>().or_else(|| shift.key_of::<PriorityLevelConfiguration>());
    changed.into_iter().for_each(|key| look(key.clone()));
}

fn keys() -> impl Iterator<Item = Key> {
    let levels = flow_control::levels().map(|level| level.key());
    levels.chain(flow_control::schemas().map(|schema| schema.key()))
}

/// What has a spec of which there is a given one.
trait Given: Resource + Clone + PartialEq + Into<Object> {
    /// Takes over the spec, but for what users may say of it.
    fn take_spec(&mut self, given: Self);
}

impl Given for FlowSchema {
    fn take_spec(&mut self, given: Self) {
        self.spec = given.spec;
    }
}

impl Given for PriorityLevelConfiguration {
    fn take_spec(&mut self, mut given: Self) {
        let is_exempt = self.metadata.as_ref().is_some_and(|metadata| metadata.name == EXEMPT);
        let said = self.spec.take().and_then(|spec| spec.exempt);
        if let (true, Some(said), Some(spec)) = (is_exempt, said, &mut given.spec) {
            spec.exempt = Some(said);
        }
        self.spec = given.spec;
    }
}

fn keep<T: Given>(present: Option<&T>, given: Option<T>, plan: &mut Plan) {
    let is_leaving = |metadata: &ObjectMeta| metadata.deletion_timestamp.is_some();
    match (present, given) {
        (Some(present), _) if present.metadata().is_some_and(is_leaving) => {}
        (Some(present), Some(given)) => {
            let revised = revised(present, given);
            if revised != *present {
                plan.update(revised);
            }
        }
        (Some(present), None) if said(present) == Some(true) => {
            plan.delete(present);
        }
        (None, Some(given)) => {
            plan.create(given);
        }
        (Some(_) | None, None) => {}
    }
}

/// What is there, with the given spec if it is to be kept up to date, and with the annotation that says so.
fn revised<T: Given>(present: &T, given: T) -> T {
    let metadata = present.metadata();
    let is_untouched = metadata.is_some_and(|metadata| metadata.generation == 1);
    let is_mandatory = metadata.is_some_and(|metadata| flow_control::is_mandatory(&metadata.name));
    let said = said(present);
    let is_kept = is_mandatory || said.unwrap_or(is_untouched);
    let mut revised = present.clone();
    if is_kept {
        revised.take_spec(given);
    }
    if said != Some(is_kept) {
        revised.metadata_mut().annotations.insert(AUTOUPDATE_ANNOTATION.to_owned(), is_kept.to_string());
    }
    revised
}

/// What the annotation says, in the words that Kubernetes takes for a truth value.
fn said<T: Resource>(object: &T) -> Option<bool> {
    match object.metadata()?.annotations.get(AUTOUPDATE_ANNOTATION)?.as_str() {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
