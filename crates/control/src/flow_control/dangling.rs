//! Says of each flow schema whether its priority level exists.

use api::{
    Key, Timestamp, conditions,
    flow_control::DANGLING,
    flowcontrol_v1::{FlowSchema, PriorityLevelConfiguration},
    kinds::{Resource, flowcontrol::flow_schema},
};

use crate::{
    plan::Plan,
    world::{Shift, World},
};

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(schema) = world.get::<FlowSchema>(key) else { return plan };
    let level = schema.spec.as_ref().map_or("", flow_schema::level);
    let is_missing = world.object(&Key::cluster(PriorityLevelConfiguration::KIND, level)).is_none();
    let (reason, rest) =
        if is_missing { ("NotFound", "but there is no such object") } else { ("Found", "and it exists") };
    let message = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?} {rest}");
    let mut told = schema.clone();
    let known = &mut told.status.get_or_insert_default().conditions;
    if conditions::set(known, conditions::new(DANGLING, is_missing.into(), reason, &message, now)) {
        plan.update_status(told);
    }
    plan
}

/// A schema that is new or refers to another level, and those of a level that came or went.
pub(crate) fn concerns(world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    shift.key_of::<FlowSchema>().into_iter().for_each(|key| look(key.clone()));
    let Some(level) = shift.key_of::<PriorityLevelConfiguration>() else { return };
    if shift.before.is_some() && shift.after.is_some() {
        return;
    }
    let of_it =
        |schema: &&FlowSchema| schema.spec.as_ref().is_some_and(|spec| flow_schema::level(spec) == &*level.name);
    world.all::<FlowSchema>().filter(of_it).for_each(|schema| look(schema.key()));
}

#[cfg(test)]
mod tests;
