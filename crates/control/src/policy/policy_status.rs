//! The status of ValidatingAdmissionPolicies: what is doubtful in their expressions, by the types of what they are about.

use api::{
    Key, Timestamp,
    admission::doubts,
    admissionregistration_v1::{TypeChecking, ValidatingAdmissionPolicy},
};

use crate::{
    plan::Plan,
    world::{Shift, World},
};

pub(crate) fn reconcile(world: &World, key: &Key, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(policy) = world.get::<ValidatingAdmissionPolicy>(key) else { return plan };
    let generation = policy.metadata.as_ref().map(|meta| meta.generation).unwrap_or_default();
    let observed = policy.status.as_ref().map(|status| status.observed_generation);
    if observed == Some(generation) {
        return plan;
    }
    let mut told = policy.clone();
    let status = told.status.get_or_insert_default();
    status.observed_generation = generation;
    status.type_checking = Some(TypeChecking { expression_warnings: doubts(policy) });
    plan.update_status(told);
    plan
}

pub(crate) fn concerns(_world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    shift.key_of::<ValidatingAdmissionPolicy>().into_iter().for_each(|key| look(key.clone()));
}

#[cfg(test)]
mod tests;
