//! Makes the PriorityClasses that every cluster has: when a master begins to lead, and whenever somebody takes one away. What they
//! say nobody can change.

use api::{
    Key, Timestamp,
    kinds::{Resource as _, scheduling::priority_class::system_classes},
    scheduling_v1::PriorityClass,
};

use crate::{
    plan::Plan,
    world::{Shift, World},
};

pub(crate) fn reconcile(world: &World, key: &Key, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if world.get::<PriorityClass>(key).is_none()
        && let Some(class) = system_classes().find(|class| class.key() == *key)
    {
        plan.create(class);
    }
    plan
}

pub(crate) fn concerns(_world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if shift.is_beginning() {
        system_classes().for_each(|class| look(class.key()));
    }
    if shift.key_of::<PriorityClass>().is_some() && shift.after.is_none() {
        look(shift.key.clone());
    }
}
