//! Gathers the rules of ClusterRoles in others that say, by labels, whose rules they are to have.
//!
//! What is gathered is written into the role, so that what is shown is what is in force.

use api::{
    Key, Kind, Timestamp,
    meta_v1::LabelSelector,
    rbac_v1::{ClusterRole, PolicyRule},
    selector::Labels,
};

use crate::{
    plan::Plan,
    world::{Shift, World},
};

pub(crate) fn reconcile(world: &World, key: &Key, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(role) = world.get::<ClusterRole>(key).filter(|role| !is_leaving(role)) else { return plan };
    let Some(selectors) = selectors(role) else { return plan };
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in selectors {
        let parts = world.all::<ClusterRole>().filter(|part| is_part(part, selector) && !std::ptr::eq(*part, role));
        for rule in parts.flat_map(|part| &part.rules) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    if rules != role.rules {
        plan.update(ClusterRole { rules, ..role.clone() });
    }
    plan
}

/// A role is looked at when it changes, and when one changes that is or was a part of it.
pub(crate) fn concerns(world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if shift.key_of::<ClusterRole>().is_none() {
        return;
    }
    look(shift.key.clone());
    for gathering in world.all::<ClusterRole>() {
        let mut selectors = selectors(gathering).into_iter().flatten();
        if selectors.any(|selector| shift.states().any(|part| is_part(part, selector))) {
            look(Key::cluster(Kind::ClusterRole, name(gathering)));
        }
    }
}

fn is_leaving(role: &ClusterRole) -> bool {
    role.metadata.as_ref().is_some_and(|metadata| metadata.deletion_timestamp.is_some())
}

fn name(role: &ClusterRole) -> &str {
    role.metadata.as_ref().map_or("", |metadata| &metadata.name)
}

fn selectors(role: &ClusterRole) -> Option<&[LabelSelector]> {
    Some(&role.aggregation_rule.as_ref()?.cluster_role_selectors)
}

fn is_part(role: &ClusterRole, selector: &LabelSelector) -> bool {
    let labels = role.metadata.as_ref().map(|metadata| &metadata.labels);
    labels.zip(Labels::from_selector(selector).ok()).is_some_and(|(labels, selector)| selector.matches(labels))
}

#[cfg(test)]
mod tests;
